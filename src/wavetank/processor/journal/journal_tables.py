"""The tables of a journal."""

from __future__ import annotations

from typing import Final

TABLES: Final = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE items (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        fingerprint BLOB NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        requests INTEGER NOT NULL DEFAULT 0,
        earlier INTEGER NOT NULL DEFAULT 0,
        repeated INTEGER NOT NULL DEFAULT 0,
        delivered INTEGER NOT NULL DEFAULT 0,
        outcome TEXT,
        checksum INTEGER,
        batch TEXT
    )""",
    """CREATE TABLE batches (
        key TEXT PRIMARY KEY,
        target TEXT NOT NULL,
        file_id TEXT,
        creation_tried REAL,
        batch_id TEXT
    ) WITHOUT ROWID""",
    "CREATE INDEX lines ON items (batch) WHERE batch IS NOT NULL",
    """CREATE TABLE pauses (
        scope TEXT PRIMARY KEY,
        rate_limit_until REAL NOT NULL,
        pause_count INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE limits (
        scope TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        source TEXT NOT NULL,
        met REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE status (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        status TEXT NOT NULL,
        reason TEXT,
        since REAL NOT NULL
    )""",
)
"""The statements that make the tables."""

COLUMNS_TO_READ: Final = {
    "settings": "name, value",
    "pauses": "scope, rate_limit_until, pause_count",
    "limits": "scope, reason, source, met",
    "status": "status, reason, since",
    "batches": "key, target, file_id, creation_tried, batch_id",
    "items": "position, state, outcome, checksum",
}
"""What is read of a journal before it is used, to find damage."""
