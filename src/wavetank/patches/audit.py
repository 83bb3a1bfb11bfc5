"""Hear of what the interpreter does for a run, by an audit hook.

The hook cannot be removed: outside a run it costs one look into an empty dict for each audit event.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

Judge = Callable[[str, tuple[Any, ...]], object]
"""Is given the name of an event and its arguments; what it raises comes out of what caused the event."""

_judges: Final[dict[str, Judge]] = {}
"""By the name of the event, who judges it; empty but while a run goes on."""


@contextmanager
def judged(judges: Mapping[str, Judge]) -> Iterator[None]:
    """Let these judge the events of all threads until the block ends."""
    _hear()
    before = {event: _judges.get(event) for event in judges}
    _judges.update(judges)
    try:
        yield
    finally:
        for event, judge in before.items():
            if judge is None:
                del _judges[event]
            else:
                _judges[event] = judge


@functools.cache
def _hear() -> None:
    """Add the hook, once for a process that has a run at all."""
    get = _judges.get

    def hook(event: str, args: tuple[Any, ...]) -> None:
        judge = get(event)
        if judge is not None:
            judge(event, args)

    sys.addaudithook(hook)
