"""`wavetank scenarios`: list the catalogue, or draw one scenario."""

from __future__ import annotations

import argparse
from typing import Final

from .common import add_json, load, print_json

_WIDEST: Final = 110
"""Columns of a drawing, also where the terminal has more: a longer axis is harder to read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument("scenario", nargs="?", metavar="NAME|PATH", help="draw this one")
    add_json(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    import shutil

    from ..scenario import catalogue, digest, written
    from ..scenario.drawing import drawn

    if options.json:
        names = catalogue() if options.scenario is None else [options.scenario]
        loaded = map(load, names)
        shown = [{"name": each.name, "digest": digest(each), **written(each)} for each in loaded]
        print_json({"scenarios": shown})
        return
    if options.scenario is not None:
        columns = shutil.get_terminal_size().columns
        print(*drawn(load(options.scenario), width=min(columns, _WIDEST)), sep="\n")
        return
    names = catalogue()
    width = max(map(len, names))
    for name in names:
        scenario = load(name)
        print(f"{name:<{width}}  {scenario.title}: {scenario.story}")
