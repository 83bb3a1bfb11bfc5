"""How a campaign is shown while it runs: a bar with rich, one line without it, plain lines in a file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Final, Protocol, TextIO, final

from ..clock import real_now

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY: Final = 10_000_000_000
_BAR: Final = 20


@final
@dataclass(frozen=True, slots=True)
class Figures:
    """Where a campaign stands: how much of it is done, from 0 to 1, and the rest in words."""

    done: float
    words: str


class Display(Protocol):
    """Shows the figures again and again, and lines that stay."""

    def show(self, figures: Figures) -> None:
        """Take the place of the figures shown before."""

    def say(self, line: str) -> None:
        """Write a line that stays."""

    def close(self) -> None:
        """Leave the place to what comes after."""


def display_on(stream: TextIO | None = None) -> Display:
    """The best display that a stream, by default the standard output, can have."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return Lines(stream)
    return Bar() if find_spec("rich") is not None else OneLine(stream)


def _percent(figures: Figures) -> str:
    return f"{int(min(figures.done, 1.0) * 100):3}%"


@final
class Lines:
    """A line every ten seconds, for files and logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = real_now() + _LINE_EVERY

    def show(self, figures: Figures) -> None:
        now = real_now()
        if now >= self._next:
            self._next = now + _LINE_EVERY
            self.say(f"{_percent(figures)}  {figures.words}")

    def say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """There is nothing to leave."""


@final
class OneLine:
    """One line that is written over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, figures: Figures) -> None:
        full = int(min(figures.done, 1.0) * _BAR)
        line = f"[{'#' * full}{'.' * (_BAR - full)}] {_percent(figures)}  {figures.words}"
        self._over(line[: get_terminal_size().columns - 1])

    def say(self, line: str) -> None:
        self._over(line + "\n")

    def close(self) -> None:
        self._over("")

    def _over(self, text: str) -> None:
        self._stream.write(f"\r\x1b[2K{text}")
        self._stream.flush()


@final
class Bar:
    """A bar drawn by rich."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._progress: Progress = Progress(
            BarColumn(bar_width=_BAR), TaskProgressColumn(), TextColumn("{task.description}"), transient=True
        )
        self._task: TaskID = self._progress.add_task("starting", total=1.0)
        self._progress.start()

    def show(self, figures: Figures) -> None:
        self._progress.update(self._task, completed=min(figures.done, 1.0), description=figures.words)

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()
