"""The gate's smaller rules: line, rounds, room, waits, decisions, stated limits, closing."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
import trio
from trio.testing import MockClock

from wavetank.processor import Decision, Gate, GateClosed, Limits, Quota, RateInfo, Ticket

from ..stepping import USUAL

Log = list[tuple[str, float]]


def in_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run on trio with a clock that jumps to the next timer when all tasks wait."""
    trio.run(main, clock=MockClock(autojump_threshold=0))


async def send(gate: Gate, log: Log, name: str = "", *, seconds: float = 0.05, tokens: float = 0.0) -> None:
    """One request that is served after `seconds`."""
    ticket = await gate.enter(tokens)
    try:
        log.append((name, anyio.current_time()))
        await anyio.sleep(seconds)
        gate.succeeded(ticket)
    finally:
        gate.leave(ticket)


async def sent(gate: Gate, count: int, *, seconds: float = 0.05) -> list[float]:
    """So many requests wanted at once; when they went, counted from the first."""
    log: Log = []
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(partial(send, gate, log, str(number), seconds=seconds))
    return [at - log[0][1] for _, at in log]


def test_requests_start_in_the_order_in_which_they_came() -> None:
    """At ten a second, in their order, and none overtakes the first in line."""

    async def main() -> None:
        gate, log = Gate(limits=Limits(requests_per_minute=600, burst=1)), Log()
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(send, gate, log, str(number))
                await anyio.sleep(0.001)
        assert [name for name, _ in log] == list("012345")
        gaps = [b[1] - a[1] for a, b in itertools.pairwise(log)]
        assert gaps == pytest.approx([0.1 / 0.995] * 5)

    in_virtual_time(main)


def test_a_costly_request_is_not_overtaken_for_ever() -> None:
    """What needs many tokens waits at the head of the line, and the cheap ones behind it."""

    async def main() -> None:
        gate, log = Gate(limits=Limits(tokens_per_minute=6000, token_burst=100)), Log()
        async with anyio.create_task_group() as tasks:
            for name, tokens in (("a", 100), ("dear", 100), ("b", 1), ("c", 1)):
                tasks.start_soon(partial(send, gate, log, name, tokens=tokens))
                await anyio.sleep(0.001)
        assert [name for name, _ in log] == ["a", "dear", "b", "c"]
        assert log[1][1] - log[0][1] == pytest.approx(1 / 0.995)

    in_virtual_time(main)


def test_what_a_request_took_corrects_what_it_was_thought_to_take() -> None:
    """A cheaper one lets the next go sooner."""

    async def main() -> None:
        gate = Gate(limits=Limits(tokens_per_minute=6000, token_burst=100))
        ticket = await gate.enter(100)
        assert ticket.tokens == 100
        start = anyio.current_time()
        gate.succeeded(ticket, 40)
        await gate.enter(100)
        assert anyio.current_time() - start == pytest.approx(0.4 / 0.995, rel=0.01)

    in_virtual_time(main)


def test_an_unknown_limit_is_met_evenly() -> None:
    """One by one at forty a second, and twice as fast when the first one is answered."""

    async def main() -> None:
        # The first answer comes after the third request's turn: trio runs what is due at once in any order.
        times = await sent(Gate(), 7, seconds=0.051)
        assert times[:3] == pytest.approx([0, 0.025, 0.05])
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert gaps[3:] == sorted(gaps[3:], reverse=True)
        assert gaps[-1] <= 0.0125 + 1e-6

    in_virtual_time(main)


@pytest.mark.parametrize(("refusal", "longest_wait"), [(0.0, 0.1), (0.5, 0.85), (2.0, 3.1)])
def test_a_slow_probe_does_not_hold_back_the_others(refusal: float, longest_wait: float) -> None:
    """After one and a half times as long as a refusal took and a tenth of a second they follow."""

    async def main() -> None:
        gate, log = Gate(limits=USUAL), Log()
        ticket = await gate.enter()
        await anyio.sleep(refusal)
        gate.refused(ticket, 10)
        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(partial(send, gate, log, name, seconds=30))
        times = [at - gate.deadline for _, at in log]
        assert times[:2] == pytest.approx([0, longest_wait])
        assert longest_wait < times[2] < longest_wait + 0.2

    in_virtual_time(main)


async def under_a_cap(gate: Gate, cap: int, count: int) -> tuple[int, int]:
    """So many requests of a second before a provider with a cap; the refusals and the most at once."""
    under_way = refused = most = 0

    async def one() -> None:
        nonlocal under_way, refused, most
        while True:
            ticket = await gate.enter()
            if under_way >= cap:
                refused += 1
                gate.refused(ticket, 1)
                continue
            under_way += 1
            most = max(most, under_way)
            await anyio.sleep(1)
            under_way -= 1
            gate.succeeded(ticket)
            return

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return refused, most


def test_a_cap_on_requests_under_way_costs_little() -> None:
    """Three at once: a hundred requests of a second take little more than the third of a hundred seconds."""

    async def main() -> None:
        gate, start = Gate(), anyio.current_time()
        refused, most = await under_a_cap(gate, 3, 100)
        assert most == 3
        assert refused <= 4
        assert anyio.current_time() - start < 42

    in_virtual_time(main)


@pytest.mark.parametrize(("seconds", "longest_wait"), [(None, 10), (2, 4)])
def test_a_lack_of_room_does_not_hold_back_for_ever(seconds: float | None, longest_wait: float) -> None:
    """When the requests that fill the room hang, one more goes after twice the time that answers take."""

    async def main() -> None:
        gate, log = Gate(limits=USUAL), Log()
        if seconds is not None:
            await send(gate, [], seconds=seconds)
        gate.pace._learner._crowd.room = 2
        hanging, start = [await gate.enter() for _ in range(2)], anyio.current_time()
        await send(gate, log)
        assert log[-1][1] - start == pytest.approx(longest_wait)
        for ticket in hanging:
            gate.leave(ticket)
        assert gate.under_way == 0

    in_virtual_time(main)


def test_tickets_know_what_was_when_they_were_given_out() -> None:
    """Number, generation, instant, how many were under way, tokens."""

    async def main() -> None:
        gate = Gate(limits=USUAL)
        one, two = await gate.enter(), await gate.enter(7)
        assert (one.number, one.generation, one.under_way, one.tokens) == (1, 0, 1, 0.0)
        assert (two.number, two.generation, two.under_way, two.tokens) == (2, 0, 2, 7)
        assert one.sent == two.sent == anyio.current_time()
        assert gate.under_way == 2
        gate.refused(one)
        assert gate.under_way == 1
        assert not gate.admits(two)
        three = await gate.enter()
        assert (three.number, three.generation, three.under_way) == (3, 1, 2)
        assert gate.admits(three)
        gate.hold(anyio.current_time() + 1)
        assert not gate.admits(three)
        await anyio.sleep(1)
        assert gate.admits(three)
        assert "2 under way" in repr(gate)

    in_virtual_time(main)


def test_paused_seconds_are_counted_once() -> None:
    """Pauses that overlap count for what they add, and none for time that has not passed."""

    async def main() -> None:
        gate = Gate()
        late, other = await gate.enter(), await gate.enter()
        gate.refused(await gate.enter(), 10)
        assert gate.paused_seconds == 0
        await anyio.sleep(1)
        gate.refused(late, 5)
        assert gate.paused_seconds == pytest.approx(1)
        gate.refused(other, 20)
        await anyio.sleep(2)
        assert gate.paused_seconds == pytest.approx(3)
        await anyio.sleep(100)
        assert gate.paused_seconds == pytest.approx(23)
        gate.hold(anyio.current_time() + 5)
        await anyio.sleep(1)
        assert gate.paused_seconds == pytest.approx(24)
        await anyio.sleep(10)
        assert gate.paused_seconds == pytest.approx(28)

    in_virtual_time(main)


def test_a_gate_reports_its_decisions() -> None:
    """Each pause comes with its end; the first start after it, cuts and growth are reported, too."""

    async def main() -> None:
        decisions: list[Decision] = []
        gate = Gate(observer=decisions.append, name="gpt")
        assert gate.name == "gpt"
        tickets = [await gate.enter() for _ in range(5)]
        gate.refused(tickets[3], 10)
        gate.refused(tickets[4])
        now = anyio.current_time()
        cut, paused = decisions
        assert (cut.kind, cut.at, cut.scope) == ("cut", now, "gpt")
        assert cut.rate is not None
        assert 1 < cut.rate < 40
        assert (paused.kind, paused.at) == ("paused", now)
        assert paused.until == pytest.approx(now + 11)
        decisions.clear()
        await sent(gate, 3)
        assert decisions[0].kind == "resumed"
        assert decisions[0].at == pytest.approx(now + 11)
        assert [decision.kind for decision in decisions].count("resumed") == 1
        decisions.clear()
        until = anyio.current_time() + 1
        gate.hold(until)
        assert [(decision.kind, decision.until) for decision in decisions] == [("paused", until)]
        gate.hold(until)
        assert len(decisions) == 1

    in_virtual_time(main)


def test_stated_limits_release_a_waiter() -> None:
    """A waiter at a low pace goes sooner when a higher limit becomes known."""

    async def main() -> None:
        gate, log = Gate(), Log()
        gate.learn(RateInfo(requests=Quota(6, 0, None, 0.1)))
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, gate, log)
            await anyio.sleep(1)
            assert log == []
            gate.learn(RateInfo(requests=Quota(600, None, None, 10.0)))
        assert log[0][1] - start < 2

    in_virtual_time(main)


def test_what_is_left_counts_from_when_the_request_was_sent() -> None:
    """Requests that started since are taken off, and what came back since is added."""

    async def main() -> None:
        gate = Gate(limits=Limits(requests_per_minute=600, burst=10))
        first = await gate.enter()
        others = [await gate.enter() for _ in range(4)]
        gate.learn(RateInfo(requests=Quota(600, 6, None, 10.0)), first)
        assert len(others) == 4
        assert await sent(gate, 3) == pytest.approx([0, 0, 0.1 / 0.995])
        gate = Gate(limits=Limits(requests_per_minute=600, burst=10))
        gate.learn(RateInfo(requests=Quota(600, 2, None, 10.0)))
        assert await sent(gate, 3) == pytest.approx([0, 0, 0.1 / 0.995])

    in_virtual_time(main)


@pytest.mark.anyio
async def test_closing_releases_all_waiters_and_refuses_new_ones() -> None:
    """The first in line, those behind it, and later ones get `GateClosed`."""
    gate, closed = Gate(), []
    gate.hold(anyio.current_time() + 1000)

    async def wait() -> None:
        with pytest.raises(GateClosed, match="nothing more is sent"):
            await gate.enter()
        closed.append("closed")

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            gate.close()
        await wait()
    assert closed == ["closed"] * 4
    assert "closed" in repr(gate)


def test_a_cancelled_head_of_the_line_hands_over() -> None:
    """When the first in line is cancelled the next one waits in its stead."""

    async def main() -> None:
        gate, log = Gate(), Log()
        gate.hold(anyio.current_time() + 10)
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
            doomed.start_soon(send, gate, log, "head")
            await anyio.sleep(1)
            for name in "ab":
                tasks.start_soon(send, gate, log, name)
            await anyio.sleep(1)
            doomed.cancel_scope.cancel()
        assert sorted(name for name, _ in log) == ["a", "b"]

    in_virtual_time(main)


@pytest.mark.anyio
async def test_an_answer_gives_the_ticket_back() -> None:
    """Whether the request was served or refused, now or in a wave before."""
    gate = Gate()
    one, two, three = [await gate.enter() for _ in range(3)]
    gate.succeeded(one)
    assert gate.under_way == 2
    gate.refused(two, 0.001)
    gate.refused(three, 0.001)
    assert gate.under_way == 0


@pytest.mark.anyio
async def test_entering_an_open_gate_is_a_checkpoint() -> None:
    """A cancelled waiter gets no ticket."""
    gate = Gate()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await gate.enter()
    assert scope.cancelled_caught
    assert gate.under_way == 0


def test_a_wait_stated_by_an_answer_pauses_the_gate() -> None:
    """The longest stated wait is used, without a margin: it is no refusal."""

    async def main() -> None:
        gate = Gate()
        gate.learn(RateInfo(tokens=Quota(None, 0, 7), wait=3))
        assert gate.deadline == pytest.approx(anyio.current_time() + 7)
        gate.learn(RateInfo(wait=30))
        assert gate.deadline == pytest.approx(anyio.current_time() + 30)
        assert gate.generation == 0
        gate = Gate()
        gate.learn(RateInfo(wait=0.5))
        assert gate.deadline == pytest.approx(anyio.current_time() + 0.5)

    in_virtual_time(main)


@pytest.mark.anyio
async def test_a_ticket_of_another_gate_is_ignored() -> None:
    """Giving back what was never given out changes nothing."""
    gate = Gate()
    ticket = await gate.enter()
    gate.leave(Ticket(1, 0, 0.0, 1, 0.0))
    assert gate.under_way == 1
    gate.leave(ticket)
    assert gate.under_way == 0
