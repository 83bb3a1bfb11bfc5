"""Schedules that Hypothesis draws: one draw for each choice, kept in its example database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, final

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st

from ..sim.choices import Kind, Level
from ..tank.runs.external_schedule import ExternalSchedule

MOST_CHOICES: Final = 2_000
"""Hypothesis stops an example with more than some 4000 draws; the other half is left to the test."""

_SELDOM: Final = ("pause", "deadline", "interruption")
_ONE_IN: Final = 32
"""These are asked for before nearly every step, and one of them in a run is enough."""


class _Draws(Protocol):
    def randrange(self, stop: int, /) -> int: ...


@final
class DrawnSchedule(ExternalSchedule):
    """An order that is drawn during a run; give it to `simulate` or `World.run` as `schedule`.

    After `choices` draws the order is FIFO. After the run its repr is its token.
    """

    def __init__(self, draws: _Draws, *, level: Level, choices: int) -> None:
        self.level = level
        self._draws = draws
        self._left = choices
        self._stopped: BaseException | None = None
        self._token: str | None = None

    def choose(self, kind: Kind, n: int, _who: Sequence[int], /) -> int:
        """Draw one of `n` options; 0, which is FIFO, is the simplest."""
        if self._stopped is not None or self._left <= 0:
            return 0
        self._left -= 1
        try:
            if kind in _SELDOM and n == 2:
                return int(self._draws.randrange(_ONE_IN) == 1)
            return self._draws.randrange(n)
        except BaseException as stopped:
            # Hypothesis ends an example by an exception, which must not pass through an event loop.
            self._stopped = stopped
            return 0

    def ended(self, token: str) -> None:
        """The run is over, and `token` repeats it.

        Raises:
            BaseException: Hypothesis has ended the example during the run.
        """
        if self._stopped is not None:
            raise self._stopped
        self._token = token
        if currently_in_test_context():
            note(f"the drawn schedule, as a token: {token}")

    def __repr__(self) -> str:
        return f"<a schedule at level {self.level}>" if self._token is None else self._token


def schedules(*, level: str = "any", choices: int = MOST_CHOICES) -> st.SearchStrategy[DrawnSchedule]:
    """Orders in which tasks run, stalls and choices of the provider; plain FIFO first.

    Hypothesis then keeps the schedule in its database and shrinks it. It finds fewer failures
    than `World.run` with its own schedules, and shrinks them less.

    Raises:
        ValueError: there is no such level.
    """
    wanted = Level.parse(level)
    return st.randoms(use_true_random=False).map(
        lambda draws: DrawnSchedule(draws, level=wanted, choices=choices)
    )
