"""Stories for a running processor: the reference processor survives them, a careless one does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from wavetank import ProviderError, RateLimited, Tank, WorkloadItem
from wavetank.processor import LLMWorkItem, ParallelBatchProcessor
from wavetank.strategies import ProcessorMachine

from ..depth import n_of

QUIET = settings(
    max_examples=n_of(6, 1000),
    stateful_step_count=15,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)


class Reference(ProcessorMachine):
    """The reference processor: a batch for each item, so many of them at once as there are workers."""

    @asynccontextmanager
    async def running(self, tank: Tank) -> AsyncIterator[tuple[Tank, anyio.CapacityLimiter]]:
        assert tank.workload is not None
        yield tank, anyio.CapacityLimiter(tank.workload.workers)

    async def submit(self, processor: tuple[Tank, anyio.CapacityLimiter], item: WorkloadItem) -> object:
        tank, workers = processor

        async def ask(prompt: str) -> str:
            return (await tank.fake_llm.call(prompt, item=item.id)).text

        async with workers, ParallelBatchProcessor(ask, workers=1) as batch:
            await batch.add_work(LLMWorkItem(id=item.id, prompt=item.prompt))
            (result,) = (await batch.process_all()).results
        if result.error is not None:
            raise RuntimeError(str(result.error))
        return result.value


class ReferenceOnTrio(Reference):
    """The same on trio."""

    backend = "trio"


class Careless(ProcessorMachine):
    """A worker ends its work at any refusal but a 429, and the item's owner waits for ever."""

    schedules = 2

    @asynccontextmanager
    async def running(self, tank: Tank) -> AsyncIterator[dict[str, Any]]:
        assert tank.workload is not None
        send, receive = anyio.create_memory_object_stream[WorkloadItem](100)
        shelf: dict[str, Any] = {"tank": tank, "send": send, "receive": receive, "answers": {}, "done": {}}
        with send, receive:
            async with anyio.create_task_group() as group:
                for _ in range(tank.workload.workers):
                    group.start_soon(self._work, shelf)
                yield shelf
                group.cancel_scope.cancel()

    async def _work(self, shelf: dict[str, Any]) -> None:
        while True:
            item = await shelf["receive"].receive()
            try:
                shelf["answers"][item.id] = (
                    await shelf["tank"].fake_llm.call(item.prompt, item=item.id)
                ).text
            except RateLimited as refused:
                await anyio.sleep(refused.retry_after or 1)
                await shelf["send"].send(item)
            except ProviderError:
                return
            else:
                shelf["done"][item.id].set()

    async def submit(self, processor: dict[str, Any], item: WorkloadItem) -> object:
        processor["done"][item.id] = anyio.Event()
        await processor["send"].send(item)
        await processor["done"][item.id].wait()
        return processor["answers"][item.id]


class Unfinished(ProcessorMachine):
    """Says nothing about its processor."""


@pytest.mark.parametrize("machine", [Reference, ReferenceOnTrio])
def test_the_reference_processor_survives_every_story(machine: type[ProcessorMachine]) -> None:
    """Items, cancellations, waves and time in any order: every item has one outcome."""
    run_state_machine_as_test(machine, settings=QUIET)


def test_a_careless_processor_is_caught_in_the_shortest_story() -> None:
    """One item and one wave are enough; the report has the steps and the line that repeats it."""
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(Careless, settings=settings(QUIET, max_examples=200))
    text = "\n".join((str(caught.value), *caught.value.__notes__))
    assert text.count("state.arrive()") == 1
    assert text.count("state.start_wave(") == 1
    assert "status=529" in text
    assert "state.cancel(" not in text
    assert "Workload.of(1, workers=1)).run(Careless().main, schedule='wt1-" in text


def test_a_machine_says_what_it_needs() -> None:
    """Without `running` the first story ends with an error that names it."""
    with pytest.raises(NotImplementedError, match=r"Unfinished needs running\(self, tank\)"):
        run_state_machine_as_test(Unfinished, settings=settings(QUIET, phases=[Phase.generate]))


def test_an_item_that_is_called_off_is_cancelled() -> None:
    """The story is a world: arrivals, cancellations and waves at the instants of their steps."""
    machine = Reference()
    machine.set_up(workers=2, latency=4)
    first = machine.arrive()
    machine.advance(ticks=2)
    machine.start_wave(ticks=3, status=429, retry_after=True)
    machine.cancel(first)
    world = machine.world()
    assert [(item.arrives_at, item.cancelled_at) for item in world.workload.items] == [(0.0, 0.1)]
    assert [(wave.at, wave.lasts) for wave in world.scenario.wave] == [(100_000_000, 150_000_000)]
    run = world.run(machine.main)
    assert run.failure is None
    machine.teardown()
