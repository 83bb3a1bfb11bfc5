"""Say in words where a schedule deviates from FIFO order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

from ..clock import format_duration
from .choices import Chooser, Kind
from .scheduler import Scheduler

_AT_HAND: Final = 4
"""So many of those who could run are named."""


@final
@dataclass(frozen=True, slots=True)
class DescribedDeviation:
    """One deviation of a schedule: its kind, the step before which it happened, and a description.

    `at` is the instant in nanoseconds. Of an order, `task` is who ran and `fifo` who would have
    run in FIFO order.
    """

    kind: Kind
    step: int
    text: str
    at: int = 0
    task: str | None = None
    fifo: str | None = None

    def __str__(self) -> str:
        return f"at step {self.step} {self.text}"


@final
class Narrator:
    """Asks another chooser, and describes each answer that is not 0."""

    def __init__(self, chooser: Chooser, scheduler: Scheduler) -> None:
        self._choose = chooser.choose
        self._scheduler = scheduler
        self.described: list[DescribedDeviation] = []
        self.about: Callable[[int], str] = lambda choice: f"the fake takes option {choice}"
        """Describes what the provider is asked now, given the choice."""

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        choice = self._choose(kind, n, who)
        if choice and kind in ("run", "switch"):
            names = self._scheduler.who_is(who[choice]), self._scheduler.who_is(who[0])
            self._describe("run", self._order(choice, who), *names)
        elif choice and kind in ("provider", "test"):
            self._describe(kind, self.about(choice))
        return choice

    def stalled(self, began: int, far: bool = False) -> None:
        """Virtual time has passed inside the program since `began`, perhaps past a far deadline."""
        now = self._scheduler.timers.now()
        text = f"time passes inside the program: {format_duration(began)} to {format_duration(now)}"
        if far:
            text += ", just past a deadline that it has set itself"
        self._describe("deadline" if far else "stall", text)

    def cut(self, await_: str) -> None:
        """The program is interrupted at an await of `main`."""
        self._describe("interruption", f"the program is interrupted; main waits {await_}")

    def _order(self, choice: int, who: Sequence[int]) -> str:
        passed_over = [self._scheduler.who_is(number) for number in who[: min(choice, _AT_HAND)]]
        more = choice - len(passed_over)
        others = ", ".join(passed_over) + (f" and {more} more" if more else "")
        return f"{self._scheduler.who_is(who[choice])} before {others}"

    def _describe(self, kind: Kind, text: str, task: str | None = None, fifo: str | None = None) -> None:
        steps, at = self._scheduler.steps, self._scheduler.elapsed
        self.described.append(DescribedDeviation(kind, steps, text, at, task, fifo))
