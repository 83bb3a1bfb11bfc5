"""Tokens repeat a failure in another process, byte by byte."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest

import wavetank

from .cut_programs import DEADLINES, INTERRUPTIONS
from .share_programs import BUGS as SHARES
from .share_programs import failure_of

# Of each kind of deviation that a token can hold besides the order of steps.
FAILURES = (
    ("deadline", "half_moved", "asyncio"),
    ("deadline", "slot_lost", "trio"),
    ("interruption", "reports_before_it_keeps", "trio"),
    ("share", "one_is_refused", "asyncio"),
    ("share", "one_is_spared", "asyncio"),
    ("share", "one_is_cut_off", "asyncio"),
    ("share", "one_of_two_waves", "asyncio"),
)


def program(kind: str, name: str) -> tuple[Any, dict[str, Any]]:
    """A program with the options of its runs."""
    if kind == "share":
        return SHARES[name].main, {"scenario": SHARES[name].scenario}
    interrupt = kind == "interruption"
    return (INTERRUPTIONS if interrupt else DEADLINES)[name].options(False, interrupt=interrupt)


@cache
def failures() -> list[tuple[str, bytes]]:
    """The token and the event log of a failure of each."""
    found = []
    for kind, name, backend in FAILURES:
        main, options = program(kind, name)
        run: wavetank.Run[Any] | None
        if kind == "share":
            run = failure_of(name, 0)
        else:
            run = wavetank.search(main, backend=backend, **options).failure
        assert run is not None, name
        found.append((run.schedule, run.events.to_ndjson(waits=False)))
    return found


@cache
def logs_of_another_process() -> list[str]:
    """The event logs of a process that has another hash seed, in hexadecimal digits."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.tank.test_tank_tokens", *(token for token, _ in failures())],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.split()


@pytest.mark.parametrize("place", range(len(FAILURES)), ids=[name for _, name, _ in FAILURES])
def test_tokens_repeat_in_a_fresh_process(place: int) -> None:
    """Under another hash seed, with the same bytes of event log."""
    _, log = failures()[place]
    assert len(log) > 100
    assert bytes.fromhex(logs_of_another_process()[place]) == log


async def polls(tank: wavetank.Tank) -> None:
    """Three tasks whose polling never ends."""
    tank.ledger.submit("row-1")

    async def poll() -> None:
        while True:
            await anyio.sleep(0.1)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(poll)


def polls_without_a_task(tank: wavetank.Tank) -> None:
    """A plain function that polls without an end: it takes no step of any loop or thread."""
    tank.ledger.submit("row-1")
    while True:
        time.sleep(0.01)


async def polls_within_steps(tank: wavetank.Tank) -> None:
    """Time passes within a step of the loop, and at its end."""
    tank.ledger.submit("row-1")
    while True:
        for _ in range(7):
            time.sleep(0.01)
        await anyio.sleep(0)


@pytest.mark.parametrize(
    ("main", "backend"),
    [
        (polls, "asyncio"),
        (polls, "trio"),
        (polls_without_a_task, "asyncio"),
        (polls_within_steps, "asyncio"),
        (polls_within_steps, "trio"),
    ],
)
def test_spent_cpu_time_repeats_on_any_machine(
    main: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends at the same place, however long it takes, in the search and by each token."""

    def takes(*between_readings: float) -> None:
        clock = itertools.accumulate(itertools.cycle(between_readings))
        monkeypatch.setattr("wavetank.sim.budgets.cpu_seconds", lambda: next(clock))

    takes(0.001, 0.001, 0.012)  # also a run and its repetition differ
    budget: Any = {"backend": backend, "max_cpu_seconds": 0.01}
    found = wavetank.search(main, "cascade", seed=1, **budget).failure
    for run in (found, wavetank.simulate(main, "cascade", **budget)):
        assert run is not None
        assert run.kind == "overrun"
        for seconds in (0.0005, 0.02):
            takes(seconds)
            again = wavetank.simulate(main, "cascade", schedule=run.schedule, **budget)
            assert again.events.to_ndjson() == run.events.to_ndjson()


async def polls_in_one_order(tank: wavetank.Tank) -> None:
    """Polls for long in one of two orders, and then ends."""
    order: list[int] = []

    async def put(number: int) -> None:
        order.append(number)

    tank.ledger.submit("row-1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put, 1)
        tasks.start_soon(put, 2)
    for _ in range(6000 if order == [2, 1] else 0):
        await anyio.sleep(0.005)
    tank.ledger.complete("row-1", "done")


def test_a_failure_that_is_found_is_one_though_the_machine_is_faster_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CPU time that was spent when the schedule was made is spent when it is made for the report."""
    readings = itertools.chain((0.0, 5.0, 0.0, 5.0), itertools.repeat(5.0))
    monkeypatch.setattr("wavetank.sim.budgets.cpu_seconds", lambda: next(readings))
    run = wavetank.search(polls_in_one_order, schedules=20, checks=("liveness",), max_cpu_seconds=1).failure
    assert run is not None
    assert run.kind == "overrun"
    again = wavetank.simulate(
        polls_in_one_order, "calm", schedule=run.schedule, checks=("liveness",), max_cpu_seconds=1
    )
    assert again.kind == "overrun"


if __name__ == "__main__":
    for (kind, name, backend), token in zip(FAILURES, sys.argv[1:], strict=True):
        main, options = program(kind, name)
        run = wavetank.simulate(main, backend=backend, schedule=token, **options)
        print(run.events.to_ndjson(waits=False).hex())
