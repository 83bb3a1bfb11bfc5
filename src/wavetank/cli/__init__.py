"""The command line: one module for each command, with its arguments and what it does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from .. import __version__
from ..arguments import Parser
from ..extensions import ExtensionError
from ..shown import shortened
from .common import CommandError

_LONGEST_ERROR: Final = 4000
"""Characters of an error message, which may quote a text that the user did not write: about a screen."""

_COMMANDS: Final = {
    "run": "put a table of prompts to a provider, and resume it",
    "forecast": "say how long a batch will take, what it will cost, and what holds it back",
    "ctl": "change the pace or the bounds of a run while it works, or ask how far it is",
    "journal": "say what the journal of a run holds, also while it runs",
    "rehearse": "run a program as it is against the fake, in virtual time",
    "serve": "answer on this machine, in real time",
    "learn": "write a scenario from the log of an incident",
    "limits": "list what providers allow, by model and tier, or show one",
    "show": "draw the run of an event log, as a page, a trace, in text, or in sentences",
    "scenarios": "list the catalogue, or draw a scenario",
    "explore": "search explored tests for a failing schedule, for a long time",
    "museum": "list the bugs of the museum, or search for one of them",
}
"""What each command does; its module has the same name, and is imported when the command is called."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 when it failed, 2 for invalid arguments."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    ours = words[: words.index("--")] if words[:1] in (["serve"], ["rehearse"]) and "--" in words else words
    parser = _parser(words[0] if words else "")
    options, unknown = parser.parse_known_args(ours)
    if unknown:
        hint = options.on_unknown(unknown) if "on_unknown" in options else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint and f'; {hint}'}")
    options.words, options.after_dashes = words, words[len(ours) + 1 :]
    try:
        return options.command(options) or 0
    except (CommandError, ExtensionError) as error:
        print(f"wavetank: {shortened(str(error), _LONGEST_ERROR)}", file=sys.stderr)
        return error.status if isinstance(error, CommandError) else 2
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(command: str) -> argparse.ArgumentParser:
    """A parser that knows all commands by name, and the arguments of `command`."""
    parser = Parser(prog="wavetank", description="A fake LLM provider with rate limits.")
    parser.add_argument("--version", action="version", version=f"wavetank {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, help in _COMMANDS.items():
        added = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        if name == command:
            import_module(f".{name}", __name__).add_arguments(added)
    return parser
