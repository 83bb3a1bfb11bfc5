"""What several commands need: their errors, JSON, scenarios by name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, final

from ..arguments import count
from ..text import json_document

if TYPE_CHECKING:
    from pathlib import Path

    from ..scenario import Scenario


@final
class CommandError(Exception):
    """Something that the user has to fix; the text says what, and `status` is the exit status."""

    def __init__(self, text: str, *, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def add_json(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--json` to a command."""
    parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")


def limit_number(text: str) -> tuple[str, int]:
    """The name and the number of `--set LIMIT=N`.

    Raises:
        ArgumentTypeError: it has another form, or N is no count.
    """
    name, equals, number = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: write LIMIT=N, such as requests_per_minute=1000")
    return name.strip().replace("-", "_"), count(number.strip().replace("_", ""))


def print_json(document: object) -> None:
    """Write a document to the standard output."""
    print(json_document(document).decode(), end="", flush=True)


def check_folders(options: argparse.Namespace, *names: str) -> None:
    """See that the files to write, the values of these options, have a folder: before a long run.

    Raises:
        CommandError: one has none.
    """
    for name in names:
        path: Path | None = getattr(options, name)
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"--{name} {path}: there is no folder {str(path.parent)!r}", status=2)


def write_file(path: Path, data: bytes) -> None:
    """Write a file that the user named.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}; name another file") from None


def load(name: str) -> Scenario:
    """A scenario of the catalogue or from a file.

    Raises:
        CommandError: there is none, or the file is wrong.
    """
    from ..provider.host_rules import hosts_of
    from ..scenario import ScenarioError, load_scenario

    try:
        scenario = load_scenario(name)
        hosts_of(scenario)
        return scenario
    except ScenarioError as error:
        raise CommandError(str(error)) from None
