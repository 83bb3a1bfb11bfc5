"""Say in words where a schedule deviates from FIFO order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from ..clock import format_duration
from .choices import TIME, Chooser, Kind
from .interleaving import Interleaving
from .scheduler import Scheduler


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

    def __init__(self, chooser: Chooser, scheduler: Scheduler, interleaving: Interleaving) -> None:
        self._choose = chooser.choose
        self._scheduler = scheduler
        self._interleaving = interleaving
        self.described: list[DescribedDeviation] = []
        self.about: Callable[[int], str] = lambda choice: f"the fake takes option {choice}"
        """Describes what the provider is asked now, given the choice."""

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        choice = self._choose(kind, n, who)
        if choice and kind in ("run", "switch"):
            self._interleaving.deviated(in_a_step=kind == "switch")
            names = self._scheduler.who_is(who[choice]), self._scheduler.who_is(who[0])
            self._describe("run", self._order(who[choice], who[0]), *names)
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

    def _order(self, chosen: int, first: int) -> str:
        return f"{self._named(chosen)} goes on; FIFO would have run {self._named(first)}"

    def _named(self, number: int) -> str:
        """Who it is, and where it goes on."""
        place = self._scheduler.place_of(number)
        return f"{self._scheduler.who_is(number)}{'' if place is None else f' at {place[0]}:{place[1]}'}"

    def _describe(self, kind: Kind, text: str, task: str | None = None, fifo: str | None = None) -> None:
        if kind in (*TIME, "interruption"):
            self._interleaving.deviated(order=False)
        steps, at = self._scheduler.steps, self._scheduler.elapsed
        self.described.append(DescribedDeviation(kind, steps, text, at, task, fifo))
