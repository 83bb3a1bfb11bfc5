"""`wavetank show`: draw the runs of event logs, as a page, a trace, in text, or in sentences."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .common import CommandError, write_file

if TYPE_CHECKING:
    from ..events import EventLog

_WIDEST: Final = 160
"""Columns of a drawing, also where the terminal has more: the eye loses the line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and what it does."""
    parser.add_argument(
        "logs",
        nargs="+",
        type=Path,
        metavar="LOG",
        help="an event log; several are drawn on one axis of time",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write the page here (default: LOG with the ending .html)"
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a trace for Perfetto or speedscope")
    parser.add_argument(
        "--write",
        action="append",
        default=[],
        metavar="ENDING",
        help="write LOG.ENDING with the report writer of that name, such as one that a package adds",
    )
    parser.add_argument("--text", action="store_true", help="draw it in the terminal")
    parser.add_argument("--explain", action="store_true", help="say in ten sentences what happened")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    logs = _read_all(options.logs)
    if options.explain:
        from ..report.sentences import numbered, passing_of

        passing = passing_of(logs)
        _print_each(logs, lambda log: numbered(log, passing if log is logs[0] else None))
    if options.text:
        _print_each(logs, _drawing)
    if options.trace is not None:
        from ..report.trace import trace_json

        _write(options.trace, trace_json(logs))
    for ending in options.write:
        _write_as(ending, options.logs[0], logs)
    wanted = options.html is not None or options.open
    if wanted or not (options.text or options.explain or options.write or options.trace is not None):
        _write_page(options, logs)


def _write_page(options: argparse.Namespace, logs: Sequence[EventLog]) -> None:
    from ..report.files import PAGE, beside
    from ..report.page import timeline_page

    path = options.html or beside(options.logs[0], PAGE)
    _write(path, timeline_page(logs))
    if options.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def _write_as(ending: str, log: Path, logs: Sequence[EventLog]) -> None:
    from ..report.files import beside, written

    try:
        data = written(ending, logs)
    except ValueError as error:
        raise CommandError(str(error), status=2) from None
    _write(beside(log, f".{ending}"), data)


def _read_all(paths: Sequence[Path]) -> list[EventLog]:
    """The logs; beside a single one also that of the nearest run that passes, if it was written."""
    from ..report.files import PASSING, beside

    if len(paths) == 1 and not paths[0].name.endswith(PASSING) and beside(paths[0], PASSING).is_file():
        paths = [*paths, beside(paths[0], PASSING)]
    return [_titled(path, _read(path), alone=len(paths) == 1) for path in paths]


def _read(path: Path) -> EventLog:
    from ..events import EventLog, EventLogError

    try:
        return EventLog.from_ndjson(path.read_bytes())
    except EventLogError as error:
        raise CommandError(
            f"{path}: {error}. Give an event log, as --llm-report or `wavetank serve --journal` writes it"
        ) from None
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from None


def _titled(path: Path, log: EventLog, *, alone: bool) -> EventLog:
    """The log; one of several that has no title is named by its file."""
    from msgspec.structs import replace

    from ..events import Notes

    if alone or (log.notes is not None and log.notes.title):
        return log
    return log.with_notes(replace(log.notes or Notes(), title=path.name))


def _write(path: Path, data: bytes) -> None:
    write_file(path, data)
    print(path)


def _print_each(logs: Sequence[EventLog], lines_of: Callable[[EventLog], Sequence[str]]) -> None:
    from ..report.verdicts import how_it_ended

    for number, log in enumerate(logs):
        if len(logs) > 1:
            title = log.notes.title if log.notes is not None else ""
            print(f"{chr(10) if number else ''}{title}: {how_it_ended(log)}")
        for line in lines_of(log):
            print(line.encode(errors="backslashreplace").decode())


def _drawing(log: EventLog) -> list[str]:
    import shutil

    from ..report.text import drawn

    return drawn(log, width=min(shutil.get_terminal_size().columns, _WIDEST))
