"""Cancellation at every step of a small run: nothing is left running, and what was paid for is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import FixedDelay, ItemResult, LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.journal import Journal

from ..depth import by_turns, n_of
from .stepping import stepped

ITEMS = [LLMWorkItem(id=name, prompt=name) for name in "abcdefg"]

STRIDE = n_of(9, 1)
"""In outages every ninth step; the steps between them differ in little."""

FIFTH = n_of(5, 1)
"""Every fifth step, others for each way or backend."""

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)
WAYS = ("batch", "stream", "stream in order")


class Refused(Exception):
    """A refusal as a client raises it."""

    status = 429
    retry_after = 1.0


class Provider:
    """Refuses `b` once, loses the connection to `d` once, and knows what it answered."""

    def __init__(self, *, away: bool = False) -> None:
        self.trouble: dict[str, list[Exception]] = {"b": [Refused()], "d": [ConnectionResetError()]}
        if away:
            self.trouble = {name: [ConnectionResetError()] for name in "abcdefg"}
        self.sent: list[str] = []
        self.answered: list[str] = []
        self.cut_off: set[str] = set()
        self.under_way = 0

    async def __call__(self, prompt: str) -> str:
        self.sent.append(prompt)
        self.under_way += 1
        self.cut_off.add(prompt)
        try:
            await anyio.sleep(0.05)
            self.cut_off.remove(prompt)
            if trouble := self.trouble.get(prompt):
                raise trouble.pop()
            self.answered.append(prompt)
            return f"ok {prompt}"
        finally:
            self.under_way -= 1


class InMemory:
    """A store in memory: what was started, what was settled."""

    def __init__(self) -> None:
        self.started_: dict[str, int] = {}
        self.under_way: set[str] = set()
        self.settled_: dict[str, ItemResult[Any]] = {}

    async def limited_until(self) -> Mapping[str, float]:
        return {}

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> Mapping[str, ItemResult[Any]]:
        return {item.id: self.settled_[item.id] for item in items if item.id in self.settled_}

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        await anyio.lowlevel.checkpoint()
        self.started_[item.id] = attempt
        self.under_way.add(item.id)

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        await anyio.lowlevel.checkpoint()
        assert attempts <= self.started_.get(item.id, 0)
        self.under_way.discard(item.id)

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        await anyio.lowlevel.checkpoint()
        assert item.id not in self.settled_, "settled twice"
        self.settled_[item.id] = result
        self.under_way.remove(item.id)

    async def paused(self, scope: str, until: float, count: int) -> None:  # noqa: ARG002
        await anyio.lowlevel.checkpoint()


async def broken(prompt: str) -> str:
    """A first provider that never answers."""
    await anyio.sleep(0.05)
    raise ConnectionResetError(prompt)


async def run(provider: Provider, journal: InMemory, way: str, **options: Any) -> list[ItemResult[Any]]:
    """All items, as a batch or as a stream; with fallbacks the provider is the last of them."""
    order: Any = "input" if way == "stream in order" else "completed"
    call = broken if options.get("fallbacks") else provider
    async with ParallelBatchProcessor(call, workers=3, store=journal, order=order, **options) as processor:
        if way != "batch":
            return [result async for result in processor.process(ITEMS)]
        for item in ITEMS:
            await processor.add_work(item)
        return list((await processor.process_all()).results)


@by_turns(world=["limit", "outage", "fallback"], way=WAYS, backend=BACKENDS)
def test_a_run_cancelled_at_any_step_can_be_resumed(backend: str, way: str, world: str) -> None:
    """Nothing runs on; every answer was kept but those under way; the next run sends only what is missing."""

    def attempt(at: int) -> int:
        provider, journal = Provider(away=world == "outage"), InMemory()
        options: dict[str, Any] = {"fallbacks": [provider]} if world == "fallback" else {}
        scope: list[anyio.CancelScope] = []

        async def main() -> None:
            with anyio.CancelScope() as mine:
                scope.append(mine)
                await run(provider, journal, way, **options)
            assert provider.under_way == 0
            assert set(journal.settled_) == set(provider.answered)
            if world != "fallback":
                # The first provider does not note what was cut off there.
                assert journal.under_way == provider.cut_off, "what may have been paid is marked, and no more"
            sent = len(provider.sent)
            await anyio.sleep(100)
            assert len(provider.sent) == sent
            results = await run(provider, journal, way, **options)
            assert sorted(result.id for result in results) == list("abcdefg")
            assert all(result.value == f"ok {result.id}" for result in results)
            assert sorted(provider.answered) == list("abcdefg")
            assert set(journal.started_) == set("abcdefg")
            assert not journal.under_way

        return stepped(main, backend, at=at, act=lambda: scope[0].cancel() if scope else None)

    steps = attempt(0)
    for at in range(2 + WAYS.index(way) % FIFTH, steps, FIFTH if world == "limit" else STRIDE):
        attempt(at)


@on_both
def test_a_worker_cancelled_at_any_step_blocks_no_other_worker(backend: str) -> None:
    """Only a call whose own scope is cancelled may fail; all others succeed."""

    def attempt(at: int) -> int:
        provider = Provider()
        scope: list[anyio.CancelScope] = []

        async def call(prompt: str) -> str:
            if prompt != "c":
                return await provider(prompt)
            with anyio.CancelScope() as mine:
                scope[:] = [mine]
                return await provider(prompt)
            raise TimeoutError

        async def main() -> None:
            async with ParallelBatchProcessor(call, workers=3) as processor:
                for item in ITEMS:
                    await processor.add_work(item)
                batch = await processor.process_all()
            assert batch.succeeded == 7

        return stepped(main, backend, at=at, act=lambda: scope[0].cancel() if scope else None)

    steps = attempt(0)
    for at in range(2 + BACKENDS.index(backend) % FIFTH, steps, FIFTH):
        attempt(at)


@on_both
def test_what_may_have_been_paid_for_is_marked_and_what_was_refused_is_not(
    backend: str, tmp_path: Path
) -> None:
    """A run is cancelled while one request is under way, one was cut off by its time, and one was refused."""

    script: dict[str, list[tuple[float, Exception | None]]] = {
        "done": [(0.5, None)],
        "cut off": [(100.0, None)],
        "under way": [(0.1, ConnectionResetError()), (0.5, None)],
        "refused": [(0.2, ConnectionResetError()), (0.05, Refused())],
    }

    async def call(prompt: str) -> str:
        seconds, error = script[prompt].pop(0)
        await anyio.sleep(seconds)
        if error is not None:
            raise error
        return prompt

    async def main() -> None:
        items = [LLMWorkItem(id=name, prompt=name) for name in script]
        with Journal(tmp_path / "run.db") as journal, anyio.move_on_after(0.9):
            async with ParallelBatchProcessor(call, workers=4, store=journal, **options) as processor:
                for item in items:
                    await processor.add_work(item)
                await processor.process_all()

    options: Any = {"request_seconds": 0.55, "delays": FixedDelay(100)}
    stepped(main, backend)
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.repeats() == ("cut off", "under way")
        assert journal.counts() == (1, 0, 3)
