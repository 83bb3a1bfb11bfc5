"""The journal: what was sent and what came of it, in a file that survives a kill at any instant."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, final

from .journal_file import InputChanged, JournalError, JournalInUse, NotAJournal, open_file, release, told

__all__ = [
    "InputChanged",
    "Journal",
    "JournalError",
    "JournalInUse",
    "NotAJournal",
    "Outcome",
    "Pause",
    "fingerprint",
]

_WAITING: Final = 0
_SENT: Final = 1
_SUCCEEDED: Final = 2
_FAILED: Final = 3
_FINGERPRINT_BYTES: Final = 16


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item, as the journal keeps it.

    `error` is the text of the error, `error_type` its class; both are `None` for an item
    with a value. `attempts` counts its requests over all runs of the journal.
    `possibly_repeated` says that a request of the item was under way when a run was cut
    off, so that the provider may have been paid for it twice.
    """

    id: str
    value: Any = None
    error: str | None = None
    error_type: str | None = None
    reason: str | None = None
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    possibly_repeated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Pause:
    """A rate limit as a run left it: until when, in seconds of Unix time, and the how many-th it was."""

    rate_limit_until: float
    pause_count: int


def fingerprint(prompt: str, data: Any = None) -> bytes:
    """What tells one input from another: 16 bytes from the prompt and, where JSON can hold it, the data.

    >>> fingerprint("Translate: wave") == fingerprint("Translate: tank")
    False
    """
    try:
        written = json.dumps([prompt, data], sort_keys=True)
    except (TypeError, ValueError):
        written = json.dumps([prompt])
    return hashlib.blake2b(written.encode(), digest_size=_FINGERPRINT_BYTES).digest()


@final
class Journal:
    """A file that lets a run go on where another was cut off, and pays for nothing twice.

    Each request and each outcome is one transaction of SQLite, in write-ahead mode, made
    in the caller's own thread: about 25 µs each. Killed at any instant, a run loses no
    outcome; only the requests that were under way are sent again, and their items are
    marked (`Outcome.possibly_repeated`). A power cut may besides take the transactions of
    the last moments.

    One run at a time: a second one is refused, and a kill frees the journal.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Journal(Path(folder.name) / "run.db") as journal:
    ...     journal.register([("a", fingerprint("wave")), ("b", fingerprint("tank"))])
    ...     journal.sending("a")
    ...     journal.keep(Outcome("a", "WAVE"))
    ...     journal.sending("b")
    >>> with Journal(Path(folder.name) / "run.db", resume=True) as journal:
    ...     journal.outcome("a"), journal.outcome("b"), journal.possibly_repeated("b")
    (Outcome(id='a', value='WAVE', ..., attempts=1, ...), None, True)
    >>> folder.cleanup()

    Args:
        path: the file; made if it is missing or empty.
        resume: go on with the run that the file holds; without it such a file is refused.
        settings: what must not change between the runs, such as the model.
        retry_failed: on resuming, forget the outcomes of items that failed.
        encode: how a value is written to text; JSON unless told otherwise.
        decode: how it is read back.

    Raises:
        JournalInUse: another run has the journal open.
        NotAJournal: the file is torn or something else; it is left as it is.
        InputChanged: a setting differs.
        JournalError: the file holds a run and `resume` is false, or it cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        resume: bool = False,
        settings: Mapping[str, str] | None = None,
        retry_failed: bool = False,
        encode: Callable[[Any], str] = json.dumps,
        decode: Callable[[str], Any] = json.loads,
    ) -> None:
        self._path = Path(path)
        self._encode = encode
        self._decode = decode
        self._file: sqlite3.Connection | None = open_file(self._path, resume=resume)
        try:
            with told(self._path):
                self._settle(settings or {})
                self._take_up(retry_failed=retry_failed)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Journal {str(self._path)!r}, {'open' if self._file else 'closed'}>"

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def close(self) -> None:
        """Close the file and let others open it; a second time does nothing."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with told(self._path):
                file.close()
        finally:
            release(self._path)

    def register(self, rows: Iterable[tuple[str, bytes]]) -> int:
        """Hold the journal to a whole input, before anything is sent: ids and fingerprints in its order.

        Rows after the last of the journal are added to it, in one transaction.

        Returns:
            how many rows are new.

        Raises:
            InputChanged: a row differs from the journal's, or the journal has more; the first is named.
        """
        known = self._query("SELECT position, id, fingerprint FROM items ORDER BY position")
        position, new = 0, []
        for id, mark in rows:
            old = next(known, None)
            if old is not None:
                self._compare(position, id, mark, old[1:])
            else:
                new.append((position, id, mark))
            position += 1
        if (missing := next(known, None)) is not None:
            raise InputChanged(
                f"row {position + 1} is missing: the journal {self._path} goes on there with the item "
                f"{missing[1]!r}; {_AS_IT_WAS}"
            )
        self._add(new)
        return len(new)

    def admit(self, position: int, id: str, mark: bytes) -> None:
        """Hold the journal to one row of an input that comes bit by bit; `position` counts from 0.

        Raises:
            InputChanged: the row differs from the journal's.
        """
        old = self._one("SELECT id, fingerprint FROM items WHERE position = ?", position)
        if old is None:
            self._add([(position, id, mark)])
        else:
            self._compare(position, id, mark, old)

    def sending(self, id: str) -> None:
        """Note that a request of the item is about to leave; commit it before the first byte does."""
        self._of(id, f"UPDATE items SET state = {_SENT}, requests = requests + 1 WHERE id = ?")

    def answered(self, id: str) -> None:
        """Note that the item's request ended without an outcome, as after a refusal: nothing is under way."""
        self._do(f"UPDATE items SET state = {_WAITING} WHERE id = ? AND state = {_SENT}", id)

    def keep(self, outcome: Outcome) -> None:
        """Keep what came of an item, in one transaction.

        Its `attempts` and `possibly_repeated` are the journal's own to count.

        Raises:
            JournalError: the value cannot be written, or the file cannot.
        """
        state = _SUCCEEDED if outcome.error is None else _FAILED
        text = self._text(outcome)
        self._of(outcome.id, "UPDATE items SET state = ?, outcome = ? WHERE id = ?", state, text)

    def tell(self, id: str) -> None:
        """Note that the item's outcome has reached everybody who was to be told."""
        self._do("UPDATE items SET told = 1 WHERE id = ?", id)

    def outcome(self, id: str) -> Outcome | None:
        """What came of the item, or `None` if that is open."""
        row = self._one(f"SELECT {_COLUMNS} FROM items WHERE id = ? AND state >= {_SUCCEEDED}", id)
        return None if row is None else self._outcome(row)

    def outcomes(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the input."""
        query = f"SELECT {_COLUMNS} FROM items WHERE state >= {_SUCCEEDED} ORDER BY position"
        return map(self._outcome, self._query(query))

    def was_told(self, id: str) -> bool:
        """Whether `tell` was called for the item."""
        return self._one("SELECT 1 FROM items WHERE id = ? AND told = 1", id) is not None

    def possibly_repeated(self, id: str) -> bool:
        """Whether a request of the item was under way when a run was cut off."""
        return self._one("SELECT 1 FROM items WHERE id = ? AND repeated > 0", id) is not None

    def counts(self) -> tuple[int, int, int]:
        """How many items succeeded, failed, and are open."""
        found = dict(self._query("SELECT state, count(*) FROM items GROUP BY state"))
        return (
            found.get(_SUCCEEDED, 0),
            found.get(_FAILED, 0),
            found.get(_WAITING, 0) + found.get(_SENT, 0),
        )

    def repeats(self) -> tuple[str, ...]:
        """The ids of the items that may have been paid for twice, in the order of the input."""
        return tuple(id for (id,) in self._query("SELECT id FROM items WHERE repeated > 0 ORDER BY position"))

    def pause(self, scope: str, seconds: float, count: int) -> None:
        """Keep a rate limit: how long it still lasts, in seconds, and the how many-th pause it is."""
        self._do(
            "INSERT INTO pauses VALUES (?1, ?2, ?3) ON CONFLICT (scope) DO UPDATE SET "
            "rate_limit_until = max(rate_limit_until, ?2), pause_count = max(pause_count, ?3)",
            scope,
            _wall_seconds() + seconds,
            count,
        )

    def pauses(self) -> dict[str, Pause]:
        """The rate limits that were met, by scope; many are over by the time they are read."""
        query = "SELECT scope, rate_limit_until, pause_count FROM pauses ORDER BY scope"
        return {scope: Pause(until, count) for scope, until, count in self._query(query)}

    def paused_seconds(self, scope: str) -> float:
        """How much longer the scope's rate limit lasts, in seconds; 0 if it is over or none was met."""
        found = self._one("SELECT rate_limit_until FROM pauses WHERE scope = ?", scope)
        return 0.0 if found is None else max(0.0, found[0] - _wall_seconds())

    def _settle(self, settings: Mapping[str, str]) -> None:
        """Keep the settings of a new journal; hold those of this run to the ones of an old one."""
        known = dict(self._query("SELECT name, value FROM settings ORDER BY name"))
        if not known:
            self._all("INSERT INTO settings VALUES (?, ?)", sorted(settings.items()))
            return
        for name in sorted({**known, **settings}):
            if known.get(name) != settings.get(name):
                raise InputChanged(
                    f"the journal {self._path} was begun with {name} {known.get(name)!r}, not "
                    f"{settings.get(name)!r}; resume with what it was, or begin a new journal"
                )

    def _take_up(self, *, retry_failed: bool) -> None:
        """Mark what was under way when the last run ended."""
        self._do(f"UPDATE items SET state = {_WAITING}, repeated = repeated + 1 WHERE state = {_SENT}")
        if retry_failed:
            self._do(f"UPDATE items SET state = {_WAITING}, told = 0, outcome = NULL WHERE state = {_FAILED}")

    def _compare(self, position: int, id: str, mark: bytes, old: tuple[str, bytes]) -> None:
        if old == (id, mark):
            return
        begun = f"when the journal {self._path} was begun"
        what = f"was {old[0]!r} {begun}" if id != old[0] else f"had another prompt or other data {begun}"
        raise InputChanged(f"row {position + 1}, with the id {id!r}, {what}; {_AS_IT_WAS}")

    def _add(self, rows: list[tuple[int, str, bytes]]) -> None:
        try:
            self._all("INSERT INTO items (position, id, fingerprint) VALUES (?, ?, ?)", rows)
        except sqlite3.IntegrityError:
            raise JournalError(
                f"two rows have the same id; the journal {self._path} needs one for each"
            ) from None

    def _text(self, outcome: Outcome) -> str:
        try:
            value = None if outcome.value is None else self._encode(outcome.value)
        except (TypeError, ValueError) as error:
            raise JournalError(
                f"the value of item {outcome.id!r} cannot be written to the journal {self._path}: {error}; "
                "return what JSON can hold, or give the journal encode= and decode="
            ) from error
        return json.dumps(
            {
                "value": value,
                "error": outcome.error,
                "error_type": outcome.error_type,
                "reason": outcome.reason,
                "input_tokens": outcome.input_tokens,
                "output_tokens": outcome.output_tokens,
                "extra": dict(outcome.extra),
            }
        )

    def _outcome(self, row: tuple[Any, ...]) -> Outcome:
        id, requests, repeated, text = row
        kept = json.loads(text)
        value = kept.pop("value")
        return Outcome(
            id,
            None if value is None else self._decode(value),
            attempts=requests,
            possibly_repeated=repeated > 0,
            **kept,
        )

    def _connection(self) -> sqlite3.Connection:
        if self._file is None:
            raise JournalError(f"the journal {self._path} is closed; use it inside its `with` block")
        return self._file

    def _do(self, statement: str, *values: Any) -> int:
        """One statement, one transaction; return how many rows it met."""
        with told(self._path):
            return self._connection().execute(statement, values).rowcount

    def _of(self, id: str, statement: str, *values: Any) -> None:
        """One transaction on one item."""
        if not self._do(statement, *values, id):
            raise JournalError(f"the journal {self._path} holds no item {id!r}; register or admit it first")

    def _all(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Many rows, one transaction."""
        connection = self._connection()
        try:
            connection.execute("BEGIN")
            connection.executemany(statement, rows)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError):
                raise
            with told(self._path):
                raise

    def _query(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        with told(self._path):
            # Not from the cursor itself: a dropped generator would close it, which fails after `close`.
            yield from map(tuple, self._connection().execute(statement, values))

    def _one(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        with told(self._path):
            row: tuple[Any, ...] | None = self._connection().execute(statement, values).fetchone()
            return row


_AS_IT_WAS: Final = "resume with the input as it was, or begin a new journal"
_COLUMNS: Final = "id, requests, repeated, outcome"


def _wall_seconds() -> float:
    """The machine's clock: a monotonic one means nothing to the next process."""
    return time.time()  # noqa: TID251
