"""A fake provider on the clock of whatever event loop runs, so that other tools can run what we run.

The loop has to know `time`, `call_at` and `call_later`. A run's budget of virtual time is no timer
of its own, which would hide a deadlock from the loop: the run ends when the program asks for a
timer after its budget.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, final

import anyio

from wavetank.checks import judge
from wavetank.clock import SECOND, Timer, at_instant
from wavetank.scenario import Scenario
from wavetank.seams.waiting import AsyncEvent, BlockingEvent
from wavetank.sim.ended import Ended
from wavetank.tank.assembly import assemble
from wavetank.tank.tank import Tank


@final
class LoopClock:
    """The time of an asyncio loop, from when this was made; it implements `Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._start = loop.time()

    def now(self) -> int:
        return round((self._loop.time() - self._start) * SECOND)

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        return self._loop.call_at(self._start + when / SECOND, self._due, when, callback)

    def _due(self, when: int, callback: Callable[[], object]) -> None:
        """A float of seconds may fall short of the nanosecond that was asked for."""
        if self.now() < when:
            self.call_at(max(when, self.now() + _FLOAT), callback)
        else:
            callback()


_FLOAT: Final = 1_000
"""Nanoseconds that the time of a loop can tell apart in any case."""


@final
class LoopWaits:
    """Events of the running loop; its thread hands the replies over."""

    def event(self) -> AsyncEvent:
        return anyio.Event()

    def blocking_event(self) -> BlockingEvent:
        return threading.Event()

    def is_virtual_here(self) -> bool:
        return False


@final
class Spent(Exception):
    """The run went on after its budget of virtual time."""


@final
class Failed(Exception):
    """The program came to its end, and a check fails on what it did; the text begins with its name."""


async def run(
    main: Callable[[Tank], Awaitable[object]],
    scenario: Scenario,
    *,
    seed: int,
    checks: tuple[str, ...],
    seconds: float,
) -> None:
    """Run `main` on the running loop for at most so many `seconds` of its time, then judge it.

    Raises:
        Failed: a check fails.
        Spent: the budget of time ended first.
        Exception: the program raised it.
    """
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop)
    parts = assemble(scenario, clock, LoopWaits(), seed=seed, backend="asyncio")
    budget = _Budget(loop, clock, at_instant(seconds))
    try:
        await main(parts.tank)
    except asyncio.CancelledError:
        if budget.spent:
            raise Spent(f"not done after {seconds:g} s") from None
        raise
    except Exception as error:
        parts.ended(Ended(how="raised", error=error, steps=0))
        raise
    finally:
        budget.lift()
    parts.ended(Ended(how="returned", steps=0))
    for verdict in judge(parts.log, checks).values():
        if verdict.passed is False:
            raise Failed(f"{verdict.name}: {verdict.summary}")


@final
class _Budget:
    """Cancels the task that made it once somebody asks the loop for a timer after the limit."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: LoopClock, limit: int) -> None:
        self.spent = False
        self._clock = clock
        self._limit = limit
        self._loop = loop
        self._task = asyncio.current_task(loop)
        self._methods = {name: getattr(loop, name) for name in ("call_at", "call_later")}
        for name, method in self._methods.items():
            setattr(loop, name, self._watched(method))

    def _watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._clock.now() > self._limit and not self.spent and self._task is not None:
                self.spent = True
                self._task.cancel()
            return method(*arguments, **options)

        return call

    def lift(self) -> None:
        """Leave the loop as it was."""
        for name in self._methods:
            delattr(self._loop, name)
