"""Which desk the HTTP clients of this process meet: the last one installed that is still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, Protocol

from .desk import Desk

Patch = tuple[Any, str, object]
"""An owner, the name of one of its attributes, and what stands there while a desk is installed."""

_desks: Final[list[Desk]] = []


class Seam(Protocol):
    """One module for each family of HTTP libraries."""

    LIBRARIES: Sequence[str]
    """The modules whose import brings the library in."""

    def patches(self, library: ModuleType, /) -> Sequence[Patch]:
        """What is replaced in the library."""


def current() -> Desk:
    """The desk that answers now; asked only while one is installed."""
    return _desks[-1]


def installed_desk() -> Desk | None:
    """The desk that answers now, if one is installed; a thread may ask when the last one has just gone."""
    return _desks[-1] if _desks else None


@contextmanager
def receiving(desk: Desk, *, opened: Callable[[], object], closed: Callable[[], object]) -> Iterator[None]:
    """Let `desk` answer until the block ends; blocks may end in any order.

    `opened` is called when the first desk comes in and `closed` when the last one has gone.
    """
    if not _desks:
        opened()
    _desks.append(desk)
    try:
        yield
    finally:
        _desks.reverse()
        _desks.remove(desk)
        _desks.reverse()
        if not _desks:
            closed()
