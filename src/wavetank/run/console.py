"""What `wavetank run` prints beside its progress: lines, and errors from the log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Final, Self, final

from ..progress import printable

PROCESSOR: Final = "wavetank.processor"


def print_line(line: str) -> None:
    """Print a line without breaking it, so that it can be pasted, after the display was closed.

    Characters that the terminal cannot encode are printed as escapes.
    """
    print(printable(f"wavetank: {line}"), flush=True)


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
