"""Runs the batches of a table: each is stored, created, polled and collected, and none is created twice.

A batch is stored in the journal with its rows and a key before anything of it is sent. Just before the
request that creates it, the time is stored. A run that is cut off after that looks for the key in the
provider's list before it creates the batch, so a kill between the two costs nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, final

import anyio

from ...processor import ItemResult, LLMWorkItem, Sink
from ...processor.counting import counted
from ...processor.journal import Journal, StoredBatch
from ...processor.wall_clock import wall_seconds
from ..command_options import BatchOptions
from ..provider_strategy import with_prompt
from ..run_errors import ApiError, NoPrompt, UnreadableAnswer
from ..run_statistics import RunStatistics, duration_text
from .batch_api import BatchState, LineResult, Undecided
from .batch_http import CreationUnclear, Halted, wait_of
from .lane import Lane, RowOutcome
from .ordered_output import OrderedOutput

T = TypeVar("T")
Item = LLMWorkItem[Any]

FIRST_POLL_SECONDS: Final = 15.0
"""Small batches may be done within a minute; each later pause is twice as long."""
SETTLE_SECONDS: Final = 60.0
"""A batch that is not in the list so long after it was tried to create it is taken not to exist."""
_LIMIT_STATED: Final = re.compile(r"(?:[Ll]imit|quota)(?: of|:) (\d[\d,]*) (?:enqueued )?tokens\b(?! per)")
"""In the messages about a full queue, such as `Limit: 2,000,000 enqueued tokens`."""
_REFUSED_FOR_ALL: Final = (401, 403, 404)
_NOT_THERE: Final = 404
_TOO_MANY: Final = 429


@final
@dataclass(slots=True)
class _Open:
    """A batch under way: what the journal has of it, and when there is next something to do for it."""

    lane: Lane
    stored: StoredBatch
    at: float
    delay: float
    lines_done: int = 0
    waits_for: str = ""
    is_cancelled: bool = False
    may_have_file: bool = False
    unclear_since: float | None = None


@final
class BatchRun:
    """The batches of one run.

    Args:
        lanes: the models of the rows, by name.
        lane_of: the name of the model of each row.
        options: how rows are put into batches, and how often batches are polled.
        statistics: counts the outcomes.
        output: gets the results in the order of the input.
        journal: stores batches and outcomes; without one nothing can be resumed.
        say: shows what happens as text.
        salt: makes the keys of this run differ from those of other runs at the same instant.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        lane_of: Mapping[str, str],
        *,
        options: BatchOptions,
        statistics: RunStatistics,
        output: Sink,
        journal: Journal | None = None,
        say: Callable[[str], object],
        salt: str,
    ) -> None:
        self._lanes = lanes
        self._lane_of = lane_of
        self._options = options
        self._statistics = statistics
        self._sink = output
        self._journal = journal
        self._records = journal.batches if journal is not None else None
        self._say = say
        self._salt = salt
        self._open: list[_Open] = []
        self._items: dict[str, Item] = {}
        self._tries: Counter[str] = Counter()
        self._keys = 0
        self.rows: dict[str, str] = {}
        """The ids of the rows by the `custom_id` of their lines."""
        self._output = OrderedOutput((), output)

    @property
    def share(self) -> float:
        """The share of rows that are done, from 0 to 1, also in batches under way."""
        counts = self._statistics.all
        return min(1.0, (counts.done + self._lines_done) / counts.rows) if counts.rows else 1.0

    @property
    def status_text(self) -> str:
        """The state of the run in one line."""
        counts = self._statistics.all
        parts = [f"{counts.done} of {counts.rows} rows"]
        if counts.failed:
            parts.append(f"{counts.failed} failed")
        if created := self.under_way:
            lines = sum(len(batch.ids) for batch in created)
            batches = counted(len(created), "batch", "batches")
            parts.append(f"{batches} under way with {self._lines_done} of {lines} rows done")
        if waiting := [batch for batch in self._open if batch.stored.batch_id is None]:
            why = next((batch.waits_for for batch in waiting if batch.waits_for), "")
            parts.append(f"{len(waiting)} to be created{f' ({why})' if why else ''}")
        if self._open:
            left = min(batch.at for batch in self._open) - anyio.current_time()
            parts.append(f"next look in {duration_text(max(0.0, left))}")
        return ", ".join(parts)

    @property
    def under_way(self) -> tuple[StoredBatch, ...]:
        """The batches that the provider has."""
        return tuple(batch.stored for batch in self._open if batch.stored.batch_id is not None)

    @property
    def _lines_done(self) -> int:
        return sum(batch.lines_done for batch in self._open)

    async def process(self, items: Sequence[Item]) -> None:
        """Process every row that has no outcome yet.

        Raises:
            JournalError: the journal cannot be written.
            SinkError: the output cannot be written.
        """
        self._items = {item.id: item for item in items}
        self._output = OrderedOutput(items, self._sink)
        try:
            await self._process(items)
        except Halted as error:
            self._statistics.stopped = str(error)
            self._statistics.stopped_by_provider = True
        finally:
            with anyio.CancelScope(shield=True):
                await self._output.write_all()
        if self._journal is not None:
            done = self._statistics.all.done == self._statistics.all.rows
            await self._journal.run_ended(None if done else self._statistics.stopped or "rows are left")

    async def _process(self, items: Sequence[Item]) -> None:
        rest = await self._recall(items)
        if self._journal is not None:
            self._journal.run_began()
        adopted = self._adopt()
        if not self._options.cancel:
            await self._plan(await self._with_prompts(item for item in rest if item.id not in adopted))
        await self._output.write_ready()
        while self._open:
            batch = min(self._open, key=lambda each: each.at)
            await anyio.sleep(max(0.0, batch.at - anyio.current_time()))
            if batch.stored.batch_id is None:
                await self._submit(batch)
            else:
                await self._look(batch)

    # -- before the first request ----------------------------------------------------------------

    async def _recall(self, items: Sequence[Item]) -> list[Item]:
        """Count what earlier runs did; return the rows that have no outcome."""
        recalled = {} if self._journal is None else await self._journal.recall(items)
        for result in recalled.values():
            self._count(result)
        return [item for item in items if item.id not in recalled]

    def _adopt(self) -> set[str]:
        """Take over the batches of earlier runs; return the ids of their rows."""
        now = anyio.current_time()
        for stored in self._records.all() if self._records is not None else ():
            batch = _Open(self._lanes[stored.target], stored, now, self._first_delay, may_have_file=True)
            self._open.append(batch)
            if stored.batch_id is not None:
                self._say(f"{stored.batch_id} is from an earlier run: {counted(len(stored.ids), 'row')}")
        return {id for batch in self._open for id in batch.stored.ids}

    async def _with_prompts(self, items: Iterable[Item]) -> list[Item]:
        """The rows that have a prompt; the others fail, and nothing is sent for them."""
        good = []
        for item in items:
            try:
                good.append(with_prompt(item))
            except NoPrompt as error:
                result: ItemResult[str] = ItemResult(item.id, error=error, reason="NoPrompt")
                if self._journal is not None:
                    await self._journal.settled(item, result)
                self._count(result)
        return good

    async def _plan(self, items: Sequence[Item]) -> None:
        """Put rows into batches of their models."""
        groups: dict[str, list[Item]] = {}
        for item in items:
            groups.setdefault(self._lane_of[item.id], []).append(item)
        for name, rows in groups.items():
            self._add(self._lanes[name], self._lanes[name].split(rows))

    def _add(
        self,
        lane: Lane,
        batches: Sequence[tuple[str, ...]],
        *,
        instead_of: _Open | None = None,
        wait: float = 0.0,
    ) -> None:
        """Store batches before anything of them is sent."""
        stored = [StoredBatch(self._new_key(ids), lane.name, ids) for ids in batches]
        if self._records is not None:
            self._records.plan(stored, instead_of=None if instead_of is None else instead_of.stored.key)
        if instead_of is not None:
            self._open.remove(instead_of)
        at, delay = anyio.current_time() + wait, instead_of.delay if instead_of else self._first_delay
        for each in stored:
            self._open.append(_Open(lane, each, at, delay))
            self.rows.update(lane.custom_ids(each))

    def _new_key(self, ids: Sequence[str]) -> str:
        """A name that no other batch has."""
        self._keys += 1
        text = "\n".join((self._salt, str(wall_seconds()), str(self._keys), *ids))
        return f"wavetank-{hashlib.blake2b(text.encode(), digest_size=10).hexdigest()}"

    # -- creating --------------------------------------------------------------------------------

    async def _submit(self, batch: _Open) -> None:
        """Create a batch, or find the one that was created, or wait."""
        if batch.stored.creation_tried is not None and await self._search(batch):
            return
        if self._options.cancel:
            self._forget(batch)
            return
        if not self._has_room(batch):
            self._wait(batch, "the queue is full")
            return
        try:
            await self._upload(batch)
            self._change(batch, creation_tried=wall_seconds())
            if self._records is not None:
                self._records.creation_tried(batch.stored.key, batch.stored.creation_tried)
            new = batch.lane.new_batch(batch.stored, self._items)
            state = await _read(batch.lane.api.create(batch.lane.http, new, batch.stored.file_id))
        except CreationUnclear as error:
            # It may be there: it is looked for before another try.
            self._unclear(batch, error)
        except ApiError as error:
            await self._refused(batch, error)
        else:
            self._created(batch, state)

    def _unclear(self, batch: _Open, error: CreationUnclear) -> None:
        now = anyio.current_time()
        batch.unclear_since = now if batch.unclear_since is None else batch.unclear_since
        if now - batch.unclear_since > batch.lane.http.max_outage_seconds:
            raise Halted(f"no batch can be created: {error}") from error
        self._wait(batch, f"it is not known whether a batch was created: {error}")

    async def _search(self, batch: _Open) -> bool:
        """Look for a batch that may have been created; `True` if that is all that can be done now."""
        tried = batch.stored.creation_tried or 0.0
        new = batch.lane.new_batch(batch.stored, self._items)
        others = frozenset(stored.batch_id or "" for stored in self.under_way)
        try:
            found = await _read(batch.lane.api.find(batch.lane.http, new, tried, others))
        except Undecided:
            self._wait(batch, "a batch that may be it has to end first")
            return True
        if found is not None:
            self._created(batch, found)
            return True
        left = tried + SETTLE_SECONDS - wall_seconds()
        if left > 0:
            # The request may still be on its way.
            batch.at = anyio.current_time() + min(left, SETTLE_SECONDS)
            batch.waits_for = "it may still appear in the list of the provider"
            return True
        self._not_created(batch)
        return False

    def _has_room(self, batch: _Open) -> bool:
        limit = batch.lane.enqueued_tokens
        queued = [each for each in self._open if each.lane is batch.lane and each.stored.batch_id is not None]
        if limit is None or not queued:
            return True
        return sum(map(self._tokens, [*queued, batch])) <= limit

    def _tokens(self, batch: _Open) -> int:
        return batch.lane.tokens([self._items[id] for id in batch.stored.ids])

    async def _upload(self, batch: _Open) -> None:
        """Upload the lines, if the API wants them in a file and it is not there."""
        api, http = batch.lane.api, batch.lane.http
        if not api.has_files or batch.stored.file_id is not None:
            return
        file_id = await _read(api.find_file(http, batch.stored.key)) if batch.may_have_file else None
        if file_id is None:
            batch.may_have_file = True
            file_id = await _read(api.upload(http, batch.lane.new_batch(batch.stored, self._items)))
        self._change(batch, file_id=file_id)
        if self._records is not None:
            self._records.uploaded(batch.stored.key, file_id)

    def _created(self, batch: _Open, state: BatchState) -> None:
        self._change(batch, batch_id=state.id)
        if self._records is not None:
            self._records.created(batch.stored.key, state.id)
        batch.waits_for, batch.delay = "", self._first_delay
        batch.at = anyio.current_time() + batch.delay
        self._say(f"{state.id} was created with {counted(len(batch.stored.ids), 'row')} of {batch.lane.name}")

    def _not_created(self, batch: _Open) -> None:
        self._change(batch, creation_tried=None)
        if self._records is not None:
            self._records.creation_tried(batch.stored.key, None)

    async def _refused(self, batch: _Open, error: ApiError) -> None:
        """A request was refused before there was a batch."""
        self._not_created(batch)
        if error.status_code == _TOO_MANY:
            self._statistics.add_refusal(batch.lane.name)
            if not self._split_for_queue(batch, str(error)):
                self._wait(batch, "the provider takes no more now", wait_of(error))
        elif error.status_code in _REFUSED_FOR_ALL:
            raise Halted(str(error)) from error
        else:
            await self._collect(
                batch, [batch.lane.refused(self._items[id], error) for id in batch.stored.ids]
            )

    def _split_for_queue(self, batch: _Open, message: str) -> bool:
        """Make smaller batches if one is larger than the stated limit of the queue."""
        found = _LIMIT_STATED.search(message)
        if found is None:
            return False
        limit, tokens = int(found[1].replace(",", "")), self._tokens(batch)
        lane = batch.lane
        lane.enqueued_tokens = min(limit, lane.enqueued_tokens or limit)
        alone = not any(
            each.lane is lane and each.stored.batch_id for each in self._open if each is not batch
        )
        # The estimate may be too low by half: what is that large and does not fit into the queue is halved.
        most = min(limit, tokens // 2) if alone and 2 * tokens > limit else limit
        if len(batch.stored.ids) == 1 or tokens <= most:
            return False
        items = [self._items[id] for id in batch.stored.ids]
        self._say(f"the queue of {lane.name} has room for {limit} tokens: smaller batches are made")
        self._add(lane, lane.split(items, most_tokens=max(1, most)), instead_of=batch)
        return True

    # -- looking and collecting ------------------------------------------------------------------

    async def _look(self, batch: _Open) -> None:
        """Ask how a batch is, and collect what it did if it has ended."""
        api, http, ident = batch.lane.api, batch.lane.http, batch.stored.batch_id or ""
        try:
            if self._options.cancel and not batch.is_cancelled:
                await self._cancel(batch)
            state = await _read(api.retrieve(http, ident))
        except ApiError as error:
            if self._options.cancel and error.status_code == _NOT_THERE:
                self._forget(batch)
                return
            hint = "; --cancel forgets the batch" if error.status_code == _NOT_THERE else ""
            raise Halted(f"cannot ask for {ident}: {error}{hint}") from error
        batch.lines_done = min(state.lines_done, len(batch.stored.ids))
        if state.state == "under way":
            self._wait(batch, "")
        elif state.queue_is_full:
            self._queue_was_full(batch, state)
        else:
            await self._collect(batch, await self._outcomes(batch, state))

    async def _cancel(self, batch: _Open) -> None:
        # It may have ended meanwhile; the next look says so.
        with suppress(ApiError):
            await batch.lane.api.cancel(batch.lane.http, batch.stored.batch_id or "")
        batch.is_cancelled = True
        self._say(f"{batch.stored.batch_id} is being cancelled")

    def _queue_was_full(self, batch: _Open, state: BatchState) -> None:
        """A batch failed since the queue was full: nothing of it was processed, and it is made again."""
        self._statistics.add_refusal(batch.lane.name)
        self._say(f"{state.id} was refused: {state.error}")
        if self._options.cancel:
            self._forget(batch)
            return
        self._change(batch, batch_id=None, creation_tried=None)
        if not self._split_for_queue(batch, state.error):
            batch.delay = min(2 * batch.delay, self._options.poll_seconds)
            self._add(batch.lane, [batch.stored.ids], instead_of=batch, wait=batch.delay)
            self._open[-1].waits_for = "the queue is full"

    async def _outcomes(self, batch: _Open, state: BatchState) -> list[RowOutcome]:
        lines: dict[str, LineResult] = {}
        results: list[LineResult] = []
        try:
            if state.state != "failed":
                results = await _read(batch.lane.api.results(batch.lane.http, state))
        except ApiError as error:
            # Providers delete results after some time.
            gone = ApiError(error.status_code, {}, None, f"the results of {state.id} cannot be read: {error}")
            return [batch.lane.refused(self._items[id], gone) for id in batch.stored.ids]
        ids = batch.lane.custom_ids(batch.stored)
        for result in results:
            if result.custom_id in ids:
                lines.setdefault(ids[result.custom_id], result)
        return [batch.lane.outcome(self._items[id], lines.get(id), state) for id in batch.stored.ids]

    async def _collect(self, batch: _Open, outcomes: Sequence[RowOutcome]) -> None:
        """Store the outcomes of a batch, count and write them, and send again what may succeed."""
        final, again, left = [], [], []
        for outcome in outcomes:
            id = outcome.result.id
            self._tries[id] += not outcome.left
            retry = outcome.may_succeed and self._tries[id] <= self._options.retries
            if outcome.left or (retry and self._options.cancel):
                left.append(outcome)
            elif retry:
                again.append(outcome)
            else:
                final.append(replace(outcome.result, attempts=self._tries[id]))
        if self._records is not None:
            self._records.settled(
                batch.stored.key,
                final,
                sent_again=[outcome.result.id for outcome in again],
                possibly_repeated=[outcome.result.id for outcome in again if outcome.unknown],
            )
        self._open.remove(batch)
        for result in final:
            self._count(result)
        for outcome in left:
            self._statistics.add_left_out(outcome.result)
        self._statistics.retries += len(again)
        self._say(_ended_text(batch.stored, final, len(again), len(left)))
        await self._output.write_ready()
        await self._plan([self._items[outcome.result.id] for outcome in again])
        self._wake_waiting(batch.lane)

    def _wake_waiting(self, lane: Lane) -> None:
        """There may be room in the queue now."""
        for batch in self._open:
            if batch.lane is lane and batch.waits_for == "the queue is full":
                batch.at = anyio.current_time()

    def _count(self, result: ItemResult[Any]) -> None:
        self._statistics.add(result, self._lane_of[result.id])
        self._output.add(result)

    def _forget(self, batch: _Open) -> None:
        """Leave the rows of a batch open that the provider does not have."""
        if self._records is not None:
            self._records.settled(batch.stored.key, ())
        self._open.remove(batch)
        self._say(f"{counted(len(batch.stored.ids), 'row')} of {batch.lane.name} were not sent")

    def _wait(self, batch: _Open, why: str, seconds: float | None = None) -> None:
        batch.waits_for = why
        batch.at = anyio.current_time() + (batch.delay if seconds is None else seconds)
        batch.delay = min(2 * batch.delay, self._options.poll_seconds)

    def _change(self, batch: _Open, **changes: Any) -> None:
        batch.stored = replace(batch.stored, **changes)

    @property
    def _first_delay(self) -> float:
        return min(FIRST_POLL_SECONDS, self._options.poll_seconds)


def _ended_text(batch: StoredBatch, final: Sequence[ItemResult[Any]], again: int, left: int) -> str:
    answers = sum(result.error is None for result in final)
    parts = [counted(answers, "answer")]
    parts += [f"{len(final) - answers} failed"] if len(final) > answers else []
    parts += [f"{again} sent again"] if again else []
    parts += [f"{left} left for later"] if left else []
    return f"{batch.batch_id or 'a batch that was refused'} has ended: {', '.join(parts)}"


async def _read(call: Awaitable[T]) -> T:
    """What a call of a batch API returns.

    Raises:
        Halted: an answer was not in the format of the API.
    """
    try:
        return await call
    except (AttributeError, IndexError, KeyError, TypeError, UnreadableAnswer) as error:
        what = str(error) if isinstance(error, UnreadableAnswer) else f"{type(error).__name__}: {error}"
        raise Halted(f"an answer is not in the format of the batch API: {what}") from error
