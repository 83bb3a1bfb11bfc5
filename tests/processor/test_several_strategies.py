"""Several strategies in one batch: how each is prepared, used and cleaned up, and whose limits hold whom."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import wavetank
from wavetank.processor import CallResult, ItemResult, LLMCallStrategy, LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.journal import Journal
from wavetank.processor.preflight import preflight

from ..depth import n_of

pytestmark = pytest.mark.anyio


class Named(LLMCallStrategy[str]):
    """A strategy that writes into a log it may share with others; its answers name it."""

    def __init__(self, name: str, log: list[str], *, fails_in: str = "", scope: str | None = None) -> None:
        self.name = name
        self.log = log
        self.fails_in = fails_in
        self.scope = scope

    async def prepare(self) -> None:
        await self.note("prepare")

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        await self.note(f"send {item.id} {item.prompt}")
        return f"{self.name} {item.id}"

    async def cleanup(self) -> None:
        await self.note("cleanup")

    async def note(self, what: str) -> None:
        self.log.append(f"{self.name}: {what}")
        await anyio.lowlevel.checkpoint()
        if what == self.fails_in:
            raise ValueError(f"no {what}")


def items(*strategies: Any, each: int = 2) -> list[LLMWorkItem[None]]:
    """Items that take the strategies in turn, with the ids 0, 1, …"""
    many = range(each * len(strategies))
    return [LLMWorkItem(str(n), "?", strategy=strategies[n % len(strategies)]) for n in many]


async def add(processor: ParallelBatchProcessor[Any], batch: list[LLMWorkItem[None]]) -> None:
    for item in batch:
        await processor.add_work(item)


async def test_each_strategy_of_a_batch_is_prepared_before_the_first_item_and_cleaned_up_at_the_end() -> None:
    """Once each, the latest first; one that no item uses is not prepared."""
    log: list[str] = []
    own, a, b = (Named(name, log) for name in ("own", "a", "b"))
    async with ParallelBatchProcessor(own, workers=3) as processor:
        await add(processor, items(a, b, each=3))
        batch = await processor.process_all()
        assert not [line for line in log if "cleanup" in line]
    assert log[:2] == ["a: prepare", "b: prepare"]
    assert log[-2:] == ["b: cleanup", "a: cleanup"]
    assert [result.value for result in batch.results] == ["a 0", "b 1", "a 2", "b 3", "a 4", "b 5"]
    assert not [line for line in log[2:-2] if "send" not in line]


async def test_a_function_may_send_an_item_and_the_processor_sends_the_others() -> None:
    """With an own strategy, a function, and none."""

    async def shout(prompt: str) -> CallResult[str]:
        return CallResult(prompt.upper(), cost=2.0)

    log: list[str] = []
    async with ParallelBatchProcessor(Named("own", log)) as processor:
        await add(processor, [LLMWorkItem("0", "wave", strategy=shout), LLMWorkItem("1", "tank")])
        batch = await processor.process_all()
    assert [result.value for result in batch.results] == ["WAVE", "own 1"]
    assert batch.cost == 2.0
    assert log == ["own: prepare", "own: send 1 tank", "own: cleanup"]


async def test_strategies_are_distinguished_by_identity() -> None:
    """Two that are equal, and cannot be hashed, are two."""

    class Equal(Named):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = None  # type: ignore[assignment]

    log: list[str] = []
    async with ParallelBatchProcessor(Named("own", log)) as processor:
        await add(processor, items(Equal("a", log), Equal("b", log)))
        await processor.process_all()
    assert sorted(line for line in log if "send" not in line) == [
        "a: cleanup",
        "a: prepare",
        "b: cleanup",
        "b: prepare",
    ]


@pytest.mark.parametrize("strategy", [object(), "gpt", Named])
async def test_what_is_no_strategy_is_refused_with_the_item(strategy: Any) -> None:
    """When it is added, and in a stream when it comes."""
    item = LLMWorkItem("row-7", "?", strategy=strategy)
    async with ParallelBatchProcessor(Named("own", [])) as processor:
        with pytest.raises(TypeError, match="the strategy of item 'row-7' must be an async function"):
            await processor.add_work(item)
        with pytest.raises(TypeError, match="row-7"):
            [result async for result in processor.process([item])]


async def test_an_error_of_one_prepare_reaches_the_caller_and_all_are_cleaned_up() -> None:
    """Nothing is sent, and those behind it are not prepared."""
    log: list[str] = []
    a, b, c = Named("a", log), Named("b", log, fails_in="prepare"), Named("c", log)
    async with ParallelBatchProcessor(Named("own", log)) as processor:
        await add(processor, items(a, b, c))
        with pytest.raises(ValueError, match="no prepare"):
            await processor.process_all()
    assert log == ["a: prepare", "b: prepare", "b: cleanup", "a: cleanup"]


async def test_an_error_of_one_cleanup_is_logged_and_the_others_are_cleaned_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where the body of the `async with` raises."""
    log: list[str] = []
    batch = items(*(Named(name, log, fails_in="cleanup") for name in "abc"))

    async def body() -> None:
        async with ParallelBatchProcessor(Named("own", log)) as processor:
            await add(processor, batch)
            await processor.process_all()
            raise KeyError

    with caplog.at_level(logging.ERROR), pytest.raises(KeyError):
        await body()
    assert log[-3:] == ["c: cleanup", "b: cleanup", "a: cleanup"]
    assert caplog.text.count("no cleanup") == 3


async def test_a_strategy_that_appears_late_in_a_stream_is_prepared_then_and_once() -> None:
    """Items of the others go on meanwhile, with one worker; it is cleaned up at the end."""
    log: list[str] = []
    late = Named("late", log)
    was_asked = anyio.Event()
    first_prepare = late.prepare

    async def slow() -> None:
        await first_prepare()
        await was_asked.wait()

    late.prepare = slow  # type: ignore[method-assign]

    async def source() -> AsyncIterator[LLMWorkItem[None]]:
        yield LLMWorkItem("0", "?")
        for number in (1, 2):
            yield LLMWorkItem(str(number), "?", strategy=late)
        while "late: prepare" not in log:
            await anyio.lowlevel.checkpoint()
        yield LLMWorkItem("3", "?")

    values = []
    with anyio.fail_after(600):
        async with ParallelBatchProcessor(Named("own", log), workers=1) as processor:
            async for result in processor.process(source()):
                values.append(result.value)
                if result.id == "3":
                    was_asked.set()
            assert "late: cleanup" not in log
    assert values == ["own 0", "own 3", "late 1", "late 2"]
    assert [line for line in log if "send" not in line] == [
        "own: prepare",
        "late: prepare",
        "late: cleanup",
        "own: cleanup",
    ]


async def test_an_error_of_a_late_prepare_ends_the_stream() -> None:
    """It is raised in the loop, and the strategy is cleaned up."""
    log: list[str] = []
    late = Named("late", log, fails_in="prepare")
    rows = [LLMWorkItem("0", "?"), *items(late, each=4)]
    async with ParallelBatchProcessor(Named("own", log), workers=2) as processor:
        with pytest.raises(ValueError, match="no prepare"):
            [result async for result in processor.process(rows)]
    assert log.count("late: prepare") == log.count("late: cleanup") == 1
    assert not [line for line in log if line.startswith("late: send")]


async def test_leaving_a_stream_cleans_up_after_what_is_under_way() -> None:
    """The loop is left at the first result; the request that cannot be cut off ends before the cleanup."""
    log: list[str] = []

    class Shielded(Named):
        async def execute(self, item: LLMWorkItem[Any]) -> str:
            with anyio.CancelScope(shield=True):
                await super().execute(item)
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            self.log.append(f"{self.name}: ended {item.id}")
            return item.id

    late = Shielded("late", log)
    async with ParallelBatchProcessor(Named("own", log), workers=2) as processor:
        async for _ in processor.process([LLMWorkItem("0", "?"), LLMWorkItem("1", "?", strategy=late)]):
            while "late: send 1 ?" not in log:
                await anyio.lowlevel.checkpoint()
            break
    assert log[-3:] == ["late: ended 1", "late: cleanup", "own: cleanup"]


async def test_prepare_item_may_choose_the_strategy_and_does_not_lose_it() -> None:
    """An item made without one keeps that of the item it was made from."""
    log: list[str] = []
    a, b = Named("a", log), Named("b", log)

    def prepare(item: LLMWorkItem[None]) -> LLMWorkItem[None]:
        return replace(item, strategy=b) if item.id == "0" else LLMWorkItem(item.id, item.prompt + "!")

    rows = [LLMWorkItem("0", "?"), LLMWorkItem("1", "?", strategy=a)]
    async with ParallelBatchProcessor(Named("own", log), prepare_item=prepare) as processor:
        await add(processor, rows)
        batch = await processor.process_all()
    assert [result.value for result in batch.results] == ["b 0", "a 1"]
    assert "a: send 1 ?!" in log
    prepared = [line for line in log if "prepare" in line]
    assert log[: len(prepared)] == prepared
    async with ParallelBatchProcessor(Named("own", log), prepare_item=prepare) as processor:
        assert {result.value async for result in processor.process(rows)} == {"b 0", "a 1"}


async def test_a_run_that_resumes_prepares_what_it_still_needs(tmp_path: Path) -> None:
    """The strategy whose items all have their outcome is not prepared again."""
    log: list[str] = []
    a, b = Named("a", log), Named("b", log, fails_in="send 1 ?")
    for resume in (False, True):
        log.clear()
        with Journal(tmp_path / "run.db", resume=resume, retry_failed=resume) as journal:
            async with ParallelBatchProcessor(Named("own", log), store=journal) as processor:
                await add(processor, items(a, b, each=1))
                batch = await processor.process_all()
    assert [result.recalled for result in batch.results] == [True, False]
    assert log == ["b: prepare", "b: send 1 ?", "b: cleanup"]


async def test_processors_that_share_a_strategy_prepare_it_once() -> None:
    """At the same time; the last that leaves cleans up, and a later one begins from the start."""
    log: list[str] = []
    shared = Named("shared", log)

    async def one(name: str) -> None:
        async with ParallelBatchProcessor(shared) as processor:
            await processor.add_work(LLMWorkItem(name, "?"))
            await processor.process_all()

    async with anyio.create_task_group() as group:
        group.start_soon(one, "a")
        group.start_soon(one, "b")
    assert log[0] == "shared: prepare"
    assert log[-1] == "shared: cleanup"
    assert len(log) == 4
    await one("c")
    assert log[4:] == ["shared: prepare", "shared: send c ?", "shared: cleanup"]


async def test_a_preflight_inside_a_processor_shares_its_strategy(caplog: pytest.LogCaptureFixture) -> None:
    """It is prepared once for both; without a processor the preflight cleans up and logs errors."""
    log: list[str] = []
    strategy = Named("s", log, fails_in="cleanup")
    async with ParallelBatchProcessor(strategy) as processor:
        assert (await preflight(strategy)).clear
        await processor.add_work(LLMWorkItem("a", "?"))
        await processor.process_all()
    assert log == ["s: prepare", "s: send preflight Say ok.", "s: send a ?", "s: cleanup"]
    log.clear()
    with caplog.at_level(logging.ERROR):
        assert (await preflight(strategy)).clear
    assert log == ["s: prepare", "s: send preflight Say ok.", "s: cleanup"]
    assert caplog.text.count("no cleanup") == 2


class Model(LLMCallStrategy[str]):
    """One model of the fake, under a scope that has its name."""

    def __init__(self, tank: wavetank.Tank, model: str) -> None:
        self.tank = tank
        self.scope = model

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        answer = await self.tank.fake_llm.call(item.prompt, item=item.id, model=self.scope)
        return answer.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_limit_of_one_strategy_does_not_hold_the_items_of_another(backend: str, streamed: bool) -> None:
    """The small model's items are all done while the large one is down, with one worker, behind its items."""

    async def main(tank: wavetank.Tank) -> dict[str, float]:
        large, small = Model(tank, "gpt-4o"), Model(tank, "gpt-4o-mini")
        rows = [LLMWorkItem(f"large-{n}", "?", strategy=large) for n in range(5)]
        rows += [LLMWorkItem(f"small-{n}", "?", strategy=small) for n in range(5)]
        done: dict[str, float] = {}
        processor = ParallelBatchProcessor(
            Model(tank, "gpt-4o"), workers=1, on_result=lambda result: done.update({result.id: tank.now()})
        )
        async with processor:
            if streamed:
                assert all([result.error is None async for result in processor.process(rows)])
            else:
                await add(processor, rows)
                assert (await processor.process_all()).failed == 0
        return done

    done = wavetank.simulate(main, "one-model-down", backend=backend).value
    assert done is not None
    assert all((at < 30) == name.startswith("small") for name, at in done.items()), done


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_strategies_without_a_scope_share_the_gate(backend: str) -> None:
    """Two objects of one account are limited together, as one would be."""

    class Plain(LLMCallStrategy[str]):
        def __init__(self, tank: wavetank.Tank) -> None:
            self.tank = tank

        async def execute(self, item: LLMWorkItem[Any]) -> str:
            return (await self.tank.fake_llm.call(item.prompt, item=item.id)).text

    def refusals(several: bool) -> int | None:
        async def main(tank: wavetank.Tank) -> int:
            own = Plain(tank)
            async with ParallelBatchProcessor(own, workers=4) as processor:
                await add(processor, items(own, Plain(tank) if several else own, each=10))
                return (await processor.process_all()).refusals

        run = wavetank.simulate(main, "cascade", backend=backend)
        run.check()
        return run.value

    assert refusals(several=True) == refusals(several=False) != 0


class InOrder:
    """A store that takes its time and has to be asked for the items of a stream in their order."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.known = known
        self.asked: list[str] = []

    async def limited_until(self) -> dict[str, float]:
        return {}

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> dict[str, ItemResult[Any]]:
        await anyio.sleep(0.001 * (len(self.asked) % 3))
        self.asked += [item.id for item in items]
        return {item.id: ItemResult(item.id, "from before") for item in items if item.id in self.known}

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None: ...
    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None: ...
    async def paused(self, scope: str, until: float, count: int) -> None: ...

    async def settled(self, _: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        assert not result.recalled


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_store_is_asked_for_the_items_of_a_stream_in_their_order(backend: str) -> None:
    """A journal holds them to its rows; it makes no difference which worker has a permit first."""
    ids = [f"item-{number}" for number in range(12)]

    class Scoped(LLMCallStrategy[str]):
        def __init__(self, scope: str) -> None:
            self.scope = scope

        async def execute(self, item: LLMWorkItem[Any]) -> str:
            await anyio.sleep(0.1)
            return item.prompt

    async def main(_: wavetank.Tank) -> None:
        store = InOrder(known=ids[3::4])
        strategies = [Scoped(scope) for scope in ("one", "two", "three")]
        async with ParallelBatchProcessor(strategies[0], workers=4, store=store) as processor:
            items = [LLMWorkItem(id, id, strategy=strategies[number % 3]) for number, id in enumerate(ids)]
            results = {result.id: result async for result in processor.process(items)}
        assert store.asked == ids
        assert [results[id].recalled for id in ids] == [id in store.known for id in ids]

    result = wavetank.search(main, "calm", backend=backend, schedules=n_of(10, 500), checks=[])
    assert result.failure is None, str(result)
