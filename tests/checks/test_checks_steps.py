"""The check `loop_responsive`."""

from __future__ import annotations

import time

import anyio
import anyio.to_thread
import pytest

import wavetank
from wavetank import Tank
from wavetank.checks import loop_responsive
from wavetank.clock import MILLISECOND
from wavetank.events import Event, EventLog, Header

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@on_both
def test_a_sleep_within_a_step_holds_the_loop(backend: str) -> None:
    """`time.sleep` in async code for more than a tenth of a second fails."""

    async def main(_: Tank) -> None:
        await anyio.sleep(1)
        time.sleep(0.101)

    run = wavetank.simulate(main, backend=backend, checks="loop_responsive")
    assert run.kind == "check"
    verdict = run.verdicts["loop_responsive"]
    assert verdict.summary == (
        "one step held the event loop for 101ms, from 1s on: a sync call or time.sleep in async code"
    )
    assert verdict.evidence == ("at 1.101s: time had passed within one step of the program since 1s",)


@on_both
def test_a_client_that_comes_near_passes(backend: str) -> None:
    """A tenth of a second in one step, long awaits, and a long sleep in a thread are all allowed."""

    async def main(_: Tank) -> None:
        time.sleep(0.1)
        await anyio.sleep(5)
        await anyio.to_thread.run_sync(time.sleep, 2)

    run = wavetank.simulate(main, backend=backend, checks="loop_responsive")
    run.check()
    assert run.verdicts["loop_responsive"].summary == "at most 100ms passed within one step of an event loop"


def test_a_stall_of_the_explorer_is_no_step() -> None:
    """Only a stretch that is marked as blocking counts."""
    log = EventLog(Header(scenario="calm", digest="00000000", seed=0, backend="asyncio"))
    log.append(Event(at=500 * MILLISECOND, kind="stalled", since=0))
    verdict = loop_responsive.judge(log)
    assert verdict.passed is True
    assert verdict.summary == "no time passed within a step of an event loop"
