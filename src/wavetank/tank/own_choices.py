"""Choices that the test itself asks for: a search explores them, shrinks them and repeats them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Hashable, Sequence
from types import FrameType
from typing import Any, Final, Protocol, TypeVar, final

from ..events import without_addresses
from ..shown import shortened
from ..sim.origin import place_of_frame

T = TypeVar("T")

_PARTS: Final = 1_000_000
"""Probabilities are weighed in millionths, since choosers take whole numbers."""

CUT_ONE_IN: Final = 10
"""How seldom `maybe_timeout` ends at an await, at random: a call with ten awaits then comes to its end
in a third of the runs."""

_EITHER: Final = (CUT_ONE_IN - 1, 1)

Describe = Callable[[int], str]


class Explorer(Protocol):
    """Who chooses in a search."""

    def decide(self, n: int, weights: Sequence[int], describe: Describe, /) -> int:
        """One of `n` options; 0 outside a search, and once the run is being ended."""

    def offer(self, whose: Hashable, offer: Callable[[], object], /) -> None:
        """Call `offer` between two steps until it is withdrawn."""

    def withdraw(self, whose: Hashable, /) -> None:
        """Call an offer no longer."""

    def awaits(self) -> Callable[[], tuple[object, ...]] | None:
        """A function that says what the running task awaits: empty while it awaits nothing.

        `None` where the task runs on no engine of the search.
        """


@final
class OwnChoices:
    """Choices of one run; without an `explorer` the first option is always taken."""

    __slots__ = ("explorer",)

    def __init__(self) -> None:
        self.explorer: Explorer | None = None

    def choose(self, options: Sequence[T]) -> T:
        """One of the options."""
        if not isinstance(options, Sequence):
            raise TypeError(f"choose({shortened(repr(options))}): give a list or a tuple of options")
        if not options:
            raise ValueError("choose([]): there is nothing to choose from")
        where = _place()

        def describe(at: int) -> str:
            return f"choose takes {_shown(options[at])}, not {_shown(options[0])}{where}"

        return options[self._decide(len(options), (), describe)]

    def randomly(self, probability: float) -> bool:
        """True with a probability."""
        if isinstance(probability, bool) or not isinstance(probability, int | float):
            raise TypeError(f"randomly({probability!r}): give a probability between 0 and 1")
        if not 0 <= probability <= 1:
            raise ValueError(f"randomly({probability!r}): a probability lies between 0 and 1")
        yes = round(probability * _PARTS)
        if not yes:
            return False
        where = _place()
        return bool(self._decide(2, (_PARTS - yes, yes), lambda _: f"randomly({probability}) is True{where}"))

    def maybe_cancel(self, scope: Any) -> None:
        """Cancel `scope`, or not."""
        if not callable(getattr(scope, "cancel", None)):
            raise TypeError(f"maybe_cancel({shortened(repr(scope))}): give a cancel scope or a task")
        where = _place()
        if self._decide(2, (), lambda _: f"maybe_cancel cancels its scope{where}"):
            scope.cancel()

    async def maybe_timeout(self, awaitable: Awaitable[T], where: str) -> T:
        """Await it, or give up at one of its awaits."""
        import anyio

        explorer = self.explorer
        awaits = None if explorer is None else explorer.awaits()
        if explorer is None or awaits is None:
            return await awaitable
        with anyio.CancelScope() as scope:
            last: list[tuple[object, ...]] = [()]

            def offer() -> None:
                now = awaits()
                if now and not _same(now, last[0]):
                    last[0] = now
                    if explorer.decide(2, _EITHER, lambda _: f"maybe_timeout ends{where}"):
                        explorer.withdraw(scope)
                        scope.cancel()

            explorer.offer(scope, offer)
            try:
                return await awaitable
            finally:
                explorer.withdraw(scope)
        raise TimeoutError("tank.maybe_timeout let its time run out")

    def _decide(self, n: int, weights: Sequence[int], describe: Describe) -> int:
        return 0 if self.explorer is None else self.explorer.decide(n, weights, describe)

    def __repr__(self) -> str:
        return f"<OwnChoices, {'not ' if self.explorer is None else ''}explored>"


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _shown(option: object) -> str:
    return shortened(without_addresses(repr(option)))


def _place() -> str:
    """Where in the program a choice is asked for."""
    return place_in_words(sys._getframe(2))


def place_in_words(frame: FrameType) -> str:
    """The innermost place of the program from a frame outwards, in parentheses."""
    place = place_of_frame(frame)
    return "" if place is None else f" ({place[0]}:{place[1]})"
