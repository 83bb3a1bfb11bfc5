"""Long runs: a verdict takes time in proportion to the log."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from wavetank.checks import CHECKS, STRICT
from wavetank.events import Event, EventKind, EventLog, Header, RunEnd

EXPECTS = {"in_flight": 10_000, "requests_per_item": 9, "herd": 0.9, "starvation": 1_000_000, "order": 1}


def stormy(number: int) -> EventLog:
    """So many items, each refused and then answered, with a stall between any two of them."""
    log = EventLog(Header(scenario="s", digest="d", seed=0, backend="asyncio", expects=EXPECTS))
    for one in range(number):
        at, item = one * 1_000_000_000, f"item-{one}"
        log.append(Event(at=at, kind="submitted", item=item))
        for request, status in ((2 * one + 1, 429), (2 * one + 2, 200)):
            kind: EventKind = "refused" if status == 429 else "answered"
            log.append(Event(at=at, kind="arrived", item=item, request=request, declared=True, sent=at))
            at += 10_000_000
            scope, wait = ("account", 90_000_000) if status == 429 else (None, None)
            log.append(
                Event(
                    at=at, kind=kind, item=item, request=request, status=status, scope=scope, retry_after=wait
                )
            )
            log.append(Event(at=at, kind="delivered", item=item, request=request, status=status))
            at += 100_000_000
        log.append(Event(at=at, kind="completed", item=item))
        log.append(Event(at=at + 200_000_000, kind="stalled", since=at + 100_000_000))
    log.finish(RunEnd(how="returned", at=number * 1_000_000_000))
    return log


@pytest.mark.parametrize("name", STRICT)
def test_a_verdict_takes_time_in_proportion(
    name: str, lines_run: Callable[[Callable[[], object]], int]
) -> None:
    """Four times as long a log takes less than six times as many steps of the program."""
    short, long = stormy(40), stormy(160)
    assert CHECKS[name](long).passed in (True, None)
    steps = [lines_run(lambda log=log: CHECKS[name](log)) for log in (short, long)]  # type: ignore[misc]
    assert steps[1] < 6 * steps[0] + 200


@pytest.fixture
def lines_run() -> Callable[[Callable[[], object]], int]:
    """Counts the lines that a call runs."""

    def count(call: Callable[[], object]) -> int:
        lines = 0

        def trace(_frame: object, event: str, _argument: object) -> object:
            nonlocal lines
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            call()
        finally:
            sys.settrace(before)
        return lines

    return count
