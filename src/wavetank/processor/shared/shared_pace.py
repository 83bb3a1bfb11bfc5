"""What all members of a shared gate learn, each from the same log of what happened."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Final, NamedTuple, final

from ..gate.pace import Pace, Stated
from ..gate.tickets import Ticket
from ..limits import Limits, Quota, RateInfo
from . import snapshot
from .gate_rules import text

US: Final = 1_000_000
NO_LIMIT: Final = 1e300
"""Stands for infinity, which Lua writes otherwise than Python."""


class Noted(NamedTuple):
    """What a member has to act on: an answer of `member` stated something, or the scope is closed.

    `last` is the number of the last request that had started by then.
    """

    member: str = ""
    last: int = 0
    stated: Stated | None = None
    closed: str | None = None


@final
class SharedPace:
    """The pace that follows from the log.

    Every member reads the same entries in the same order, and nothing else: so all come to the
    same pace, whichever of them reads an entry first. A member that joins later begins with the
    snapshot of one that was there.

    Args:
        limits: those that this process is given.
        on_change: called with the old and the new rate when the rate changed by a tenth.
    """

    def __init__(self, limits: Limits, on_change: Callable[[float, float], None]) -> None:
        self._own = limits
        self._on_change = on_change
        self.restart()

    def restart(self) -> None:
        """Begin with nothing, as if the gate was new."""
        self.cursor = 0
        self._born = 0
        self._hold: float | None = None
        self._last = 0
        self._tickets: dict[int, Ticket] = {}
        self._items_left: dict[str, float] = {}
        self._told: dict[str, Limits] = {}
        self._limits = Limits()
        # The first member sends it with the call that tells its limits.
        self.pace = Pace(self._own)

    def __repr__(self) -> str:
        return f"<SharedPace {self.pace!r} at entry {self.cursor}>"

    @property
    def limits(self) -> Limits:
        """The strictest of the limits that the members are given."""
        return self._limits

    @property
    def disagrees(self) -> bool:
        """Whether members are given different limits."""
        told = [limits for limits in self._told.values() if limits != Limits()]
        return any(limits != told[0] for limits in told)

    def words(self) -> str:
        """The pace as it is sent with a call: docs/sharing.md names the numbers."""
        (rate, burst), (token_rate, token_burst) = self.pace.budgets
        hold = 0 if self._hold is None else self._born + round(self._hold * US)
        numbers = (
            self.cursor + 1,
            rate or 0.0,
            burst,
            token_rate or 0.0,
            token_burst,
            self.pace.mean_tokens or 0.0,
            min(self.pace.room, NO_LIMIT),
            round(self.pace.crowded_wait_seconds * US),
            hold,
            round(self.pace.refusal_seconds * US),
        )
        return " ".join(map(text, numbers))

    def snapshot(self) -> str:
        """All that was learnt, for members that join later."""
        return snapshot.encode(
            [self.pace, self._hold, self._last, self._tickets, self._items_left, self._told, self._limits]
        )

    def read(self, born: str, start: int, learnt: str, entries: Sequence[str]) -> list[Noted]:
        """Learn from a part of the log.

        Args:
            born: when the gate began, in microseconds.
            start: the place of the first entry.
            learnt: the snapshot that replaces all entries before; empty if none was left out.
            entries: the entries, to the end of the log.

        Raises:
            ValueError: the snapshot is none, or an entry is missing.
        """
        self._born = int(born)
        if learnt:
            values = snapshot.decode(learnt)
            self.pace, self._hold, self._last, self._tickets, self._items_left, self._told, self._limits = (
                values
            )
            self.pace.attach(None, self._count_left)
        elif start != self.cursor:
            raise ValueError(f"the entries from {self.cursor} to {start} are missing")
        elif not start and not self.cursor:
            self.pace = Pace(Limits(), left=self._count_left)
        noted = [noted for entry in entries if (noted := self._read(entry)) is not None]
        self.cursor = start + len(entries)
        # What was decided before it joined is not reported by this process.
        self.pace.attach(self._on_change, self._count_left)
        return noted

    def _read(self, entry: str) -> Noted | None:
        kind, _, rest = entry.partition(" ")
        if kind == "X":
            return Noted(closed=rest)
        if kind == "I":
            return self._informed(*rest.split(" ", 4))
        words = rest.split(" ")
        if kind == "S":
            self._started(*words)
        elif kind == "H":
            self._hold = self.pace.hold_back(self._seconds(words[0]))
        elif kind == "T":
            self._tell(*rest.split(" ", 2))
        elif kind == "D":
            # Its limits are kept until the next member tells others: they were known for a reason.
            self._items_left.pop(words[0], None)
            self._told.pop(words[0], None)
        elif (ticket := self._tickets.pop(int(words[0]), None)) is not None:
            self._ended(kind, ticket, words[1:])
        return None

    def _started(self, *words: str) -> None:
        number, member, sent, under_way, tokens, generation, left, rests = words
        ticket = Ticket(int(number), int(generation), self._seconds(sent), int(under_way), float(tokens))
        self._last = ticket.number
        self._items_left[member] = float(left)
        self._tickets[ticket.number] = ticket
        if rests == "1":
            self.pace.rest()
        self.pace.start(ticket)

    def _ended(self, kind: str, ticket: Ticket, words: Sequence[str]) -> None:
        if kind == "L":
            # It may be that of a dead process, whose answer was waited for.
            self._hold = None
            self.pace.ended(ticket)
            return
        if kind == "W":
            self.pace.withdrawn(ticket)
            return
        now = self._seconds(words[0])
        if kind == "A":
            self._hold = None
            self.pace.answered(ticket, now, None if words[1] == "-" else float(words[1]))
        elif kind == "R":
            self.pace.refused(ticket, float(words[1]) / US, now, alone=words[2] == "1")
        else:
            self.pace.refused_too(ticket, now)

    def _informed(self, number: str, member: str, sent: str, now: str, line: str) -> Noted:
        stated = self.pace.learn(
            decode_info(line), number=int(number), sent=self._seconds(sent), now=self._seconds(now)
        )
        return Noted(member, self._last, stated=stated)

    def _tell(self, member: str, now: str, line: str) -> None:
        self._told[member] = Limits(*json.loads(line))
        told = zip(*map(astuple, self._told.values()), strict=True)
        strictest = Limits(*(min((one for one in each if one is not None), default=None) for each in told))
        if strictest != self._limits:
            self._limits = strictest
            self.pace.retune(strictest, self._seconds(now))

    def _seconds(self, instant: str) -> float:
        return (float(instant) - self._born) / US

    def _count_left(self) -> float:
        return math.fsum(self._items_left.values())


def encode_limits(limits: Limits) -> str:
    """Limits as one line of text."""
    return json.dumps(astuple(limits))


def encode_info(info: RateInfo) -> str:
    """What an answer states, as one line of text."""
    return json.dumps([None if quota is None else astuple(quota) for quota in (info.requests, info.tokens)])


def decode_info(line: str) -> RateInfo:
    """What `encode_info` wrote."""
    requests, tokens = (None if values is None else Quota(*values) for values in json.loads(line))
    return RateInfo(requests, tokens)
