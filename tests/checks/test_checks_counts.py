"""The checks on counts: `in_flight_limit` and `permits_returned`, and `tank.watch`."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import wavetank
from wavetank import Tank
from wavetank.checks import in_flight_limit, permits_returned
from wavetank.clock import SECOND
from wavetank.events import Event, EventKind, EventLog, Header, RunEnd, Watched

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def happened(kind: EventKind, at: float, number: int, **fields: Any) -> Event:
    return Event(at=round(at * SECOND), kind=kind, item=f"item-{number}", request=number, **fields)


def log_of(*events: Event, how: Any = "returned", at: float = 9, **header: Any) -> EventLog:
    """A log of these events that ended at `at` seconds."""
    watched = header.pop("watched", {})
    log = EventLog(Header(scenario="calm", digest="00000000", seed=0, backend="asyncio", **header))
    for event in events:
        log.append(event)
    log.finish(RunEnd(how=how, at=round(at * SECOND), watched=watched))
    return log


# -- in_flight_limit -------------------------------------------------------------------------------


def test_one_request_more_than_declared_fails() -> None:
    """Two at once are allowed, the third is one too many; the evidence has all of them."""
    events = [happened("arrived", number / 10, number, model="m") for number in (1, 2, 3)]
    verdict = in_flight_limit.judge(log_of(*events, expects={"in_flight": 2}))
    assert verdict.passed is False
    assert verdict.summary == "3 requests in flight at 300ms (declared: 2)"
    assert len(verdict.evidence) == 3


@pytest.mark.parametrize("end", ["answered", "refused", "left"])
def test_a_client_that_is_always_at_its_limit_passes(end: EventKind) -> None:
    """The next request may arrive in the instant in which another ends, however it ends."""
    events = [
        happened("arrived", 0, 1),
        happened("arrived", 0, 2),
        happened(end, 1, 1),
        happened("arrived", 1, 3),
    ]
    verdict = in_flight_limit.judge(log_of(*events, expects={"in_flight": 2}))
    assert verdict.passed is True
    assert verdict.summary == "at most 2 request(s) in flight (declared: 2)"


def test_the_limit_is_judged_only_if_declared_and_met() -> None:
    """Without a declaration, or without a request of the ledger, there is nothing to judge."""
    asked = happened("arrived", 0, 1)
    assert in_flight_limit.judge(log_of(asked)).passed is None
    ledger = Event(at=0, kind="submitted", item="other")
    assert in_flight_limit.judge(log_of(ledger, asked, expects={"in_flight": 1})).passed is None


# -- permits_returned ------------------------------------------------------------------------------


def seen(first: float, last: float) -> dict[str, Watched]:
    return {"permits": Watched(first=first, last=last, least=min(first, last), most=max(first, last))}


def test_a_count_that_is_not_back_fails() -> None:
    """The verdict has both values, and the requests behind which the permit may have gone."""
    events = (happened("arrived", 0, 1), happened("refused", 1, 1, status=429), happened("delivered", 1, 1))
    called_off = Event(at=2_000_000_000, kind="cancelled", item="item-1")
    verdict = permits_returned.judge(log_of(*events, called_off, watched=seen(4, 3)))
    assert verdict.passed is False
    assert verdict.summary == "the count 'permits' began at 4 and ended at 3"
    assert verdict.evidence == (
        "it was between 3 and 4",
        "1 request(s) were refused, hung up on or left open",
        "at 1s: 'item-1': request 1 was refused with 429",
        "at 2s: 'item-1': cancelled",
    )


def test_a_count_that_is_back_passes() -> None:
    """What it was in between does not matter."""
    log = log_of(watched={"permits": Watched(first=4, last=4, least=-9, most=4)})
    assert permits_returned.judge(log).passed is True


@pytest.mark.parametrize("how", ["raised", "deadlock", "steps", "time"])
def test_a_run_that_did_not_return_is_not_quiet(how: str) -> None:
    """What is lent when main raises or is stopped says nothing of a leak."""
    assert permits_returned.judge(log_of(how=how, watched=seen(4, 3))).passed is None


def test_a_response_that_is_neither_read_nor_closed_fails() -> None:
    """Without a watch the exchanges are looked at: this one keeps its connection."""
    events = (happened("arrived", 0, 1), happened("answered", 1, 1, status=200))
    verdict = permits_returned.judge(log_of(*events))
    assert verdict.passed is False
    assert verdict.summary == (
        "the reply to request 1 (item 'item-1'), sent at 1s, was neither read to its end nor closed"
    )


@pytest.mark.parametrize(
    ("end", "more"),
    [
        pytest.param(9, [happened("delivered", 1, 1)], id="read"),
        pytest.param(9, [happened("left", 2, 1)], id="closed"),
        pytest.param(1, [], id="no time to read it"),
        pytest.param(
            1.04,
            [Event(at=round(1.04 * SECOND), kind="stalled", since=SECOND)],
            id="a stall, no time to read it",
        ),
    ],
)
def test_a_response_that_is_dealt_with_passes(end: float, more: list[Event]) -> None:
    """Read, closed, or still on its way when main returned."""
    events = (happened("arrived", 0, 1), happened("answered", 1, 1, status=200), *more)
    assert permits_returned.judge(log_of(*events, at=end)).passed is True


def test_nothing_to_judge() -> None:
    """Without a watch and without a reply the check says so."""
    assert permits_returned.judge(log_of(happened("arrived", 0, 1))).passed is None


# -- tank.watch and tank.expect --------------------------------------------------------------------


@on_both
def test_a_watch_sees_the_count_with_every_event(backend: str) -> None:
    """First, last, least and most are in the log, also when it is written and read back."""

    async def main(tank: Tank) -> None:
        limiter = anyio.CapacityLimiter(3)
        tank.watch("lent", lambda: limiter.borrowed_tokens)

        async def work(number: int) -> None:
            async with limiter:
                await tank.fake_llm.call("x", item=f"item-{number}")

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(work, number)

    run = wavetank.simulate(main, "calm", backend=backend, checks="permits_returned")
    run.check()
    assert run.verdicts["permits_returned"].passed is True
    again = EventLog.from_ndjson(run.events.to_ndjson())
    assert again.end is not None
    assert again.end == run.events.end
    watched = again.end.watched["lent"]
    assert (watched.first, watched.last, watched.least, watched.most) == (0, 0, 0, 3)
    assert [value for _, value in watched.changes] == [3, 2, 1, 0]
    assert watched.changes[0][0] == 0


@on_both
def test_two_watches_need_two_names(backend: str) -> None:
    """The second of a name is refused."""

    async def main(tank: Tank) -> None:
        tank.watch("lent", lambda: 0)
        assert repr(tank.watching) == "<Watching lent>"
        with pytest.raises(ValueError, match="a count of that name is watched already"):
            tank.watch("lent", lambda: 0)

    wavetank.simulate(main, backend=backend).check()


@on_both
@pytest.mark.parametrize("share", [0, -0.5, 1.5, "half"])
def test_a_share_lies_between_nothing_and_all(backend: str, share: Any) -> None:
    """`herd` is a part of the refused items."""

    async def main(tank: Tank) -> None:
        with pytest.raises(ValueError, match="it must be a share above 0 and at most 1"):
            tank.expect(herd=share)

    wavetank.simulate(main, backend=backend).check()
