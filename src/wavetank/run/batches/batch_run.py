"""Runs the batches of a table: each is stored, created, polled and collected, and none is created twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, final

import anyio

from ...processor import ItemResult, LLMWorkItem, Sink
from ...processor.counting import counted
from ...processor.journal import Journal, StoredBatch
from ...text import duration_text
from ..command_options import BatchOptions
from ..provider_strategy import with_prompt
from ..run_errors import ApiError, NoPrompt
from ..run_statistics import RunStatistics
from .batch_api import BatchState, LineResult
from .batch_http import Halted
from .creation import QUEUE_FULL, BatchCreation, read
from .lane import Lane, RowOutcome
from .open_batches import OpenBatch, OpenBatches
from .ordered_output import OrderedOutput

Item = LLMWorkItem[Any]

_NOT_THERE: Final = 404


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
        self._items: dict[str, Item] = {}
        self._open = OpenBatches(journal, self._items, poll_seconds=options.poll_seconds, say=say, salt=salt)
        self._creation = BatchCreation(self._open, statistics, say=say, cancels=options.cancel)
        self._tries: Counter[str] = Counter()
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
        if waiting := [batch for batch in self._open.all if batch.stored.batch_id is None]:
            why = next((batch.waits_for for batch in waiting if batch.waits_for), "")
            parts.append(f"{len(waiting)} to be created{f' ({why})' if why else ''}")
        if self._open.all:
            left = min(batch.at for batch in self._open.all) - anyio.current_time()
            parts.append(f"next look in {duration_text(max(0.0, left))}")
        return ", ".join(parts)

    @property
    def rows(self) -> Mapping[str, str]:
        """The ids of the rows by the `custom_id` of their lines."""
        return self._open.rows

    @property
    def under_way(self) -> tuple[StoredBatch, ...]:
        """The batches that the provider has."""
        return tuple(batch.stored for batch in self._open.created)

    @property
    def _lines_done(self) -> int:
        return sum(batch.lines_done for batch in self._open.all)

    async def process(self, items: Sequence[Item]) -> None:
        """Process every row that has no outcome yet.

        Raises:
            JournalError: the journal cannot be written.
            SinkError: the output cannot be written.
        """
        self._items.update((item.id, item) for item in items)
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
        adopted = self._open.adopt(self._lanes)
        if not self._options.cancel:
            await self._plan(await self._with_prompts(item for item in rest if item.id not in adopted))
        await self._output.write_ready()
        while self._open.all:
            batch = min(self._open.all, key=lambda each: each.at)
            await anyio.sleep(max(0.0, batch.at - anyio.current_time()))
            if batch.stored.batch_id is None:
                if (error := await self._creation.submit(batch)) is not None:
                    refused = [batch.lane.refused(self._items[id], error) for id in batch.stored.ids]
                    await self._collect(batch, refused)
            else:
                await self._look(batch)

    # -- before the first request ----------------------------------------------------------------

    async def _recall(self, items: Sequence[Item]) -> list[Item]:
        """Count what earlier runs did; return the rows that have no outcome."""
        recalled = {} if self._journal is None else await self._journal.recall(items)
        for result in recalled.values():
            self._count(result)
        return [item for item in items if item.id not in recalled]

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
            self._open.add(self._lanes[name], self._lanes[name].split(rows))

    # -- looking and collecting ------------------------------------------------------------------

    async def _look(self, batch: OpenBatch) -> None:
        """Ask how a batch is, and collect what it did if it has ended."""
        api, http, ident = batch.lane.api, batch.lane.http, batch.stored.batch_id or ""
        try:
            if self._options.cancel and not batch.is_cancelled:
                await self._cancel(batch)
            state = await read(api.retrieve(http, ident))
        except ApiError as error:
            if self._options.cancel and error.status_code == _NOT_THERE:
                self._open.forget(batch)
                return
            hint = "; --cancel forgets the batch" if error.status_code == _NOT_THERE else ""
            raise Halted(f"cannot ask for {ident}: {error}{hint}") from error
        batch.lines_done = min(state.lines_done, len(batch.stored.ids))
        if state.state == "under way":
            self._open.wait(batch, "")
        elif state.queue_is_full:
            self._creation.queue_was_full(batch, state)
        else:
            await self._collect(batch, await self._outcomes(batch, state))

    async def _cancel(self, batch: OpenBatch) -> None:
        # It may have ended meanwhile; the next look says so.
        with suppress(ApiError):
            await batch.lane.api.cancel(batch.lane.http, batch.stored.batch_id or "")
        batch.is_cancelled = True
        self._say(f"{batch.stored.batch_id} is being cancelled")

    async def _outcomes(self, batch: OpenBatch, state: BatchState) -> list[RowOutcome]:
        lines: dict[str, LineResult] = {}
        results: list[LineResult] = []
        try:
            if state.state != "failed":
                results = await read(batch.lane.api.results(batch.lane.http, state))
        except ApiError as error:
            # Providers delete results after some time.
            gone = ApiError(error.status_code, {}, None, f"the results of {state.id} cannot be read: {error}")
            return [batch.lane.refused(self._items[id], gone) for id in batch.stored.ids]
        ids = batch.lane.custom_ids(batch.stored)
        for result in results:
            if result.custom_id in ids:
                lines.setdefault(ids[result.custom_id], result)
        return [batch.lane.outcome(self._items[id], lines.get(id), state) for id in batch.stored.ids]

    async def _collect(self, batch: OpenBatch, outcomes: Sequence[RowOutcome]) -> None:
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
        self._open.all.remove(batch)
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
        for batch in self._open.all:
            if batch.lane is lane and batch.waits_for == QUEUE_FULL:
                batch.at = anyio.current_time()

    def _count(self, result: ItemResult[Any]) -> None:
        self._statistics.add(result, self._lane_of[result.id])
        self._output.add(result)


def _ended_text(batch: StoredBatch, final: Sequence[ItemResult[Any]], again: int, left: int) -> str:
    answers = sum(result.error is None for result in final)
    parts = [counted(answers, "answer")]
    parts += [f"{len(final) - answers} failed"] if len(final) > answers else []
    parts += [f"{again} sent again"] if again else []
    parts += [f"{left} left for later"] if left else []
    return f"{batch.batch_id or 'a batch that was refused'} has ended: {', '.join(parts)}"
