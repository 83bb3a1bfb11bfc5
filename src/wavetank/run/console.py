"""What `wavetank run` writes to the terminal: lines, the progress display, and errors from the log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, final

PROCESSOR: Final = "wavetank.processor"


@final
@dataclass(frozen=True, slots=True)
class ProgressDisplay:
    """Shows the progress of a run on the terminal.

    `show` replaces the shown progress: the share that is done, from 0 to 1, and a text.
    `stay` writes a line above it. `close` ends the display, for lines that come after it.
    """

    show: Callable[[float, str], object]
    stay: Callable[[str], object]
    close: Callable[[], object]

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.stay(printable(line))


def print_line(line: str) -> None:
    """Print a line without breaking it, so that it can be pasted, after the display was closed.

    Characters that the terminal cannot encode are printed as escapes.
    """
    print(printable(f"wavetank: {line}"), flush=True)


def printable(line: str) -> str:
    """A line in which characters that the terminal cannot encode are escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)


@final
class WarningCollector(logging.Handler):
    """Keeps the processor's log out of the progress bar, if no handler of logs is set up.

    The report describes the processor's decisions. Exceptions that it only logged are printed
    by `print_exceptions`. `hide` removes the secrets from a text.
    """

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        super().__init__(logging.WARNING)
        self._hide = hide
        self._kept: list[logging.LogRecord] = []

    def __enter__(self) -> Self:
        logger = logging.getLogger(PROCESSOR)
        self._used = not logger.hasHandlers()
        if self._used:
            logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._used:
            logging.getLogger(PROCESSOR).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record if it has an exception."""
        if record.exc_info:
            self._kept.append(record)

    def print_exceptions(self) -> None:
        """Print the exceptions to the standard error."""
        while self._kept:
            print(f"wavetank: {self._hide(self.format(self._kept.pop(0)))}", file=sys.stderr)
