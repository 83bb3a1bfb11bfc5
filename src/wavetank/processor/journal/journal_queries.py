"""Queries on the file of a journal, for the run that writes it and for views from outside."""

from __future__ import annotations

from typing import Final

from .journal_file import JournalFile
from .outcomes import Limit, Pause, RunStatus

# The states of an item in the file.
WAITING: Final = 0
SENT: Final = 1
SUCCEEDED: Final = 2
FAILED: Final = 3

UNDER_WAY: Final = ("running", "paused")
"""The statuses of a run that has not ended, or was cut off."""


def counts_in(file: JournalFile) -> tuple[int, int, int, int]:
    """How many items succeeded, failed, wait for a request, and have a request under way."""
    found = dict(file.query("SELECT state, count(*) FROM items GROUP BY state"))
    succeeded, failed, waiting, under_way = (found.get(n, 0) for n in (SUCCEEDED, FAILED, WAITING, SENT))
    return succeeded, failed, waiting, under_way


def pauses_in(file: JournalFile) -> dict[str, Pause]:
    """The last rate limit of each scope."""
    query = "SELECT scope, rate_limit_until, pause_count FROM pauses ORDER BY scope"
    return {scope: Pause(until, count) for scope, until, count in file.query(query)}


def limits_in(file: JournalFile) -> tuple[Limit, ...]:
    """The last limit of each scope, the latest first."""
    query = (
        "SELECT scope, reason, source, met, CASE WHEN rate_limit_until > met THEN rate_limit_until END, "
        "coalesce(pause_count, 0) FROM limits LEFT JOIN pauses USING (scope) ORDER BY met DESC, scope"
    )
    return tuple(Limit(*row) for row in file.query(query))


def status_in(file: JournalFile) -> RunStatus:
    """The status of the run."""
    row = file.query_one("SELECT status, reason, since FROM status")
    return RunStatus("new") if row is None else RunStatus(*row)
