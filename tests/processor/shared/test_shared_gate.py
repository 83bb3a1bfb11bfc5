"""The promises of docs/sharing.md, in virtual time: many members of one gate, and a provider with a limit."""

from __future__ import annotations

import logging
from functools import cache, partial

import anyio
import pytest

from wavetank.processor import GateClosed, Limits, Quota, RateInfo
from wavetank.processor.gate.permits import HeldPermit, Permits
from wavetank.processor.shared import gate_rules, snapshot
from wavetank.processor.shared.link import LEASE_SECONDS
from wavetank.processor.shared.shared_gate import SharedGate
from wavetank.processor.shared.shared_pace import SharedPace

from ...depth import one_in
from ..gate.limited_world import World
from .shared_world import TOLD, Fleet, MemoryStore, Place, in_virtual_time, run_members

FIVE = ("a", "b", "c", "d", "e")


def bucket(depth: float = 1.0) -> World:
    """600 requests in a minute."""
    return World(rate=10.0, depth=depth)


@pytest.mark.parametrize("wakes", [True, False])
def test_five_members_that_are_told_the_limit_keep_it_together(wakes: bool) -> None:
    """None is refused, they need no longer than one would, and each sends a fifth."""
    fleet = Fleet(bucket(), Place(wakes=wakes))
    run_members(fleet, FIVE, 20)
    assert fleet.refused == 0
    assert fleet.seconds <= 1.05 * 99 / 10
    half = fleet.requests[:50]
    assert all(8 <= sum(sent.member == name for sent in half) <= 12 for name in FIVE)


@cache
def five_that_are_told_nothing(depth: float) -> Fleet:
    """Five members that have learnt the limit from a hundred and twenty-five requests."""
    fleet = Fleet(bucket(depth), limits=None)
    run_members(fleet, FIVE, 25)
    return fleet


@pytest.mark.parametrize("depth", [1.0, 20.0])
def test_five_members_that_are_told_nothing_learn_as_one_does(depth: float) -> None:
    """They take no longer than one process with all requests, and are not refused more often."""
    one, five = Fleet(bucket(depth), limits=None), five_that_are_told_nothing(depth)
    run_members(one, ["a"], 125)
    assert five.seconds <= 1.05 * one.seconds
    assert five.refused <= one.refused + 2
    assert all(len(fleet.requests) - fleet.refused == 125 for fleet in (one, five))


def test_nothing_starts_during_a_pause_in_any_member() -> None:
    """After a refusal no member sends until its wait is over, and then one request goes first."""
    fleet = Fleet(World(rate=10.0, depth=5.0, penalty=3.0), limits=Limits(requests_per_minute=1200))
    run_members(fleet, FIVE, 20)
    first = next(sent for sent in fleet.requests if sent.refused)
    known = first.at + fleet.provider.refusal + 2 * fleet.place.latency
    later = [sent for sent in fleet.requests if sent.at > known]
    assert later[0].at - known >= 3.0 - 0.01
    probe_ends = later[0].at + fleet.provider.refusal
    assert later[1].at >= probe_ends
    assert len(fleet.requests) - fleet.refused == 100


def test_one_wave_is_one_pause_for_all() -> None:
    """Requests of several members that were under way together open one pause."""

    async def main() -> None:
        place = Place()
        async with anyio.create_task_group() as group:
            gates = [SharedGate(MemoryStore(place), limits=Limits(requests_per_minute=6e5)) for _ in range(3)]
            for gate in gates:
                group.start_soon(gate.run)
            tickets = [(gate, await gate.enter()) for gate in gates]
            for gate, ticket in tickets:
                gate.refused(ticket, 2)
            await anyio.sleep(0.1)
            assert [gate.generation for gate in gates] == [1, 1, 1]
            assert [gate.deadline for gate in gates] == [pytest.approx(gates[0].deadline, abs=0.02)] * 3
            start = anyio.current_time()
            probe = await gates[1].enter()
            assert anyio.current_time() - start == pytest.approx(2.1, abs=0.02)
            assert [gate.holds_back for gate in gates] == [False, True, False]
            with anyio.move_on_after(0.05):
                await gates[2].enter()
            gates[1].succeeded(probe)
            await gates[2].enter()
            assert anyio.current_time() - start < 2.3
            group.cancel_scope.cancel()

    in_virtual_time(main)


@pytest.mark.parametrize("step", one_in(3, range(1, 11)))
def test_a_member_that_dies_blocks_nobody_longer_than_its_lease(step: int) -> None:
    """It is killed at any time, also as the probe of a pause and with a slot booked."""
    fleet = Fleet(World(rate=10.0, depth=5.0, penalty=0.5), Place(wakes=step % 2 == 0), limits=None)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in ("a", "b", "c"):
                group.start_soon(partial(fleet.member, name, 30))
            await anyio.sleep(step / 4)
            fleet.kill("a")

    in_virtual_time(main)
    assert fleet.longest_gap <= LEASE_SECONDS
    assert all(
        sum(sent.member == name and not sent.refused for sent in fleet.requests) == 30 for name in ("b", "c")
    )
    state = fleet.place.state
    assert state is not None
    assert not state.tickets or set(state.members) == {ticket.member for ticket in state.tickets.values()}


def test_a_dead_probe_is_replaced_when_its_lease_ends() -> None:
    """In an outage a probe may take minutes to fail; a dead one holds the others for a lease only."""

    async def main() -> None:
        place = Place()
        async with anyio.create_task_group() as group:
            fleet = Fleet(bucket(), place)
            group.start_soon(partial(fleet.member, "dead", 0))
            await anyio.sleep(0.1)
            one = SharedGate(MemoryStore(place), limits=TOLD)
            store = MemoryStore(place)
            other = SharedGate(store, limits=TOLD)
            async with anyio.create_task_group() as dies:
                dies.start_soon(other.run)
                group.start_soon(one.run)
                ticket = await other.enter()
                await anyio.sleep(100)
                other.refused(ticket, outage="outage: no answer")
                await other.enter()
                died = anyio.current_time()
                store.is_dead = True
                dies.cancel_scope.cancel()
            await one.enter()
            assert anyio.current_time() - died <= LEASE_SECONDS + 0.1
            group.cancel_scope.cancel()

    in_virtual_time(main)


def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    """Cancelled on the way, at its slot or as it starts: no ticket stays, and the others go on."""

    async def main() -> None:
        for after in range(24):
            place = Place(latency=0.01)
            async with anyio.create_task_group() as group:
                gate = SharedGate(MemoryStore(place), limits=TOLD)
                group.start_soon(gate.run)
                first = await gate.enter()
                with anyio.move_on_after(after * 0.006):
                    gate.leave(await gate.enter())
                gate.leave(first)
                await anyio.sleep(0.3)
                assert place.state is not None
                assert not place.state.tickets, after
                with anyio.fail_after(1):
                    gate.leave(await gate.enter())
                group.cancel_scope.cancel()

    in_virtual_time(main)


def test_a_spent_quota_closes_the_gate_of_every_member() -> None:
    """Also that of one that waits; a member that joins later asks the provider again."""

    async def main() -> None:
        place = Place()
        async with anyio.create_task_group() as group:
            gates = [SharedGate(MemoryStore(place), limits=TOLD) for _ in range(3)]
            for gate in gates[:2]:
                group.start_soon(gate.run)
            ticket = await gates[0].enter()
            gates[0].hold(anyio.current_time() + 5)
            gates[0].exhausted(ticket, "the quota of the day is spent")
            with pytest.raises(GateClosed, match="quota of the day"):
                await gates[1].enter()
            assert anyio.current_time() < 1
            assert gates[1].closed_because == "the quota of the day is spent"
            group.start_soon(gates[2].run)
            await gates[2].enter()
            group.cancel_scope.cancel()

    in_virtual_time(main)


def test_closing_releases_a_waiter_and_says_goodbye() -> None:
    """One that waits for a pause, and one whose call is on its way; the place forgets the process."""

    async def main() -> None:
        place = Place(latency=0.01)
        for after in (0.005, 0.5):
            async with anyio.create_task_group() as group:
                gate = SharedGate(MemoryStore(place), limits=TOLD)
                group.start_soon(gate.run)
                gate.leave(await gate.enter())
                gate.hold(anyio.current_time() + 60)
                group.start_soon(_close_after, gate, after)
                with pytest.raises(GateClosed, match="the run has ended"):
                    await gate.enter()
                group.cancel_scope.cancel()
            assert place.state is not None
            assert not place.state.members
            assert not place.state.tickets

    in_virtual_time(main)


async def _close_after(gate: SharedGate, seconds: float) -> None:
    await anyio.sleep(seconds)
    gate.close()


class Holder:
    """An item that may hold a permit."""

    holds_permit = False


def test_a_waiter_in_line_holds_no_permit() -> None:
    """It releases its permit for the time of a pause, and has one again when it starts."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            gate = SharedGate(MemoryStore(Place()), limits=TOLD)
            group.start_soon(gate.run)
            permits, holders = Permits(1, lambda: None), [Holder() for _ in range(3)]
            gate.hold(anyio.current_time() + 5)
            started = list[float]()

            async def work(holder: Holder) -> None:
                await permits.acquire(holder)
                ticket = await gate.enter(permit=HeldPermit(permits, holder))
                assert holder.holds_permit
                started.append(anyio.current_time())
                gate.leave(ticket)
                permits.release(holder)

            for holder in holders:
                group.start_soon(work, holder)
            await anyio.sleep(4)
            assert [holder.holds_permit for holder in holders] == [False] * 3
            assert permits.waiting_holders == 3
            await anyio.sleep(2)
            assert len(started) == 3
            group.cancel_scope.cancel()

    in_virtual_time(main)


def test_without_its_place_each_member_keeps_to_its_share(caplog: pytest.LogCaptureFixture) -> None:
    """A warning says so; together they keep the limit; then they share it again."""
    fleet = Fleet(bucket(depth=5.0))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in FIVE:
                group.start_soon(partial(fleet.member, name, 60))
            await anyio.sleep(5)
            fleet.place.is_away = True
            await anyio.sleep(10)
            fleet.place.is_away = False

    with caplog.at_level(logging.WARNING):
        in_virtual_time(main)
    assert fleet.refused <= 2
    away = [sent for sent in fleet.requests if 6 < sent.at < 15]
    assert 0.8 * 90 <= len(away) <= 1.1 * 90
    assert len(fleet.requests) - fleet.refused == 300
    assert fleet.seconds < 1.15 * 30
    assert sum("1/5 of the limit" in record.message for record in caplog.records) == 5
    assert sum("shared again" in record.message for record in caplog.records) == 5


def test_a_place_that_was_never_reached_gives_the_share_that_was_asked_for() -> None:
    """`share_of` divides the limit until the place is there."""
    fleet = Fleet(bucket(), Place(is_away=True), share_of=4)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(fleet.member, "a", 60))
            await anyio.sleep(10)
            assert 24 <= len(fleet.requests) <= 27
            fleet.place.is_away = False

    in_virtual_time(main)
    assert fleet.seconds < 16
    assert fleet.refused == 0


def test_a_place_that_lost_its_data_is_joined_again() -> None:
    """After a flush of the server the members begin a new gate, and each request ends."""
    fleet = Fleet(bucket(depth=5.0))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in FIVE:
                group.start_soon(partial(fleet.member, name, 20))
            await anyio.sleep(5)
            fleet.place.state = None

    in_virtual_time(main)
    assert len(fleet.requests) - fleet.refused == 100
    assert fleet.refused <= 5


def test_the_strictest_of_the_told_limits_counts_for_all() -> None:
    """A member that is told less slows the others down, also when it is told later."""
    fleet = Fleet(World(rate=100.0, depth=50.0))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in ("a", "b"):
                group.start_soon(partial(fleet.member, name, 100))
            await anyio.sleep(5)
            fleet.gates["a"].retune(Limits(requests_per_minute=300))
            before = len(fleet.requests)
            await anyio.sleep(5)
            assert 20 <= len(fleet.requests) - before <= 30
            group.cancel_scope.cancel()

    in_virtual_time(main)


def test_a_told_limit_of_tokens_is_kept_by_all() -> None:
    """Of 6,000 tokens a minute two requests of 50 start in a second, and fewer if they took more."""

    async def main() -> None:
        place = Place()
        limits = Limits(tokens_per_minute=6000, token_burst=50)
        async with anyio.create_task_group() as group:
            gates = [SharedGate(MemoryStore(place), limits=limits) for _ in range(2)]
            for gate in gates:
                group.start_soon(gate.run)
            start, started = anyio.current_time(), list[float]()
            for number in range(8):
                gate = gates[number % 2]
                ticket = await gate.enter(50.0)
                started.append(anyio.current_time() - start)
                gate.succeeded(ticket, 50.0 if number < 5 else 150.0)
                await anyio.sleep(0.01)  # the report is on its way in a task of its own
            assert started[4] == pytest.approx(2.0, rel=0.05)
            assert started[7] - started[5] == pytest.approx(3.0, rel=0.05)
            group.cancel_scope.cancel()

    in_virtual_time(main)


def test_limits_that_answers_state_are_kept_by_all() -> None:
    """What is left in a bucket is stated to one member; all together spend no more."""

    async def main() -> None:
        place = Place()
        async with anyio.create_task_group() as group:
            gates = [SharedGate(MemoryStore(place)) for _ in range(2)]
            for gate in gates:
                group.start_soon(gate.run)
            ticket = await gates[0].enter()
            stated = Quota(limit=60, remaining=3, resets_in=57, per_second=1.0)
            gates[0].succeeded(ticket)
            gates[0].learn(RateInfo(requests=stated), ticket)
            await anyio.sleep(0.1)
            start, started = anyio.current_time(), list[float]()
            for number in range(8):
                gate = gates[number % 2]
                gate.leave(await gate.enter())
                started.append(anyio.current_time() - start)
            assert started[2] < 0.2
            assert started[7] > 3.5
            group.cancel_scope.cancel()

    in_virtual_time(main)


def test_a_member_that_joins_later_knows_what_was_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads a snapshot and the log after it, and comes to the same pace as the others."""
    monkeypatch.setattr(gate_rules, "SNAPSHOT_ENTRIES", 256)
    fleet = Fleet(bucket(), limits=None)
    run_members(fleet, ["a", "b"], 65)
    state = fleet.place.state
    assert state is not None
    assert state.numbers["base"] > 0
    assert len(state.log) < 750
    late, whole = SharedPace(Limits(), lambda *_: None), SharedPace(Limits(), lambda *_: None)
    late.read(state.born, int(state.numbers["base"]), state.learnt, state.log)
    assert late.pace.per_second == pytest.approx(10, rel=0.1)
    # The same once more: a snapshot of it is read as it was written.
    whole.read(state.born, late.cursor, late.snapshot(), [])
    assert whole.snapshot() == late.snapshot()
    assert whole.words() == late.words()


def test_members_that_read_the_log_in_other_parts_learn_the_same() -> None:
    """The pace follows from the entries alone, however many are read at a time."""
    fleet = five_that_are_told_nothing(1.0)
    state = fleet.place.state
    assert state is not None
    assert not state.numbers["base"]
    at_once, one_by_one = (SharedPace(Limits(requests_per_minute=60), lambda *_: None) for _ in range(2))
    at_once.read(state.born, 0, "", state.log)
    for place, entry in enumerate(state.log):
        one_by_one.read(state.born, place, "", [entry])
    assert at_once.snapshot() == one_by_one.snapshot()


@pytest.mark.parametrize("text", ["", "[", '{"is": "os.system"}', '[{"is": "Pace", "x": {"is": "?"}}]'])
def test_something_else_in_the_place_of_a_snapshot_is_refused(text: str) -> None:
    """Nothing of it is run, and the error says what it is not."""
    with pytest.raises(ValueError, match=r"."):
        snapshot.decode(text)
