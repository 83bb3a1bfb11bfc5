"""The specimens under frontrun, which orders only the tasks that it is handed.

So each is run twice: as one task, which frontrun runs in one order since it does not see the tasks
that the specimen starts; and, where the specimen starts its workers in one place, with these
workers handed over. Its virtual clock reaches neither the sleep of anyio nor the timers of the
loop, so all of this is in real time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import ExitStack
from importlib import import_module
from types import coroutine
from typing import Any, Final, NamedTuple, final
from unittest.mock import patch

from wavetank.checks import judge
from wavetank.events import EventLog
from wavetank.museum import Specimen, workload
from wavetank.scenario import load_scenario
from wavetank.sim.ended import Ended
from wavetank.tank.assembly import assemble

from .bridge import LoopClock, LoopWaits, Spent

_PLACE: Final = "with_workers"
_ENOUGH: Final = 1_000_000


class Explored(NamedTuple):
    """What frontrun came to: executions, and how it failed; inconclusive in its own words."""

    runs: int
    failure: str
    conclusive: bool


class _Workers(NamedTuple):
    number: int
    worker: Callable[..., Awaitable[object]]
    arguments: tuple[Any, ...]


@coroutine
def _hand_over(number: int, worker: Any, *arguments: Any) -> Generator[_Workers, None, None]:
    yield _Workers(number, worker, arguments)


@final
class _State:
    """A specimen that stands still where its workers are to run."""

    def __init__(self, specimen: Specimen, twin: bool, seed: int) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        scenario = load_scenario(specimen.scenario)
        self.parts = assemble(scenario, clock, LoopWaits(), seed=seed, backend="asyncio")
        self._program: Coroutine[Any, Any, None] = (specimen.twin if twin else specimen.buggy)(
            self.parts.tank
        )
        self.workers: _Workers = self._program.send(None)

    async def work(self) -> None:
        """One of the workers."""
        await self.workers.worker(*self.workers.arguments)

    def finish(self) -> EventLog:
        """Let the program go on when its workers are done, and close the log."""
        try:
            self._program.send(None)
        except StopIteration:
            self.parts.ended(Ended(how="returned", steps=0))
        else:
            raise TypeError("the program does not end with its workers")
        return self.parts.log


def can_hand_over(specimen: Specimen) -> bool:
    """Whether the specimen starts its workers by `with_workers`, itself or through `by_workers`."""
    module = sys.modules[specimen.buggy.__module__]
    return hasattr(module, _PLACE) or hasattr(module, "by_workers")


def as_one_task(
    run: Callable[[], Awaitable[None]],
    seconds: float,
    limit: float,
    told: Callable[[BaseException], str],
) -> Explored:
    """Run the whole program as one task; `told` makes words of what it raises."""
    seen: list[BaseException | None] = []

    async def task(_: None) -> None:
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        assert current is not None
        timer = loop.call_later(limit, current.cancel)
        try:
            await run()
        except asyncio.CancelledError:
            if loop.time() >= timer.when():
                seen.append(Spent(f"not done after {limit:g} s"))
            raise
        except Exception as error:
            seen.append(error)
            raise
        else:
            seen.append(None)
        finally:
            timer.cancel()

    result = _explore(lambda: None, [task], lambda _: True, seconds, limit, executions=1)
    if seen and seen[0] is not None:
        return Explored(1, told(seen[0]), True)
    explored = _explored(result, 1, "")
    return explored._replace(conclusive=explored.conclusive and bool(seen))


def with_workers_handed_over(specimen: Specimen, twin: bool, seconds: float, limit: float) -> Explored:
    """Explore the orders of the specimen's workers until one fails; `limit` is the seconds of a run."""
    failed, made = list[str](), 0

    def setup() -> _State:
        nonlocal made
        made += 1
        return _State(specimen, twin, made)

    def holds(state: _State) -> bool:
        verdicts = judge(state.finish(), specimen.checks).values()
        failed.extend(verdict.name for verdict in verdicts if verdict.passed is False)
        return not failed

    with ExitStack() as patched:
        for module in (sys.modules[specimen.buggy.__module__], workload):
            if hasattr(module, _PLACE):
                patched.enter_context(patch.object(module, _PLACE, _hand_over))
        number = asyncio.run(_number(specimen, twin))
        result = _explore(setup, [_State.work] * number, holds, seconds, limit, executions=_ENOUGH)
    return _explored(result, int(result.num_explored), failed[0] if failed else "")


def _explored(result: Any, runs: int, check: str) -> Explored:
    """A result of frontrun; `check` is the one of ours that failed, if it was that."""
    if result.property_holds is not False:
        return Explored(runs, "", result.property_holds is True)
    told = str(result.explanation)
    return Explored(runs, check or ("deadlock" if "eadlock" in told else told.splitlines()[0]), True)


async def _number(specimen: Specimen, twin: bool) -> int:
    return _State(specimen, twin, 1).workers.number


def _explore(
    setup: Callable[[], Any],
    workers: list[Callable[[Any], Any]],
    invariant: Callable[[Any], bool],
    seconds: float,
    limit: float,
    *,
    executions: int,
) -> Any:
    """frontrun's default search."""
    explore = import_module("frontrun").explore

    async def explored() -> Any:
        return await explore(
            setup,
            workers,
            invariant,
            clock="explored",
            max_executions=executions,
            total_timeout=seconds,
            timeout_per_run=3 * limit + 10,
            deadlock_timeout=limit + 5,
            reproduce_on_failure=0,
        )

    return asyncio.run(explored())
