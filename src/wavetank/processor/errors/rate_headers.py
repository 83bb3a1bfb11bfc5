"""Reads the provider's limits from the headers of an answer, in every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..limits import Quota, RateInfo
from .reset_times import as_epoch, finite, reset_instant, seconds_of

MINUTE: Final = 60.0
_WINDOWS: Final = (1.0, 10.0, MINUTE, 3600.0, 86400.0)
"""A second, ten seconds, a minute, an hour, a day: the windows that providers count in."""
_WINDOW_TOLERANCE: Final = 1.25
"""Resets are rounded, so a computed window may differ from the real one by a quarter."""


def rate_info(headers: Mapping[str, str], *, now: float) -> RateInfo | None:
    """The limits that the headers of an answer state, or `None` if they state none.

    It reads the headers of OpenAI, Azure, Groq and vLLM gateways (`x-ratelimit-limit-requests`,
    resets as durations), Anthropic (`anthropic-ratelimit-requests-limit`, resets as dates, and
    the `unified` family of subscriptions), Mistral (`x-ratelimit-limit-req-minute`),
    OpenRouter and Cohere (`x-ratelimit-limit`, resets as instants), the IETF draft
    (`ratelimit-limit`) and Codex (`x-codex-primary-reset-at`).

    >>> headers = {"x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999",
    ...         "x-ratelimit-reset-requests": "12ms"}
    >>> rate_info(headers, now=0.0).requests.per_second
    83.33333333333333

    Args:
        headers: the answer's headers, in any case.
        now: the present, in seconds since 1970.
    """
    headers = {name.lower(): str(value).strip() for name, value in headers.items()}
    requests = _durations(headers, "requests") or _anthropic(headers, "requests", now)
    requests = requests or _mistral(headers, "req") or _window(headers, now)
    tokens = _durations(headers, "tokens") or _anthropic(headers, "tokens", now)
    tokens = tokens or _anthropic(headers, "input-tokens", now) or _mistral(headers, "tokens")
    wait = _unified(headers, now) or _codex(headers, now)
    if requests is None and tokens is None and wait is None:
        return None
    return RateInfo(requests, tokens, wait)


def _durations(headers: Mapping[str, str], what: str) -> Quota | None:
    limit = _count(headers.get(f"x-ratelimit-limit-{what}"))
    remaining = _count(headers.get(f"x-ratelimit-remaining-{what}"))
    if limit is None and remaining is None:
        return None
    resets_in = seconds_of(headers.get(f"x-ratelimit-reset-{what}", ""))
    return Quota(limit, remaining, resets_in, _refill(limit, remaining, resets_in))


def _refill(limit: float | None, remaining: float | None, resets_in: float | None) -> float | None:
    """The rate of a bucket that is full again after `resets_in`, if it fits a usual window.

    The window is not stated: Groq counts requests by the day, others by the minute, and some
    reset headers fit no window. A bucket that holds less than the limit looks like one of a
    short window as soon as much of it is spent; then only a second answer shows the rate.
    """
    if not limit or remaining is None or not resets_in or remaining >= limit:
        return None
    window = limit * resets_in / (limit - remaining)
    for usual in _WINDOWS:
        if usual / _WINDOW_TOLERANCE <= window <= usual * _WINDOW_TOLERANCE:
            return limit / usual if usual >= MINUTE or remaining >= limit / 2 else None
    return None


def _anthropic(headers: Mapping[str, str], what: str, now: float) -> Quota | None:
    """Anthropic's limits are per minute; its resets are in whole seconds, too coarse to compute a rate."""
    limit = _count(headers.get(f"anthropic-ratelimit-{what}-limit"))
    if limit is None:
        return None
    resets_at = reset_instant(headers.get(f"anthropic-ratelimit-{what}-reset", ""), now=now)
    remaining = _count(headers.get(f"anthropic-ratelimit-{what}-remaining"))
    return Quota(limit, remaining, None if resets_at is None else max(0.0, resets_at - now), limit / MINUTE)


def _mistral(headers: Mapping[str, str], what: str) -> Quota | None:
    limit = _count(headers.get(f"x-ratelimit-limit-{what}-minute"))
    if limit is None:
        return None
    return Quota(limit, _count(headers.get(f"x-ratelimit-remaining-{what}-minute")), None, limit / MINUTE)


def _window(headers: Mapping[str, str], now: float) -> Quota | None:
    """A window that is full again at an instant, in seconds or milliseconds since 1970, or after seconds."""
    for prefix in ("x-ratelimit", "ratelimit"):
        limit, remaining = _count(headers.get(f"{prefix}-limit")), _count(headers.get(f"{prefix}-remaining"))
        if limit is None and remaining is None:
            continue
        reset = seconds_of(headers.get(f"{prefix}-reset", ""))
        resets_in = reset if reset is None or reset < 1e9 else max(0.0, as_epoch(reset) - now)
        return Quota(limit, remaining, resets_in)
    return None


def _unified(headers: Mapping[str, str], now: float) -> float | None:
    if headers.get("anthropic-ratelimit-unified-status") != "rejected":
        return None
    return _until(headers.get("anthropic-ratelimit-unified-reset"), now)


def _codex(headers: Mapping[str, str], now: float) -> float | None:
    waits = [
        _until(headers.get(f"x-codex-{window}-reset-at"), now)
        for window in ("primary", "secondary")
        if (_count(headers.get(f"x-codex-{window}-used-percent")) or 0) >= 100
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _until(text: str | None, now: float) -> float | None:
    at = _count(text)
    return None if at is None or as_epoch(at) <= now else as_epoch(at) - now


def _count(text: str | None) -> float | None:
    """A number that a header states; Azure writes -1 for an unknown one."""
    number = finite(text)
    return None if number is None or number < 0 else number
