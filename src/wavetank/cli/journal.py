"""`wavetank journal`: say what the journal of a run holds."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument("file", metavar="FILE", type=Path, help="as it was given to --journal")
    parser.add_argument("--json", action="store_true", help="as JSON, with times in seconds since 1970")
    parser.set_defaults(command=_show)


def _show(options: argparse.Namespace) -> int:
    from ..run.journal_report import show

    return show(options.file, as_json=options.json)
