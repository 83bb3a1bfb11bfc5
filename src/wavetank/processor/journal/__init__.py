"""The journal of a run: a file that survives a kill at any instant, and a view of it from outside."""

from __future__ import annotations

from .batch_records import BatchRecords, StoredBatch
from .journal_file import InputChanged, JournalError, JournalInUse, NotAJournal
from .journal_view import JournalView, OpenRow, look_at_journal, user_of
from .run_journal import Journal
from .stored_outcomes import EarlierError, Limit, Outcome, Pause, RunStatus, as_outcome, fingerprint

__all__ = [
    "BatchRecords",
    "EarlierError",
    "InputChanged",
    "Journal",
    "JournalError",
    "JournalInUse",
    "JournalView",
    "Limit",
    "NotAJournal",
    "OpenRow",
    "Outcome",
    "Pause",
    "RunStatus",
    "StoredBatch",
    "as_outcome",
    "fingerprint",
    "look_at_journal",
    "user_of",
]
