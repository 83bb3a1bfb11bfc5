"""The checks on what refusals set off: `shared_pause`, `no_storm` and `no_herd`."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import wavetank
from wavetank import RateLimited, Scenario, Tank
from wavetank.checks import no_herd, no_storm, shared_pause
from wavetank.checks.exchanges import exchanges
from wavetank.checks.windows import windows
from wavetank.clock import MILLISECOND, SECOND, Duration
from wavetank.events import Event, EventLog, Header
from wavetank.scenario import RetryAfter, Wave

from ..depth import n_of

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def ns(seconds: float) -> int:
    return round(seconds * SECOND)


def log_of(*parts: list[Event], **expects: int | float) -> EventLog:
    """A log of these events by their instants; those of one instant keep their order."""
    log = EventLog(Header(scenario="calm", digest="00000000", seed=0, backend="asyncio", expects=expects))
    for event in sorted((event for part in parts for event in part), key=lambda event: event.at):
        log.append(event)
    return log


def asked(
    number: int,
    sent: float,
    *,
    item: str | None = None,
    refused: float | None = None,
    answered: float | None = None,
    heard: float | None = None,
    after: float | None = 1.0,
    scope: str = "account",
    model: str = "m",
) -> list[Event]:
    """One request; `heard` is when the reply reached its client, by default when it was sent."""
    about: dict[str, Any] = {"item": item or f"item-{number}", "request": number}
    events = [Event(at=ns(sent), kind="arrived", sent=ns(sent), declared=True, model=model, **about)]
    if refused is not None:
        wait = None if after is None else ns(after)
        events.append(
            Event(at=ns(refused), kind="refused", status=429, scope=scope, retry_after=wait, **about)
        )
    if answered is not None:
        events.append(Event(at=ns(answered), kind="answered", status=200, **about))
    replied = refused if refused is not None else answered
    if replied is not None:
        status = 429 if refused is not None else 200
        at = ns(heard if heard is not None else replied)
        events.append(Event(at=at, kind="delivered", status=status, **about))
    return events


def stalled(begin: float, end: float) -> list[Event]:
    return [Event(at=ns(end), kind="stalled", since=ns(begin))]


# -- shared_pause ----------------------------------------------------------------------------------


def test_a_request_while_a_refusal_holds_breaks_the_pause() -> None:
    """Another item of the scope, sent after the refusal reached the client and within its wait."""
    verdict = shared_pause.judge(log_of(asked(1, 0, refused=0.1), asked(2, 0.5)))
    assert verdict.passed is False
    assert verdict.summary == (
        "request 2 (item 'item-2') was sent at 500ms; a refusal of account had reached the client at 100ms "
        "and held until 1.1s"
    )
    assert verdict.evidence == (
        "at 100ms: 'item-1': request 1 was refused with 429, retry after 1s",
        "at 500ms: 'item-2': request 2 arrived at the provider (m)",
    )


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(asked(2, 0.1), id="at the instant it was reached"),
        pytest.param(asked(2, 0.11), id="within the grace"),
        pytest.param(asked(2, 1.0995), id="within the tolerance"),
        pytest.param(asked(2, 1.1), id="when the wait is over"),
        pytest.param(asked(2, 0.05, refused=0.6), id="sent before"),
    ],
)
def test_a_client_that_comes_near_to_a_breach_passes(second: list[Event]) -> None:
    """What was sent before the client knew, or as soon as the wait was over, breaks no pause."""
    verdict = shared_pause.judge(log_of(asked(1, 0, refused=0.1), second))
    assert verdict.passed is True
    assert verdict.summary.endswith("and nothing was sent while they held")


def test_another_scope_is_not_held() -> None:
    """A refusal for a model holds its own requests only."""
    first = asked(1, 0, refused=0.1, scope="model:m")
    assert shared_pause.judge(log_of(first, asked(2, 0.5, model="n"))).passed is True
    assert shared_pause.judge(log_of(first, asked(2, 0.5, model="m"))).passed is False


def test_a_refusal_that_was_not_heard_or_asked_no_wait_holds_no_request() -> None:
    """Without a Retry-After, or before it reached the client, there is nothing to wait for."""
    assert shared_pause.judge(log_of(asked(1, 0, refused=0.1, after=None), asked(2, 0.5))).passed is None
    late = log_of(asked(1, 0, refused=0.1, heard=0.6), asked(2, 0.5))
    assert shared_pause.judge(late).passed is True


def test_a_stall_is_not_the_clients_doing() -> None:
    """A request that was decided before the stall and sent after it breaks no pause."""
    events = (asked(1, 0, refused=0.1), stalled(0.1, 0.15), asked(2, 0.15))
    assert shared_pause.judge(log_of(*events)).passed is True
    assert shared_pause.judge(log_of(*events, asked(3, 0.2))).passed is False


def test_items_outside_of_the_ledger_are_judged_for_nothing() -> None:
    """A probe that is not in the ledger may be sent at any time."""
    ledger = [Event(at=0, kind="submitted", item="item-1")]
    assert shared_pause.judge(log_of(ledger, asked(1, 0, refused=0.1), asked(2, 0.5))).passed is True


# -- no_storm --------------------------------------------------------------------------------------


def test_each_request_under_way_may_be_refused_once() -> None:
    """As many refusals as there were requests when the first one came are no storm; one more is."""
    under_way = [asked(number, 0, refused=0.1 + number / 100) for number in range(1, 5)]
    assert no_storm.judge(log_of(*under_way)).passed is True
    verdict = no_storm.judge(log_of(*under_way, asked(5, 0.5, refused=0.6)))
    assert verdict.passed is False
    assert verdict.summary == (
        "5 requests of account were refused from 110ms to 1.11s; "
        "4 were under way when the first refusal reached its client"
    )
    assert len(verdict.evidence) == 5


def test_what_was_over_before_the_window_is_not_under_way() -> None:
    """Requests that were answered long ago give no licence for refusals."""
    before = [asked(number, 0, answered=0.1) for number in range(1, 9)]
    storm = (asked(11, 1, refused=1.1), asked(12, 1.3, refused=1.4))
    assert no_storm.judge(log_of(*before, *storm)).passed is False


def test_a_worker_whose_answer_came_may_be_refused_in_its_next_request() -> None:
    """Two were under way; the one that was answered sends again and is refused: that is one each."""
    log = log_of(asked(1, 0, refused=0.1), asked(2, 0, answered=0.3), asked(3, 0.4, refused=0.5))
    assert no_storm.judge(log).passed is True


def test_a_request_that_waited_as_it_was_asked_opens_the_next_window() -> None:
    """Refused again after the wait is the provider's doing."""
    log = log_of(asked(1, 0, refused=0.1), asked(1, 1.1, refused=1.2), asked(2, 2.3, answered=2.4))
    assert no_storm.judge(log).passed is True
    late = log_of(asked(1, 0, refused=0.1, heard=0.2), asked(2, 1.1, item="item-1", refused=1.15))
    assert no_storm.judge(late).passed is True


def test_a_refusal_at_the_end_of_a_window_opens_none() -> None:
    """The end of a window belongs to it; the next one begins after that."""
    at_the_end, after_it = (
        log_of(asked(1, 0, refused=0.1), asked(2, at, refused=at)) for at in (1.1, 1.100000001)
    )
    assert [len(each.refused) for each in windows(exchanges(at_the_end))] == [2]
    assert [len(each.refused) for each in windows(exchanges(after_it))] == [1, 1]


def test_a_stall_before_a_request_is_sent_makes_no_storm() -> None:
    """A request that a stall held up between its decision and the wire was under way."""
    log = log_of(asked(1, 0, refused=0.1), stalled(0.1, 0.15), asked(2, 0.15, refused=0.2))
    assert no_storm.judge(log).passed is True


def test_an_item_may_not_take_more_requests_than_declared() -> None:
    """The declared number passes, one more fails, also when nothing was refused."""
    requests = [asked(number, 10 * number, item="a", answered=10 * number + 1) for number in range(1, 4)]
    assert no_storm.judge(log_of(*requests, requests_per_item=3)).passed is True
    verdict = no_storm.judge(log_of(*requests, requests_per_item=2))
    assert verdict.passed is False
    assert verdict.summary == "item 'a' took 3 requests (declared: 2)"
    assert no_storm.judge(log_of(*requests)).passed is None


def test_a_long_storm_is_shortened() -> None:
    """The evidence has ten refusals and how many more there were."""
    storm = [asked(number, number / 50, refused=number / 50 + 0.01) for number in range(1, 41)]
    verdict = no_storm.judge(log_of(*storm))
    assert len(verdict.evidence) == 11
    assert verdict.evidence[-1] == "and 30 more"


# -- no_herd ---------------------------------------------------------------------------------------

FIRST = [asked(number, 0, refused=0.1) for number in range(1, 5)]


def back(*instants: float) -> list[list[Event]]:
    """The second requests of the four items."""
    return [
        asked(10 + number, at, item=f"item-{number}", answered=at + 0.1)
        for number, at in enumerate(instants, start=1)
    ]


def test_most_items_at_one_instant_are_a_herd() -> None:
    """Three of four within a millisecond are more than half."""
    verdict = no_herd.judge(log_of(*FIRST, *back(1.1, 1.1005, 1.101, 1.5), herd=0.5))
    assert verdict.passed is False
    assert verdict.summary == (
        "3 of 4 items that had to wait until 1.1s were sent again within 1ms, from 1.1s on "
        "(declared: at most half of them)"
    )
    assert len(verdict.evidence) == 3


def test_the_declared_share_may_come_back_at_once() -> None:
    """Two of four are just half."""
    assert no_herd.judge(log_of(*FIRST, *back(1.1, 1.1, 1.2, 1.202), herd=0.5)).passed is True


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(log_of(*FIRST, *back(1.1, 1.1, 1.1, 1.1)), id="nothing was declared"),
        pytest.param(log_of(*FIRST[:3], *back(1.1, 1.1, 1.1), herd=0.5), id="three items"),
        pytest.param(log_of(*FIRST, stalled(0.5, 0.55), *back(1.1, 1.1, 1.1, 1.1), herd=0.5), id="a stall"),
    ],
)
def test_a_herd_is_not_always_judged(log: EventLog) -> None:
    """It takes a declaration, four items and a window without a stall."""
    assert no_herd.judge(log).passed is None


def test_those_who_come_back_much_later_are_no_herd() -> None:
    """Only the time after the window that is as long as its Retry-After counts."""
    assert no_herd.judge(log_of(*FIRST, *back(3, 3, 3, 3), herd=0.5)).passed is True


def test_held_items_belong_to_the_window() -> None:
    """An item that a barrier held within the window counts with those it refused."""
    held = [Event(at=ns(0.5), kind="held", item="item-4", request=4, wave=0)]
    events = (*FIRST[:3], asked(4, 0.05, answered=0.9), held, *back(1.1, 1.1, 1.1, 1.1))
    assert no_herd.judge(log_of(*events, herd=0.5)).passed is False


# -- clients ---------------------------------------------------------------------------------------

WAVE = Scenario(
    name="one-wave",
    wave=(Wave(lasts=Duration(SECOND), retry_after=RetryAfter(value=Duration(SECOND))),),
)


async def all_pause(tank: Tank, spread: float) -> None:
    """Eight workers behind one gate, which come back at the end of the pause, `spread` apart."""
    until = 0.0

    async def work(number: int) -> None:
        nonlocal until
        item = f"item-{number}"
        while True:
            while (left := until - anyio.current_time()) > 0:
                await anyio.sleep(left + number * spread)
            try:
                tank.ledger.complete(item, (await tank.fake_llm.call(item, item=item)).text)
                return
            except RateLimited as refusal:
                until = max(until, anyio.current_time() + (refusal.retry_after or 1))

    async with anyio.create_task_group() as group:
        for number in range(8):
            tank.ledger.submit(f"item-{number}")
            group.start_soon(work, number)


@on_both
def test_a_shared_gate_passes_under_many_schedules(backend: str) -> None:
    """A client that comes back at the very end of each pause, one by one, fails none of the three."""

    async def main(tank: Tank) -> None:
        tank.expect(herd=0.25, requests_per_item=3)
        await all_pause(tank, 0.002)

    wavetank.search(main, WAVE, schedules=n_of(30, 200), backend=backend, checks="strict").check()


@on_both
def test_a_gate_that_lets_all_go_at_once_makes_a_herd(backend: str) -> None:
    """Without a spread the same client passes but for `no_herd`."""

    async def main(tank: Tank) -> None:
        tank.expect(herd=0.5)
        await all_pause(tank, 0)

    run = wavetank.simulate(main, WAVE, backend=backend, checks="strict")
    assert [name for name, verdict in run.verdicts.items() if verdict.passed is False] == ["no_herd"]


def test_the_grace_is_ten_milliseconds() -> None:
    """The page on the checks names it."""
    assert shared_pause.GRACE == 10 * MILLISECOND
