"""What the specimens share: requests, workers, a scenario of their own, a queue."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Final, Generic, Protocol, TypeVar, final

import anyio

from ..scenario import Scenario, scenario_from_dict
from ..seams.errors import RateLimited
from ..tank.tank import Tank

T = TypeVar("T")


async def ask(tank: Tank, item: str) -> str:
    """One request for the item.

    Raises:
        ProviderError: the provider refused or failed it.
    """
    return (await tank.fake_llm.call(f"Do {item}.", item=item)).text


async def ask_until_answered(tank: Tank, item: str) -> str:
    """Ask until the item is answered; wait after each refusal as long as the provider says."""
    while True:
        try:
            return await ask(tank, item)
        except RateLimited as refusal:
            await anyio.sleep(refusal.retry_after or 1)


def scenario_of(name: str, *waves: dict[str, Any], **tables: Any) -> Scenario:
    """A scenario for one specimen: these waves and tables, written as in a TOML file."""
    return scenario_from_dict({**tables, "wave": [*waves]}, name=name, source=f"scenario {name!r}")


ONE_SHORT_WAVE: Final = scenario_of("one-short-wave", {"at": "0s", "lasts": "500ms"})
ONE_LATER_WAVE: Final = scenario_of(
    "one-short-wave", {"at": "300ms", "lasts": "500ms"}, latency={"first_token": "50ms..200ms"}
)
LATE_REFUSALS: Final = scenario_of(
    "late-refusals",
    {"at": "0s", "lasts": "20ms", "retry_after": "50ms"},
    latency={"first_token": "50ms..200ms", "refusal": "10ms..90ms"},
)
ONE_ITEM_ALWAYS_REFUSED: Final = scenario_of(
    "one-item-refused-for-ever",
    {"lasts": "1h", "every": "1h", "match": {"item": "item-2"}, "retry_after": "1s"},
)
"""Scenarios that several specimens share."""


async def with_workers(count: int, worker: Callable[..., Any], *arguments: Any) -> None:
    """Run `count` workers concurrently until all have returned."""
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(worker, *arguments)


def by_workers(
    count: int, worker: Callable[[Tank, T, Iterator[str]], Coroutine[Any, Any, None]]
) -> Callable[[Tank, list[str], Callable[[], T]], Coroutine[Any, Any, None]]:
    """The `run` of a specimen whose `count` workers share the items and one new object of a class."""

    @wraps(worker)
    def run(tank: Tank, items: list[str], new: Callable[[], T]) -> Coroutine[Any, Any, None]:
        return with_workers(count, worker, tank, new(), iter(items))

    return run


class WorkerGate(Protocol):
    """What workers ask before each request, and report each refusal to."""

    async def enter(self) -> None:
        """Return when a request may be sent."""

    async def refused(self, seconds: float) -> None:
        """A request was refused for so many seconds."""


async def work_at_gate(tank: Tank, gate: WorkerGate, items: Iterator[str]) -> None:
    """Ask for one item after the other, each until it is answered."""
    for item in items:
        while True:
            await gate.enter()
            try:
                tank.ledger.complete(item, await ask(tank, item))
                break
            except RateLimited as refusal:
                await gate.refused(refusal.retry_after or 1)


class WorkerLimiter(Protocol):
    """Limits how many requests are in flight."""

    async def acquire(self) -> None:
        """Return when one more may be sent."""

    def release(self) -> None:
        """One of them is over."""


async def work_with_permit(tank: Tank, limiter: WorkerLimiter, items: Iterator[str]) -> None:
    """Ask for one item after the other, each with a permit of the limiter."""
    for item in items:
        await limiter.acquire()
        try:
            tank.ledger.complete(item, await ask_until_answered(tank, item))
        finally:
            limiter.release()


@final
class Queue(Generic[T]):
    """A first-in, first-out queue of at most `size` entries; `join` waits until each one is `done`."""

    def __init__(self, size: float = math.inf) -> None:
        self._size = size
        self._entries: deque[T] = deque()
        self._unfinished = 0
        self._changed = anyio.Event()

    async def put(self, entry: T) -> None:
        """Add a new entry, once there is room."""
        self._unfinished += 1
        await self.put_again(entry)

    async def put_again(self, entry: T) -> None:
        """Add an entry again that was taken out and is not done, once there is room."""
        while len(self._entries) >= self._size:
            await self._changed.wait()
        self._entries.append(entry)
        self._wake()

    async def get(self) -> T:
        """Take the first entry out, once there is one."""
        while not self._entries:
            await self._changed.wait()
        entry = self._entries.popleft()
        self._wake()
        return entry

    def done(self) -> None:
        """One entry is done."""
        self._unfinished -= 1
        self._wake()

    async def join(self) -> None:
        """Wait until every entry is done."""
        while self._unfinished:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
