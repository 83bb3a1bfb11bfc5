"""A traceback with the program's own lines only, and without errors that lie behind it in libraries."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

from ..sim.origin import kind_of


def own_lines(error: BaseException) -> str:
    """The traceback as Python prints it, without the lines of libraries, unless it has no others."""
    _shorten(error, {})
    return "".join(traceback.format_exception(error)).rstrip()


def _shorten(error: BaseException, seen: dict[int, None]) -> bool:
    """Leave only own lines in an error and those behind it; whether it had any."""
    if id(error) in seen:
        return False
    seen[id(error)] = None
    own = _chained([each for each in _entries(error.__traceback__) if kind_of(each.tb_frame) == "own"])
    outside = [each for each in _entries(error.__traceback__) if kind_of(each.tb_frame) == "installed"]
    error.__traceback__ = own or _chained(outside)
    if error.__cause__ is not None and not _shorten(error.__cause__, seen):
        error.__cause__ = None
    context = error.__context__
    if context is not None and not (_shorten(context, seen) and error.__cause__ is None):
        error.__suppress_context__ = True
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        _shorten(each, seen)
    return own is not None


def _entries(entry: TracebackType | None) -> Iterator[TracebackType]:
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _chained(entries: list[TracebackType]) -> TracebackType | None:
    following: TracebackType | None = None
    for each in reversed(entries):
        following = TracebackType(following, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return following
