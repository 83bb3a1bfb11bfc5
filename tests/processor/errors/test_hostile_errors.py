"""Whatever a server or a program writes, it is judged: nothing raises, and nothing waits for ever."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from wavetank.processor import classify, classify_output, classify_result, error_in_answer
from wavetank.processor.errors.rate_headers import rate_info
from wavetank.processor.errors.reset_times import clock_text
from wavetank.processor.limits import Quota, RateInfo

NOW = 1_767_225_600.0

NUMBERS = st.one_of(
    st.sampled_from([0, -1, 429, 10**12, 1.77e18, 1e300, 10**400, math.inf, math.nan, True, None]),
    st.floats(),
)
PIECES = [
    "0", "-1", "inf", "1e400", "9" * 400, "9" * 5000, ",", "s", "ms", "d", ".", " ", "x", "\u0661", "1_000",
    "Wed, 99 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 -9999", "Mon, 01 Jan 0001 00:00:00 GMT",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-13-45T00:00:00Z", "Feb 30 at 3pm",
    "feb 29, 0001 3pm (UTC+14)", "dec 31, 9999 11pm (UTC-12)", "12am (UTC+99)", "4pm (GMT-99:99)", "3:99pm",
    "resets ", "resets 3am (../../etc/passwd)", "try again in ", "|1767225600", "|9999999999999", "rejected",
    "100", "You've hit your limit ", "Limit 9, Requested ", "Request too large",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after", "retry-after-ms", "date", "x-ratelimit-limit", "x-ratelimit-remaining",
            "x-ratelimit-reset", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests", "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset",
            "anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-reset",
            "x-codex-primary-reset-at", "x-codex-primary-used-percent",
        ]
    ),
    TEXTS,
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "error", "code", "type", "status", "details", "metadata", "message", "resets_at", "retry_after",
        "availability", "headers", "X-RateLimit-Reset", "violations", "quotaId", "@type", "retryDelay",
        "result", "is_error", "exit_code", "rate_limit_info", "resetsAt",
    ]
)  # fmt: skip
TYPES = st.sampled_from(["google.rpc.RetryInfo", "rate_limit_event", "result", "rejected", "RequestsPerDay"])
BODIES = st.recursive(
    NUMBERS | TEXTS | TYPES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


class Hostile(Exception):
    """An error with whatever attributes it is given."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__("hostile")
        vars(self).update(attributes)


def finite(*numbers: float | None) -> bool:
    """Whether each number is finite or `None`."""
    return all(number is None or math.isfinite(number) for number in numbers)


def sound(info: RateInfo | None) -> bool:
    """Whether nothing in it would wait for ever."""
    quotas = [] if info is None else [quota or Quota() for quota in (info.requests, info.tokens)]
    parts = [(quota.limit, quota.remaining, quota.resets_in, quota.per_second) for quota in quotas]
    return finite(None if info is None else info.wait, *(number for part in parts for number in part))


@given(headers=HEADERS)
@example(
    headers={"anthropic-ratelimit-requests-limit": "1", "anthropic-ratelimit-requests-reset": "12am (UTC+99)"}
)
@example(headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "inf"})
def test_any_headers_can_be_read(headers: dict[str, str]) -> None:
    """Every number in the result is finite or `None`."""
    assert sound(rate_info(headers, now=NOW))


ATTRIBUTES = st.sampled_from(
    ["status", "code", "body", "details", "response", "retry_after", "returncode", "stdout"]
)


@given(attributes=st.dictionaries(ATTRIBUTES, BODIES, max_size=4), headers=HEADERS)
@example(attributes={"status": 429, "retry_after": 10**400}, headers={})
@example(attributes={"status": 402, "retry_after": 1e300}, headers={})
@example(attributes={"status": 429, "body": {"details": [{"violations": 3}]}}, headers={})
@example(attributes={"status": 429, "body": {"message": f"Limit {'9' * 5000}, Requested ,"}}, headers={})
def test_any_error_can_be_judged(attributes: dict[str, Any], headers: dict[str, str]) -> None:
    """The wait it asks for is finite and above 0, or `None`."""
    failure = classify(Hostile({"headers": headers, **attributes}), now=NOW)
    assert finite(failure.retry_after_seconds)
    assert sound(failure.info)


@given(body=st.dictionaries(NAMES, BODIES, max_size=4), text=TEXTS, code=st.sampled_from([0, 1, -9]))
@example(
    body={"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 10**30}},
    text="",
    code=1,
)
@example(body={}, text="You've hit your limit · resets 9999-12-31T23:59:59-14:00", code=1)
def test_any_output_can_be_judged(body: dict[str, Any], text: str, code: int) -> None:
    """As what an agent printed, as its result file, and as an answer."""
    printed = f"{json.dumps(body)}\n{text}"
    for failure in (
        classify_output(code, printed, text, now=NOW),
        classify_output(code, text, printed, now=NOW),
        classify_result(json.dumps(body), now=NOW),
        error_in_answer(body, now=NOW),
    ):
        assert failure is None or finite(failure.retry_after_seconds)


def test_an_instant_beyond_the_calendar_has_words_too() -> None:
    """A reason is made of it, so it must not raise."""
    assert [clock_text(instant) for instant in (1e12, -1e12, 1e300)] == ["beyond the calendar"] * 3
