"""What a refusal says about coming back, as far as the wire can express it."""

from __future__ import annotations

from ..clock import MILLISECOND, SECOND
from ..scenario import RetryAfter
from .model import WireRetryAfter


def stated(rule: RetryAfter, rest: int | None, sent: int) -> WireRetryAfter | None:
    """The Retry-After of a refusal.

    Args:
        rule: the form, and the value if the scenario wrote one.
        rest: nanoseconds from the sending until a retry makes sense, `None` if never.
        sent: the instant at which the refusal is sent.
    """
    value = rule.value if rule.value is not None else rest
    if rule.form == "none" or value is None:
        return None
    if rule.form == "http-date":
        return WireRetryAfter("http-date", _up(sent + max(1, value), SECOND) - sent)
    if rule.value is None:
        value = _up(max(1, value), SECOND if rule.form == "seconds" else MILLISECOND)
    return WireRetryAfter(rule.form, int(value))


def _up(value: int, size: int) -> int:
    return -(-value // size) * size
