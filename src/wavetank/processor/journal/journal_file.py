"""The file of a journal: it is opened by one process at a time, and other files are refused."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, final

from .journal_tables import COLUMNS_TO_READ, TABLES
from .stored_outcomes import Limit, Pause, RunStatus, checksum

APPLICATION_ID: Final = 0x57544A31
"""Marks a SQLite file as a journal, at byte 68: `WTJ1`."""
VERSION: Final = 4
"""The version of the tables below."""
SYNCHRONOUS = "NORMAL"
"""Safe against a kill at any instant; only a power cut can lose the last transactions."""

CHECKPOINT_PAGES: Final = 8000
"""The size of the log, 32 MB, at which it is moved into the file: a move waits for the disk."""

# The states of an item in the file.
WAITING: Final = 0
SENT: Final = 1
SUCCEEDED: Final = 2
FAILED: Final = 3

UNDER_WAY: Final = ("running", "paused")
"""The statuses of a run that has not ended, or was cut off."""

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_FIX: Final = "restore it from a copy, or name another file and start again"

_open_in_this_process: Final[set[str]] = set()
_open_lock: Final = threading.Lock()


class JournalError(Exception):
    """A journal that cannot be used or written; the text names the file and the fix."""


class JournalInUse(JournalError):
    """Another run has the journal open: two runs on one journal would pay twice."""


class NotAJournal(JournalError):
    """The file is torn, or is no journal of this library; it was not changed."""


class InputChanged(JournalError):
    """The input or a setting differs from what the journal was started with."""


@contextmanager
def sqlite_errors_translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a `JournalError` that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        _raise_journal_error(path, error)
    except UnicodeDecodeError as error:
        raise _torn(path, error) from error
    except UnicodeEncodeError as error:
        raise JournalError(
            f"{error.object!r} cannot be written to the journal {path}: it has half a character (a lone "
            "surrogate), which UTF-8 cannot encode; fix the text"
        ) from error


def _raise_journal_error(path: Path, error: sqlite3.Error) -> NoReturn:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        raise JournalInUse(
            f"the journal {path} is in use by another process; wait for it to end, or name another journal"
        ) from error
    if name.startswith("SQLITE_CONSTRAINT"):
        raise JournalError(f"two rows have the same id; the journal {path} needs one for each") from error
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        raise _torn(path, error) from error
    raise JournalError(
        f"the journal {path} cannot be used: {error}; check its folder, its permissions and the space left"
    ) from error


def _torn(path: Path, how: object) -> NotAJournal:
    why = " ".join(str(how).split())
    return NotAJournal(f"the journal {path} is torn ({why}) and was left as it is; {_FIX}")


def open_file(path: Path, *, resume: bool) -> sqlite3.Connection:
    """Open the journal at `path` for this process only, and create it if there is none.

    An empty file counts as none. Nothing is written before it is certain that the file is a
    whole journal of this version.

    Raises:
        JournalInUse: this or another process has it open.
        NotAJournal: it is torn, or something else.
        JournalError: it holds a run and `resume` is false, or it cannot be opened.
    """
    key = os.path.realpath(path)
    with _open_lock:
        # Checked before anything is read: closing a second handle on a file drops the locks of the first.
        if key in _open_in_this_process:
            raise JournalInUse(f"the journal {path} is open in this process; close it first")
        _open_in_this_process.add(key)
    try:
        with sqlite_errors_translated(path):
            return _open_checked(path, resume=resume)
    except BaseException:
        release(path)
        raise


def refuse_unusable(path: Path) -> None:
    """Check the beginning of a file that should be a journal, without opening it for writing.

    Raises:
        NotAJournal: it is something else, or is cut off.
        JournalError: the file is missing, empty or unreadable, or this process writes it.
    """
    if os.path.realpath(path) in _open_in_this_process:
        # Closing a second handle on the file would drop the locks of the first.
        raise JournalInUse(f"the journal {path} is open in this process; use its `Journal`")
    header = _header(path)
    if not header:
        _refuse_orphans(path)
        what = "is empty" if path.exists() else "does not exist"
        raise JournalError(f"the journal {path} {what}; name the file that was given to --journal")
    _refuse_foreign(path, header)


def release(path: Path) -> None:
    """Let this process open the journal again."""
    with _open_lock:
        _open_in_this_process.discard(os.path.realpath(path))


def _open_checked(path: Path, *, resume: bool) -> sqlite3.Connection:
    header = _header(path)
    if not header:
        _refuse_orphans(path)
        return _connect_exclusively(path, create=True)
    _refuse_foreign(path, header)
    if _has_companion(path, "-wal") or not _has_companion(path, "-journal"):
        # Only a kill while the file was created leaves a rollback journal: then the file has no rows.
        _refuse_torn(path)
    if not resume:
        raise JournalError(
            f"the journal {path} holds a run: resume it (resume=True, or --resume), or name another file"
        )
    return _connect_exclusively(path, create=False)


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be read: {error.strerror}; name a file that you may read and write"
        ) from error


def _refuse_orphans(path: Path) -> None:
    if _has_companion(path, "-wal"):
        raise NotAJournal(
            f"{path} is missing or empty, but {path}-wal holds what was written last; "
            "put the journal back beside it, or remove it to start again"
        )


def _refuse_foreign(path: Path, header: bytes) -> None:
    if not header.startswith(_MAGIC):
        raise NotAJournal(f"{path} is no journal of wavetank and was left as it is; name another file")
    if len(header) < _HEADER_BYTES:
        raise _torn(path, f"{len(header)} bytes")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise NotAJournal(
            f"{path} is a database, but no journal of wavetank, and was left as it is; name another file"
        )


def _refuse_torn(path: Path) -> None:
    """Read the whole file without writing it."""
    # Without a log beside the file, SQLite needs no shared memory either.
    alone = "" if _has_companion(path, "-wal") else "&immutable=1"
    with closing(_connect(path, f"mode=ro{alone}")) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _torn(path, verdict)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            newer = version > VERSION
            age, fix = ("a newer", "update wavetank") if newer else ("an older", "finish it with that one")
            raise NotAJournal(
                f"the journal {path} was written by {age} wavetank (version {version} of the format, this "
                f"one knows {VERSION}) and was left as it is; {fix}, or name another file"
            )
        _refuse_torn_rows(path, connection)


def _refuse_torn_rows(path: Path, connection: sqlite3.Connection) -> None:
    """Find damage that SQLite does not notice: it has no checksums of its own."""
    try:
        for name, columns in COLUMNS_TO_READ.items():
            for row in connection.execute(f"SELECT {columns} FROM {name}"):
                if name == "items" and not _is_whole(*row):
                    raise _torn(path, f"row {row[0] + 1}")
    except (sqlite3.OperationalError, UnicodeDecodeError) as error:
        # A missing table or column, or bytes that are no text.
        if getattr(error, "sqlite_errorname", "SQLITE_ERROR") != "SQLITE_ERROR":
            raise
        raise _torn(path, error) from error


def _is_whole(_: int, state: object, outcome: object, kept: object) -> bool:
    if state in (WAITING, SENT):
        return outcome is None
    return state in (SUCCEEDED, FAILED) and isinstance(outcome, str) and checksum(outcome) == kept


def _has_companion(path: Path, suffix: str) -> bool:
    """Whether there is a file of SQLite beside the journal that is not empty."""
    beside = path.with_name(path.name + suffix)
    return beside.exists() and beside.stat().st_size > 0


def _connect(path: Path, options: str) -> sqlite3.Connection:
    # Autocommit: every statement outside BEGIN ... COMMIT is a transaction of its own.
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, timeout=0)


def _connect_exclusively(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection that excludes all others; the system releases its lock when the process ends."""
    connection = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        connection.execute("BEGIN EXCLUSIVE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            for table in TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


@final
class JournalFile:
    """An open journal file: it takes statements and returns rows.

    Raises:
        JournalError: from every method, when the file is closed or SQLite raises.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = open_file(path, resume=resume)

    def __repr__(self) -> str:
        return f"<JournalFile {str(self.path)!r}, {'open' if self._open else 'closed'}>"

    def close(self) -> None:
        """Close the file and let others open it; a second call does nothing."""
        if self._open is None:
            return
        connection, self._open = self._open, None
        try:
            with sqlite_errors_translated(self.path):
                connection.close()
        finally:
            release(self.path)

    def execute(self, statement: str, *values: Any) -> int:
        """Execute one statement as one transaction; return the number of changed rows."""
        with sqlite_errors_translated(self.path):
            return self._connection().execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Execute one statement for many rows in one transaction: all of them or none."""
        with self.transaction(), sqlite_errors_translated(self.path):
            self._connection().executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes in the block, or none of them if it raises."""
        connection = self._connection()
        with sqlite_errors_translated(self.path):
            connection.execute("BEGIN")
            try:
                yield
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def query(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one at a time."""
        with sqlite_errors_translated(self.path):
            # `map` hides the cursor: a dropped generator would close it, which fails after `close`.
            yield from map(tuple, self._connection().execute(query, values))

    def query_one(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query."""
        with sqlite_errors_translated(self.path):
            row: tuple[Any, ...] | None = self._connection().execute(query, values).fetchone()
            return row

    def counts(self) -> tuple[int, int, int, int]:
        """How many items succeeded, failed, wait for a request, and have a request or a batch under way."""
        state = f"CASE WHEN batch IS NOT NULL THEN {SENT} ELSE state END"
        found = dict(self.query(f"SELECT {state}, count(*) FROM items GROUP BY 1"))
        succeeded, failed, waiting, sent = (found.get(n, 0) for n in (SUCCEEDED, FAILED, WAITING, SENT))
        return succeeded, failed, waiting, sent

    def pauses(self) -> dict[str, Pause]:
        """The last rate limit of each scope."""
        query = "SELECT scope, rate_limit_until, pause_count FROM pauses ORDER BY scope"
        return {scope: Pause(until, count) for scope, until, count in self.query(query)}

    def limits(self) -> tuple[Limit, ...]:
        """The last limit of each scope, the latest first."""
        query = (
            "SELECT scope, reason, source, met, CASE WHEN rate_limit_until > met THEN rate_limit_until END, "
            "coalesce(pause_count, 0) FROM limits LEFT JOIN pauses USING (scope) ORDER BY met DESC, scope"
        )
        return tuple(Limit(*row) for row in self.query(query))

    def status(self) -> RunStatus:
        """The status of the run."""
        row = self.query_one("SELECT status, reason, since FROM status")
        return RunStatus("new") if row is None else RunStatus(*row)

    def settings(self) -> dict[str, str]:
        """The settings of the run."""
        return dict(self.query("SELECT name, value FROM settings ORDER BY name"))

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            raise JournalError(f"the journal {self.path} is closed; use it inside its `with` block")
        return self._open
