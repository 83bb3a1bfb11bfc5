"""The link of one process to a shared gate: it brings what happened, and fetches what others did."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, final

import anyio

from ..gate.meter import Left
from ..limits import Limits
from .errors import SharedGateError, StoreAway
from .shared_pace import US, Noted, SharedPace, encode_limits
from .stores import Store

LEASE_SECONDS: Final = 10.0
"""What a dead process holds is free after so long: a stop of the world by a collection or a move of a
virtual machine takes a second or two."""
BEATS: Final = 3
"""A lease is renewed so many times while it lasts, so that one late beat does no harm."""
FIRST_RETRY_SECONDS: Final = 0.25
LONGEST_RETRY_SECONDS: Final = 5.0
"""The pause before the next try to reach the place doubles up to this."""
GOODBYE_SECONDS: Final = 1.0
"""A process that ends does not wait longer for a place that does not answer; its lease ends by itself."""


class View(NamedTuple):
    """The shared state as the last reply has it; `deadline` is on anyio's clock."""

    generation: int
    deadline: float
    in_a_row: int
    has_probe: bool


class Started(NamedTuple):
    """A request may start now: its number, when it counts as sent, and what its ticket says."""

    number: int
    sent_us: int
    generation: int
    under_way: int


class Wait(NamedTuple):
    """A request may not start before this instant of anyio's clock; `is_slot` says that it is booked."""

    until: float
    is_slot: bool


class Member(Protocol):
    """What a link needs of its gate."""

    def joined(self) -> None:
        """The shared gate can be used from now on."""
        ...

    def lost(self, why: str) -> None:
        """The shared gate cannot be used from now on."""
        ...

    def saw(self, view: View) -> None:
        """Another reply has come."""
        ...

    def look_again(self) -> None:
        """What a waiter waits for has changed."""
        ...

    def closed_by_other(self, reason: str) -> None:
        """Another process has learnt that nothing more is served."""
        ...

    def items_left(self) -> float:
        """How many requests this process has still to send, if that is known."""
        ...


@final
@dataclass(eq=False, slots=True)
class _Entry:
    """A request that wants to start."""

    tokens: float
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: Started | Wait | None = None
    is_sent: bool = False
    is_abandoned: bool = False

    def resolve(self, answer: Started | Wait | None) -> None:
        self.answer = answer
        self.done.set()


@final
class Link:
    """Sends operations in the order in which they are reported, several in one call.

    Args:
        store: the place of the state.
        pace: what is learnt.
        limits: those that this process is given.
    """

    def __init__(self, store: Store, pace: SharedPace, *, limits: Limits) -> None:
        self._store = store
        self.pace: Final = pace
        self._limits = limits
        self._lease = LEASE_SECONDS
        self._gate: Member | None = None
        self._born = self._me = ""
        self._outbox: list[str] = []
        self._entry: _Entry | None = None
        self._has_work = anyio.Event()
        self._hears = store.wakes
        self._has_joined = False
        self.members: float = 0
        """How many processes shared the gate at the last reply; 0 before the first one."""
        self.is_away = False
        """Whether the place cannot be reached."""

    def __repr__(self) -> str:
        state = "away" if self.is_away else f"member {self._me}" if self._has_joined else "not joined yet"
        return f"<Link to {self._store!r}, {state}>"

    @property
    def place(self) -> str:
        """Where the state is, without a password."""
        return self._store.place

    @property
    def hears(self) -> bool:
        """Whether this process hears of changes by others; if not, a waiter has to look for them."""
        return self._hears

    def report(self, operation: str) -> None:
        """Take an operation to be sent with the next call, which is made at once."""
        if not self.is_away:
            self._outbox.append(operation)
            self._has_work.set()

    def retune(self, limits: Limits) -> None:
        """Report that this process was given other limits."""
        self._limits = limits
        self.report(f"T|{encode_limits(limits)}")

    async def enter(self, tokens: float) -> Started | Wait | None:
        """Ask for a slot; `None` if the place cannot be reached, or the waiter has to look again.

        A caller that is cancelled leaves nothing behind: a request that was let in for it is withdrawn.
        """
        if self.is_away:
            return None
        entry = self._entry = _Entry(tokens)
        self._has_work.set()
        try:
            await entry.done.wait()
        except BaseException:
            entry.is_abandoned = True
            self._withdraw(entry.answer)
            raise
        return entry.answer

    def release(self) -> None:
        """Let the waiter in `enter` go, if there is one."""
        if self._entry is not None:
            self._entry.is_abandoned = True
            self._entry.resolve(None)
            self._entry = None

    async def run(self, gate: Member) -> None:
        """Keep the link until it is cancelled; then leave the gate.

        Raises:
            SharedGateError: the place could be reached, but is of no use from the beginning.
        """
        self._gate = gate
        retry = FIRST_RETRY_SECONDS
        try:
            while True:
                try:
                    await self._store.connect()
                    await self._serve(gate)
                except SharedGateError as error:
                    if not isinstance(error, StoreAway) and not self.members:
                        raise
                    if self._has_joined:
                        retry = FIRST_RETRY_SECONDS
                    self._lose(gate, str(error))
                finally:
                    if self.is_away:
                        await self._store.aclose()
                await anyio.sleep(retry)
                retry = min(2 * retry, LONGEST_RETRY_SECONDS)
        finally:
            self.release()
            await self._leave()

    async def _serve(self, gate: Member) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, gate)
                while True:
                    await self._call(gate)
                    with anyio.move_on_after(self._lease / BEATS):
                        await self._has_work.wait()
        except BaseExceptionGroup as errors:
            of_place, others = errors.split(SharedGateError)
            if of_place is None or others is not None:
                raise
            # Both connections are lost at once.
            first = of_place.exceptions[0]
            raise first from first.__cause__

    async def _listen(self, gate: Member) -> None:
        try:
            await self._store.listen(gate.look_again)
        except StoreAway:
            raise
        except SharedGateError:
            # Channels may be forbidden to the user of the server: then a waiter looks by itself.
            self._hears = False

    async def _call(self, gate: Member) -> None:
        """Make one call with all that was reported since the last one."""
        self._has_work = anyio.Event()
        operations, self._outbox = self._outbox, []
        if not self._me:
            operations = [f"T|{encode_limits(self._limits)}", *operations]
        entry = self._entry
        if entry is not None and not entry.is_sent and not entry.is_abandoned:
            entry.is_sent = True
            left = min(gate.items_left(), 1e300)
            operations.append(f"E {entry.tokens:.17g} {left:.17g}")
        else:
            entry = None
        lease, cursor = round(self._lease * US), self.pace.cursor
        reply = await self._store.call(
            [self._born, self._me, str(lease), str(cursor), self.pace.words(), *operations]
        )
        if reply[0] == "new":
            # The server has lost its data: there is nothing left of what this process had there.
            if entry is not None:
                entry.is_sent = False
            raise StoreAway(f"{self.place} has lost the state of the gate")
        self._read(gate, reply, entry)

    def _read(self, gate: Member, reply: list[str], entry: _Entry | None) -> None:
        received = anyio.current_time()
        words = reply[0].split()
        now, born, me, generation, deadline, in_a_row, probe, members, _, start, wanted, count = words
        first_entry = 2 + int(count)
        was_member, self._born, self._me = bool(self._me), born, me
        self.members = float(members)
        try:
            noted = self.pace.read(born, int(start), reply[1], reply[first_entry:])
        except ValueError as error:
            raise SharedGateError(
                f"{self.place} has something in the place of what was learnt: {error}"
            ) from error
        if not self._has_joined:
            self._has_joined, self.is_away = True, False
            gate.joined()

        def local(instant: str) -> float:
            return received + (float(instant) - float(now)) / US

        gate.saw(View(int(generation), local(deadline), int(in_a_row), probe != "0"))
        for one in noted if was_member else ():
            self._act_on(gate, one)
        if wanted == "1":
            self.report(f"S {self.pace.cursor}|{self.pace.snapshot()}")
        if entry is not None:
            words = reply[first_entry - 1].split(" ")
            self._resolve(
                entry,
                Started(*map(int, words[1:]))
                if words[0] == "start"
                else Wait(local(words[1]), is_slot=words[0] == "slot"),
            )

    def _resolve(self, entry: _Entry, answer: Started | Wait) -> None:
        if self._entry is entry:
            self._entry = None
        if entry.is_abandoned:
            self._withdraw(answer)
        else:
            entry.resolve(answer)

    def _withdraw(self, answer: Started | Wait | None) -> None:
        if isinstance(answer, Started):
            self.report(f"W {answer.number}")

    def _act_on(self, gate: Member, noted: Noted) -> None:
        if noted.closed is not None:
            gate.closed_by_other(noted.closed)
        if noted.stated is None or noted.member != self._me:
            return
        for budget, left in (("r", noted.stated.requests), ("t", noted.stated.tokens)):
            if isinstance(left, Left) and math.isfinite(left.units):
                self.report(f"Q {budget} {int(left.exactly)} {left.units:.17g} {noted.last}")
        if noted.stated.spent_for > 0:
            self.report(f"P {round(noted.stated.spent_for * US)}")

    def _lose(self, gate: Member, why: str) -> None:
        was_away, self.is_away, self._has_joined = self.is_away, True, False
        # It joins as a new member: what the old one holds is free when its lease ends.
        self._born = self._me = ""
        self._outbox.clear()
        if not was_away:
            gate.lost(why)
        self.pace.restart()
        self.release()

    async def _leave(self) -> None:
        """Give back what this process holds; without it that is free when the lease ends."""
        with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
            try:
                if self._has_joined:
                    lease = str(round(self._lease * US))
                    words = [self._born, self._me, lease, str(self.pace.cursor), self.pace.words()]
                    await self._store.call([*words, *self._outbox, "G"])
            except SharedGateError:
                pass
            finally:
                await self._store.aclose()
