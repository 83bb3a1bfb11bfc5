"""`wavetank journal FILE`: the state of a journal in words or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ..clock import real_epoch_ns, to_seconds
from ..processor.errors.reset_times import short_clock_text
from ..processor.journal import JournalError, JournalView, Limit, look_at_journal
from ..text import counted, times


def show(path: Path, *, as_json: bool) -> int:
    """Print the state of a journal, also while it is in use; the exit status is 2 if it cannot be read."""
    try:
        view = look_at_journal(path)
    except JournalError as error:
        print(f"wavetank: {error}", file=sys.stderr)
        return 2
    lines = [as_json_text(view)] if as_json else as_lines(view, to_seconds(real_epoch_ns()))
    print(*lines, sep="\n")
    return 0


def as_json_text(view: JournalView) -> str:
    """The view as a JSON object, with `status`, `reason` and `since` as values of their own."""
    status = view.status
    values = asdict(view) | {
        "path": str(view.path),
        "status": status.status,
        "reason": status.reason,
        "since": status.since or None,
        "rows": view.rows,
        "open": view.waiting + view.under_way,
    }
    return json.dumps(values, indent=2, ensure_ascii=False)


def as_lines(view: JournalView, now: float) -> Iterator[str]:
    """The view in lines of text; `now` is in seconds since 1970."""
    status = view.status
    since = f" since {_at(status.since, now)}" if status.since else ""
    reason = f": {status.reason}" if status.reason else ""
    user = "" if view.used_by is None else f"; process {view.used_by} has it open"
    yield f"{view.path}: {status.status}{since}{reason}{user}"
    yield (
        f"{counted(view.rows, 'row')}: {view.succeeded} succeeded, {view.failed} failed, "
        f"{view.waiting + view.under_way} open, {view.under_way} of them under way"
    )
    if (row := view.oldest_open) is not None:
        sent = f"sent {times(row.requests)}" if row.requests else "not sent yet"
        yield f"oldest open row: row {row.row}, {row.id!r}, {sent}"
    if view.possibly_repeated:
        yield f"possibly paid for twice: {counted(view.possibly_repeated, 'row')}"
    for limit in view.limits:
        yield _limit(limit, now)
    if view.settings:
        yield "settings: " + ", ".join(f"{name} {value!r}" for name, value in view.settings.items())


def _limit(limit: Limit, now: float) -> str:
    until = limit.rate_limit_until
    lasts = "" if until is None else f", {'until' if until > now else 'was until'} {_at(until, now)}"
    return (
        f"limit of {limit.scope}: {limit.reason} (from {limit.source}), met {_at(limit.met, now)}"
        f"{lasts}; {counted(limit.pause_count, 'pause')}"
    )


def _at(instant: float, now: float) -> str:
    return short_clock_text(datetime.fromtimestamp(instant, UTC).astimezone(), now)
