"""Let `signal.alarm` and `signal.setitimer(ITIMER_REAL)` count a run's time.

The signal itself is real: it comes to the main thread when virtual time reaches the instant. Timers of
CPU time stay as they are, and so does the timer of pytest-timeout, which guards against a real hang.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

from ..clock import SECOND, after_delay
from ..sim.host import Host
from ..sim.timers import Timeline, Timer

_GUARD: Final = "pytest_timeout"


@final
@dataclass(slots=True)
class _Alarm:
    """The one alarm of a run; `interval` in nanoseconds, 0 for one that comes once."""

    timeline: Timeline
    timer: Timer
    interval: int

    def remaining(self) -> int:
        """Nanoseconds until it is due; 0 if none is."""
        return 0 if self.timer.cancelled() else max(self.timer.when - self.timeline.now(), 1)


_hosts: Final[list[Host]] = []
_set: Final[list[_Alarm]] = []
"""The alarm that was set last, in whichever run."""


def _of(host: Host) -> _Alarm | None:
    return _set[0] if _set and _set[0].timeline is host.timeline else None


def _ring(host: Host) -> None:
    alarm = _of(host)
    if alarm is not None and alarm.interval:
        _start(host, alarm.interval, alarm.interval)
    signal.raise_signal(signal.SIGALRM)


def _start(host: Host, delay: int, interval: int) -> tuple[int, int]:
    """Set the alarm, or none if `delay` is 0; what was left of the one before, and its interval."""
    before, timeline = _of(host), host.timeline
    left = (0, 0) if before is None or not before.remaining() else (before.remaining(), before.interval)
    if before is not None:
        before.timer.cancel()
    _set.clear()
    if delay:
        timer = timeline.call_at(timeline.now() + delay, lambda: _ring(host))
        _set.append(_Alarm(timeline, timer, interval))
    return left


def _meant(which: int) -> Host | None:
    """The run whose alarm a call is about; none for another timer or thread, or a guard of real time."""
    host = _hosts[-1] if _hosts else None
    if host is None or which != signal.ITIMER_REAL or not host.on_main_thread():
        return None
    if threading.current_thread() is not threading.main_thread():
        return None
    return None if sys._getframe(2).f_globals.get("__name__") == _GUARD else host


def alarm(seconds: int, /) -> int:
    host = _meant(signal.ITIMER_REAL)
    if host is None:
        return _real_alarm(seconds)
    left, _ = _start(host, max(seconds, 0) * SECOND, 0)
    return -(-left // SECOND)


def setitimer(which: int, seconds: float, interval: float = 0.0, /) -> tuple[float, float]:
    host = _meant(which)
    if host is None or seconds < 0 or interval < 0:
        return _real_setitimer(which, seconds, interval)
    left, before = _start(host, after_delay(seconds), after_delay(interval))
    return left / SECOND, before / SECOND


def getitimer(which: int, /) -> tuple[float, float]:
    host = _meant(which)
    if host is None:
        return _real_getitimer(which)
    now = _of(host)
    return (0.0, 0.0) if now is None else (now.remaining() / SECOND, now.interval / SECOND)


_real_alarm, _real_setitimer, _real_getitimer = signal.alarm, signal.setitimer, signal.getitimer

ALARMS: Final = ((_real_alarm, alarm), (_real_setitimer, setitimer), (_real_getitimer, getitimer))
"""The originals and what stands in for them in a run."""


@contextmanager
def virtual_alarms(host: Host) -> Iterator[None]:
    """Let what the run's main thread sets count the time of `host`, where the stand-ins are bound."""
    _hosts.append(host)
    try:
        yield
    finally:
        _hosts.remove(host)
