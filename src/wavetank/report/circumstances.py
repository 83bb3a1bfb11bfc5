"""The sentences that follow the first three: who else was blocked, totals, waves, order, stalls, items."""

from __future__ import annotations

from collections import Counter
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
from .blocked import alike, blocked, culprit_of, told, waiter_of
from .requests import requests, unread
from .sentence import Sentence, by_task, for_item, never_read, were
from .spans import bands, last_instant
from .waited_for import waited_for

_OUTCOMES: Final = frozenset(("completed", "failed", "cancelled"))


def made_and_set(log: EventLog) -> Iterator[Sentence]:
    """Who set what had the name before of what is still waited for, and what has replaced it."""
    known = [each for each in waited_for(log) if each.others]
    for each in known[:1]:
        yield Sentence(f"{'; '.join((each.who, *each.others))}.", last_instant(log))


def left_unread(log: EventLog) -> Iterator[Sentence]:
    """Replies that no client read; where nothing was refused or spoiled, the first sentence has them."""
    found = unread(log)
    if found and any(event.kind == "refused" or event.fault is not None for event in log):
        text = never_read(found)
        yield Sentence(f"{text[:1].upper()}{text[1:]}.", found[0].replied, found[0].number)


def still_open(log: EventLog) -> Iterator[Sentence]:
    """The requests that were not over when the run ended."""
    said = {one.number for one in unread(log)}
    found = [one for one in requests(log) if one.over is None and one.number not in said]
    if found and log.end is not None:
        one = found[0]
        where = "" if one.place is None else f" at {one.place}"
        how = ", held by a barrier" if one.held is not None and one.replied is None else ""
        text = (
            f"{were(len(found), 'request')} still open at the end: the first is request {one.number}"
            f"{for_item(one.item)}{by_task(one)}{where}, sent at {format_duration(one.sent)}{how}."
        )
        yield Sentence(text, one.sent, one.number)


def others(log: EventLog) -> Iterator[Sentence]:
    """Who else was blocked, but for those who wait for their tasks."""
    found = blocked(log)
    culprit, hang = culprit_of(found), kind_of_hang(log)
    named = [culprit, waiter_of(found), *(alike(culprit, found) if culprit and culprit.inner else ())]
    others = [each for each in found if each.names and each not in named and "TaskGroup" not in each.waits]
    if hang == "livelock":  # a task that sleeps goes on, and is what repeats itself
        others = [each for each in others if "waits in sleep" not in each.waits]
    if others and hang is not None:
        more = f"; and {counted(len(others) - 2, 'group')} more" if len(others) > 2 else ""
        text = "; ".join(map(told, others[:2]))
        yield Sentence(f"Also blocked at the end: {text}{more}.", last_instant(log))


def totals(log: EventLog) -> Iterator[Sentence]:
    found, header, took = requests(log), log.header, format_duration(last_instant(log))
    refused = sum(one.outcome == "refused" for one in found)
    items = f" Items: {outcomes(log)}." if log.of("submitted") else ""
    items += _ends(log)
    backend = "" if header.backend == "hosted" else f" on {header.backend}"  # a test runs what it likes
    text = (
        f"The scenario was {header.scenario!r} with seed {header.seed}{backend}; "
        f"in {took} there were {counted(len(found), 'request')}, {refused} refused.{items}"
    )
    yield Sentence(text)


def _ends(log: EventLog) -> str:
    """How many tasks returned, raised what, were cancelled, or were blocked."""
    if log.end is None or not log.end.tasks:
        return ""
    ends = Counter(f"{each.how} {each.error}" if each.error else each.how for each in log.end.tasks)
    names: dict[str, list[str]] = {}
    for each in log.end.tasks:
        if each.error:
            names.setdefault(f"{each.how} {each.error}", []).append(repr(each.task))
    whose = {how: f" ({listed(found)})" for how, found in names.items()}
    parts = [f"{count} {how}{whose.get(how, '')}" for how, count in ends.items()]
    stuck = sum(len(each.names) for each in blocked(log))
    return f" Tasks: {', '.join([*parts, *([f'{stuck} blocked'] if stuck else [])])}."


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


def without_outcome(log: EventLog) -> list[str]:
    """The items that were submitted and have no outcome."""
    done = {event.item for event in log if event.kind in _OUTCOMES}
    found = (event.item for event in log.of("submitted") if event.item not in done and event.item)
    return list(dict.fromkeys(found))


def unfinished(log: EventLog) -> Iterator[Sentence]:
    """Items without an outcome, with the last event of the first."""
    still_open = without_outcome(log)
    if still_open:
        last = next(event for event in reversed(log) if event.item == still_open[0])
        names = listed(list(map(repr, still_open)))
        verb = "has" if len(still_open) == 1 else "have"
        text = f"{names} {verb} no outcome; the last event of {still_open[0]!r}: {dated(last)}."
        yield Sentence(text, last.at, last.request)


def hidden_causes(log: EventLog) -> Iterator[Sentence]:
    unseen = log.end is not None and log.end.unseen
    lines = causes(log)[1:] if unseen and waiter_of(blocked(log)) is None else causes(log)
    if lines:
        text = " ".join(line.strip() for line in lines[:2])
        yield Sentence(f"{text[:1].upper()}{text[1:]}.")
