"""One pass over the rows: strategy, journal and output around the processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import anyio

from ..processor import CallResult, ItemResult, LLMCallStrategy, LLMWorkItem, ParallelBatchProcessor, classify
from ..processor.journal import Journal
from ..processor.store import Sink
from .telling import Tally

Item = LLMWorkItem[Any]


@final
class Session:
    """Processes rows, keeps each outcome before anybody hears of it, and tells the tally.

    Args:
        strategy: sends one request.
        parallel: how many may be under way at once.
        tally: counts what happens.
        journal: keeps it for a run that resumes.
        sinks: get each result, one at a time.
    """

    def __init__(
        self,
        strategy: LLMCallStrategy[str],
        *,
        parallel: int,
        tally: Tally,
        journal: Journal | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self._strategy = _Watched(strategy, tally, journal)
        self._parallel = parallel
        self._tally = tally
        self._journal = journal
        self._sinks = sinks
        self._trouble: list[Exception] = []

    async def process(self, items: Sequence[Item]) -> None:
        """Process every item that has no outcome yet.

        Raises:
            Exception: what the journal or a sink raised; nothing is sent after it.
        """
        by_id = {item.id: item for item in items}
        known = await self._known(items)
        for id, result in known.items():
            self._tally.result(result, earlier=True)
            await self._write(by_id[id], result)
        with anyio.CancelScope() as scope:

            async def settle(result: ItemResult[Any]) -> None:
                try:
                    await self._settle(by_id[result.id], result)
                except Exception as error:
                    self._trouble.append(error)
                    scope.cancel()

            async with ParallelBatchProcessor(
                self._strategy, workers=self._parallel, on_result=settle
            ) as processor:
                for item in items:
                    if item.id not in known:
                        await processor.add_work(item)
                await processor.process_all()
        if self._trouble:
            raise self._trouble[0]

    async def _known(self, items: Sequence[Item]) -> dict[str, ItemResult[Any]]:
        if self._journal is None:
            return {}
        return await self._journal.recall(items)

    async def _settle(self, item: Item, result: ItemResult[Any]) -> None:
        if self._journal is not None:
            await self._journal.settled(item, result)
        self._tally.result(result)
        await self._write(item, result)

    async def _write(self, item: Item, result: ItemResult[Any]) -> None:
        for sink in self._sinks:
            await sink.write(item, result)


@final
class _Watched(LLMCallStrategy[str]):
    """A strategy that tells of each request: when it leaves, and when it was refused."""

    def __init__(self, strategy: LLMCallStrategy[str], tally: Tally, journal: Journal | None) -> None:
        self._strategy = strategy
        self._tally = tally
        self._journal = journal

    async def prepare(self) -> None:
        await self._strategy.prepare()

    async def cleanup(self) -> None:
        await self._strategy.cleanup()

    async def execute(self, item: Item) -> str | CallResult[str]:
        if self._journal is not None:
            await self._journal.started(item, 1)
        try:
            return await self._strategy.execute(item)
        except Exception as error:
            if classify(error).pauses:
                self._tally.refused()
            if self._journal is not None:
                self._journal.answered(item.id)
            raise
