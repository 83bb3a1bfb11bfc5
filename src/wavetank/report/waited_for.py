"""What happened to the locks, events and queues that are still waited for at the end of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import final

from ..checks.causes import listed, place
from ..clock import format_duration
from ..events import Event, EventLog


@final
@dataclass(frozen=True, slots=True)
class WaitedFor:
    """One of them: who waits for it, who made it and what was last done to it, and what else had its name."""

    name: str
    waiters: tuple[str, ...]
    story: str
    others: tuple[str, ...]

    @property
    def who(self) -> str:
        """`'a', 'b' wait for resumed#2`."""
        verb = "waits" if len(self.waiters) == 1 else "wait"
        return f"{listed([repr(each) for each in self.waiters])} {verb} for {self.name}"

    def __str__(self) -> str:
        return "; ".join((f"{self.who}, {self.story}", *self.others))


def waited_for(log: EventLog) -> tuple[WaitedFor, ...]:
    """All of them, as far as the log has their history."""
    by_name: dict[str, list[Event]] = {}
    for event in log.end.history if log.end is not None else ():
        by_name.setdefault(event.primitive or "", []).append(event)
    found = []
    for name, own in by_name.items():
        if waiters := dict.fromkeys(each.task or "" for each in own if each.action == "waits"):
            found.append(WaitedFor(name, (*waiters,), _story(own), (*_others(name, by_name),)))
    return tuple(found)


def it_is(log: EventLog, names: Collection[str]) -> str:
    """`it is resumed#2, made …`: what the tasks of these names wait for; empty if that is not known."""
    found = (f"it is {each.name}, {each.story}" for each in waited_for(log) if {*names} & {*each.waiters})
    return next(found, "")


def _story(own: Sequence[Event]) -> str:
    made = [f"made {_at(each)}" for each in own if each.action == "made"]
    done = _done(own)
    last = f"last {done[-1].action} {_at(done[-1])}" if done else "and nothing has been done to it since"
    return ", ".join((*made, last))


def _others(name: str, by_name: dict[str, list[Event]]) -> Iterator[str]:
    """What the same variable held before and after: a waiter may wait on one that was replaced."""
    variable, number = name.partition("#")[0], _number(name)
    same = [each for each in by_name if each.partition("#")[0] == variable]
    before = [each for each in same if _number(each) < number]
    after = [each for each in same if _number(each) > number]
    if before and (done := _done(by_name[before[-1]])):
        yield f"before it, {before[-1]} was {done[-1].action} {_at(done[-1])}"
    if after and (made := [each for each in by_name[after[0]] if each.action == "made"]):
        yield f"{after[0]} took its place, made {_at(made[0])}"


def _done(events: Sequence[Event]) -> list[Event]:
    return [each for each in events if each.action not in ("made", "waits")]


def _number(name: str) -> int:
    return int(name.partition("#")[2] or 1)


def _at(event: Event) -> str:
    return f"at {format_duration(event.at)} by {event.task!r}{place(event.file, event.line)}"
