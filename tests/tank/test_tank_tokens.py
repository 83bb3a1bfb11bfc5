"""Tokens repeat a failure in another process, byte by byte."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_spent_cpu_time_repeats_on_any_machine(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends after as many steps, however long they take, in the search and by its token."""

    def takes(*between_readings: float) -> None:
        clock = itertools.accumulate(itertools.cycle(between_readings))
        monkeypatch.setattr("wavetank.sim.budgets.cpu_seconds", lambda: next(clock))

    takes(0.001, 0.001, 0.012)  # also a run and its repetition differ
    budget: Any = {"backend": backend, "max_cpu_seconds": 0.01}
    run = wavetank.search(polls, "cascade", seed=1, **budget).failure
    assert run is not None
    assert run.kind == "overrun"
    for seconds in (0.0005, 0.02):
        takes(seconds)
        again = wavetank.simulate(polls, "cascade", schedule=run.schedule, **budget)
        assert again.events.to_ndjson() == run.events.to_ndjson()


if __name__ == "__main__":
    for (kind, name, backend), token in zip(FAILURES, sys.argv[1:], strict=True):
        main, options = program(kind, name)
        run = wavetank.simulate(main, backend=backend, schedule=token, **options)
        print(run.events.to_ndjson(waits=False).hex())
