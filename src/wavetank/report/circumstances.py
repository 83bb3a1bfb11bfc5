"""The sentences that follow the first three: who else was blocked, totals, waves, order, stalls, items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..checks.causes import causes, listed
from ..checks.exchanges import Stalls
from ..checks.history import dated
from ..checks.liveness import kind_of_hang
from ..checks.outcomes import outcomes
from ..clock import format_duration
from ..events import EventLog
from ..text import counted, times
from .blocked import blocked, culprit_of, told, waiter_of
from .requests import requests
from .sentence import Sentence
from .spans import bands, last_instant

_OUTCOMES: Final = frozenset(("completed", "failed", "cancelled"))


def others(log: EventLog) -> Iterator[Sentence]:
    """Who else was blocked, but for those who wait for their tasks."""
    found = blocked(log)
    named = culprit_of(found), waiter_of(found)
    others = [each for each in found if each.names and each not in named and "TaskGroup" not in each.waits]
    if others and kind_of_hang(log) is not None:
        more = f"; and {counted(len(others) - 2, 'group')} more" if len(others) > 2 else ""
        text = "; ".join(map(told, others[:2]))
        yield Sentence(f"Also blocked at the end: {text}{more}.", last_instant(log))


def totals(log: EventLog) -> Iterator[Sentence]:
    found, header, took = requests(log), log.header, format_duration(last_instant(log))
    refused = sum(one.outcome == "refused" for one in found)
    items = f" Items: {outcomes(log)}." if log.of("submitted") else ""
    text = (
        f"The scenario was {header.scenario!r} with seed {header.seed} on {header.backend}; "
        f"in {took} there were {counted(len(found), 'request')}, {refused} refused.{items}"
    )
    yield Sentence(text)


def waves(log: EventLog) -> Iterator[Sentence]:
    spans = [span for band in bands(log) if band.kind == "wave" for span in band.spans]
    if spans:
        more = f"; and {len(spans) - 3} more" if len(spans) > 3 else ""
        text = "; ".join(span.text for span in sorted(spans, key=lambda span: span.begin)[:3])
        yield Sentence(f"{text[:1].upper()}{text[1:]}{more}.", spans[0].begin)


def refusals(log: EventLog) -> Iterator[Sentence]:
    """Who was refused most."""
    counts: dict[str, int] = {}
    for one in requests(log):
        if one.outcome == "refused" and one.item is not None:
            counts[one.item] = counts.get(one.item, 0) + 1
    if counts:
        item, most = max(counts.items(), key=lambda each: each[1])
        first = next(one for one in requests(log) if one.item == item)
        how_many = counted(len(counts), "item")
        text = f"{how_many} met a refusal; the most had {item!r}, {counted(most, 'refusal')}."
        yield Sentence(text, first.sent, first.number)


def order(log: EventLog) -> Iterator[Sentence]:
    deviations = log.notes.deviations if log.notes is not None else ()
    orders = [each for each in deviations if each.kind == "run"]
    if orders:
        last = orders[-1]
        text = (
            f"The order of tasks differs from plain FIFO order at {counted(len(orders), 'step')}, last at "
            f"{format_duration(last.at)} (step {last.step}): {last.text}."
        )
        yield Sentence(text, last.at)


def stalls(log: EventLog) -> Iterator[Sentence]:
    spans = [span for band in bands(log) if band.kind == "stall" for span in band.spans]
    if spans:
        longest = max(spans, key=lambda span: span.end - span.begin)
        total = Stalls(log).within(0, last_instant(log))
        stalled = f" (stalls together {format_duration(total)})" if total else ""
        text = (
            f"Time passed inside the program {times(len(spans))}{stalled}; the longest was a {longest.text}."
        )
        yield Sentence(text, longest.begin)


def unfinished(log: EventLog) -> Iterator[Sentence]:
    """Items without an outcome, with the last event of the first."""
    done = {event.item for event in log if event.kind in _OUTCOMES}
    still_open = [event.item for event in log.of("submitted") if event.item not in done and event.item]
    if still_open:
        last = next(event for event in reversed(log) if event.item == still_open[0])
        names = listed([repr(item) for item in dict.fromkeys(still_open)])
        verb = "has" if len(still_open) == 1 else "have"
        text = f"{names} {verb} no outcome; the last event of {still_open[0]!r}: {dated(last)}."
        yield Sentence(text, last.at, last.request)


def hidden_causes(log: EventLog) -> Iterator[Sentence]:
    unseen = log.end is not None and log.end.unseen
    lines = causes(log)[1:] if unseen and waiter_of(blocked(log)) is None else causes(log)
    if lines:
        text = " ".join(line.strip() for line in lines[:2])
        yield Sentence(f"{text[:1].upper()}{text[1:]}.")
