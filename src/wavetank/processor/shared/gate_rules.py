"""The rules of the shared gate, for a file; `shared_gate.lua` has the same rules for Redis.

One call brings the operations of one process, and returns a reply. Nothing here does I/O: the store
reads the state before, and writes it afterwards, in one transaction. docs/sharing.md describes the
operations, the entries of the log and the reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, final

SNAPSHOT_ENTRIES: Final = 1024
"""A log that is longer is to be replaced by what was learnt from it: 50 KB are read in a millisecond."""
SNAPSHOT_US: Final = 5_000_000
"""If a process that was asked for it has not done it by then, another one is asked."""

FIELDS: Final = (
    *("joined", "alive_until", "sweep_at", "head", "base", "snapshot_asked"),
    *("number", "generation", "era", "deadline", "unproven", "probe", "probe_sent", "failed_after"),
    *("in_a_row", "started_since", "flight", "crowded_until"),
    *("pace_at", "hold", "room", "crowded_wait", "refusal_wait", "mean_t"),
    *(f"{name}_{budget}" for budget in "rt" for name in ("rate", "burst", "paid", "known", "booked")),
)
"""The numbers of the state; instants and lengths of time are whole microseconds."""

Budget = Literal["r", "t"]


@final
@dataclass(slots=True)
class Member:
    """A process: when its lease ends, and the slot that it has booked; `at` is 0 if there is none."""

    expires: float
    era: float = 0.0
    at: float = 0.0
    tokens: str = "0"


@final
@dataclass(slots=True)
class Sent:
    """A request under way: whose it is, its tokens, when it started and in which generation."""

    member: str
    tokens: float
    sent: float
    generation: float


@final
@dataclass(slots=True)
class GateState:
    """All that is shared: `numbers` are those of `FIELDS`.

    `log` holds the entries from the place `log_start` on, which is no later than a reply needs.
    """

    born: str
    numbers: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FIELDS, 0.0))
    members: dict[str, Member] = field(default_factory=dict)
    tickets: dict[int, Sent] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    log_start: int = 0
    learnt: str = ""


def text(number: float) -> str:
    """A number as it is written in the log and in replies: as short as it can be without loss.

    >>> text(1700000000000001.0), text(0.5)
    ('1700000000000001', '0.5')
    """
    return f"{number:.17g}"


def call_gate(state: GateState, now: int, arguments: Sequence[str]) -> list[str]:
    """Do what one call asks for, and return its reply.

    Args:
        state: is changed.
        now: the present, in microseconds.
        arguments: born, member, lease in us, cursor, pace, operation, operation, …
    """
    born, me, lease, cursor, pace, *operations = arguments
    if born not in ("", state.born):
        return ["new"]
    call = _Call(state, float(now), me, float(lease))
    call.set_pace(pace)
    results = [call.operate(operation) for operation in operations]
    return call.reply(int(float(cursor)), results)


@final
class _Call:
    """One call; the methods are the functions of the script in Redis."""

    def __init__(self, state: GateState, now: float, me: str, lease: float) -> None:
        self._state = state
        self._s = s = state.numbers
        self._now = now
        self._me = me
        self._sweep(lease)
        if not me:
            s["joined"] += 1
            self._me = text(s["joined"])
        self._mine = state.members.setdefault(self._me, Member(0.0))
        self._mine.expires = now + lease
        s["alive_until"] = max(s["alive_until"], self._mine.expires)
        s["sweep_at"] = min(s["sweep_at"], self._mine.expires)

    def set_pace(self, pace: str) -> None:
        """Use what a process has learnt, if it has seen more of the log than the one before."""
        s, values = self._s, [float(word) for word in pace.split()]
        if values and values[0] > s["pace_at"]:
            s["pace_at"], s["mean_t"], s["room"] = values[0], values[5], values[6]
            s["crowded_wait"], s["hold"], s["refusal_wait"] = values[7:]
            self._change("r", values[1], values[2])
            self._change("t", values[3], values[4])

    def operate(self, operation: str) -> str:
        """Do one operation; the last argument of some is text with spaces, which follows `|`."""
        head, _, line = operation.partition("|")
        name, *words = head.split()
        methods: dict[str, Callable[[list[str], str], str | None]] = {
            "E": self._enter,
            "A": self._answered,
            "R": self._refused,
            "L": self._left,
            "W": self._withdrawn,
            "P": self._paused,
            "Q": self._set_budget,
            "I": self._informed,
            "T": self._told,
            "X": self._exhausted,
            "S": self._learnt,
            "G": self._gone,
        }
        return methods[name](words, line) or ""

    def reply(self, cursor: int, results: list[str]) -> list[str]:
        """The reply: the state in short, the results, and the entries of the log from the cursor on."""
        s, state = self._s, self._state
        wanted = s["head"] - s["base"] > SNAPSHOT_ENTRIES
        wanted = wanted and self._now >= s["snapshot_asked"] + SNAPSHOT_US
        if wanted:
            s["snapshot_asked"] = self._now
        base = int(s["base"])
        start = max(cursor, base)
        gate = (text(s[name]) for name in ("generation", "deadline", "in_a_row", "probe"))
        counts = str(len(state.members)), text(s["head"]), str(start), str(int(wanted)), str(len(results))
        return [
            " ".join((text(self._now), state.born, self._me, *gate, *counts)),
            state.learnt if cursor < base else "",
            *results,
            *state.log[start - state.log_start :],
        ]

    def _append(self, *words: str) -> None:
        self._state.log.append(" ".join(words))
        self._s["head"] += 1

    # -- budgets: requests (r) and tokens (t), each kept by the generic cell rate algorithm ----------

    def _time_of(self, budget: Budget, units: float) -> float:
        return float(math.floor(units * 1000000 / self._s[f"rate_{budget}"] + 0.5))

    def _ready_at(self, budget: Budget, units: float) -> float:
        if not self._s[f"rate_{budget}"]:
            return 0.0
        burst = self._s[f"burst_{budget}"]
        return self._s[f"paid_{budget}"] - self._time_of(budget, burst - min(units, burst))

    def _spend(self, budget: Budget, units: float, at: float) -> None:
        if self._s[f"rate_{budget}"]:
            self._s[f"paid_{budget}"] = max(self._s[f"paid_{budget}"], at) + self._time_of(budget, units)

    def _correct(self, budget: Budget, more: float) -> None:
        if self._s[f"rate_{budget}"]:
            self._s[f"paid_{budget}"] += self._time_of(budget, more)

    def _at_most(self, budget: Budget, left: float, at: float) -> None:
        s = self._s
        if s[f"rate_{budget}"]:
            s[f"known_{budget}"] = max(s[f"known_{budget}"], at)
            short = s[f"burst_{budget}"] - max(0.0, left)
            if short > 0:
                s[f"paid_{budget}"] = max(s[f"paid_{budget}"], at + self._time_of(budget, short))

    def _set_left(self, budget: Budget, left: float) -> None:
        s = self._s
        if s[f"rate_{budget}"]:
            s[f"burst_{budget}"] = max(s[f"burst_{budget}"], left)
            short = s[f"burst_{budget}"] - max(0.0, left)
            s[f"paid_{budget}"] = self._now + self._time_of(budget, short)

    def _change(self, budget: Budget, rate: float, burst: float) -> None:
        s, old = self._s, self._s[f"rate_{budget}"]
        if (rate, burst) == (old, s[f"burst_{budget}"]):
            return
        at = max(self._now, s[f"known_{budget}"])
        left = burst
        if old:
            left = s[f"burst_{budget}"] - max(0.0, s[f"paid_{budget}"] - at) * old / 1000000
        s[f"rate_{budget}"], s[f"burst_{budget}"] = rate, burst
        if rate:
            s[f"paid_{budget}"] = at + self._time_of(budget, max(0.0, burst - left))

    def _restart(self, at: float) -> None:
        self._at_most("r", 1.0, at)
        if self._s["mean_t"] > 0:
            self._at_most("t", self._s["mean_t"], at)

    def _pause(self, deadline: float) -> None:
        s = self._s
        if deadline > s["deadline"]:
            s["deadline"], s["unproven"], s["era"] = deadline, 1.0, s["era"] + 1
            self._correct("r", -s["booked_r"])
            self._correct("t", -s["booked_t"])
            s["booked_r"] = s["booked_t"] = 0.0
            s["known_r"], s["known_t"] = min(s["known_r"], deadline), min(s["known_t"], deadline)
            self._restart(deadline)

    # -- members, their bookings and their tickets ----------------------------------------------------

    def _is_booked(self, member: Member) -> bool:
        return member.at > 0 and member.era == self._s["era"]

    def _unbook(self, member: Member, *, refunds: bool) -> None:
        if self._is_booked(member):
            tokens = float(member.tokens)
            self._s["booked_r"] -= 1
            self._s["booked_t"] -= tokens
            if refunds:
                self._correct("r", -1.0)
                self._correct("t", -tokens)
        member.at, member.tokens = 0.0, "0"

    def _give_back(self, number: int) -> None:
        del self._state.tickets[number]
        self._s["flight"] -= 1
        if self._s["probe"] == number:
            self._s["probe"] = 0.0

    def _drop(self, id: str) -> None:
        member = self._state.members.pop(id, None)
        if member is not None:
            self._unbook(member, refunds=True)
        for number in sorted(number for number, one in self._state.tickets.items() if one.member == id):
            self._give_back(number)
            self._append("L", str(number))
        self._append("D", id)

    def _sweep(self, lease: float) -> None:
        """Take back what dead processes hold."""
        if self._now < self._s["sweep_at"]:
            return
        self._s["sweep_at"] = self._now + lease
        dead = []
        for id, member in self._state.members.items():
            if id != self._me and member.expires <= self._now:
                dead.append(id)
            elif member.expires > self._now:
                self._s["sweep_at"] = min(self._s["sweep_at"], member.expires)
        for id in sorted(dead, key=int):
            self._drop(id)

    # -- the operations -------------------------------------------------------------------------------

    def _blocked_until(self) -> float | None:
        s = self._s
        if self._now < s["deadline"]:
            return s["deadline"]
        if s["probe"]:
            answered_by = s["probe_sent"] + max(s["refusal_wait"], math.floor(s["failed_after"] * 1.5))
            if self._now < answered_by:
                owner = self._state.members.get(self._state.tickets[int(s["probe"])].member)
                return min(answered_by, answered_by if owner is None else owner.expires)
            s["probe"] = s["unproven"] = 0.0
            self._restart(self._now)
        if s["flight"] + 1 > s["room"] and self._now < s["crowded_until"]:
            return s["crowded_until"]
        return None

    def _start(self, tokens: str, left: str, *, rests: bool) -> str:
        s = self._s
        for name in ("number", "started_since", "flight"):
            s[name] += 1
        s["crowded_until"] = self._now + s["crowded_wait"]
        number = int(s["number"])
        self._state.tickets[number] = Sent(self._me, float(tokens), self._now, s["generation"])
        if s["unproven"]:
            s["probe"], s["probe_sent"] = s["number"], self._now
        words = str(number), text(self._now), text(s["generation"]), text(s["flight"])
        self._append("S", words[0], self._me, words[1], words[3], tokens, words[2], left, str(int(rests)))
        return " ".join(("start", *words))

    def _enter(self, words: list[str], _: str) -> str:
        """Start a request now, or return the slot at which it may start."""
        tokens, left = words
        look = self._blocked_until()
        if look is not None:
            return f"look {text(look)}"
        mine, s, units = self._mine, self._s, float(tokens)
        if mine.at > 0 and not (self._is_booked(mine) and mine.tokens == tokens):
            self._unbook(mine, refunds=True)
        booked, rests = self._is_booked(mine), False
        at = mine.at if booked else max(self._ready_at("r", 1.0), self._ready_at("t", units))
        if max(at, s["hold"]) > self._now + 1:
            if not booked:
                self._spend("r", 1.0, at)
                self._spend("t", units, at)
                # A slot stays where it is when the rate changes.
                s["known_r"], s["known_t"] = max(s["known_r"], at), max(s["known_t"], at)
                s["booked_r"] += 1
                s["booked_t"] += units
                mine.era, mine.at, mine.tokens = s["era"], at, tokens
                self._append("H", text(self._now))
            return f"slot {text(max(at, s['hold']))}"
        if booked:
            self._unbook(mine, refunds=False)
        else:
            rests = s["paid_t" if s["mean_t"] > 0 else "paid_r"] <= self._now
            self._spend("r", 1.0, self._now)
            self._spend("t", units, self._now)
        return self._start(tokens, left, rests=rests)

    def _answered(self, words: list[str], _: str) -> None:
        number, used = int(words[0]), words[1]
        ticket, s = self._state.tickets.get(number), self._s
        if ticket is None:
            return
        if used != "-":
            self._correct("t", float(used) - ticket.tokens)
        if ticket.generation == s["generation"]:
            s["in_a_row"] = 0.0
            if s["probe"] == number and self._now >= s["deadline"]:
                s["unproven"] = 0.0
                self._restart(self._now)
        self._give_back(number)
        self._append("A", words[0], text(self._now), used)

    def _refused(self, words: list[str], _: str) -> None:
        number, (delay, stated, latest) = int(words[0]), map(float, words[1:4])
        s, is_outage, ticket = self._s, words[4] == "1", self._state.tickets.get(int(words[0]))
        sent = self._now if ticket is None else ticket.sent
        s["failed_after"] = max(1000000.0, self._now - sent) if is_outage else 0.0
        alone, length = str(int(s["started_since"] <= 1)), 0.0
        opens = ticket is not None and ticket.generation == s["generation"]
        if opens:
            length = delay if stated > 0 else min(delay, latest)
            s["generation"], s["started_since"], s["in_a_row"] = s["generation"] + 1, 0.0, s["in_a_row"] + 1
        if ticket is not None:
            self._give_back(number)
            if is_outage:
                self._append("L", words[0])
            elif opens:
                self._append("R", words[0], text(self._now), text(length), alone)
            else:
                self._append("r", words[0], text(self._now))
        if opens:
            self._pause(self._now + length)
        elif stated > 0:
            self._pause(self._now + stated)

    def _left(self, words: list[str], _: str) -> None:
        if int(words[0]) in self._state.tickets:
            self._give_back(int(words[0]))
            self._append("L", words[0])

    def _withdrawn(self, words: list[str], _: str) -> None:
        ticket = self._state.tickets.get(int(words[0]))
        if ticket is not None:
            self._give_back(int(words[0]))
            self._correct("r", -1.0)
            self._correct("t", -ticket.tokens)
            self._append("W", words[0])

    def _paused(self, words: list[str], _: str) -> None:
        self._pause(self._now + float(words[0]))

    def _set_budget(self, words: list[str], _: str) -> None:
        budget: Budget = "r" if words[0] == "r" else "t"
        left = float(words[2])
        if budget == "r":
            left -= self._s["number"] - float(words[3])
        if words[1] == "1":
            self._set_left(budget, left)
        else:
            self._at_most(budget, left, self._now)

    def _informed(self, words: list[str], line: str) -> None:
        self._append("I", words[0], self._me, words[1], text(self._now), line)

    def _told(self, _: list[str], line: str) -> None:
        self._append("T", self._me, text(self._now), line)

    def _exhausted(self, words: list[str], line: str) -> None:
        self._left(words, line)
        self._append("X", line)

    def _learnt(self, words: list[str], line: str) -> None:
        place, s = int(words[0]), self._s
        if s["base"] < place <= s["head"]:
            self._state.learnt = line
            s["base"] = float(place)

    def _gone(self, _: list[str], __: str) -> None:
        self._drop(self._me)
