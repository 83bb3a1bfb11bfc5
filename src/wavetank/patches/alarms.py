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
from ..sim.scheduler import Scheduler
from ..sim.timers import Timer, Timers

_GUARD: Final = "pytest_timeout"


@final
@dataclass(slots=True)
class _Alarm:
    """The one alarm of a run; `interval` in nanoseconds, 0 for one that comes once."""

    timers: Timers
    timer: Timer
    interval: int

    def remaining(self) -> int:
        """Nanoseconds until it is due; 0 if none is."""
        return 0 if self.timer.cancelled() else max(self.timer.when - self.timers.now(), 1)


_schedulers: Final[list[Scheduler]] = []
_set: Final[list[_Alarm]] = []
"""The alarm that was set last, in whichever run."""


def _of(scheduler: Scheduler) -> _Alarm | None:
    return _set[0] if _set and _set[0].timers is scheduler.timers else None


def _ring(scheduler: Scheduler) -> None:
    alarm = _of(scheduler)
    if alarm is not None and alarm.interval:
        _start(scheduler, alarm.interval, alarm.interval)
    signal.raise_signal(signal.SIGALRM)


def _start(scheduler: Scheduler, delay: int, interval: int) -> tuple[int, int]:
    """Set the alarm, or none if `delay` is 0; what was left of the one before, and its interval."""
    before, timers = _of(scheduler), scheduler.timers
    left = (0, 0) if before is None or not before.remaining() else (before.remaining(), before.interval)
    if before is not None:
        before.timer.cancel()
    _set.clear()
    if delay:
        timer = timers.call_at(timers.now() + delay, lambda: _ring(scheduler))
        _set.append(_Alarm(timers, timer, interval))
    return left


def _meant(which: int) -> Scheduler | None:
    """The run whose alarm a call is about; none for another timer or thread, or a guard of real time."""
    scheduler = _schedulers[-1] if _schedulers else None
    if scheduler is None or which != signal.ITIMER_REAL or not scheduler.on_main_thread():
        return None
    if threading.current_thread() is not threading.main_thread():
        return None
    return None if sys._getframe(2).f_globals.get("__name__") == _GUARD else scheduler


def alarm(seconds: int, /) -> int:
    scheduler = _meant(signal.ITIMER_REAL)
    if scheduler is None:
        return _real_alarm(seconds)
    left, _ = _start(scheduler, max(seconds, 0) * SECOND, 0)
    return -(-left // SECOND)


def setitimer(which: int, seconds: float, interval: float = 0.0, /) -> tuple[float, float]:
    scheduler = _meant(which)
    if scheduler is None or seconds < 0 or interval < 0:
        return _real_setitimer(which, seconds, interval)
    left, before = _start(scheduler, after_delay(seconds), after_delay(interval))
    return left / SECOND, before / SECOND


def getitimer(which: int, /) -> tuple[float, float]:
    scheduler = _meant(which)
    if scheduler is None:
        return _real_getitimer(which)
    now = _of(scheduler)
    return (0.0, 0.0) if now is None else (now.remaining() / SECOND, now.interval / SECOND)


_real_alarm, _real_setitimer, _real_getitimer = signal.alarm, signal.setitimer, signal.getitimer

ALARMS: Final = ((_real_alarm, alarm), (_real_setitimer, setitimer), (_real_getitimer, getitimer))
"""The originals and what stands in for them in a run."""


@contextmanager
def virtual_alarms(scheduler: Scheduler) -> Iterator[None]:
    """Let what the run's main thread sets count the time of `scheduler`, where the stand-ins are bound."""
    _schedulers.append(scheduler)
    try:
        yield
    finally:
        _schedulers.remove(scheduler)
