"""`wavetank learn`: write a scenario from the log of an incident."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import count
from .common import CommandError, write_file

if TYPE_CHECKING:
    from ..incidents.values import Instant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a journal of serve, HAR, OpenTelemetry spans, litellm's log, or CSV; several are merged",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.toml", help="default: the standard output")
    parser.add_argument(
        "--from", dest="since", type=_instant, metavar="TIME", help="leave out what was sent before"
    )
    parser.add_argument("--until", type=_instant, metavar="TIME", help="leave out what was sent from then on")
    parser.add_argument(
        "--waves", type=count, metavar="N", help="put waves together where there are more (default 400)"
    )
    parser.set_defaults(command=_run)


def _instant(text: str) -> Instant:
    from ..incidents.values import instant

    found = instant(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: give a date such as 2026-11-30T08:00:00Z, or 90s from the start of the log"
        )
    return found


def _run(options: argparse.Namespace) -> int:
    from ..incidents import IncidentError, learn
    from ..incidents.learning import MOST_WAVES
    from ..incidents.writing import as_toml, summary
    from ..scenario import parse_scenario

    output: Path | None = options.output
    if output is not None:
        _check_output(output, options.files)
    try:
        learned = learn(
            options.files,
            name=output.stem if output is not None else "incident",
            since=options.since,
            until=options.until,
            most_waves=options.waves or MOST_WAVES,
        )
    except IncidentError as error:
        raise CommandError(str(error), status=2) from None
    text = as_toml(learned)
    parse_scenario(text, name=learned.scenario.name, source="what was learned")
    if output is None:
        print(text, end="")
    else:
        write_file(output, text.encode())
    print(
        f"{output or 'incident'}: {summary(learned)}", file=sys.stdout if output is not None else sys.stderr
    )
    return 0


def _check_output(output: Path, files: list[Path]) -> None:
    """Write over nothing that is not the command's own."""
    from ..incidents.writing import FIRST_LINE

    if output.suffix != ".toml":
        raise CommandError(f"{output}: a scenario is a .toml file; write -o {output.stem}.toml", status=2)
    if not output.exists():
        return
    with output.open("rb") as file:
        own = file.read(len(FIRST_LINE)) == FIRST_LINE.encode()
    if not own or any(each.exists() and each.samefile(output) for each in files):
        raise CommandError(
            f"{output}: is there already and was not written by `learn`; name another file", status=2
        )
