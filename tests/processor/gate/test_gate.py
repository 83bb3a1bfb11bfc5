"""The gate: pauses, generations and the probe, also when tasks are cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from trio.testing import MockClock

from wavetank.processor import (
    Decision,
    ExponentialDelay,
    FixedDelay,
    Gate,
    GateClosed,
    Limits,
    RateInfo,
    Ticket,
)
from wavetank.processor.errors.reset_times import UntilInstant
from wavetank.processor.gate.permits import HeldPermit, Permits

from ..stepping import USUAL

Main = Callable[[], Awaitable[None]]


def usual_gate(**options: Any) -> Gate:
    """A gate of a known rate."""
    return Gate(**({"limits": USUAL} | options))


def in_virtual_time(main: Main) -> None:
    """Run on trio with a clock that jumps to the next timer when all tasks wait."""
    trio.run(main, clock=MockClock(autojump_threshold=0))


async def send(gate: Gate, log: list[tuple[str, float]], name: str, *, seconds: float = 0.0) -> None:
    """One request that is served after `seconds`."""
    ticket = await gate.enter()
    try:
        log.append((name, anyio.current_time()))
        await anyio.sleep(seconds)
        gate.succeeded(ticket)
    finally:
        gate.leave(ticket)


async def refuse_one(gate: Gate, retry_after_seconds: float | None = None, *, seconds: float = 0.0) -> Ticket:
    """One request that is refused after `seconds`."""
    ticket = await gate.enter()
    await anyio.sleep(seconds)
    gate.refused(ticket, retry_after_seconds)
    gate.leave(ticket)
    return ticket


@pytest.mark.anyio
async def test_an_open_gate_lets_all_requests_through() -> None:
    """Before any refusal tickets come at once, many at the same time."""
    gate = usual_gate()
    tickets = [await gate.enter() for _ in range(5)]
    assert [ticket.generation for ticket in tickets] == [0] * 5
    assert "open" in repr(gate)


@pytest.mark.anyio
async def test_nothing_starts_during_a_pause() -> None:
    """A request that comes during a pause starts when it has passed, on both backends."""
    gate, log = usual_gate(), list[tuple[str, float]]()
    await refuse_one(gate, 0.01)
    assert "paused" in repr(gate)
    await send(gate, log, "a")
    assert log[0][1] >= gate.deadline
    assert "open" in repr(gate)


@pytest.mark.parametrize(
    ("stated", "waited"),
    [
        (10, 11),
        (3000, 3300),
        (3500, 3660),
        (3600, 3660),
        (98 * 3600, 98 * 3600 + 60),
        (UntilInstant(10), 11),
        (UntilInstant(98 * 3600), 98 * 3600 + 1),
    ],
)
def test_the_margin_on_a_stated_wait_does_not_grow_with_hours(stated: float, waited: float) -> None:
    """A tenth, a minute from an hour on, a second where an instant was written; also for a late refusal."""

    async def main() -> None:
        gate, start = usual_gate(), anyio.current_time()
        gate.refused(await gate.enter(), stated)
        assert gate.deadline - start == pytest.approx(waited)
        late = usual_gate()
        first, second = await late.enter(), await late.enter()
        late.refused(first, 1)
        late.refused(second, stated)
        assert late.deadline - start == pytest.approx(waited)
        assert FixedDelay(5).seconds(0, stated) == pytest.approx(waited)

    in_virtual_time(main)


def test_a_stated_wait_is_a_floor_with_a_tenth_on_top() -> None:
    """With a Retry-After of 10 s the next request starts after 11 s, no matter how long such waits grow."""

    async def main() -> None:
        gate, log = usual_gate(delays=ExponentialDelay(cap_seconds=60)), list[tuple[str, float]]()
        start = anyio.current_time()
        await refuse_one(gate, 10)
        await send(gate, log, "a")
        assert log[-1][1] - start == pytest.approx(11)
        await refuse_one(gate, 1000)
        await send(gate, log, "b")
        assert log[-1][1] - start == pytest.approx(1111, abs=0.1)

    in_virtual_time(main)


@pytest.mark.parametrize("stated", [None, 0, -5])
def test_without_a_stated_wait_the_pause_doubles_until_a_success(stated: float | None) -> None:
    """1, 2, 4, then the cap of 5 s; after a success 1 s again; a wait of nothing counts as none."""

    async def main() -> None:
        gate = usual_gate(delays=ExponentialDelay(1, 5))
        pauses = []
        for _ in range(4):
            await refuse_one(gate, stated)
            pauses.append(gate.deadline - anyio.current_time())
        await send(gate, [], "a")
        await refuse_one(gate, stated)
        pauses.append(gate.deadline - anyio.current_time())
        assert pauses == pytest.approx([1, 2, 4, 5, 1])

    in_virtual_time(main)


def test_a_thousand_pauses_in_a_row_do_not_overflow() -> None:
    """The delay stays at the cap however often the doubling goes on."""

    async def main() -> None:
        gate = usual_gate(delays=ExponentialDelay(cap_seconds=60))
        for _ in range(1100):
            await refuse_one(gate)
        assert gate.deadline - anyio.current_time() == pytest.approx(60)

    in_virtual_time(main)


@pytest.mark.anyio
async def test_requests_refused_together_open_one_pause() -> None:
    """Ten requests in flight, all refused: one generation, and the delay does not double ten times."""
    gate = usual_gate()
    tickets = [await gate.enter() for _ in range(10)]
    start = anyio.current_time()
    for ticket in tickets:
        gate.refused(ticket)
    assert gate.generation == 1
    assert gate.deadline - start == pytest.approx(1, abs=0.5)


def test_a_late_refusal_of_the_wave_before_opens_no_second_pause() -> None:
    """A refusal of a request sent before the pause changes nothing once the pause is over."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late = await gate.enter()
        await refuse_one(gate, 1)
        await send(gate, log, "probe")
        deadline = gate.deadline
        gate.refused(late)
        assert (gate.generation, gate.deadline) == (1, deadline)
        await send(gate, log, "next")
        assert log[1][1] == pytest.approx(log[0][1] + 0.025)

    in_virtual_time(main)


@pytest.mark.parametrize(("second", "expected"), [(5, 11.0), (10, 12.0), (20, 23.0)])
def test_a_deadline_only_grows(second: float, expected: float) -> None:
    """A late refusal moves the end of the pause if its own wait ends later, and never to an earlier end."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late, start = await gate.enter(), anyio.current_time()
        await refuse_one(gate, 10)
        await anyio.sleep(1)
        gate.refused(late, second)
        await send(gate, log, "a")
        assert log[0][1] - start == pytest.approx(expected)
        assert gate.generation == 1

    in_virtual_time(main)


def test_a_waiter_notices_that_the_pause_became_longer() -> None:
    """A waiter that fell asleep before the pause grew does not start at the old end."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late, start = await gate.enter(), anyio.current_time()
        await refuse_one(gate, 10)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, gate, log, "a")
            await anyio.sleep(10.5)
            gate.refused(late, 10)
        assert log[0][1] - start == pytest.approx(21.5)

    in_virtual_time(main)


def test_a_late_refusal_that_shuts_an_open_gate_is_followed_by_a_probe() -> None:
    """A long Retry-After that comes late holds all requests back, and after it one probe starts."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late = await gate.enter()
        await refuse_one(gate, 1, seconds=0.5)
        await send(gate, [], "probe", seconds=0.05)
        gate.refused(late, 10)
        ends = gate.deadline
        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(partial(send, gate, log, name, seconds=0.3))
        assert [at - ends for _, at in log] == pytest.approx([0, 0.3, 0.325])
        assert gate.generation == 1

    in_virtual_time(main)


def test_after_a_pause_one_request_starts_and_the_others_follow_one_by_one() -> None:
    """Of five waiters one starts when the pause ends, one when its answer is there, the rest at the pace."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        await refuse_one(gate, 1, seconds=0.5)
        async with anyio.create_task_group() as tasks:
            for name in "abcde":
                tasks.start_soon(partial(send, gate, log, name, seconds=0.5))
            await anyio.sleep(1.5)
            assert "probe under way" in repr(gate)
        times = [at - gate.deadline for _, at in log]
        assert times == pytest.approx([0, 0.5, 0.525, 0.55, 0.575])

    in_virtual_time(main)


def test_a_refused_probe_opens_the_next_pause() -> None:
    """The others wait through it and send nothing."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        await refuse_one(gate, 1, seconds=0.5)
        probe, start = await gate.enter(), anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for name in "ab":
                tasks.start_soon(send, gate, log, name)
            await anyio.sleep(0.5)
            gate.refused(probe, 10)
        assert gate.generation == 2
        assert [at - start for _, at in log] == pytest.approx([11.5, 11.525])

    in_virtual_time(main)


def test_a_success_from_before_the_pause_does_not_open_the_gate() -> None:
    """Only the probe's answer counts, and an early success does not shorten the next delay."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        early = await gate.enter()
        await refuse_one(gate, seconds=0.6)
        probe = await gate.enter()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, gate, log, "a")
            await anyio.sleep(0.5)
            gate.succeeded(early)
            await anyio.sleep(0.3)
            assert log == []
            now = anyio.current_time()
            gate.refused(probe)
            assert gate.deadline - now == pytest.approx(2)

    in_virtual_time(main)


def test_a_probe_served_while_the_pause_grew_leaves_the_gate_shut() -> None:
    """If a late refusal lengthens the pause under the probe, another probe follows after the longer pause."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late = await gate.enter()
        await refuse_one(gate, 1)
        probe = await gate.enter()
        gate.refused(late, 10)
        gate.succeeded(probe)
        async with anyio.create_task_group() as tasks:
            for name in "ab":
                tasks.start_soon(partial(send, gate, log, name, seconds=1))
        assert [at - gate.deadline for _, at in log] == pytest.approx([0, 1])

    in_virtual_time(main)


def test_a_success_beside_the_probe_does_not_open_the_gate() -> None:
    """A request that was under way when a late refusal shut the gate may end while the probe is out."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late = await gate.enter()
        await refuse_one(gate, 1)
        await send(gate, [], "probe")
        bystander = await gate.enter()
        gate.refused(late, 10)
        probe = await gate.enter()
        gate.succeeded(bystander)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, gate, log, "next")
            await anyio.sleep(0.9)
            assert log == []
            gate.succeeded(probe)
        assert len(log) == 1

    in_virtual_time(main)


def test_a_probe_that_ends_without_an_answer_makes_the_next_one_the_probe() -> None:
    """If the probe fails for another reason, the next waiter becomes the probe, one at a time."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        await refuse_one(gate, seconds=0.6)
        probe = await gate.enter()
        async with anyio.create_task_group() as tasks:
            for name in "ab":
                tasks.start_soon(partial(send, gate, log, name, seconds=0.5))
            await anyio.sleep(0.1)
            assert log == []
            gate.leave(probe)
        assert [at - gate.deadline for _, at in log] == pytest.approx([0.1, 0.6])

    in_virtual_time(main)


@pytest.mark.anyio
async def test_cancelling_the_probe_blocks_no_other_task() -> None:
    """The probe's task is cancelled in the middle of its request: the others all get through."""
    gate, log = usual_gate(delays=ExponentialDelay(0.001)), list[tuple[str, float]]()
    await refuse_one(gate)
    async with anyio.create_task_group() as outer, anyio.create_task_group() as doomed:
        doomed.start_soon(partial(send, gate, log, "probe", seconds=1000))
        await anyio.sleep(0.005)
        for name in "abc":
            outer.start_soon(send, gate, log, name)
        await anyio.wait_all_tasks_blocked()
        doomed.cancel_scope.cancel()
    assert sorted(name for name, _ in log) == ["a", "b", "c", "probe"]


@pytest.mark.parametrize("seed", range(50))
def test_cancelling_waiters_never_ends_the_pause_of_others(seed: int) -> None:
    """Some waiters are cancelled in the pause, at its end or behind the probe; the rest get through."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        await refuse_one(gate, 1)
        start = anyio.current_time()

        async def impatient(name: str, longest_wait: float) -> None:
            with anyio.move_on_after(longest_wait):
                await send(gate, log, name, seconds=0.5)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                longest_wait = (0.3, 1.1, 1.3, 1.6, 100, 2.1)[(number * (seed + 1) + seed // 6) % 6]
                tasks.start_soon(impatient, f"{longest_wait}-{number}", longest_wait)
            tasks.start_soon(impatient, "100-last", 100)
        assert all(at - start >= 1.1 for _, at in log)
        assert "100-last" in [name for name, _ in log]
        assert "open" in repr(gate)

    in_virtual_time(main)


@pytest.mark.anyio
@pytest.mark.parametrize("steps", range(16))
async def test_cancelling_at_every_step_leaves_the_gate_usable(steps: int) -> None:
    """After however many steps the waiters are cancelled, the next one gets its ticket."""
    gate, log = usual_gate(delays=ExponentialDelay(0.001)), list[tuple[str, float]]()
    await refuse_one(gate)
    await anyio.sleep_until(gate.deadline)
    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(send, gate, log, name)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(60):
        await send(gate, log, "survivor")
    assert log[-1][0] == "survivor"
    assert "open" in repr(gate)


@pytest.mark.anyio
async def test_giving_a_ticket_back_twice_does_nothing() -> None:
    """A ticket that was given back before does not end the probe of another task."""
    gate = usual_gate(delays=ExponentialDelay(0.001))
    first = await refuse_one(gate)
    probe = await gate.enter()
    gate.leave(first)
    assert "probe under way" in repr(gate)
    gate.succeeded(probe)
    gate.leave(probe)
    assert "open" in repr(gate)


def test_a_refusal_of_the_probe_after_a_newer_pause_only_waits() -> None:
    """A probe that is refused after another request has opened a pause opens none of its own."""

    async def main() -> None:
        gate, log = usual_gate(), list[tuple[str, float]]()
        late = await gate.enter()
        await refuse_one(gate, 1)
        await send(gate, log, "probe")
        bystander = await gate.enter()
        gate.refused(late, 10)
        probe = await gate.enter()
        gate.refused(bystander, 1)
        assert gate.generation == 2
        gate.refused(probe)
        assert gate.generation == 2
        await send(gate, log, "next")
        assert log[-1][1] == gate.deadline

    in_virtual_time(main)


@pytest.mark.anyio
async def test_exhausted_closes_the_gate_for_good() -> None:
    """Waiters and new requests are refused, no ticket is valid, and requests under way are finished."""
    decisions: list[Decision] = []
    gate = usual_gate(name="key", observer=decisions.append)
    first, second, third = [await gate.enter() for _ in range(3)]
    assert gate.admits(second)
    assert not gate.closed
    gate.exhausted(first, "daily quota")
    assert (gate.closed, gate.closed_because, gate.under_way) == (True, "daily quota", 2)
    assert not gate.admits(second)
    gate.exhausted(second, "another")
    gate.refused(third, 10)
    assert (gate.closed_because, gate.under_way) == ("daily quota", 0)
    assert gate.deadline < anyio.current_time(), "a closed gate begins no pause"
    assert [(one.kind, one.scope, one.reason) for one in decisions] == [("closed", "key", "daily quota")]
    with pytest.raises(GateClosed, match="daily quota; nothing more is sent"):
        await gate.enter()
    assert "closed" in repr(gate)


@pytest.mark.parametrize("wait", ["line", "rest"])
def test_exhausted_releases_all_waiters(wait: str) -> None:
    """At once, be it in the line or in a rest, and not at the end of the pause."""

    async def main() -> None:
        gate, ended = usual_gate(), list[float]()
        late = await gate.enter()
        await refuse_one(gate, 100)

        async def waiter() -> None:
            if wait == "rest":
                await gate.rest(anyio.current_time() + 50)
            else:
                with pytest.raises(GateClosed):
                    await gate.enter()
            ended.append(anyio.current_time() - start)

        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waiter)
            await anyio.sleep(1)
            gate.exhausted(late, "quota")
            await gate.rest(anyio.current_time() + 50)
        assert ended == [pytest.approx(1)] * 3
        assert anyio.current_time() - start == pytest.approx(1)

    in_virtual_time(main)


def test_a_rest_ends_in_time() -> None:
    """Nothing but its end or the gate's closing wakes it."""

    async def main() -> None:
        gate, start = usual_gate(), anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(gate.rest, start + 5)
            await refuse_one(gate, 1)
        assert anyio.current_time() - start == pytest.approx(5)

    in_virtual_time(main)


def test_a_hanging_probe_after_a_stated_pause_holds_others_back_for_a_second() -> None:
    """Nothing was refused, so it is not known how long a refusal takes."""

    async def main() -> None:
        gate, log, start = usual_gate(), list[tuple[str, float]](), anyio.current_time()
        gate.hold(start + 5)
        async with anyio.create_task_group() as group:
            for name in "ab":
                group.start_soon(partial(send, gate, log, name, seconds=50))
        assert [at - start for _, at in log] == pytest.approx([5, 6])

    in_virtual_time(main)


@pytest.mark.anyio
async def test_a_pause_that_is_over_holds_nothing_back() -> None:
    """An instant that is past, as an earlier run may have left it, opens no pause and costs no time."""
    gate = usual_gate()
    gate.hold(anyio.current_time() - 2)
    assert (gate.pauses, gate.paused_seconds) == (0, 0.0)
    assert "open" in repr(gate)


def test_a_pause_is_counted_when_it_begins() -> None:
    """For each cause: a good answer, a refusal that makes it longer, an earlier run."""

    async def main() -> None:
        gate = usual_gate()
        gate.hold(anyio.current_time())
        assert gate.pauses == 0
        first, second = await gate.enter(), await gate.enter()
        gate.learn(RateInfo(wait=5), first)
        gate.leave(first)
        gate.refused(second, 10)
        assert (gate.pauses, gate.generation, gate.paused_seconds) == (1, 1, 0)
        gate.leave(await gate.enter())
        gate.hold(anyio.current_time() + 1)
        assert (gate.pauses, gate.generation, round(gate.paused_seconds, 6)) == (2, 1, 11)

    in_virtual_time(main)


@dataclass
class Worker:
    """Who may hold a permit."""

    holds_permit: bool = False


def test_a_waiter_releases_its_permit_until_the_gate_opens() -> None:
    """In the pause another has the permit; the waiter starts when the gate is open and the permit free."""

    async def main() -> None:
        gate, hired = usual_gate(), list[float]()
        permits = Permits(1, lambda: hired.append(anyio.current_time()))
        one, other, tickets = Worker(), Worker(), list[Ticket]()
        start = anyio.current_time()

        async def enter() -> None:
            await permits.acquire(one)
            tickets.append(await gate.enter(permit=HeldPermit(permits, one)))

        await refuse_one(gate, 1)
        async with anyio.create_task_group() as group:
            group.start_soon(enter)
            await anyio.sleep(0.5)
            assert (one.holds_permit, permits.waiting_holders, hired) == (False, 1, [start])
            with anyio.fail_after(0):
                await permits.acquire(other)
            await anyio.sleep(1.5)
            assert tickets == []
            permits.release(other)
        assert [ticket.sent - start for ticket in tickets] == [2]
        assert (one.holds_permit, permits.waiting_holders) == (True, 0)

    in_virtual_time(main)


def test_a_pause_that_begins_before_the_permit_is_there_is_seen() -> None:
    """After the wait for the permit the gate is checked again, and meanwhile others can use the permit."""

    async def main() -> None:
        gate, permits = usual_gate(), Permits(1, lambda: None)
        one, other, tickets = Worker(), Worker(), list[Ticket]()
        start = anyio.current_time()

        async def enter() -> None:
            tickets.append(await gate.enter(permit=HeldPermit(permits, one)))

        await refuse_one(gate, 1)
        await permits.acquire(other)
        async with anyio.create_task_group() as group:
            group.start_soon(enter)
            await anyio.sleep(2)
            gate.hold(start + 5)
            permits.release(other)
            await anyio.sleep(1)
            assert (one.holds_permit, tickets) == (False, [])
            with anyio.fail_after(0):
                await permits.acquire(other)
            permits.release(other)
        assert [ticket.sent - start for ticket in tickets] == [5]
        assert one.holds_permit

    in_virtual_time(main)


def test_an_outage_pauses_and_cuts_nothing() -> None:
    """The pause has its reason and its probe; rate and room stay, also if many requests were under way."""

    async def main() -> None:
        seen: list[Decision] = []
        gate, start = usual_gate(observer=seen.append), anyio.current_time()
        tickets = [await gate.enter() for _ in range(4)]
        rate, room = gate.pace.per_second, gate.pace.room
        assert gate.under_way_since(start) == 4
        assert gate.under_way_since(start + 0.001) == 0
        assert not gate.holds_back
        for ticket in tickets:
            gate.refused(ticket, outage="outage: no status, ConnectError")
        assert (gate.pace.per_second, gate.pace.room, gate.generation) == (rate, room, 1)
        assert [(one.kind, one.until, one.reason) for one in seen] == [
            ("paused", start + 1, "outage: no status, ConnectError")
        ]
        assert gate.holds_back
        probe = await gate.enter()
        assert (probe.sent, gate.holds_back) == (start + 1, True)
        gate.succeeded(probe)
        assert not gate.holds_back
        assert gate.under_way_since(start) == 0

    in_virtual_time(main)


def test_the_last_probe_of_an_outage_is_sent_in_time() -> None:
    """The gate's own delay ends at the latest instant, if that is not past; a stated wait is kept."""

    async def main() -> None:
        for latest, stated, waited in ((3, None, 3), (100, None, 10), (-5, None, 0), (3, 50, 55)):
            gate, start = usual_gate(delays=FixedDelay(10)), anyio.current_time()
            gate.refused(await gate.enter(), stated, outage="away", latest=start + latest)
            assert (await gate.enter()).sent - start == pytest.approx(waited)

    in_virtual_time(main)


def test_a_gate_with_other_limits_lets_a_waiter_through() -> None:
    """The first in line waits for a slow rate; a faster one lets it go at once, one by one."""

    async def main() -> None:
        gate, log = usual_gate(limits=Limits(requests_per_minute=1)), list[tuple[str, float]]()
        start = anyio.current_time()
        await gate.enter()
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(partial(send, gate, log, name))
            await anyio.sleep(5)
            gate.retune(Limits(requests_per_minute=60 / 0.995))
        assert [round(at - start, 6) for _, at in log] == [5, 6, 7]
        gate.retune(None)
        assert gate.pace.per_second == 40

    in_virtual_time(main)


def test_other_limits_leave_what_was_learnt() -> None:
    """A limit on tokens changes no rate of requests; a rate that is configured is taken."""

    async def main() -> None:
        gate = Gate()
        for _ in range(3):
            gate.succeeded(await gate.enter())
        await refuse_one(gate, 1.0)
        learnt = gate.pace.per_second
        assert learnt != Gate().pace.per_second
        gate.retune(Limits(tokens_per_minute=1_000_000))
        assert gate.pace.per_second == learnt
        gate.retune(Limits(requests_per_minute=6000))
        assert gate.pace.per_second == pytest.approx(99.5)
        gate.retune(None)
        assert gate.pace.per_second == pytest.approx(99.5)

    in_virtual_time(main)


@pytest.mark.anyio
async def test_permits_grow_and_shrink() -> None:
    """Fewer take nothing from a holder; what is given back is taken away first, and more go to who waits."""
    permits = Permits(3, lambda: None)
    holders = [Worker() for _ in range(6)]
    for holder in holders[:3]:
        await permits.acquire(holder)
    permits.resize(1)
    assert [holder.holds_permit for holder in holders] == [True] * 3 + [False] * 3
    permits.release(holders[0])
    permits.release(holders[1])
    assert "0 of 1 free" in repr(permits)
    permits.release(holders[2])
    assert "1 of 1 free" in repr(permits)
    await permits.acquire(holders[3])
    async with anyio.create_task_group() as group:
        for holder in holders[4:]:
            group.start_soon(permits.acquire, holder)
        await anyio.wait_all_tasks_blocked()
        permits.resize(3)
    assert [holder.holds_permit for holder in holders] == [False] * 3 + [True] * 3
    permits.resize(2)
    permits.resize(3)
    assert "0 of 3 free" in repr(permits)
