"""Times, ids and JSON as providers write them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from ..clock import EPOCH_NS, HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = bytes(_DIGITS[byte % len(_DIGITS)] for byte in range(256))
"""A letter for each byte."""
_KEPT: Final = 1 << 10


json_bytes: Final[Callable[[Any], bytes]] = msgspec.json.Encoder().encode
"""Compact JSON; keys keep their order."""


def imf_fixdate(unix_ns: int) -> str:
    """A date as in HTTP headers, rounded up to a whole second (RFC 9110, 5.6.7).

    >>> imf_fixdate(1_767_225_600 * 10**9)
    'Thu, 01 Jan 2026 00:00:00 GMT'
    """
    return _imf_fixdate(-(-unix_ns // SECOND))


def date_header(sent: int) -> str:
    """The header `Date` of what is sent at a Unix time: a clock that shows whole seconds.

    So a Retry-After that is read as the time from it to a date is never too short.

    >>> date_header(1_767_225_600 * 10**9 + 999_999_999)
    'Thu, 01 Jan 2026 00:00:00 GMT'
    """
    return _imf_fixdate(sent // SECOND)


@lru_cache(maxsize=_KEPT)
def _imf_fixdate(unix_seconds: int) -> str:
    days, clock = _split(unix_seconds * SECOND)
    year, month, day = _civil(days)
    return f"{_DAYS[(days + 3) % 7]}, {day:02d} {_MONTHS[month - 1]} {year:04d} {clock} GMT"


def rfc3339(unix_ns: int) -> str:
    """A UTC date and time, rounded up to a whole second.

    >>> rfc3339(1_767_225_600 * 10**9 + 1)
    '2026-01-01T00:00:01Z'
    """
    days, clock = _split(unix_ns)
    year, month, day = _civil(days)
    return f"{year:04d}-{month:02d}-{day:02d}T{clock}Z"


def _split(unix_ns: int) -> tuple[int, str]:
    """Days since 1970 and the time of day, after rounding up to a second."""
    seconds = -(-unix_ns // SECOND)
    days, rest = divmod(seconds, 86_400)
    return days, f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1970-01-01, without the limits of `datetime`."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    return year + era * 400 + (month <= 2), month, day


def go_duration(ns: int) -> str:
    """A duration as Go prints it, rounded up to a microsecond.

    >>> go_duration(6 * 60 * 10**9), go_duration(1_798_000_000), go_duration(12_000_000), go_duration(-10**9)
    ('6m0s', '1.798s', '12ms', '-1s')
    """
    ns = -(-ns // MICROSECOND) * MICROSECOND
    if ns < 0:
        return f"-{go_duration(-ns)}"
    if ns < SECOND:
        return f"{decimal(ns, MILLISECOND)}ms" if ns else "0s"
    hours, rest = divmod(ns, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds = f"{decimal(rest, SECOND)}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def decimal(ns: int, size: int) -> str:
    """`ns` in units of `size`, a power of ten, without float noise.

    >>> decimal(1_500_000_000, 10**9), decimal(-1_500_000_000, 10**9)
    ('1.5', '-1.5')
    """
    if ns < 0:
        return f"-{decimal(-ns, size)}"
    whole, rest = divmod(ns, size)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(size)) - 1}d}".rstrip("0")


def base62(length: int, *key: object) -> str:
    """An id of that many letters and digits, 64 at most, that depends only on the key."""
    return _digest(key).translate(_LETTERS)[:length].decode()


def hexadecimal(length: int, *key: object) -> str:
    """An id of that many hexadecimal digits, 128 at most, that depends only on the key."""
    return _digest(key).hex()[:length]


def _digest(key: tuple[object, ...]) -> bytes:
    text = "\x1f".join(map(str, key))
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


def unix_seconds(at: int, epoch_ns: int = EPOCH_NS) -> int:
    """An instant as whole Unix seconds, rounded down."""
    return (epoch_ns + at) // SECOND


def agent_clock(now: int, then: int) -> str:
    """A time of day in Los Angeles as command-line agents print it, with the date unless it is today's.

    Args:
        now: the Unix time at which it is printed, in nanoseconds.
        then: the Unix time that is printed, rounded up to a minute.

    >>> agent_clock(1_767_225_600 * 10**9, 1_767_225_661 * 10**9)
    '4:02pm (America/Los_Angeles)'
    """
    minutes = -(-then // MINUTE)
    local = minutes + _los_angeles(minutes)
    days, minute = divmod(local, 1440)
    hour, minute = divmod(minute, 60)
    clock = f"{hour % 12 or 12}{f':{minute:02d}' if minute else ''}{'am' if hour < 12 else 'pm'}"
    today = now // MINUTE
    _, month, day = _civil(days)
    date = "" if days == (today + _los_angeles(today)) // 1440 else f"{_MONTHS[month - 1]} {day}, "
    return f"{date}{clock} (America/Los_Angeles)"


def _los_angeles(minutes: int) -> int:
    """Minutes to add to UTC: summer time is from the second Sunday of March to the first of November.

    By rule, so that a run does not depend on the machine's time zone data.
    """
    year, _, _ = _civil(minutes // 1440)
    begins = _sunday(year, 3, 8) * 1440 + 600
    ends = _sunday(year, 11, 1) * 1440 + 540
    return -420 if begins <= minutes < ends else -480


def _sunday(year: int, month: int, day: int) -> int:
    """The first Sunday at or after a date, in days since 1970."""
    days = _days(year, month, day)
    return days + (3 - days) % 7


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date: `_civil` backwards."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719_468
