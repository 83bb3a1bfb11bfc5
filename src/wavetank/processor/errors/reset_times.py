"""Reads when a limit resets: durations, clock times, dates and epochs, as programs write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, final
from zoneinfo import ZoneInfo

# What command-line agents print after a clock time; summer and winter names are fixed offsets.
_ABBREVIATED: Final = {
    "UTC": 0, "GMT": 0, "Z": 0,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10,
    "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

RESETS: Final = ", resets "
"""The text between the limit and its reset in a reason."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# No word boundary after `m`, or 9m38s is not read; `ms` comes before `m` and `s`.
_PART: Final = r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)"
_DURATION: Final = re.compile(rf"(?:{_PART})(?:\s*{_PART})*")
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|[+-]\d\d:?\d\d|UTC)?")
_CLOCK: Final = re.compile(
    r"""(?:(?P<weekday>mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?
        (?:(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\s+
           (?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?:(?P<year>\d{4}),?\s+)?(?:at\s+)?)?
        (?<![\d:.])(?P<hour>1[0-2]|0?\d)(?::(?P<minute>\d\d))?\s*(?P<half>am|pm)\b
        (?:\s*\(?(?P<zone>[A-Za-z]+(?:/[A-Za-z0-9_+\-]+)*(?:[+-]\d{1,2}(?::?\d\d)?)?)\)?)?""",
    re.IGNORECASE | re.VERBOSE,
)


def seconds_of(text: str) -> float | None:
    """A duration as Go and people write it, in seconds: `9m38.016s`, `120ms`, `7.66s`; or a bare number.

    >>> seconds_of("9m38.016s"), seconds_of("120ms"), seconds_of("7"), seconds_of("soon")
    (578.016, 0.12, 7.0, None)
    """
    text = text.strip()
    seconds = finite(text)
    if seconds is None and _DURATION.fullmatch(text):
        parts = re.findall(_PART, text)
        seconds = finite(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return None if seconds is None or seconds < 0 else round(seconds, 9)


def finite(value: object) -> float | None:
    """A number, or the number in a text; `None` for anything else and for infinity.

    >>> finite("7.5"), finite("inf"), finite(10**400), finite(True)
    (7.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@final
class UntilInstant(float):
    """Seconds to wait that were written as the instant at which they end, such as a clock time or a date."""

    __slots__ = ()


def reset_instant(text: str, *, now: float, tz: tzinfo = UTC) -> float | None:
    """When a limit resets, in seconds since 1970, or `None` if the text does not say.

    >>> reset_instant("4pm (America/Los_Angeles)", now=1_767_225_600) - 1_767_225_600
    0.0

    The arguments are those of `reset_moment`.
    """
    found = reset_moment(text, now=now, tz=tz)
    return None if found is None else found.timestamp()


def reset_moment(text: str, *, now: float, tz: tzinfo = UTC) -> datetime | None:
    """When a limit resets, in the time zone that the text names, or `None` if the text does not say.

    It reads an epoch after `|`, ISO dates, and clock times with or without a weekday, a date
    and a zone. A clock time that is past is that of the next day, week or year.

    >>> reset_moment("4pm (America/Los_Angeles)", now=1_767_225_600).strftime("%H:%M %Z")
    '16:00 PST'

    Args:
        text: the text after words like "resets".
        now: the present, in seconds since 1970.
        tz: the time zone of a clock time that names none.
    """
    text = text.replace("\u202f", " ").replace("\u00a0", " ")
    if epoch := re.search(r"\|\s*(\d{10}(?:\d{3})?)\b", text):
        return moment(as_epoch(float(epoch[1])), tz)
    if iso := _ISO.search(text):
        return _iso(iso, tz)
    if clock := _CLOCK.search(text):
        return _clock(clock, now, tz)
    return None


def moment(instant: float, tz: tzinfo | None = UTC) -> datetime | None:
    """Seconds since 1970 as a date in a zone, or `None` beyond the calendar."""
    try:
        return datetime.fromtimestamp(instant, tz)
    except (ValueError, OverflowError, OSError):
        return None


def as_epoch(number: float) -> float:
    """Seconds since 1970 from a number that may be in milliseconds, microseconds or nanoseconds.

    >>> as_epoch(1_767_225_600), as_epoch(1_767_225_600_000)
    (1767225600, 1767225600.0)
    """
    while number > 1e11:
        number /= 1000
    return number


def clock_text(instant: float, tz: tzinfo = UTC) -> str:
    """An instant as people read it, with its zone.

    >>> clock_text(1_767_225_600)
    '2026-01-01 00:00 UTC'
    """
    at = moment(instant, tz)
    return "beyond the calendar" if at is None else at.strftime("%Y-%m-%d %H:%M %Z")


def short_clock_text(at: datetime, now: float) -> str:
    """A moment as people read it, with its zone, and with its date if it is more than a day away.

    >>> short_clock_text(datetime(2026, 1, 1, 16, tzinfo=UTC), 1_767_225_600)
    '16:00 UTC'
    """
    near = abs(at.timestamp() - now) < _UNITS["d"]
    return at.strftime("%H:%M %Z" if near else "%Y-%m-%d %H:%M %Z")


def _iso(found: re.Match[str], tz: tzinfo) -> datetime | None:
    zone = (found[3] or "").replace("UTC", "Z").replace("Z", "+00:00")
    try:
        at = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}")
        return _checked(at if at.tzinfo is not None else at.replace(tzinfo=tz))
    except (ValueError, OverflowError):
        return None


def _clock(found: re.Match[str], now: float, tz: tzinfo) -> datetime | None:
    zone = _zone(found["zone"]) or tz
    today = datetime.fromtimestamp(now, zone)
    hour = int(found["hour"]) % 12 + (12 if found["half"].lower() == "pm" else 0)
    try:
        at = today.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
        if found["month"]:
            month = _MONTHS.index(found["month"].lower()) + 1
            at = at.replace(year=int(found["year"] or today.year), month=month, day=int(found["day"]))
            if found["year"] is None and at.timestamp() < now:
                at = at.replace(year=at.year + 1)
        elif found["weekday"]:
            ahead = (_WEEKDAYS.index(found["weekday"].lower()[:3]) - today.weekday()) % 7
            at += timedelta(days=ahead)
            at += timedelta(days=7 if at.timestamp() < now else 0)
        elif at.timestamp() < now:
            at += timedelta(days=1)
        return _checked(at)
    except (ValueError, OverflowError):
        return None


def _checked(at: datetime) -> datetime:
    """The same; near the ends of the calendar not every date is an instant."""
    at.timestamp()
    return at


def _zone(name: str | None) -> tzinfo | None:
    """A zone by its name in the tz database, an abbreviation, or GMT+1, which is east of Greenwich."""
    if not name:
        return None
    if name.upper() in _ABBREVIATED:
        return timezone(timedelta(hours=_ABBREVIATED[name.upper()]), name.upper())
    try:
        if offset := re.fullmatch(r"(?:GMT|UTC)([+-]\d{1,2})(?::?(\d\d))?", name):
            hours = int(offset[1])
            minutes = int(offset[2] or 0) * (-1 if hours < 0 else 1)
            return timezone(timedelta(hours=hours, minutes=minutes))
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
