"""`wavetank run`: put a table of prompts to a provider."""

from __future__ import annotations

import argparse

from .common import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    from ..run import run_arguments

    run_arguments.add_arguments(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from contextlib import closing

    from ..progress import display_on
    from ..run.command import run
    from ..run.command_options import read_options
    from ..run.model_list import show_models
    from ..run.rehearsal import rehearse
    from ..run.run_errors import RunError
    from ..scenario import ScenarioError

    try:
        if options.list_models:
            return show_models(options)
        wanted = read_options(options)
        with closing(display_on()) as display:
            if wanted.scenario is not None:
                return rehearse(wanted, display)
            return run(wanted, options.words[1:], display)
    except KeyboardInterrupt:
        # Before the run listens for it itself: nothing was sent.
        return 130
    except (RunError, ScenarioError) as error:
        raise CommandError(str(error), status=2) from None
