"""The steps of a run that a reader wants to see: those around each deviation from FIFO order and the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from .origin import Origin, is_own, source_of

BEFORE: Final = 2
AFTER: Final = 3
"""So many steps are kept before and after a deviation: who had the turn, who got it, what came of that."""

CALLBACK: Final = "callback "
"""How the names of callbacks begin; those of libraries, which wake tasks, are left out."""


@final
@dataclass(frozen=True, slots=True)
class TakenStep:
    """Who ran, from the instant `at` on, up to which line of the program; `text` is that line.

    Of a task or thread that is over it is the line from which it went on last. `skipped` steps came before
    it that are not shown. `deviates` says that FIFO order would have had another one run.
    """

    at: int
    task: str
    file: str
    line: int
    text: str
    skipped: int = 0
    deviates: bool = False


@final
class Interleaving:
    """Looks at every step, and keeps few; steps in a row of one task are one.

    `around` are numbers of steps around which others are kept as well, in order.
    """

    def __init__(self, now: Callable[[], int], steps: Callable[[], int], around: Sequence[int] = ()) -> None:
        self._now = now
        self._steps = steps
        self._around = deque(around)
        self._kept: list[TakenStep] = []
        self._recent: deque[TakenStep] = deque(maxlen=BEFORE + 1)
        self._skipped = 0
        self._wanted = 0
        self._deviates = False
        """Whether the next step is not that of FIFO order."""
        self._switch_next = False
        """Whether the one after it is not."""

    def look(self, origin: Origin) -> None:
        """A step has been taken by this task or thread."""
        deviates, self._deviates, self._switch_next = self._deviates, self._switch_next, False
        if origin.file is None or origin.line is None or origin.task is None:
            return
        if origin.task.startswith(CALLBACK) and not is_own((origin.file, origin.line)):
            return
        if self._around and self._steps() > self._around[0]:
            self._around.popleft()
            self.deviated(order=False)
        last = self._kept[-1] if self._wanted and self._kept and not self._recent else None
        last = self._recent[-1] if self._recent else last
        step = TakenStep(self._now(), origin.task, origin.file, origin.line, "", deviates=deviates)
        if last is not None and last.task == step.task and not step.deviates:
            self._replace_last(replace(last, file=step.file, line=step.line))
        else:
            self._add(step)

    def deviated(self, *, in_a_step: bool = False, order: bool = True) -> None:
        """The next step is not that of FIFO order or, in the middle of a step, the one after it.

        Without `order` steps are only to be seen from here on.
        """
        self._flush()
        self._wanted = AFTER + in_a_step
        self._switch_next = order and in_a_step
        self._deviates |= order and not in_a_step  # the step under way may be none of FIFO order itself

    def steps(self) -> tuple[TakenStep, ...]:
        """Those that were kept, with the lines of the program."""
        self._flush()
        return tuple(replace(each, text=source_of((each.file, each.line))) for each in self._kept)

    def _add(self, step: TakenStep) -> None:
        if self._wanted:
            self._wanted -= 1
            self._kept.append(step)
            return
        if len(self._recent) == self._recent.maxlen:
            self._skipped += 1
        self._recent.append(step)

    def _replace_last(self, step: TakenStep) -> None:
        where: deque[TakenStep] | list[TakenStep] = self._recent or self._kept
        where[-1] = step

    def _flush(self) -> None:
        """Keep the recent steps; the first of them says how many were left out before it."""
        for number, step in enumerate(self._recent):
            self._kept.append(step if number else replace(step, skipped=self._skipped))
        self._recent.clear()
        self._skipped = 0
