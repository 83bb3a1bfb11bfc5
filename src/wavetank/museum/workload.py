"""What every specimen is given: items, a question for each, a line to wait in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, final

import anyio

from ..scenario import Scenario, scenario_from_dict
from ..seams.errors import RateLimited
from ..tank.tank import Tank

T = TypeVar("T")


def submitted(tank: Tank, count: int) -> list[str]:
    """So many items, entered in the ledger: `item-1`, `item-2`, …"""
    items = [f"item-{number}" for number in range(1, count + 1)]
    for item in items:
        tank.ledger.submit(item)
    return items


async def ask(tank: Tank, item: str) -> str:
    """One request for the item.

    Raises:
        ProviderError: the provider refused or failed it.
    """
    return (await tank.fake_llm.call(f"Do {item}.", item=item)).text


async def ask_patiently(tank: Tank, item: str) -> str:
    """Ask until the item is answered, waiting each time as long as the provider says."""
    while True:
        try:
            return await ask(tank, item)
        except RateLimited as refusal:
            await anyio.sleep(refusal.retry_after or 1)


def weather(name: str, *waves: dict[str, Any], **tables: Any) -> Scenario:
    """A scenario made for one specimen, of these waves and tables as a TOML file would have them."""
    return scenario_from_dict({**tables, "wave": [*waves]}, name=name, source=f"scenario {name!r}")


async def with_workers(count: int, worker: Callable[..., Any], *arguments: Any) -> None:
    """Run so many workers side by side until all have come home."""
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(worker, *arguments)


@final
class Queue(Generic[T]):
    """First in, first out, for at most `size` things; `join` waits until each was `done`."""

    def __init__(self, size: float = math.inf) -> None:
        self._size = size
        self._things: deque[T] = deque()
        self._unfinished = 0
        self._changed = anyio.Event()

    async def put(self, thing: T) -> None:
        """Put a new thing in, once there is room."""
        self._unfinished += 1
        await self.put_again(thing)

    async def put_again(self, thing: T) -> None:
        """Put a thing back in that was taken out and is not done, once there is room."""
        while len(self._things) >= self._size:
            await self._changed.wait()
        self._things.append(thing)
        self._wake()

    async def get(self) -> T:
        """Take the first thing out, once there is one."""
        while not self._things:
            await self._changed.wait()
        thing = self._things.popleft()
        self._wake()
        return thing

    def done(self) -> None:
        """One of the things is done with."""
        self._unfinished -= 1
        self._wake()

    async def join(self) -> None:
        """Wait until everything that was put in is done."""
        while self._unfinished:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
