"""What the specimens with replicas share: a client of Redis, and two processes that divide the items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, final

import anyio
from anyio.abc import ByteStream

from ..processor.shared.resp import RespStream
from ..tank.tank import Tank
from .workload import ask

HOST: Final = "cache.internal"

NEEDS: Final = {"fakeredis": "fleet", "lupa": "fleet"}
"""Libraries without which there is no Redis, and the extra of wavetank that brings them."""


@final
class Redis:
    """One connection, whose commands go one at a time, on asyncio and trio."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = RespStream(stream)
        self._turn = anyio.Lock()

    @classmethod
    @asynccontextmanager
    async def connected(cls) -> AsyncIterator[Redis]:
        """A connection to the Redis of the world."""
        async with await anyio.connect_tcp(HOST, 6379) as stream:
            yield cls(stream)

    async def __call__(self, *command: object) -> Any:
        """Send a command, and return its reply: a text, a number, `None` or a list."""
        async with self._turn:
            return await self._stream.ask(*map(str, command))


class FleetGate(Protocol):
    """What each replica has of its own, and asks before and after each request."""

    async def enter(self) -> None:
        """Return when a request may be sent."""

    async def leave(self) -> None:
        """The request is over."""


class Store:
    """Where results are kept: it outlives the replicas."""

    def __init__(self, tank: Tank) -> None:
        self.tank = tank
        self._done: set[str] = set()

    def left(self, items: Sequence[str]) -> Iterator[str]:
        """The items that have no result yet."""
        return (item for item in items if item not in self._done)

    def keep(self, item: str, answer: str) -> None:
        """Store a result."""
        self._done.add(item)
        self.tank.ledger.complete(item, answer)


Work = Callable[[Store, Any, Iterator[str]], Coroutine[Any, Any, None]]


async def work_at_fleet_gate(store: Store, gate: FleetGate, items: Iterator[str]) -> None:
    """Ask for one item after the other, each when the gate lets it."""
    for item in items:
        await gate.enter()
        answer = await ask(store.tank, item)
        store.keep(item, answer)
        await gate.leave()


def by_replicas(
    work: Work = work_at_fleet_gate, *, workers: int = 2, offsets: Sequence[float] = (0, 0), crashes: int = 0
) -> Callable[[Tank, list[str], Callable[[Redis], Any]], Coroutine[Any, Any, None]]:
    """The `run` of a specimen: two replicas with some workers each, which share a Redis and nothing else.

    Args:
        work: what a worker does, given the store, its replica's gate and the items of the replica.
        workers: how many workers a replica has.
        offsets: by how many seconds the clock of each replica is ahead.
        crashes: how often each may crash in a search.
    """

    async def main(store: Store, new_gate: Callable[[Redis], Any], items: Sequence[str]) -> None:
        left = store.left(items)
        async with Redis.connected() as redis, anyio.create_task_group() as group:
            gate = new_gate(redis)
            for _ in range(workers):
                group.start_soon(work, store, gate, left)

    async def run(tank: Tank, items: list[str], new_gate: Callable[[Redis], Any]) -> None:
        tank.add_redis(HOST)
        store = Store(tank)
        fleet = [
            tank.replica(f"replica-{number}", clock_offset=offset, crashes=crashes)
            for number, offset in enumerate(offsets, start=1)
        ]
        for place, replica in enumerate(fleet):
            replica.start(partial(main, store, new_gate), items[place :: len(fleet)])
        for replica in fleet:
            await replica.wait()

    return run
