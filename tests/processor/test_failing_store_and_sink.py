"""A store or a sink that fails at any call: nothing is lost, written twice, or delivered unstored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import ItemResult, LLMWorkItem, ParallelBatchProcessor

from ..depth import by_turns
from .stepping import stepped

ITEMS = [LLMWorkItem(id=name, prompt=name) for name in "abcdef"]

in_all_ways = by_turns(
    way=["batch", "stream", "stream in order"], late=[False, True], backend=["asyncio", "trio"]
)


class ClientError(Exception):
    """An error as a client raises it."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.retry_after = retry_after


class Failing:
    """Fails at the call with a given number, once, before or after it did what was asked for."""

    def __init__(self, at: int = 0, *, late: bool = False) -> None:
        self.at = at
        self.late = late
        self.calls = 0

    async def do(self, act: Callable[[], object]) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls += 1
        if self.calls == self.at and not self.late:
            raise OSError("disk full")
        act()
        if self.calls == self.at:
            raise OSError("disk full")


class Memory:
    """A store and a sink that outlive their run; `file` has the ids of the rows in their order."""

    def __init__(self) -> None:
        self.store = Failing()
        self.sink = Failing()
        self.kept: dict[str, ItemResult[Any]] = {}
        self.under_way: set[str] = set()
        self.file: list[str] = []
        self.not_kept: list[str] = []

    async def limited_until(self) -> Mapping[str, float]:
        await self.store.do(lambda: None)
        return {}

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> Mapping[str, ItemResult[Any]]:
        await self.store.do(lambda: None)
        return {item.id: self.kept[item.id] for item in items if item.id in self.kept}

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        assert attempt
        await self.store.do(lambda: self.under_way.add(item.id))

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        assert attempts
        await self.store.do(lambda: self.under_way.discard(item.id))

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        def keep() -> None:
            assert item.id not in self.kept, "settled twice"
            self.kept[item.id] = result
            self.under_way.discard(item.id)

        await self.store.do(keep)

    async def paused(self, scope: str, until: float, count: int) -> None:
        assert (scope, count) == ("account", 1)
        assert until
        await self.store.do(lambda: None)

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        if item.id not in self.kept or self.kept[item.id].value != result.value:
            self.not_kept.append(item.id)

        def append() -> None:
            if item.id not in self.file:
                self.file.append(item.id)

        await self.sink.do(append)


class Provider:
    """Refuses `b` once and loses the connection to `c` once; `d` is in error."""

    def __init__(self) -> None:
        self.trouble: dict[str, list[Exception]] = {
            "b": [ClientError(429, 1.0)],
            "c": [ConnectionResetError()],
        }
        self.answered: list[str] = []

    async def __call__(self, prompt: str) -> str:
        await anyio.sleep(0.05)
        if trouble := self.trouble.get(prompt):
            raise trouble.pop()
        self.answered.append(prompt)
        if prompt == "d":
            raise ClientError(400)
        return f"ok {prompt}"


async def run(provider: Provider, memory: Memory, way: str) -> list[ItemResult[Any]]:
    """All items, as a batch or as a stream; what a stream gave before it failed has been kept."""
    order: Any = "input" if way == "stream in order" else "completed"
    async with ParallelBatchProcessor(
        provider, workers=2, store=memory, sinks=(memory,), order=order
    ) as processor:
        if way == "batch":
            for item in ITEMS:
                await processor.add_work(item)
            return list((await processor.process_all()).results)
        results = []
        async for result in processor.process(ITEMS):
            assert result.unfinished or result.id in memory.kept
            results.append(result)
        return results


def survives(backend: str, way: str, failing: Callable[[Memory], Failing], *, late: bool) -> None:
    """Fail at each call in turn; then a second run brings everything home."""

    def attempt(at: int) -> None:
        provider, memory = Provider(), Memory()
        part = failing(memory)
        part.at, part.late = at, late

        async def main() -> None:
            if at:
                with pytest.raises(OSError, match="disk full"):
                    await run(provider, memory, way)
                part.at = 0
            else:
                await run(provider, memory, way)
            calls.append(part.calls)
            assert memory.not_kept == [], "what is not stored is not delivered"
            lost = set(provider.answered) - set(memory.kept)
            assert lost <= memory.under_way, "a request that may have been paid for is marked"
            assert len(lost) <= 1
            results = await run(provider, memory, way)
            assert [result.id for result in results if result.unfinished] == []
            assert sorted(memory.kept) == sorted(memory.file) == list("abcdef")
            assert way != "stream in order" or memory.file == list("abcdef")
            assert sorted(provider.answered) == sorted([*"abcdef", *lost])

        stepped(main, backend)

    calls: list[int] = []
    attempt(0)
    for at in range(1, calls[0] + 1):
        attempt(at)


@in_all_ways
def test_a_store_may_fail_at_any_call(backend: str, way: str, late: bool) -> None:
    """Before or after the call's work: its error is raised, and a resumed run has each outcome once."""
    survives(backend, way, lambda memory: memory.store, late=late)


@in_all_ways
def test_a_sink_may_fail_at_any_call(backend: str, way: str, late: bool) -> None:
    """Its error comes out, each outcome is kept, and a resumed run writes the rows that are missing."""
    survives(backend, way, lambda memory: memory.sink, late=late)
