"""Who was blocked when a run was stopped, who explains whom, and in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from ..checks.causes import listed
from ..events import EventLog

_HOLDERS: Final = re.compile(r"(?:held|borrowed) by (.*)")
_INNER: Final = re.compile(r"waits in (\S+) on (\w+)\.(\w+): ")
"""A wait on a part of an object, such as `waits in Event.wait on Queue._changed: Event`."""
_NAME: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


@final
@dataclass(frozen=True, slots=True)
class Blocked:
    """Tasks or threads that were blocked when the run was stopped.

    `frames` are places such as `work (app.py:12)`, outermost first; `waits` is what they wait for and `notes`
    what else is known of that. There may be `more` of them than are named.
    """

    names: tuple[str, ...]
    more: bool
    frames: tuple[str, ...]
    waits: str
    notes: tuple[str, ...]

    @property
    def holders(self) -> frozenset[str]:
        """Who holds what they wait for, as far as that is known."""
        holders = _HOLDERS.search(self.waits)
        return frozenset(map(_unquoted, _NAME.findall(holders[1]))) if holders else frozenset()

    @property
    def inner(self) -> tuple[str, str] | None:
        """In what they wait on which part of an object, where the last frame is a method of that object."""
        found = _INNER.match(self.waits)
        of_it = bool(self.frames and found and self.frames[-1].startswith(f"{found[2]}."))
        if found is None or not of_it or self.holders:
            return None
        return found[1], found[3]


def blocked(log: EventLog) -> tuple[Blocked, ...]:
    """Who was blocked when the run was stopped, as its end says in paragraphs."""
    return tuple(map(_paragraph, log.end.blocked)) if log.end is not None else ()


def _paragraph(text: str) -> Blocked:
    title, *lines = (line.strip() for line in text.strip("\n").split("\n"))
    if not lines:
        return Blocked((), False, (), "", (title,))
    frames = tuple(line.removeprefix("at ") for line in lines if line.startswith("at "))
    rest = [line for line in lines if not line.startswith("at ")]
    waits = next((line for line in rest if line.startswith("waits ")), "")
    return Blocked(
        names=tuple(map(_unquoted, _NAME.findall(title))),
        more=title.endswith("…"),
        frames=frames,
        waits=waits,
        notes=tuple(line for line in rest if line != waits),
    )


def _unquoted(name: str) -> str:
    """The text that has this `repr`. Not by `ast`: in CPython 3.11 it now and then ends in a SystemError."""
    try:
        return name[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")
    except ValueError:
        return name[1:-1]


def culprit_of(paragraphs: Sequence[Blocked]) -> Blocked | None:
    """Whom the others do not explain: who waits for what it holds itself, or for no task and no holder."""
    for_others = ("TaskGroup", "Nursery", "waits for task", "waits for all of")
    holders = {name for each in paragraphs for name in each.holders}
    itself = [each for each in paragraphs if each.holders & {*each.names}]
    alone = [
        each
        for each in paragraphs
        if each.waits and not each.holders and not any(part in each.waits for part in for_others)
    ]
    holding = [each for each in alone if holders & {*each.names}]
    return next(iter((*itself, *holding, *alone, *reversed(paragraphs))), None)


def waiter_of(paragraphs: Sequence[Blocked]) -> Blocked | None:
    """The first who waits for what another one holds, but for the culprit."""
    culprit = culprit_of(paragraphs)
    return next((each for each in paragraphs if each.holders and each is not culprit), None)


def reason_of(culprit: Blocked, paragraphs: Sequence[Blocked]) -> str:
    """Why it cannot go on: `; it holds that itself`."""
    names = {*culprit.names}
    if culprit.holders & names:
        return "; it holds that itself"
    if any(names & each.holders and culprit.holders & {*each.names} for each in paragraphs):
        return "; they wait for each other"
    waiting = [each for each in paragraphs if names & each.holders]
    if waiting:
        who = listed([repr(name) for each in waiting for name in each.names])
        what = "the lock that" if waiting[0].waits.startswith("waits in a lock") else "what"
        return f"; {'they hold' if len(names) > 1 else 'it holds'} {what} {who} {_wait(waiting)} for"
    return f"; {culprit.notes[-1]}" if culprit.notes else ""


def _wait(waiting: Sequence[Blocked]) -> str:
    return "waits" if sum(len(each.names) for each in waiting) == 1 and not waiting[0].more else "wait"


def alike(culprit: Blocked, paragraphs: Sequence[Blocked]) -> list[Blocked]:
    """The others that wait for the same at the same place."""
    same = culprit.frames[-1:], culprit.waits
    return [each for each in paragraphs if each != culprit and (each.frames[-1:], each.waits) == same]


def told(each: Blocked) -> str:
    """`'a', 'b' wait in Semaphore.acquire on permits, held by 'c' (app.py:12)`."""
    names = listed([repr(name) for name in each.names])
    many = len(each.names) > 1 or each.more
    waits = each.waits.replace("waits ", "wait ", 1) if many else each.waits
    if each.inner is not None:
        method, part = each.inner
        return f"{names} {'wait' if many else 'waits'} in {each.frames[-1]}, there in {method} on {part}"
    frame = f" at {each.frames[-1]}" if each.frames else ""
    return f"{names}{frame} {waits or 'did not go on'}"
