"""The files of a run beside its event log: page, trace, what packages add, the nearest run that passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, cast

from ..events import EventLog
from ..extensions import ExtensionError, Extensions
from ..text import did_you_mean

LOG: Final = ".ndjson"
PASSING: Final = ".passing.ndjson"
PAGE: Final = ".html"
TRACE: Final = ".trace.json"

ReportWriter = Callable[[Sequence[EventLog]], bytes]
"""Makes the file of one ending from the log of a run; a second log is that of the nearest run that passes."""

OWN: Final = (PAGE[1:], TRACE[1:])
"""The endings that wavetank itself writes."""
ADDED: Final = Extensions("wavetank.reports", "report writer", lambda: (*OWN, LOG[1:], PASSING[1:]))
"""The writers that installed packages add; the name of each is the ending of its file."""


def endings_named(text: str) -> tuple[str, ...]:
    """The endings meant, with commas between them; `+NAME` and `-NAME` change those of wavetank itself.

    Raises:
        ValueError: no writer has such a name, or names with a sign stand beside names without one.
    """
    words = [word for each in text.split(",") if (word := each.strip())]
    signed = [word for word in words if word[0] in "+-"]
    if signed and len(signed) < len(words):
        raise ValueError("give all names a sign, to change what is written, or none, to choose it")
    names = dict.fromkeys(OWN if signed else ())
    for word in words:
        name = word.lstrip("+-") if signed else word
        writer_named(name)
        if word[0] == "-":
            names.pop(name, None)
        else:
            names[name] = None
    return tuple(names)


def writer_named(ending: str) -> ReportWriter:
    """What writes the files of an ending.

    Raises:
        ValueError: there is no such writer, or it is of an installed package and cannot be used.
    """
    if ending == OWN[0]:
        from .page import timeline_page

        return timeline_page
    if ending == OWN[1]:
        from .trace import trace_json

        return trace_json
    known = (*OWN, *ADDED.names())
    if ending not in known:
        hint = did_you_mean(ending, known, start=" ")
        raise ValueError(f"no writer of reports has the name {ending!r};{hint} there are: {', '.join(known)}")
    wanted = "a function that takes event logs and returns bytes"
    return cast(ReportWriter, ADDED.load(ending, callable, wanted))


def written(ending: str, logs: Sequence[EventLog]) -> bytes:
    """What the writer of an ending makes of logs.

    Raises:
        ExtensionError: the writer of a package failed.
    """
    writer = writer_named(ending)
    if ending in OWN:
        return writer(logs)
    try:
        data = writer(logs)
    except Exception as error:
        raise ADDED.refused(ending, f"{type(error).__name__}: {error}") from error
    if not isinstance(data, bytes):
        raise ADDED.refused(ending, f"it returned a {type(data).__name__}, and has to return bytes")
    return data


def write_files(log: Path, logs: Sequence[EventLog], endings: Iterable[str] = OWN) -> None:
    """Write `NAME.ndjson`, beside it a file of each ending and, of two logs, `NAME.passing.ndjson`.

    Raises:
        OSError: a file cannot be written.
        ExtensionError: the writer of a package failed; all other files are written.
    """
    log.write_bytes(logs[0].to_ndjson())
    if len(logs) > 1:
        beside(log, PASSING).write_bytes(logs[1].to_ndjson())
    else:
        beside(log, PASSING).unlink(missing_ok=True)
    failed: list[ExtensionError] = []
    for ending in endings:
        try:
            beside(log, f".{ending}").write_bytes(written(ending, logs))
        except ExtensionError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def page_of(log: str) -> str:
    """The path of the page beside a log."""
    return log.removesuffix(LOG) + PAGE


def beside(log: Path, ending: str) -> Path:
    """The file of the same name as a log with another ending, in the same folder."""
    return log.with_name(log.name.removesuffix(LOG) + ending)
