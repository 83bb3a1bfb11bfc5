"""Loops that never let time pass are reported soon, once, and with the line of the loop."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio

import wavetank
from wavetank.sim import busy_loops as readings
from wavetank.tank.runs.trial_runs import Trials
from wavetank.tank.tank import Tank

Main = Callable[[Tank], Awaitable[None]]
UNTIL = 10**20


@pytest.fixture(autouse=True)
def small_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavetank.tank.runs.trial_runs.STEPS_WITHOUT_PROGRESS", 2_000)
    monkeypatch.setattr("wavetank.tank.runs.run_budgets._SPARE_STEPS", 1_000)


async def loop_time(_: Tank) -> None:
    clock = asyncio.get_running_loop()
    while clock.time() < UNTIL:
        pass


async def trio_time(_: Tank) -> None:
    while trio.current_time() < UNTIL:
        pass


async def anyio_time(_: Tank) -> None:
    while anyio.current_time() < UNTIL:
        pass


async def monotonic(_: Tank) -> None:
    while time.monotonic() < UNTIL:
        pass


async def wall_clock(_: Tank) -> None:
    while time.time() < UNTIL:
        pass


async def dates(_: Tank) -> None:
    until = datetime.datetime.now() + datetime.timedelta(hours=1)
    while datetime.datetime.now() < until:
        pass


async def tank_time(tank: Tank) -> None:
    while tank.now() < UNTIL:
        pass


async def blocking_sleep(_: Tank) -> None:
    while time.monotonic() < UNTIL:
        time.sleep(0)


async def within_a_thread(_: Tank) -> None:
    def poll() -> None:
        while time.monotonic() < UNTIL:
            time.sleep(0)

    thread = threading.Thread(target=poll)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("main", "backend"),
    [
        (loop_time, "asyncio"),
        (trio_time, "trio"),
        *(
            (main, backend)
            for main in (
                *(anyio_time, monotonic, wall_clock, dates, tank_time),
                *(blocking_sleep, within_a_thread),
            )
            for backend in ("asyncio", "trio")
        ),
    ],
)
def test_a_loop_without_an_await_is_reported_with_its_line(main: Main, backend: str) -> None:
    """Whichever clock it reads; the first line of the evidence is the loop."""
    verdict = wavetank.simulate(main, backend=backend).verdicts["liveness"]
    assert verdict.summary.startswith("deadlock at ")
    assert verdict.summary.endswith(": a loop never lets time pass")
    assert "tests/sim/test_sim_spinning.py:" in verdict.evidence[0]
    assert "waits in a loop that " in verdict.evidence[0]


async def with_zero_sleeps(_: Tank) -> None:
    while anyio.current_time() < UNTIL:
        await anyio.sleep(0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_sleeps_for_no_time_is_a_livelock(backend: str) -> None:
    """Its steps are counted, and who took them is named."""
    verdict = wavetank.simulate(with_zero_sleeps, backend=backend).verdicts["liveness"]
    assert verdict.summary.startswith("livelock: the budget of steps ended after 2000 steps, at 0s")
    assert "task 'main'" in verdict.evidence[0]
    assert "with_zero_sleeps (tests/sim/test_sim_spinning.py:" in verdict.evidence[0]


def read_often(times: int) -> None:
    for _ in range(times):
        time.monotonic()


def test_a_library_may_read_the_clock_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """tqdm reads it for each row of a loop that ends."""
    monkeypatch.setattr(readings, "kind_of", lambda _: "installed")

    async def main(_: Tank) -> None:
        read_often(3 * readings.READINGS_PER_STEP * 2_000)

    wavetank.simulate(main).check()


def test_reading_the_clock_between_two_instants_is_no_loop() -> None:
    """Readings are counted from when time has passed."""

    async def main(_: Tank) -> None:
        for _second in range(5):
            read_often(readings.READINGS_PER_STEP * 2_000 - 10)
            await anyio.sleep(1)

    wavetank.simulate(main).check()


def test_a_search_makes_sure_that_a_loop_never_ends() -> None:
    """Runs of a search are stopped early; a loop that ends after more readings than that is no failure."""

    async def main(_: Tank) -> None:
        read_often(readings.READINGS_PER_STEP * 1_500)

    assert wavetank.search(main, schedules=3).failure is None


@pytest.mark.parametrize(("main", "backend"), [(with_zero_sleeps, "trio"), (monotonic, "asyncio")])
def test_a_search_makes_few_runs_of_a_loop_that_never_ends(
    main: Main, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped early, one with the whole budget, and two repetitions that are stopped early."""
    made: list[int] = []
    run = Trials.run

    def counted(self: Trials, *arguments: object, **options: object) -> object:
        trial = run(self, *arguments, **options)  # type: ignore[arg-type]
        made.append(trial.end.steps)
        return trial

    monkeypatch.setattr(Trials, "run", counted)
    result = wavetank.search(main, schedules=5, backend=backend)
    assert result.failure is not None
    assert len(made) <= 4, made
