"""Reads how long a refusal asks to wait, in every form it is written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def stated_wait(headers: Mapping[str, str], body: Mapping[str, Any]) -> float | None:
    """The wait a refusal states, in seconds, or `None` when it states none above 0.

    The forms, the most exact first:

    - `retry-after-ms`: milliseconds (Azure OpenAI; preferred by the OpenAI and Anthropic clients);
    - `retry-after`: seconds, whole or not, or an HTTP date (RFC 9110, 10.2.3), counted from
      the answer's own `Date` when it has one, since the two clocks may differ;
    - a `google.rpc.RetryInfo` among the details of the error (Gemini): `"26s"`.

    Args:
        headers: the answer's headers, their names in lower case.
        body: the error object of the answer, without the `error` around it.

    >>> stated_wait({"retry-after": "0.5"}, {})
    0.5
    """
    for wait in _forms(headers, body):
        if wait is not None and math.isfinite(wait) and wait > 0:
            return wait
    return None


def _forms(headers: Mapping[str, str], body: Mapping[str, Any]) -> Iterator[float | None]:
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        yield milliseconds / 1000
    yield _number(headers.get("retry-after"))
    yield _until(headers.get("retry-after"), headers.get("date"))
    yield _retry_info(body.get("details"))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _until(text: str | None, sent: str | None) -> float | None:
    at = _date(text)
    if at is None:
        return None
    since = _date(sent)
    return at - (since if since is not None else _wall_seconds())


def _date(text: str | None) -> float | None:
    """An HTTP date in seconds since 1970; a date without a zone is UTC."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return _in_utc(moment).timestamp()


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _retry_info(details: object) -> float | None:
    """The `retryDelay` of the first `google.rpc.RetryInfo`; the order of the details varies."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return _number(str(detail.get("retryDelay", "")).removesuffix("s"))
    return None


def _wall_seconds() -> float:
    """The machine's clock: an HTTP date without a `Date` beside it can be read in no other way."""
    return time.time()  # noqa: TID251
