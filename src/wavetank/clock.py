"""Instants and durations: integer nanoseconds inside, `"1m30s"` at the edges.

An *instant* is the number of nanoseconds since the start of a run. The epoch of every
run is fixed, so that wall-clock readings inside a run repeat exactly.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Final, Protocol, final

NANOSECOND: Final = 1
MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

EPOCH_SECONDS: Final = 1_767_225_600
"""The instant 0 of every run as a Unix time: 2026-01-01T00:00:00Z."""

EPOCH_NS: Final = EPOCH_SECONDS * SECOND

_UNITS: Final = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
}
_PART: Final = re.compile(r"(\d[\d_]*)(?:\.(\d+))?(ns|us|µs|ms|s|m|h|d)")
_WRITTEN: Final = (("h", HOUR), ("m", MINUTE), ("s", SECOND))


class Duration(int):
    """A length of time in nanoseconds; prints as it is written in a scenario file."""

    __slots__ = ()

    def __str__(self) -> str:
        return format_duration(self)

    def __repr__(self) -> str:
        return f"Duration({format_duration(self)!r})"


def parse_signed_duration(text: str) -> Duration:
    """Read a duration that may have a minus sign, such as `"-30s"`.

    Raises:
        ValueError: the text is not a duration; the message says what one looks like.

    >>> str(parse_signed_duration("-1m30s"))
    '-1m30s'
    """
    stripped = text.strip()
    length = parse_duration(stripped.removeprefix("-"))
    return Duration(-length) if stripped.startswith("-") else length


def parse_duration(text: str) -> Duration:
    """Read a duration such as `"250ms"`, `"1.5s"` or `"1m30s"`.

    Raises:
        ValueError: the text is not a duration; the message says what one looks like.

    >>> parse_duration("1m30s") == 90 * SECOND
    True
    """
    stripped = text.strip()
    total, position = 0, 0
    while part := _PART.match(stripped, position):
        whole, fraction, unit = part.groups()
        total += int(whole) * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        position = part.end()
    if stripped == "0":
        return Duration(0)
    if not stripped or position != len(stripped):
        raise ValueError(
            f'{text!r} is not a duration; write a number and a unit, such as "250ms", "2s" or "1m30s"'
        )
    return Duration(total)


def format_duration(ns: int) -> str:
    """Write a duration the way a scenario file does; `parse_duration` reads it back exactly.

    >>> format_duration(90 * SECOND)
    '1m30s'
    >>> format_duration(1_500_000)
    '1.5ms'
    """
    if ns < 0:
        return "-" + format_duration(-ns)
    if ns < SECOND:
        return _format_small(ns)
    parts: list[str] = []
    rest = ns
    for unit, size in _WRITTEN[:2]:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{_decimal(rest, SECOND)}s")
    return "".join(parts)


def _format_small(ns: int) -> str:
    if ns == 0:
        return "0s"
    for unit, size in (("ms", MILLISECOND), ("us", MICROSECOND)):
        if ns >= size:
            return f"{_decimal(ns, size)}{unit}"
    return f"{int(ns)}ns"


def _decimal(ns: int, size: int) -> str:
    whole, rest = divmod(ns, size)
    if not rest:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def to_seconds(ns: int) -> float:
    """Nanoseconds as float seconds."""
    return ns / SECOND


_NOISE: Final = 1e-3
_ULPS: Final = 8
"""Floats of seconds that differ by no more than this many units in the last place are the same on paper."""


def after_delay(seconds: float) -> int:
    """A delay in nanoseconds, rounded up: a timer never fires early, a positive delay is at least 1 ns."""
    return max(1, at_instant(seconds)) if seconds > 0 else 0


def at_instant(seconds: float) -> int:
    """The instant, in nanoseconds, that a float stands for, rounded up.

    What a float cannot distinguish from a whole nanosecond is that nanosecond: sums of floats
    that are the same on paper are the same instant.

    >>> at_instant(0.1 + 0.2) == at_instant(0.3)
    True
    """
    if math.isinf(seconds):
        raise OverflowError("an instant must be finite")
    exact = seconds * SECOND
    nearest = round(exact)
    return nearest if nearest >= exact or exact - nearest <= _NOISE + _ULPS * math.ulp(exact) else nearest + 1


class Timer(Protocol):
    """Something due at an instant that can still be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it has fired."""


class Clock(Protocol):
    """What a seam may ask of time, virtual or real."""

    def now(self) -> int:
        """Nanoseconds since the start of the run."""

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        """Call `callback` at the instant `when`, or at once if that has passed."""


@final
class ClockFrom:
    """A clock that reads 0 at the instant it is made, on top of another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.now()

    def now(self) -> int:
        return self._clock.now() - self._start

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        return self._clock.call_at(when + self._start, callback)


def real_now() -> int:
    """The machine's monotonic clock in nanoseconds, also while a run has patched `time`."""
    return _real_monotonic_ns()


_real_monotonic_ns = time.monotonic_ns


def cpu_seconds() -> float:
    """Seconds of CPU time that this process has used, all its threads together; no run patches it."""
    return time.process_time()


def real_epoch_ns() -> int:
    """The machine's Unix time in nanoseconds."""
    return time.time_ns()
