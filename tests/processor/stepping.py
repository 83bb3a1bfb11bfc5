"""Does something in the middle of a program, after a given number of steps of its tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, final

import anyio
import trio
from trio.testing import MockClock

from wavetank.processor import BatchResult, Limits, LLMWorkItem, ParallelBatchProcessor

Main = Callable[[], Awaitable[None]]


@final
class Counter:
    """Counts the steps of all tasks, and calls `act` before the one with the number asked for."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.at = at
        self.act = act
        self.steps = 0

    def step(self) -> None:
        """Note that a task takes a step."""
        self.steps += 1
        if self.steps == self.at:
            self.act()


@final
class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine each of whose steps is counted."""

    def __init__(self, inner: Coroutine[Any, Any, Any], counter: Counter) -> None:
        self.inner = inner
        self.counter = counter

    def send(self, value: Any) -> Any:
        self.counter.step()
        return self.inner.send(value)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,  # noqa: ARG002
    ) -> Any:
        self.counter.step()
        return self.inner.throw(kind if isinstance(kind, BaseException) else value or kind)  # type: ignore[arg-type]

    def close(self) -> None:
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        """What anyio asks of a coroutine: whether it runs, and where."""
        return getattr(self.inner, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()


@final
class Instrument(trio.abc.Instrument):
    """The same for trio."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def before_task_step(self, task: object) -> None:  # noqa: ARG002
        self.counter.step()


@final
class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when no task is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = partial(self._jump, select)  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now

    def _jump(self, select: Callable[[float | None], Any], timeout: float | None = None) -> Any:
        events = select(0)
        if not events and timeout:
            self.now += timeout
        return events


def stepped(main: Main, backend: str, *, at: int = 0, act: Callable[[], object] = lambda: None) -> int:
    """Run a program to its end, act before the given step, and return how many steps there were."""
    counter = Counter(at, act)
    if backend == "trio":
        trio.run(main, clock=MockClock(autojump_threshold=0), instruments=[Instrument(counter)])
    else:

        def loop() -> asyncio.AbstractEventLoop:
            made = JumpingLoop()
            made.set_task_factory(
                lambda loop, coro, **options: asyncio.Task(Stepped(coro, counter), loop=loop, **options)
            )
            return made

        anyio.run(main, backend="asyncio", backend_options={"loop_factory": loop})
    return counter.steps


USUAL: Final = Limits(requests_per_minute=2400 / 0.995, burst=5)
"""Forty requests a second and five at once: for tests in which no limit has to be learnt."""


def one_batch(backend: str, ids: Sequence[str], call: Any, **options: Any) -> BatchResult[Any]:
    """What comes of one batch in virtual time; each id is its own prompt."""
    batches: list[BatchResult[Any]] = []

    async def main() -> None:
        async with ParallelBatchProcessor(call, **({"limits": USUAL} | options)) as processor:
            for name in ids:
                await processor.add_work(LLMWorkItem(id=name, prompt=name))
            batches.append(await processor.process_all())

    stepped(main, backend)
    return batches[0]
