"""Runs in chosen orders: zeros change no byte of a log, livelocks are real, and deviations are described."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

import wavetank
from wavetank import Tank
from wavetank.clock import MILLISECOND, Duration
from wavetank.scenario import DurationRange, Latency, Scenario, Wave, load_scenario
from wavetank.sim.asyncio_loop import SimulatedLoop
from wavetank.sim.choices import LEVELS, Fifo
from wavetank.sim.policies.plan import Plan
from wavetank.sim.trio_run import TrioEngine
from wavetank.tank.runs.run_options import RunOptions
from wavetank.tank.runs.trial_runs import Trials

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

Main = Callable[[Tank], Awaitable[None]]


async def pool(tank: Tank) -> None:
    """Three workers on eight items, with time-outs, refusals and a thread."""
    items = [f"item-{number}" for number in range(8)]
    for item in items:
        tank.ledger.submit(item)

    async def worker() -> None:
        while items:
            item = items.pop(0)
            while True:
                try:
                    with anyio.fail_after(0.9):
                        answer = await tank.fake_llm.call(item, item=item)
                except wavetank.ProviderError as error:
                    await anyio.sleep(error.retry_after or 0.5)
                except TimeoutError:
                    tank.ledger.fail(item)
                    break
                else:
                    tank.ledger.complete(item, answer.text)
                    break

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(worker)
        group.start_soon(anyio.to_thread.run_sync, time.sleep, 1)


@on_both
@pytest.mark.parametrize("scenario", ["cascade", "simultaneous"])
def test_a_chooser_of_zeros_changes_no_byte(backend: str, scenario: str) -> None:
    """At every level the log of a run whose chooser takes 0 is that of a run without a chooser."""
    trials = Trials(pool, load_scenario(scenario), RunOptions(backend=backend, seed=5))
    with trials.borrowed():
        stock = trials.run()
        for level in LEVELS:
            trial = trials.run(Plan(Fifo(), level, "fifo"))
            assert trial.log.to_ndjson() == stock.log.to_ndjson()
            assert trial.end.steps == stock.end.steps
            assert trial.record is not None
            assert trial.record.deviations == ()


# -- livelock ------------------------------------------------------------------------------------------


async def polite(tank: Tank) -> None:
    """Two tasks that each give way while the other wants to go, and start at nearly the same time."""
    wants: list[str] = []
    tank.ledger.submit("a")

    async def one(name: str, at: float) -> None:
        await anyio.sleep(at)
        wants.append(name)
        await checkpoint()
        while len(wants) > 1:
            await checkpoint()
        tank.ledger.complete("a") if name == "first" else None
        wants.remove(name)

    async with anyio.create_task_group() as group:
        group.start_soon(one, "first", 1)
        group.start_soon(one, "second", 1.02)


@on_both
def test_a_livelock_is_the_program_s_own(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks that wait for each other in a spin are a livelock, found by one stall; steps end its runs."""
    budget = 1_000
    for engine in (SimulatedLoop, TrioEngine):
        defaults = engine.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "step_budget", budget)
    run = wavetank.search(polite, schedules=60, backend=backend).failure
    assert run is not None
    assert (run.kind, run.level, [deviation_texts.kind for deviation_texts in run.deviations]) == (
        "livelock",
        "fifo",
        ["stall"],
    )
    assert run.steps >= budget
    assert "the budget of steps ended" in run.report()
    again = wavetank.simulate(polite, backend=backend, schedule=run.schedule)
    assert again.kind == "livelock"


# -- descriptions --------------------------------------------------------------------------------------


def deviation_texts(
    main: Main, backend: str, scenario: Scenario | str = "calm", *, level: str, policy: str = "portfolio"
) -> list[str]:
    """The deviations of what a search finds, without the number of the step."""
    run = wavetank.search(main, scenario, schedules=300, backend=backend, level=level, policy=policy).failure
    assert run is not None
    return [each.text for each in run.deviations]


@on_both
def test_threads_are_reported_by_name(backend: str) -> None:
    """A thread of the run that goes before another one is a deviation, in the words of their names."""

    async def main(_: Tank) -> None:
        went: list[str] = []

        def program() -> None:
            def one() -> None:
                went.append(threading.current_thread().name)

            threads = [threading.Thread(target=one, name=name) for name in ("left", "right")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        await anyio.to_thread.run_sync(program)
        if went[0] != "left":
            raise LookupError

    (text,) = deviation_texts(main, backend, level="any-instant")
    assert text.startswith("right")
    assert " goes on; FIFO would have run " in text  # the thread that starts them


@on_both
def test_what_the_provider_did_is_reported(backend: str) -> None:
    """Latencies, refusals by share and the order of replies are described as what the fake did."""

    async def slow(tank: Tank) -> None:
        began = tank.now()
        await tank.fake_llm.call("a", item="a")
        if tank.now() - began == 0.3:
            raise LookupError

    range_of = DurationRange(Duration(100 * MILLISECOND), Duration(300 * MILLISECOND))
    texts = deviation_texts(
        slow, backend, Scenario(latency=Latency(first_token=range_of)), level="fifo-instant"
    )
    assert len(texts) == 1
    assert texts[0].startswith("the answer to 'a' takes 300ms, not ")

    async def spared(tank: Tank) -> None:
        refused: list[str] = []
        for item in "abcdefgh":
            try:
                await tank.fake_llm.call(item, item=item)
            except wavetank.RateLimited:
                refused.append(item)
        if refused != stock:
            raise LookupError

    stock: list[str] = []
    half = Scenario(wave=(Wave(lasts=Duration(10**10), share=0.5),))
    stock += [str(each.item) for each in wavetank.simulate(spared, half).events if each.kind == "refused"]
    texts = deviation_texts(spared, backend, half, level="fifo-instant")
    assert len(texts) == 1
    assert texts[0].startswith(("the wave meets '", "the wave spares '"))
