"""Runs at the pace of real time: fixtures that outlive a test wait for real things."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from ..clock import SECOND, real_now
from .run_threads import RunThread

_GLANCE: Final = 0.01
"""Real seconds between two looks at a thread."""

_LONGEST: Final = 20.0
"""After so many real seconds a thread that never waits is no longer waited for."""

_BLOCKED_FOR: Final = 0.5
"""After so many real seconds at one place of its code a thread counts as blocked outside Python.

The place and not the call: a server that polls its socket calls `select` again and again.
"""


def came_back(main: RunThread, thread: RunThread) -> bool:
    """Wait for the baton; False once `thread` blocks in real input or output, as a server does."""
    place: object = None
    began = since = real_now()
    while not main.park(timeout=_GLANCE):
        frame = sys._current_frames().get(thread.ident)
        now = None if frame is None else (frame.f_code, frame.f_lasti)
        if now != place:
            place, since = now, real_now()
        elif real_now() - since > _BLOCKED_FOR * SECOND:
            return False
        if real_now() - began > _LONGEST * SECOND:
            return False
    return True


def real_time_passed(main: RunThread, ns: int, can_go_on: Callable[[], bool]) -> int:
    """Let `ns` of real time pass, or less if something can go on before; how much it was."""
    began = real_now()
    while (passed := real_now() - began) < ns and not can_go_on():
        main.park(timeout=min((ns - passed) / SECOND, _GLANCE))
    return min(passed, ns)
