"""Faults that last: which connections, requests and answers meet them."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank.clock import SECOND, Duration
from wavetank.provider.model import Reply, Success
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import Fault, FaultKind, Latency, Limits, Match, Scenario, Wave


def ask(number: int, item: str = "a") -> Request:
    """A request of an item."""
    return Request(
        id=number, model="gpt-5", key="key-1", item=item, declared=True, prompt="hello", prompt_tokens=2
    )


def lasting(kind: FaultKind = "connection-refused", **fields: Any) -> Fault:
    """A fault from 10 s to 15 s and from 30 s to 35 s."""
    at, lasts, every = (Duration(count * SECOND) for count in (10, 5, 20))
    return Fault(kind=kind, at=at, lasts=lasts, every=every, times=2, **fields)


def replies(provider: Provider, request: Request, now: int) -> list[Reply]:
    """All that the provider ever sends to a request."""
    provider.arrive(request, now)
    sent: list[Reply] = []
    while (due := provider.next_due()) is not None:
        sent += provider.advance(due)
    return sent


def test_connections_are_refused_in_each_window() -> None:
    """All of them, however many; the end of a window does not belong to it."""
    provider = Provider(Scenario(fault=(lasting(),)))
    instants = (0, 10, 10, 10, 14, 15, 29, 30, 34, 35, 50)
    met = [provider.refuse_connection(at * SECOND) for at in instants]
    assert met == [None, 0, 0, 0, 0, None, None, 0, 0, None, None]


def test_an_open_connection_breaks_while_others_are_refused() -> None:
    """The request is not read: the break comes at once, before waves and limits, and costs nothing."""
    scenario = Scenario(
        fault=(lasting(),),
        wave=(Wave(lasts=Duration(60 * SECOND)),),
        limits=Limits(requests_per_minute=1),
        latency=Latency(),
    )
    provider = Provider(scenario)
    [reply] = replies(provider, ask(1), 10 * SECOND)
    assert isinstance(reply.outcome, Success)
    assert (reply.at, reply.outcome.fault, reply.outcome.completion_tokens) == (
        10 * SECOND,
        scenario.fault[0],
        0,
    )
    assert provider._limiter.state(ask(2), 10 * SECOND).requests is not None
    assert provider._limiter.state(ask(2), 10 * SECOND).requests.remaining == 1  # type: ignore[union-attr]
    [reply] = replies(provider, ask(3), 15 * SECOND)
    assert not isinstance(reply.outcome, Success)


def test_where_some_connections_are_refused_those_that_are_open_go_on() -> None:
    """A share below 1 is a provider of which a part is down."""
    provider = Provider(Scenario(fault=(lasting(share=0.5),)), seed=1)
    met = [provider.refuse_connection(10 * SECOND) for _ in range(100)]
    assert 30 < met.count(0) < 70
    [reply] = replies(provider, ask(1), 10 * SECOND)
    assert isinstance(reply.outcome, Success)
    assert reply.outcome.fault is None


def test_a_request_in_an_outage_is_never_answered() -> None:
    """Nothing is due for it, also when the outage is over; it is in flight until its client leaves."""
    fault = lasting("no-answer")
    provider = Provider(Scenario(fault=(fault,), wave=(Wave(lasts=Duration(60 * SECOND)),)))
    assert provider.refuse_connection(10 * SECOND) is None
    assert replies(provider, ask(1), 10 * SECOND) == []
    assert provider.advance(100 * SECOND) == []
    assert (provider.in_flight, provider.faults_in_flight()) == (1, [(1, fault)])
    left = provider.leave(1, 100 * SECOND)
    assert isinstance(left, Success)
    assert (left.fault, provider.in_flight) == (fault, 0)


def test_without_a_length_so_many_requests_are_unanswered() -> None:
    """The first that match; those of other items are served."""
    fault = Fault(kind="no-answer", times=2, match=Match(item="a"))
    provider = Provider(Scenario(fault=(fault,)))
    items = ("a", "b", "a", "a")
    answered = [bool(replies(provider, ask(number, item), 0)) for number, item in enumerate(items, start=1)]
    assert answered == [False, True, False, True]


@pytest.mark.parametrize("kind", ["reset", "html-body", "cut-mid-stream"])
def test_any_spoiled_answer_may_last(kind: FaultKind) -> None:
    """All answers in the window, and refusals are left alone."""
    fault = lasting(kind)
    provider = Provider(
        Scenario(fault=(fault,), wave=(Wave(at=Duration(12 * SECOND), lasts=Duration(SECOND)),))
    )
    met = []
    for number, at in enumerate((9, 10, 11, 12, 14, 15, 30, 50), start=1):
        [reply] = replies(provider, ask(number), at * SECOND)
        met.append(isinstance(reply.outcome, Success) and reply.outcome.fault is fault)
    assert met == [False, True, True, False, True, False, True, False]
