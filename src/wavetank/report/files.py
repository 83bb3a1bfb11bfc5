"""The files of a run beside its event log: page, trace, and the log of the nearest run that passes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..events import EventLog

LOG: Final = ".ndjson"
PASSING: Final = ".passing.ndjson"
PAGE: Final = ".html"
TRACE: Final = ".trace.json"


def write_files(log: Path, logs: Sequence[EventLog]) -> None:
    """Write `NAME.ndjson`, beside it `NAME.html`, `NAME.trace.json` and, of two logs, `NAME.passing.ndjson`.

    Raises:
        OSError: a file cannot be written.
    """
    from .page import timeline_page
    from .trace import trace_json

    log.write_bytes(logs[0].to_ndjson())
    beside(log, PAGE).write_bytes(timeline_page(logs))
    beside(log, TRACE).write_bytes(trace_json(logs))
    if len(logs) > 1:
        beside(log, PASSING).write_bytes(logs[1].to_ndjson())
    else:
        beside(log, PASSING).unlink(missing_ok=True)


def page_of(log: str) -> str:
    """The path of the page beside a log."""
    return log.removesuffix(LOG) + PAGE


def beside(log: Path, ending: str) -> Path:
    """The file of the same name as a log with another ending, in the same folder."""
    return log.with_name(log.name.removesuffix(LOG) + ending)
