"""Reads the wait that a refusal states, in each of the forms in which it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

from ..wall_clock import wall_seconds
from .agent_messages import reset_in_words, wait_in_words
from .reset_times import UntilInstant, as_epoch, finite


def stated_wait(
    headers: Mapping[str, str], body: Mapping[str, Any], *, now: float | None = None, tz: tzinfo = UTC
) -> float | None:
    """The wait that a refusal states, in seconds, or `None` if it states none above 0.

    The forms, the most exact first:

    - `retry-after-ms`: milliseconds (Azure OpenAI; preferred by the OpenAI and Anthropic clients);
      `x-amz-retry-after` is in milliseconds too (Bedrock);
    - `retry-after`: seconds, whole or not, or an HTTP date (RFC 9110, 10.2.3), counted from
      the answer's own `Date` when it has one, since the two clocks may differ;
    - a `google.rpc.RetryInfo` among the details of the error (Gemini): `"26s"`;
    - `resets_at` (Codex), `retry_after` under `availability` or `metadata`, or the reset among
      the headers that OpenRouter repeats in the body: seconds, or an instant;
    - the body's own sentence, as in `Please try again in 1.798s` (OpenAI, Groq), `Please retry
      after 7 seconds` (Azure), `Please retry in 36.473s` (Gemini), `resets 4pm` (command-line agents).

    Args:
        headers: the answer's headers, their names in lower case.
        body: the error object of the answer, without the `error` around it.
        now: the present, in seconds since 1970; by default the machine's clock.
        tz: the time zone of a clock time that names none.

    >>> stated_wait({"retry-after": "0.5"}, {})
    0.5
    """
    for wait in _forms(headers, body, wall_seconds() if now is None else now, tz):
        if wait is not None and wait > 0:
            return wait
    return None


def _forms(
    headers: Mapping[str, str], body: Mapping[str, Any], now: float, tz: tzinfo
) -> Iterator[float | None]:
    for name in ("retry-after-ms", "x-amz-retry-after"):
        if (milliseconds := finite(headers.get(name))) is not None:
            yield milliseconds / 1000
    yield finite(headers.get("retry-after"))
    yield _until(headers.get("retry-after"), headers.get("date"), now)
    yield _retry_info(body.get("details"))
    yield from _in_the_body(body, now)
    if isinstance(message := body.get("message"), str):
        yield wait_in_words(message)
        resets = reset_in_words(message, now=now, tz=tz)
        yield None if resets is None else UntilInstant(resets.timestamp() - now)


def _in_the_body(body: Mapping[str, Any], now: float) -> Iterator[float | None]:
    yield _from_instant(body.get("resets_at"), now)
    for name in ("availability", "metadata"):
        inner = body.get(name)
        if isinstance(inner, Mapping):
            yield finite(inner.get("retry_after"))
            repeated = inner.get("headers")
            if isinstance(repeated, Mapping):
                yield _from_instant(repeated.get("X-RateLimit-Reset"), now)


def _from_instant(value: object, now: float) -> float | None:
    instant = finite(value)
    return None if instant is None else UntilInstant(as_epoch(instant) - now)


def _until(text: str | None, sent: str | None, now: float) -> float | None:
    at = _date(text)
    if at is None:
        return None
    since = _date(sent)
    return UntilInstant(at - (since if since is not None else now))


def _date(text: str | None) -> float | None:
    """An HTTP date in seconds since 1970; a date without a zone is UTC."""
    if text is None:
        return None
    try:
        return _in_utc(parsedate_to_datetime(text)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _retry_info(details: object) -> float | None:
    """The `retryDelay` of the first `google.rpc.RetryInfo`; the order of the details varies."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return finite(str(detail.get("retryDelay", "")).removesuffix("s"))
    return None
