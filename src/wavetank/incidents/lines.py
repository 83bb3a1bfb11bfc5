"""Files read a line at a time, however long they are, and how an error names a place in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from ..shown import Secrets, shortened
from .exchange import IncidentError

LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes; a line is in memory as a whole. A request with pictures in it has some megabytes."""

_LONGEST_ERROR: Final = 300
_BOM: Final = b"\xef\xbb\xbf"


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One line, without its end, and where it is; `whole` is false for a last one without a line end.

    `indent` is how many spaces stood before it.
    """

    path: Path
    number: int
    text: bytes
    whole: bool = True
    indent: int = 0

    @property
    def place(self) -> str:
        """How an error names it."""
        return f"{self.path}, line {self.number}"

    @property
    def fix(self) -> str:
        """What to do about it if it is torn."""
        end = "the file ends in the middle of this line; " if not self.whole else ""
        return f"{end}remove this line, or take the log once more"

    def hidden(self, error: object) -> str:
        """The text of an error without secrets."""
        return shortened(Secrets().hide(str(error)), _LONGEST_ERROR)


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank.

    Raises:
        IncidentError: it cannot be read, or a line is too long; names the line.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while text := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(text) > LONGEST_LINE:
                    limit = LONGEST_LINE >> 20
                    raise IncidentError(f"{path}, line {number}: longer than {limit} MiB; split the file")
                stripped = text.removeprefix(_BOM).strip() if number == 1 else text.strip()
                if stripped:
                    yield Line(path, number, stripped, text.endswith(b"\n"), len(text) - len(text.lstrip()))
    except OSError as error:
        raise IncidentError(f"{path}: cannot be read: {error.strerror}; name another file") from None
