"""How a refusal states its wait: the value rounded to its form, the header, the sentence in the body."""

from __future__ import annotations

from ...clock import MILLISECOND, SECOND
from ...scenario import RetryAfter
from ..http import Headers
from ..model import WireRetryAfter
from ..wire_formats import decimal, go_duration, imf_fixdate


def wire_retry_after(rule: RetryAfter, wait: int | None, sent: int) -> WireRetryAfter | None:
    """The Retry-After of a refusal, as exactly as its form can express it.

    Args:
        rule: the form, and the value if the scenario gives one.
        wait: nanoseconds from the sending until a retry makes sense, `None` if never.
        sent: the Unix time at which the refusal is sent, by the provider's clock.
    """
    value = rule.value if rule.value is not None else wait
    if rule.form == "none" or value is None:
        return None
    if rule.form == "http-date":
        if rule.value is None:
            value = max(1, value)
        return WireRetryAfter("http-date", _round_up(sent + value, SECOND) - sent)
    if rule.value is None:
        value = _round_up(max(1, value), SECOND if rule.form == "seconds" else MILLISECOND)
    return WireRetryAfter(rule.form, int(value))


def retry_headers(retry_after: WireRetryAfter | None, sent: int) -> Headers:
    """The header that states a Retry-After; the forms `body` and `none` have no header.

    Args:
        retry_after: what to state.
        sent: the Unix time of the sending in nanoseconds.
    """
    if retry_after is None:
        return ()
    value = retry_after.value
    if retry_after.form == "seconds":
        return (("retry-after", decimal(value, SECOND)),)
    if retry_after.form == "ms":
        return (("retry-after-ms", decimal(value, MILLISECOND)),)
    return (("retry-after", imf_fixdate(sent + value)),) if retry_after.form == "http-date" else ()


def retry_hint(retry_after: WireRetryAfter | None) -> str:
    """The sentence that states a Retry-After, with a space before it; empty if there is none."""
    return "" if retry_after is None else f" Please try again in {go_duration(retry_after.value)}."


def stated_in_body(retry_after: WireRetryAfter | None) -> str:
    """The same sentence only for the form `body`: for vendors whose bodies do not state it themselves."""
    return retry_hint(retry_after) if retry_after is not None and retry_after.form == "body" else ""


def with_hint(message: str, retry_after: WireRetryAfter | None) -> str:
    """A message with that sentence after it, where there is one."""
    hint = stated_in_body(retry_after)
    return f"{message.rstrip('. ')}.{hint}" if hint else message


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
