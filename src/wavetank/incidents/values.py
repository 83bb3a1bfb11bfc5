"""Values as logs write them: times, lengths of time, statuses, counts and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from ..clock import MILLISECOND, SECOND, parse_duration
from ..scenario import RefusalError, RetryAfterForm

_FIRST_DATE: Final = 10**9
"""Smaller numbers of seconds are no dates but counted from the start of a run: this one is in 2001."""

_UNITS: Final = ((10**17, 1), (10**14, 1_000), (10**11, MILLISECOND), (_FIRST_DATE, SECOND))
"""From which number on a date is in nanoseconds, microseconds, milliseconds or seconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?(?: ?UTC)?", re.I
)
_CODE: Final = re.compile(r"(?<![\d.])([1-5]\d\d)(?![\d])")
_NAMED: Final[tuple[tuple[str, int], ...]] = (
    (r"rate.?limit|too.?many.?requests|throttl|resource.?exhausted|quota", 429),
    (r"overload", 529),
    (r"unavailable", 503),
    (r"internal.?server|api.?error|server.?error", 500),
    (r"bad.?gateway", 502),
    (r"authentication|unauthorized", 401),
    (r"permission|forbidden", 403),
    (r"not.?found", 404),
    (r"bad.?request|invalid.?request|context.?window|unprocessable", 400),
)
"""What classes of errors and words for them stand for, in the SDKs of the vendors and in litellm."""

_OVER: Final = re.compile(r"(?i)success|succeeded|ok|completed|complete")
_SPENT: Final = re.compile(r"(?i)insufficient.?quota|billing|credit balance|exceeded your current quota")


class Instant(NamedTuple):
    """Nanoseconds since 1970, or since the start of a run where it is no date."""

    ns: int
    is_date: bool


def instant(value: object) -> Instant | None:
    """A time as a log writes it: ISO 8601 (UTC if it names no zone), a Unix time in any unit, seconds.

    >>> instant("2026-11-30T08:00:00.5Z") == instant(1796025600.5)
    True
    >>> instant("2.5"), instant("yesterday")
    (Instant(ns=2500000000, is_date=False), None)
    """
    if isinstance(value, str) and (written := _ISO.fullmatch(value.strip())):
        return _iso(*written.groups())
    number = _decimal(value)
    if number is not None:
        unit = next((unit for least, unit in _UNITS if number >= least), 0)
        return Instant(int(number * (unit or SECOND)), bool(unit)) if number >= 0 else None
    length = _length(value)
    return None if length is None else Instant(length, False)


def _iso(text: str, fraction: str | None, zone: str | None) -> Instant | None:
    try:
        date = datetime.fromisoformat(f"{text}{(zone or 'Z').upper()}")
    except ValueError:
        return None
    passed = date - _EPOCH
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    return Instant((passed.days * 86_400 + passed.seconds) * SECOND + nanoseconds, True)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    # No log has more digits, and arithmetic with more is slow.
    return number if number.is_finite() and abs(number) < 10**24 else None


def _length(value: object) -> int | None:
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None


def length(value: object, unit: int = SECOND) -> int | None:
    """A length of time in nanoseconds: a number of `unit`, or a text with a unit such as `1.5s`."""
    number = _decimal(value)
    if number is not None:
        return int(number * unit) if number >= 0 else None
    return _length(value)


def count(value: object) -> int | None:
    """A count of something."""
    number = _decimal(value)
    return int(number) if number is not None and number >= 0 else None


def status(value: object) -> int | None:
    """The HTTP status that a log means: a code, a text with one, a class of errors, `success`.

    >>> status("429 Too Many Requests"), status("openai.RateLimitError"), status("success"), status("?")
    (429, 429, 200, None)
    """
    text = str(value).strip() if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    if code := _CODE.search(text):
        return int(code[1])
    if _OVER.fullmatch(text):
        return 200
    return next((code for name, code in _NAMED if re.search(name, text, re.IGNORECASE)), None)


def refusal_error(text: str) -> RefusalError | None:
    """What the words of an error say is wrong, where its status does not say it: that there is no credit."""
    return "billing" if _SPENT.search(text) else None


class Stated(NamedTuple):
    """What headers state: when to come back, in nanoseconds and in which form, and requests per minute."""

    retry_after: int | None = None
    form: RetryAfterForm = "seconds"
    limit: int | None = None


def stated(headers: Iterable[tuple[str, object]], ended: int) -> Stated:
    """What the headers of a response that ended at a Unix time in nanoseconds state."""
    known = {name.lower().replace("_", "-"): value for name, value in headers}
    limit = count(known.get("x-ratelimit-limit-requests", known.get("anthropic-ratelimit-requests-limit")))
    in_ms = length(known.get("retry-after-ms"), MILLISECOND)
    if in_ms is not None:
        return Stated(in_ms, "ms", limit)
    wait, form = retry_after(known.get("retry-after"), ended)
    return Stated(wait, form, limit)


def retry_after(value: object, ended: int) -> tuple[int | None, RetryAfterForm]:
    """A Retry-After, in seconds or as a date, as nanoseconds from `ended` on, and its form."""
    wait = length(value)
    if wait is not None or not isinstance(value, str) or "," not in value:
        return wait, "seconds"
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None, "seconds"
    return max(0, int(date.timestamp()) * SECOND - ended), "http-date"
