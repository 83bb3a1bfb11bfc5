"""Members of a shared gate and a provider with a limit, all in one process and in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import anyio

import wavetank
from wavetank.processor import Limits, Ticket
from wavetank.processor.shared.errors import StoreAway
from wavetank.processor.shared.gate_rules import GateState, call_gate
from wavetank.processor.shared.shared_gate import SharedGate

from ..gate.limited_world import World

TOLD = Limits(requests_per_minute=600)


@dataclass
class Place:
    """A place for one gate, in memory; a call takes as long as `latency` each way."""

    latency: float = 0.0005
    wakes: bool = True
    is_away: bool = False
    state: GateState | None = None
    listeners: list[Callable[[], object]] = field(default_factory=list)
    calls: int = 0

    def call(self, arguments: Sequence[str]) -> list[str]:
        """One step of the gate."""
        now = round(anyio.current_time() * 1e6)
        if self.state is None:
            self.state = GateState(str(now))
        self.calls += 1
        before, head = len(self.state.tickets), int(self.state.numbers["head"] - self.state.numbers["base"])
        reply = call_gate(self.state, now, arguments)
        is_closed = any(entry.startswith("X") for entry in self.state.log[head:])
        if len(self.state.tickets) < before or is_closed:
            for listener in list(self.listeners):
                listener()
        return reply


class MemoryStore:
    """The store of one member."""

    place = "memory"

    def __init__(self, place: Place) -> None:
        self._place = place
        self.wakes = place.wakes
        self.is_dead = False

    async def connect(self) -> None:
        """See whether it is there."""
        await self._way()

    async def call(self, arguments: Sequence[str]) -> list[str]:
        """One step of the gate, on the way there and back."""
        await self._way()
        reply = self._place.call(arguments)
        await self._way()
        return reply

    async def listen(self, on_wake: Callable[[], object]) -> None:
        """Be woken by every change."""
        if not self.wakes:
            await anyio.sleep_forever()
        self._place.listeners.append(on_wake)
        try:
            await anyio.sleep_forever()
        finally:
            self._place.listeners.remove(on_wake)

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _way(self) -> None:
        await anyio.sleep(self._place.latency)
        if self.is_dead:
            # A process that was killed says nothing any more, also no goodbye.
            await anyio.sleep_forever()
        if self._place.is_away:
            raise StoreAway("memory cannot be reached")


@dataclass
class Sent:
    """One request: who sent it when, and whether it was refused."""

    member: str
    at: float
    refused: bool = False


@dataclass
class Fleet:
    """Members that send to one provider.

    Args:
        provider: a bucket.
        place: where the gate is.
        limits: what each member is told.
    """

    provider: World
    place: Place = field(default_factory=Place)
    limits: Limits | None = TOLD
    share_of: int | None = None
    requests: list[Sent] = field(default_factory=list)
    gates: dict[str, SharedGate] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    scopes: dict[str, anyio.CancelScope] = field(default_factory=dict)
    stores: dict[str, MemoryStore] = field(default_factory=dict)

    async def member(self, name: str, items: int, *, workers: int = 10, options: Any = None) -> None:
        """One process: it sends so many requests, each until it is answered."""
        left = list(range(items))
        store = self.stores[name] = MemoryStore(self.place)
        gate = self.gates[name] = SharedGate(
            store,
            share_of=self.share_of,
            limits=self.limits,
            name=name,
            left=lambda: float(len(left)),
            **(options or {}),
        )
        with anyio.CancelScope() as scope:
            self.scopes[name] = scope
            async with anyio.create_task_group() as group:
                group.start_soon(gate.run)
                async with anyio.create_task_group() as tasks:
                    for _ in range(min(workers, items)):
                        tasks.start_soon(self._work, name, gate, left)
                group.cancel_scope.cancel()
        self.done[name] = anyio.current_time()

    def kill(self, name: str) -> None:
        """End a process as SIGKILL does: nothing is given back."""
        self.stores[name].is_dead = True
        self.scopes[name].cancel()

    async def _work(self, name: str, gate: SharedGate, left: list[int]) -> None:
        while left:
            left.pop()
            while not await self.send(name, gate):
                pass

    async def send(self, name: str, gate: SharedGate) -> bool:
        """Send one request; whether it was answered."""
        ticket: Ticket = await gate.enter()
        try:
            now = anyio.current_time()
            sent = Sent(name, now)
            self.requests.append(sent)
            wait = self.provider.wait(now, 0)
            if wait > 0:
                sent.refused = True
                await anyio.sleep(self.provider.refusal)
                gate.refused(ticket, math.ceil(wait - 1e-9))
                return False
            await anyio.sleep(self.provider.service)
            gate.succeeded(ticket)
            return True
        finally:
            gate.leave(ticket)

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return sum(sent.refused for sent in self.requests)

    @property
    def seconds(self) -> float:
        """From the first request to the last one."""
        return self.requests[-1].at - self.requests[0].at

    def sent_by(self, name: str) -> int:
        """How many requests a member has sent."""
        return sum(sent.member == name for sent in self.requests)

    @property
    def longest_gap(self) -> float:
        """The longest time in which nothing was sent, between two requests."""
        times = [sent.at for sent in self.requests]
        return max(later - earlier for earlier, later in pairwise(times))


def in_virtual_time(main: Callable[[], Any]) -> None:
    """Run on trio in virtual time, with the tasks in the same order every time."""
    run = wavetank.simulate(lambda _: main(), backend="trio", checks=())
    if run.error is not None:
        raise run.error
    assert run.kind is None, run.report()


def run_members(fleet: Fleet, names: Sequence[str], items: int) -> None:
    """Let members work at the same time until all are done."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(partial(fleet.member, name, items))

    in_virtual_time(main)
