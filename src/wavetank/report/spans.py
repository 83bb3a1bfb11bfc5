"""Stretches of time and counts of a run: waves, waits asked for, pauses, stalls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import final

from ..clock import format_duration
from ..events import EventLog
from .requests import Request, requests

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
    merged: list[list[int]] = []
    for begin, end, number in waits:
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end, number])
    for begin, end, first in merged:
        text = (
            f"the provider asked {scope} to wait from {format_duration(begin)} to {format_duration(end)} "
            f"(first by the refusal of request {first})"
        )
        yield Span(begin, end, text)


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
    found = requests(log)
    steps = [step for one in found for step in _flight(one)]
    yield Count("in flight", tuple(_running(steps)))
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


def _flight(one: Request) -> Iterator[tuple[int, int]]:
    yield one.arrived, 1
    end = one.over if one.replied is None else one.replied
    if end is not None:
        yield end, -1


def _running(steps: list[tuple[int, int]]) -> Iterator[Point]:
    """The sum after each instant, from 0 on."""
    total, at = 0, 0
    for instant, step in sorted(steps):
        if instant != at:
            yield at, total
            at = instant
        total += step
    yield at, total
