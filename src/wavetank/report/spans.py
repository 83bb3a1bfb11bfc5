"""Stretches of time and counts of a run: waves, waits asked for, pauses, stalls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import final

from ..checks.causes import listed
from ..clock import format_duration
from ..events import EventLog
from .requests import requests, unread

Point = tuple[int, int | float]


@final
@dataclass(frozen=True, slots=True)
class Count:
    """A count over time; one that `refills` grows between two points, and falls at an instant."""

    name: str
    points: tuple[Point, ...]
    refills: bool = False


@final
@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in nanoseconds, and what it is in words."""

    begin: int
    end: int
    text: str
    parts: tuple[int, ...] = ()
    """Instants between its parts, such as the ends of the waits that it is made of."""


@final
@dataclass(frozen=True, slots=True)
class Band:
    """Stretches of one kind, which stand in one line of the picture."""

    name: str
    kind: str
    spans: tuple[Span, ...]


def last_instant(log: EventLog) -> int:
    """When the run ended; of one that has not, the last instant of its log."""
    if log.end is not None:
        return log.end.at
    return max((event.at for event in log), default=0)


def bands(log: EventLog) -> tuple[Band, ...]:
    """What lay over the run: waves, waits that were asked for, pauses of gates, stalls."""
    return (*_waves(log), *_waits_asked_for(log), *_pauses(log), *_stalls(log))


def _waves(log: EventLog) -> Iterator[Band]:
    last = last_instant(log)
    found: dict[int, list[list[int]]] = {}
    for event in log:
        wave = event.wave or 0
        if event.kind == "wave-opened":
            found.setdefault(wave, []).append([event.at, last, 0])
        elif event.kind == "wave-closed" and wave in found:
            found[wave][-1][1] = event.at
        elif event.kind == "refused" and event.wave in found:
            found[wave][-1][2] += 1  # also one that was on its way when the wave closed
    for wave, openings in sorted(found.items()):
        yield Band(f"wave {wave + 1}", "wave", tuple(_opening(wave, each, last) for each in openings))


def _opening(wave: int, opening: list[int], last: int) -> Span:
    begin, end, refused = opening
    until = format_duration(end) if end < last else "the end of the run"
    return Span(begin, end, f"wave {wave + 1} from {format_duration(begin)} to {until}, {refused} refused")


def of_one_item(scope: str) -> bool:
    """Whether a scope is that of an item, maybe at one host: `item:a`, `host:example.com/item:a`."""
    at_host = scope.partition("/")[2] if scope.startswith("host:") else scope
    return at_host.startswith("item:")


def _waits_asked_for(log: EventLog) -> Iterator[Band]:
    """For each scope wider than an item: from when a refusal was with its client until its wait is over."""
    last = last_instant(log)
    found: dict[str, list[tuple[int, int, int]]] = {}
    for one in requests(log):
        if one.free_from is None or one.over is None or one.scope is None or of_one_item(one.scope):
            continue
        if one.free_from > one.over:
            found.setdefault(one.scope, []).append((one.over, min(one.free_from, last), one.number))
    for scope, waits in sorted(found.items()):
        yield Band(f"wait asked: {scope}", "asked", tuple(_merged(scope, sorted(waits))))


def _merged(scope: str, waits: list[tuple[int, int, int]]) -> Iterator[Span]:
    merged: list[list[tuple[int, int, int]]] = []
    for wait in waits:
        if merged and wait[0] <= max(end for _, end, _ in merged[-1]):
            merged[-1].append(wait)
        else:
            merged.append([wait])
    for group in merged:
        begin, end = group[0][0], max(end for _, end, _ in group)
        parts = tuple(sorted({each for _, each, _ in group} - {end}))
        also = f"; shorter waits in it end at {listed(list(map(format_duration, parts)))}" if parts else ""
        text = (
            f"the provider asked {scope} to wait from {format_duration(begin)} to {format_duration(end)} "
            f"(first by the refusal of request {group[0][2]}{also})"
        )
        yield Span(begin, end, text, parts)


def _pauses(log: EventLog) -> Iterator[Band]:
    last = last_instant(log)
    begun: dict[str, int] = {}
    spans: dict[str, list[Span]] = {}

    def close(scope: str, end: int) -> None:
        begin = begun.pop(scope)
        text = f"the gate {scope} was paused from {format_duration(begin)} to {format_duration(end)}"
        spans.setdefault(scope, []).append(Span(begin, end, text))

    for event in log.of("paused", "resumed"):
        scope = event.scope or ""
        if event.kind == "paused":
            begun.setdefault(scope, event.at)
        elif scope in begun:
            close(scope, event.at)
    for scope in list(begun):
        close(scope, last)
    yield from (Band(f"pause: {scope}", "pause", tuple(found)) for scope, found in sorted(spans.items()))


def _stalls(log: EventLog) -> Iterator[Band]:
    for name, reason in (("stall", None), ("deadline passes", "deadline"), ("blocking call", "blocking")):
        spans = tuple(
            Span(
                event.since,
                event.at,
                f"{name} from {format_duration(event.since)} to {format_duration(event.at)}",
            )
            for event in log.of("stalled")
            if event.since is not None and event.reason == reason
        )
        if spans:
            yield Band(name, "stall", spans)


# -- counts ------------------------------------------------------------------------------------------


def counts(log: EventLog) -> Iterator[Count]:
    """Counts over time: requests in flight, budgets, items with an outcome, what `tank.watch` was given."""
    yield Count("in flight", tuple(_running(sorted(_flight(log), key=itemgetter(0)))))
    yield from _budgets(log)
    done = [(event.at, 1) for event in log.of("completed", "failed", "cancelled")]
    if done:
        yield Count("items done", tuple(_running(done)))
    for name, watched in sorted(log.end.watched.items()) if log.end is not None else ():
        yield Count(name, ((0, watched.first), *watched.changes))


def _budgets(log: EventLog) -> Iterator[Count]:
    """What was left of each budget when the provider had decided on a request."""
    found: dict[str, list[Point]] = {}
    for event in log:
        for name, left in (event.budgets or {}).items():
            found.setdefault(name, []).append((event.decided or 0, left))
    for name, points in sorted(found.items()):
        # Of one instant the least is the last: nothing comes in within it.
        least = {at: min(each[1] for each in group) for at, group in groupby(sorted(points), itemgetter(0))}
        yield Count(f"{name} left", tuple(least.items()), refills=True)


def _flight(log: EventLog) -> Iterator[tuple[int, int]]:
    """From the arrival of a request to its reply, in the order of the log; one that is never read stays."""
    gone = {one.number for one in requests(log)} - {one.number for one in unread(log)}
    for event in log:
        if event.batch is not None:
            continue
        if event.kind == "arrived":
            yield event.at, 1
        elif event.kind in ("refused", "answered", "left", "delivered") and event.request in gone:
            gone.remove(event.request)
            yield event.at, -1


def _running(steps: Iterable[tuple[int, int]]) -> Iterator[Point]:
    """The sum after each instant, from 0 on, and the most within an instant where it then falls again."""
    total = most = at = 0
    for instant, step in steps:
        if instant != at:
            yield from ((at, each) for each in ((most, total) if most > total else (total,)))
            at, most = instant, total
        total += step
        most = max(most, total)
    yield from ((at, each) for each in ((most, total) if most > total else (total,)))
