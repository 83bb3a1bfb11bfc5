"""The journal: what was sent and what came of it, in a file that survives a kill at any instant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, final

from ..items import ItemResult, LLMWorkItem
from ..wall_clock import wall_seconds
from .journal_file import InputChanged, JournalError, JournalFile
from .journal_queries import (
    FAILED,
    SENT,
    SUCCEEDED,
    UNDER_WAY,
    WAITING,
    counts_in,
    limits_in,
    pauses_in,
    status_in,
)
from .outcomes import (
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
    ...     new = journal.register([("a", fingerprint("wave")), ("b", fingerprint("tank"))])
    ...     journal.sending("a")
    ...     journal.keep(Outcome("a", "WAVE"))
    ...     journal.sending("b")
    >>> with Journal(Path(folder.name) / "run.db", resume=True) as journal:
    ...     [outcome.value for outcome in journal.outcomes()], journal.repeats()
    (['WAVE'], ('b',))
    >>> folder.cleanup()

    Args:
        path: the file; made if it is missing or empty.
        resume: go on with the run that the file holds; without it such a file is refused.
        settings: what must not change between the runs, such as the model.
        retry_failed: on resuming, forget the outcomes of items that failed.
        encode: how a value is encoded as text; JSON unless given another function.
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
        self._file = JournalFile(self._path, resume=resume)
        self._next_row = 0
        self._status: Status | None = None
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
        if self._status in UNDER_WAY:
            # A run of the processor has said how it ended; this one was made by hand, or broke off.
            with suppress(JournalError):
                self._set_status("stopped" if self.counts()[2] else "finished", None)
        self._file.close()

    def register(self, rows: Iterable[tuple[str, bytes]]) -> int:
        """Hold the journal to a whole input, before anything is sent: ids and fingerprints in its order.

        Rows after the last of the journal are added to it, in one transaction.

        Returns:
            how many rows are new.

        Raises:
            InputChanged: a row differs from the journal's, or the journal has more; the first is named.
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
                f"row {position + 1} is missing: the journal {self._path} goes on there with the item "
                f"{missing[1]!r}; {_FIX_INPUT}"
            )
        self._add_rows(new)
        return len(new)

    def admit(self, rows: Iterable[tuple[str, bytes]]) -> dict[str, Outcome]:
        """Hold the journal to the next rows of an input that comes bit by bit; return the outcomes they have.

        Raises:
            InputChanged: a row differs from the journal's; the first is named.
        """
        new, found = [], {}
        for id, item_fingerprint in rows:
            known = self._file.query_one(_BY_POSITION, self._next_row)
            if known is None:
                new.append((self._next_row, id, item_fingerprint))
            else:
                self._refuse_changed_row(self._next_row, id, item_fingerprint, known[:2])
                if known[-1] is not None:
                    found[id] = self._decode_outcome((id, *known[2:]))
            self._next_row += 1
        self._add_rows(new)
        return found

    def sending(self, id: str, attempt: int = 1) -> None:
        """Note that a request of the item is about to leave; commit it before the first byte does.

        `attempt` counts the item's requests in this run from 1; to note one twice counts it once.
        """
        if self._status != "running":
            self._set_status("running", None)
        self._update_item(
            id, f"UPDATE items SET state = {SENT}, requests = earlier + ? WHERE id = ?", attempt
        )

    def answered(self, id: str, attempts: int | None = None) -> None:
        """Note that the item's request ended without an outcome, as after a refusal: nothing is under way.

        `attempts` is how many of its requests have left in this run, where that is fewer than were noted.
        """
        self._file.execute(
            f"UPDATE items SET state = {WAITING}, requests = coalesce(earlier + ?, requests) "
            f"WHERE id = ? AND state = {SENT}",
            attempts,
            id,
        )

    def keep(self, outcome: Outcome) -> None:
        """Keep what came of an item, in one transaction.

        Its `attempts` and `possibly_repeated` are the journal's own to count.

        Raises:
            JournalError: the value cannot be written, or the file cannot.
        """
        state = SUCCEEDED if outcome.error is None else FAILED
        text = self._encode_outcome(outcome)
        if self._status not in UNDER_WAY:
            self._set_status("running", None)
        statement = "UPDATE items SET state = ?, outcome = ?, checksum = ? WHERE id = ?"
        self._update_item(outcome.id, statement, state, text, checksum(text))

    def mark_delivered(self, id: str) -> None:
        """Note that the item's outcome, if it has one, has reached everybody who was to be told."""
        self._file.execute(f"UPDATE items SET told = 1 WHERE id = ? AND state >= {SUCCEEDED}", id)

    def outcome(self, id: str) -> Outcome | None:
        """What came of the item, or `None` if that is open."""
        row = self._file.query_one(f"SELECT {_COLUMNS} FROM items WHERE id = ? AND state >= {SUCCEEDED}", id)
        return None if row is None else self._decode_outcome(row)

    def outcomes(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the input."""
        query = f"SELECT {_COLUMNS} FROM items WHERE state >= {SUCCEEDED} ORDER BY position"
        return map(self._decode_outcome, self._file.query(query))

    def was_delivered(self, id: str) -> bool:
        """Whether `tell` was called for the item."""
        return self._file.query_one("SELECT 1 FROM items WHERE id = ? AND told = 1", id) is not None

    def possibly_repeated(self, id: str) -> bool:
        """Whether a request of the item was under way when a run was cut off."""
        return self._file.query_one("SELECT 1 FROM items WHERE id = ? AND repeated > 0", id) is not None

    def counts(self) -> tuple[int, int, int]:
        """How many items succeeded, failed, and are open."""
        succeeded, failed, waiting, under_way = counts_in(self._file)
        return succeeded, failed, waiting + under_way

    def repeats(self) -> tuple[str, ...]:
        """The ids of the items that may have been paid for twice, in the order of the input."""
        return tuple(
            id for (id,) in self._file.query("SELECT id FROM items WHERE repeated > 0 ORDER BY position")
        )

    def pause(self, scope: str, until: float, count: int) -> None:
        """Keep a rate limit: until when, in seconds of Unix time, and which pause of this run it is."""
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

    def status(self) -> RunStatus:
        """Where the run stands, and why."""
        return status_in(self._file)

    def limits(self) -> tuple[Limit, ...]:
        """The last limit that was met in each scope, over all runs; the latest first."""
        return limits_in(self._file)

    def pauses(self) -> dict[str, Pause]:
        """The rate limits that were met, by scope; many are over by the time they are read."""
        return pauses_in(self._file)

    async def limited(self, scope: str, reason: str, source: str) -> None:
        """Keep what a limit was and where it was read."""
        self._file.execute(
            "INSERT OR REPLACE INTO limits VALUES (?, ?, ?, ?)", scope, reason, source, wall_seconds()
        )

    async def run_ended(self, stopped: str | None) -> None:
        """Keep how the run ended."""
        self._set_status("finished" if stopped is None else "stopped", stopped)

    async def limited_until(self) -> dict[str, float]:
        """Until when earlier runs were told to wait, by scope, in seconds of Unix time."""
        return {scope: pause.rate_limit_until for scope, pause in self._earlier_pauses.items()}

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> dict[str, ItemResult[Any]]:
        """The outcomes of these items, which are held to be the next rows of the input.

        Raises:
            InputChanged: one of them differs from the journal's row; the first is named.
        """
        found = self.admit((item.id, fingerprint(item.prompt, item.data)) for item in items)
        return {id: as_result(outcome) for id, outcome in found.items()}

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        """Note that a request is about to leave."""
        self.sending(item.id, attempt)

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        """Note that nothing of the item is under way, and how many of its requests were sent in this run."""
        self.answered(item.id, attempts)

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Keep the outcome of an item."""
        self.keep(as_outcome(item.id, result))

    async def paused(self, scope: str, until: float, count: int) -> None:
        """Keep a rate limit."""
        self.pause(scope, until, count)

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:  # noqa: ARG002
        """Note that every sink before this one has the result."""
        self.mark_delivered(item.id)

    def _check_settings(self, settings: Mapping[str, str]) -> None:
        """Keep the settings of a new journal; hold those of this run to the ones of an old one."""
        known = dict(self._file.query("SELECT name, value FROM settings ORDER BY name"))
        if not known:
            self._file.execute_many("INSERT INTO settings VALUES (?, ?)", sorted(settings.items()))
            return
        for name in sorted({**known, **settings}):
            if known.get(name) != settings.get(name):
                raise InputChanged(
                    f"the journal {self._path} was begun with {name} {known.get(name)!r}, not "
                    f"{settings.get(name)!r}; resume with what it was, or begin a new journal"
                )

    def _recover_from_last_run(self, *, retry_failed: bool) -> None:
        """Mark what was under way when the last run ended."""
        if self.status().status in UNDER_WAY:
            self._set_status("stopped", "it was cut off")
        self._file.execute(
            f"UPDATE items SET state = {WAITING}, repeated = repeated + 1 WHERE state = {SENT}"
        )
        self._file.execute("UPDATE items SET earlier = requests WHERE earlier < requests")
        if retry_failed:
            self._file.execute(
                f"UPDATE items SET state = {WAITING}, told = 0, outcome = NULL WHERE state = {FAILED}"
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
        begun = f"when the journal {self._path} was begun"
        what = f"was {old[0]!r} {begun}" if id != old[0] else f"had another prompt or other data {begun}"
        raise InputChanged(f"row {position + 1}, with the id {id!r}, {what}; {_FIX_INPUT}")

    def _add_rows(self, rows: list[tuple[int, str, bytes]]) -> None:
        if rows:
            self._file.execute_many("INSERT INTO items (position, id, fingerprint) VALUES (?, ?, ?)", rows)

    def _update_item(self, id: str, statement: str, *values: Any) -> None:
        """One transaction on one item."""
        if not self._file.execute(statement, *values, id):
            raise JournalError(f"the journal {self._path} holds no item {id!r}; register or admit it first")

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
                "give the journal the decode= that goes with the encode= it was written with"
            ) from error


_FIX_INPUT: Final = "resume with the input as it was, or begin a new journal"
_COLUMNS: Final = "id, requests, repeated, outcome"
# An item that is open has no outcome.
_BY_POSITION: Final = "SELECT id, fingerprint, requests, repeated, outcome FROM items WHERE position = ?"
