"""The choices that fix one interleaving: who is asked, what is kept, which orders are allowed.

A run asks its chooser whenever more than one thing could happen next. Choice 0 is always what
a stock loop on an infinitely fast machine does, so a run of zeros is plain FIFO, and every
other choice is a *deviation*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, final

from ..shown import shortened
from ..text import did_you_mean

Kind = Literal["run", "switch", "stall", "provider", "pause", "deadline", "interruption", "test"]
Order = Literal["fifo", "batch", "any"]

TIME: Final[tuple[Kind, ...]] = ("stall", "pause", "deadline")
"""The kinds that let time pass inside the program; only levels with stalls have them."""

CALLBACKS: Final = 0
"""The number, among those who may run, of the one queue of plain callbacks."""

_INSTANT: Final = "-instant"


class Chooser(Protocol):
    """Decides what happens next; asked only when there are at least two options."""

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        """One of `n` options, from 0.

        `run`: which of the entities `who`, in FIFO order, goes next: tasks are numbered from 1 in
        the order of their creation, `CALLBACKS` is the queue of plain callbacks, threads are below
        0. `switch`: whether the first of them goes on, or another instead, in the middle of its step.
        `stall`: how many further deadlines pass inside the program. `provider`: what the fake
        does; 0 is what its seed says. If it is whether a wave or fault meets a request, `who` has the
        number of that part of the scenario, what the seed says, and whether it may meet all
        requests and be the same kind of trouble. `pause`: whether time passes where no deadline is
        near. `deadline`: whether a deadline that the program has set passes, however far it is; then
        which one, the nearest first. `interruption`: whether the program is interrupted. `test`: what
        the test asked for; `who` has the weights of the options, or nothing if all weigh alike. `who`
        is not to be kept or changed.
        """


@final
class Fifo:
    """Takes choice 0, always."""

    __slots__ = ()

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        return 0


@final
@dataclass(frozen=True, slots=True)
class Deviation:
    """One choice that is not 0: the `place`-th of its run, from 0, taken among `width` options."""

    place: int
    choice: int
    width: int


@final
class Recorder:
    """Asks another chooser and keeps the answers: of each choice its kind, width and outcome.

    `went` has the entity that each choice of the kinds `run` and `switch` lets continue. `meets` has, by
    the places of choices whether a wave or fault meets a request, its number and what the seed says.
    """

    __slots__ = ("_choose", "kinds", "meets", "taken", "went", "widths")

    def __init__(self, chooser: Chooser) -> None:
        self._choose = chooser.choose
        self.taken: list[int] = []
        self.widths: list[int] = []
        self.kinds: list[Kind] = []
        self.went: list[int] = []
        self.meets: dict[int, tuple[int, bool]] = {}

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        choice = self._choose(kind, n, who)
        self.taken.append(choice)
        self.widths.append(n)
        self.kinds.append(kind)
        if not who:
            return choice
        if kind == "run" or kind == "switch":
            self.went.append(who[choice])
        elif kind == "provider":
            self.meets[len(self.taken) - 1] = (who[0], bool(who[1]))
        return choice

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """The choices that were not 0."""
        return tuple(
            Deviation(place, choice, self.widths[place]) for place, choice in enumerate(self.taken) if choice
        )

    def took(self, kind: Kind) -> bool:
        """Whether a choice of this kind was not 0."""
        return any(taken and each == kind for taken, each in zip(self.taken, self.kinds, strict=True))

    def __getstate__(self) -> dict[str, Any]:
        """What another process learns from: all but who was asked."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "_choose"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.taken)

    def __repr__(self) -> str:
        return f"<Recorder of {len(self)} choices>"


@final
@dataclass(frozen=True, slots=True)
class Level:
    """Which orders a run may use, and whether virtual time may pass inside the program.

    `fifo` is stock asyncio, `batch` is what trio itself may do, `any` is adversarial.
    """

    order: Order = "any"
    stalls: bool = True

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read `fifo`, `batch` or `any`, with `-instant` behind it for a level without stalls.

        Raises:
            ValueError: there is no such level; the text names the nearest.
        """
        for level in LEVELS:
            if str(level) == text:
                return level
        names = [str(level) for level in LEVELS]
        hint = did_you_mean(str(text), names) or f"there are: {', '.join(names)}"
        raise ValueError(f"there is no level {shortened(repr(text))}; {hint}")

    def __str__(self) -> str:
        return self.order if self.stalls else self.order + _INSTANT


ORDERS: Final[tuple[Order, ...]] = ("fifo", "batch", "any")
"""From the gentlest to the widest."""

LEVELS: Final = tuple(Level(order, stalls) for order in ORDERS for stalls in (True, False))
