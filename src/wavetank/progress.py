"""The progress of a long command: a bar with rich, one line without it, plain lines in a file."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Final, Protocol, TextIO, final

from .clock import SECOND, real_now

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY: Final = 10 * SECOND
"""Real time between two lines that stay: a run of an hour adds 360 of them."""
_BAR: Final = 20
"""Characters of a bar: 5 % each."""


class Display(Protocol):
    """Shows how much is done, again and again, and lines that stay."""

    def show(self, done: float, text: str) -> None:
        """Replace what was shown before: the part that is done, from 0 to 1, and the rest in words."""

    def say(self, line: str) -> None:
        """Write a line that stays."""

    def close(self) -> None:
        """Remove the progress: other output follows."""


def display_on(stream: TextIO | None = None) -> Display:
    """The best display for a stream, by default the standard output."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return PlainLines(stream)
    return Bar() if find_spec("rich") is not None else OneLine(stream)


def printable(text: str, stream: TextIO | None = None) -> str:
    """A text with escapes for what the stream, by default the standard output, cannot encode."""
    encoding = (stream or sys.stdout).encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _percent(done: float) -> str:
    return f"{int(min(done, 1.0) * 100):3}%"


@final
class Pace:
    """When another line is due: every ten seconds of real time, and not in the first ten."""

    def __init__(self) -> None:
        self._next = real_now() + _LINE_EVERY

    def due(self) -> bool:
        """Whether a line is due; the next one is then ten seconds later."""
        now = real_now()
        if now < self._next:
            return False
        self._next = now + _LINE_EVERY
        return True


@final
class PlainLines:
    """A line every ten seconds, for files and logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pace = Pace()

    def show(self, done: float, text: str) -> None:
        if self._pace.due():
            self.say(f"{_percent(done)}  {text}")

    def say(self, line: str) -> None:
        print(printable(line, self._stream), file=self._stream, flush=True)

    def close(self) -> None:
        """There is nothing to remove."""


@final
class OneLine:
    """One line that is overwritten."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, done: float, text: str) -> None:
        full = int(min(done, 1.0) * _BAR)
        line = f"[{'#' * full}{'.' * (_BAR - full)}] {_percent(done)}  {text}"
        self._overwrite(line[: get_terminal_size().columns - 1])

    def say(self, line: str) -> None:
        self._overwrite(line + "\n")

    def close(self) -> None:
        self._overwrite("")

    def _overwrite(self, text: str) -> None:
        self._stream.write(f"\r\x1b[2K{printable(text, self._stream)}")
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

    def show(self, done: float, text: str) -> None:
        self._progress.update(self._task, completed=min(done, 1.0), description=text)

    def say(self, line: str) -> None:
        self._progress.console.print(printable(line), markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()
