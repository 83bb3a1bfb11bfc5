"""The journal: the requests and outcomes of a run, in a file that survives a kill at any instant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

from ..items import ItemResult, LLMWorkItem
from ..wall_clock import wall_seconds
from .batch_records import BatchRecords
from .journal_file import FAILED, SENT, SUCCEEDED, UNDER_WAY, WAITING, InputChanged, JournalError, JournalFile
from .stored_outcomes import (
    Limit,
    Outcome,
    Pause,
    RunStatus,
    Status,
    as_outcome,
    as_result,
    checksum,
    decode_outcome,
    encode_outcome,
    fingerprint,
)


@final
class Journal:
    """A file that lets a run continue where another one was cut off, without paying twice.

    Each request and each outcome is one transaction of SQLite, in write-ahead mode, made
    in the caller's own thread: about 25 µs each. A run that is killed at any instant loses
    no outcome. Only the requests that were under way are sent again, and their items are
    marked (`Outcome.possibly_repeated`). After a power cut the last transactions may be
    missing as well.

    One run at a time can use it: a second one is refused. A kill frees the journal.

    It is a `Store`, a `RunRecord` and a `Sink`: a run gives it each start, each end and each
    outcome. A program without a processor can call the same methods.

    >>> import anyio, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "run.db"
    >>> items = [LLMWorkItem("a", "wave"), LLMWorkItem("b", "tank")]
    >>> async def main():
    ...     with Journal(file) as journal:
    ...         await journal.recall(items)
    ...         await journal.started(items[0], 1)
    ...         await journal.settled(items[0], ItemResult("a", "WAVE"))
    ...         await journal.started(items[1], 1)
    >>> anyio.run(main)
    >>> with Journal(file, resume=True) as journal:
    ...     [outcome.value for outcome in journal.outcomes()], journal.repeats()
    (['WAVE'], ('b',))
    >>> folder.cleanup()

    Args:
        path: the file; it is created if it is missing or empty.
        resume: continue the run in the file; without it a file that holds a run is refused.
        settings: what must not change between the runs, such as the model.
        retry_failed: on resuming, forget the outcomes of items that failed.
        encode: turns a value into text; by default JSON.
        decode: turns the text into the value again.

    Raises:
        JournalInUse: another run has the journal open.
        NotAJournal: the file is torn or something else; it is not changed.
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
        self._file = JournalFile(self._path, resume=resume)
        self._next_row = 0
        self._status: Status | None = None
        self.batches: Final = BatchRecords(self._file, self._settled_row)
        """The batches of a provider's batch API that are under way."""
        try:
            self._check_settings(settings or {})
            self._recover_from_last_run(retry_failed=retry_failed)
            self._earlier_pauses = self.pauses()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Journal on {self._file}>"

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def close(self) -> None:
        """Close the file and let others open it; a second call does nothing."""
        if self._status in UNDER_WAY:
            # A run of the processor has recorded how it ended; this one broke off, or had no processor.
            with suppress(JournalError):
                self._set_status("stopped" if self.counts()[2] else "finished", None)
        self._file.close()

    def register(self, rows: Iterable[tuple[str, bytes]]) -> int:
        """Compare a whole input with the journal before anything is sent: ids and fingerprints, in order.

        Rows after the last row of the journal are added to it, in one transaction.

        Returns:
            how many rows are new.

        Raises:
            InputChanged: a row differs, or the journal has more rows; the text names the first.
        """
        known = self._file.query("SELECT position, id, fingerprint FROM items ORDER BY position")
        position, new = 0, []
        for id, item_fingerprint in rows:
            old = next(known, None)
            if old is not None:
                self._refuse_changed_row(position, id, item_fingerprint, old[1:])
            else:
                new.append((position, id, item_fingerprint))
            position += 1
        if (missing := next(known, None)) is not None:
            raise InputChanged(
                f"row {position + 1} is missing: in the journal {self._path} it is the item "
                f"{missing[1]!r}; {_FIX_INPUT}"
            )
        self._add_rows(new)
        return len(new)

    def outcome(self, id: str) -> Outcome | None:
        """The outcome of the item, or `None` if it has none yet."""
        row = self._file.query_one(f"SELECT {_COLUMNS} FROM items WHERE id = ? AND state >= {SUCCEEDED}", id)
        return None if row is None else self._decode_outcome(row)

    def outcomes(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the input."""
        query = f"SELECT {_COLUMNS} FROM items WHERE state >= {SUCCEEDED} ORDER BY position"
        return map(self._decode_outcome, self._file.query(query))

    def was_delivered(self, id: str) -> bool:
        """Whether every sink has had the item's result: `write` was called for it."""
        return self._file.query_one("SELECT 1 FROM items WHERE id = ? AND delivered = 1", id) is not None

    def counts(self) -> tuple[int, int, int]:
        """How many items succeeded, failed, and have no outcome yet."""
        succeeded, failed, waiting, under_way = self._file.counts()
        return succeeded, failed, waiting + under_way

    def repeats(self) -> tuple[str, ...]:
        """The ids of the items that the provider may have been paid for twice, in the order of the input."""
        return tuple(
            id for (id,) in self._file.query("SELECT id FROM items WHERE repeated > 0 ORDER BY position")
        )

    def status(self) -> RunStatus:
        """The status of the run, with its reason."""
        return self._file.status()

    def limits(self) -> tuple[Limit, ...]:
        """The last limit that was met in each scope, over all runs; the latest first."""
        return self._file.limits()

    def pauses(self) -> dict[str, Pause]:
        """The last rate limit of each scope; many are over by the time they are read."""
        return self._file.pauses()

    async def limited_until(self) -> dict[str, float]:
        """The end of the last rate limit of each scope, in seconds since 1970, as earlier runs knew it."""
        return {scope: pause.rate_limit_until for scope, pause in self._earlier_pauses.items()}

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> dict[str, ItemResult[Any]]:
        """The outcomes of these items, by id. The items must be the next rows of the input.

        Raises:
            InputChanged: an item differs from the journal's row; the text names the first.
        """
        new, found = [], {}
        for item in items:
            row = fingerprint(item.prompt, item.data)
            known = self._file.query_one(_BY_POSITION, self._next_row)
            if known is None:
                new.append((self._next_row, item.id, row))
            else:
                self._refuse_changed_row(self._next_row, item.id, row, known[:2])
                if known[-1] is not None:
                    found[item.id] = as_result(self._decode_outcome((item.id, *known[2:])))
            self._next_row += 1
        self._add_rows(new)
        return found

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        """Record that a request of the item is about to be sent; awaited before its first byte leaves.

        `attempt` counts the item's requests in this run from 1. To record one twice counts it once.
        """
        if self._status != "running":
            self._set_status("running", None)
        statement = f"UPDATE items SET state = {SENT}, requests = earlier + ? WHERE id = ?"
        self._update_item(item.id, statement, attempt)

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        """Record that no request of the item is under way; `attempts` were sent in this run."""
        statement = (
            f"UPDATE items SET state = {WAITING}, requests = earlier + ? WHERE id = ? AND state = {SENT}"
        )
        self._file.execute(statement, attempts, item.id)

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Store the outcome of an item, in one transaction.

        The journal itself counts the attempts over all runs.

        Raises:
            JournalError: the value cannot be encoded, or the file cannot be written.
        """
        state, text, check = self._settled_row(item.id, result)
        if self._status not in UNDER_WAY:
            self._set_status("running", None)
        statement = "UPDATE items SET state = ?, outcome = ?, checksum = ? WHERE id = ?"
        self._update_item(item.id, statement, state, text, check)

    async def paused(self, scope: str, until: float, count: int) -> None:
        """Store a rate limit: its end in seconds since 1970, and the number of pauses in this run."""
        if scope in self._earlier_pauses:
            count += self._earlier_pauses[scope].pause_count
        if until > wall_seconds():
            self._set_status("paused", f"a limit of {scope}")
        self._file.execute(
            "INSERT INTO pauses VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE SET "
            "rate_limit_until = max(rate_limit_until, excluded.rate_limit_until), "
            "pause_count = max(pause_count, excluded.pause_count)",
            scope,
            until,
            count,
        )

    async def limited(self, scope: str, reason: str, source: str) -> None:
        """Store what a limit was and where it was read."""
        self._file.execute(
            "INSERT OR REPLACE INTO limits VALUES (?, ?, ?, ?)", scope, reason, source, wall_seconds()
        )

    def run_began(self) -> None:
        """Store that the run is at work, before its first request."""
        self._set_status("running", None)

    async def run_ended(self, stopped: str | None) -> None:
        """Store how the run ended."""
        self._set_status("finished" if stopped is None else "stopped", stopped)

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:  # noqa: ARG002
        """Record that every sink before this one has the result: see `was_delivered`."""
        self._file.execute(f"UPDATE items SET delivered = 1 WHERE id = ? AND state >= {SUCCEEDED}", item.id)

    def _check_settings(self, settings: Mapping[str, str]) -> None:
        """Store the settings of a new journal, or compare this run's settings with those stored."""
        known = self._file.settings()
        if not known:
            self._file.execute_many("INSERT INTO settings VALUES (?, ?)", sorted(settings.items()))
            return
        for name in sorted({**known, **settings}):
            if known.get(name) != settings.get(name):
                raise InputChanged(
                    f"the journal {self._path} was started with {name} {known.get(name)!r}, not "
                    f"{settings.get(name)!r}; resume with the old value, or start a new journal"
                )

    def _recover_from_last_run(self, *, retry_failed: bool) -> None:
        """Mark the items whose request was under way when the last run ended."""
        if self.status().status in UNDER_WAY:
            self._set_status("stopped", "it was cut off")
        self._file.execute(
            f"UPDATE items SET state = {WAITING}, repeated = repeated + 1 WHERE state = {SENT}"
        )
        self._file.execute("UPDATE items SET earlier = requests WHERE earlier < requests")
        if retry_failed:
            self._file.execute(
                f"UPDATE items SET state = {WAITING}, delivered = 0, outcome = NULL WHERE state = {FAILED}"
            )

    def _set_status(self, status: Status, reason: str | None) -> None:
        self._file.execute(
            "INSERT OR REPLACE INTO status VALUES (1, ?, ?, ?)", status, reason, wall_seconds()
        )
        self._status = status

    def _refuse_changed_row(
        self, position: int, id: str, item_fingerprint: bytes, old: tuple[str, bytes]
    ) -> None:
        if old == (id, item_fingerprint):
            return
        before = f"when the journal {self._path} was started"
        what = f"was {old[0]!r} {before}" if id != old[0] else f"had another prompt or other data {before}"
        raise InputChanged(f"row {position + 1}, with the id {id!r}, {what}; {_FIX_INPUT}")

    def _add_rows(self, rows: list[tuple[int, str, bytes]]) -> None:
        if rows:
            self._file.execute_many("INSERT INTO items (position, id, fingerprint) VALUES (?, ?, ?)", rows)

    def _update_item(self, id: str, statement: str, *values: Any) -> None:
        """Change one item in one transaction."""
        if not self._file.execute(statement, *values, id):
            raise JournalError(f"the journal {self._path} holds no item {id!r}; register or recall it first")

    def _settled_row(self, id: str, result: ItemResult[Any]) -> tuple[int, str, int]:
        """The state, the text and the checksum of an outcome."""
        outcome = as_outcome(id, result)
        text = self._encode_outcome(outcome)
        return SUCCEEDED if outcome.error is None else FAILED, text, checksum(text)

    def _encode_outcome(self, outcome: Outcome) -> str:
        try:
            return encode_outcome(outcome, self._encode)
        except (TypeError, ValueError) as error:
            raise JournalError(
                f"the value of item {outcome.id!r} cannot be written to the journal {self._path}: {error}; "
                "return what JSON can hold, or give the journal encode= and decode="
            ) from error

    def _decode_outcome(self, row: tuple[Any, ...]) -> Outcome:
        id, requests, repeated, text = row
        try:
            return decode_outcome(id, text, self._decode, attempts=requests, possibly_repeated=repeated > 0)
        except (TypeError, ValueError) as error:
            raise JournalError(
                f"the value of item {id!r} in the journal {self._path} cannot be read: {error}; "
                "give the journal the decode= that belongs to the encode= it was written with"
            ) from error


_FIX_INPUT: Final = "resume with the old input, or start a new journal"
_COLUMNS: Final = "id, requests, repeated, outcome"
# The outcome is NULL for an item that has none yet.
_BY_POSITION: Final = "SELECT id, fingerprint, requests, repeated, outcome FROM items WHERE position = ?"
