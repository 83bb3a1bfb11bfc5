"""Tells a refusal that waiting mends from an error that a retry may mend and from one that nothing mends.

It reads the shape of an exception, never the words of its message: "429" or "quota" may
stand in any text. No client library is imported; those of OpenAI, Anthropic, Google,
Groq, Mistral, httpx, aiohttp and requests put status, headers and body where it looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeGuard, final

from .limits import RateInfo
from .retry_after import stated_wait

FailureKind = Literal["rate-limited", "transient", "terminal"]

# Quota and billing: OpenAI (help centre, 2026 billing codes), Anthropic (error.type and
# error.details.error_code), Codex, Gemini CLI. Sent as 429 too, but no waiting mends them.
TERMINAL_CODES: Final = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_error",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "usage_not_included",
    "INSUFFICIENT_G1_CREDITS_BALANCE",
    "request_too_large",
    "context_length_exceeded",
)
# Overload told inside a 200 or without a status, as streams do: Anthropic, OpenAI, Gemini, Mistral.
OVERLOAD_CODES: Final = (
    "overloaded_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "ramp_limit_exceeded",
    "rate_limited",
    "server_is_overloaded",
    "slow_down",
    "RESOURCE_EXHAUSTED",
)
TRANSIENT_CODES: Final = ("server_error", "api_error", "timeout_error", "INTERNAL", "UNAVAILABLE")

OVERLOAD_STATUSES: Final = (429, 503, 529)
TRANSIENT_STATUSES: Final = (408, 409, 425)

_TERMINAL_CLASSES: Final = ("QuotaExhausted", "RequestTooLarge")
# Ends of class names, of builtins and of httpx, httpcore, aiohttp, trio and the providers' clients.
_CONNECTION_CLASSES: Final = (
    "ConnectionError",
    "TimeoutError",
    "ConnectionLost",
    "TransportError",
    "TimeoutException",
    "NetworkError",
    "RemoteProtocolError",
    "ClientPayloadError",
    "TooSlowError",
)


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request: its kind, why it is of that kind, and the wait it asked for, in seconds.

    `info` is what its headers tell of the limits.
    `rate-limited` is mended by waiting, `transient` perhaps by another try, `terminal` by neither.
    """

    kind: FailureKind
    error: BaseException
    reason: str
    retry_after_seconds: float | None = None
    info: RateInfo | None = None

    @property
    def pauses(self) -> bool:
        """Whether everybody should wait: a rate limit, or any retryable error that states a wait."""
        return self.kind == "rate-limited" or (
            self.kind == "transient" and self.retry_after_seconds is not None
        )


class ErrorClassifier(Protocol):
    """What tells refusals from errors: any function like `classify`."""

    def __call__(self, error: BaseException, /) -> Failure:
        """Judge what a call raised."""
        ...


def classify(error: BaseException) -> Failure:
    """Judge what a call raised.

    Read are `status_code`, `status`, `response.status_code` and a numeric `code`; the
    headers of `response` or of the exception; `retry_after` in seconds; and `code`,
    `type` and the like, on the exception and in its `body`, `details` or response.
    A group of one exception is judged by that exception.

    >>> classify(ConnectionResetError()).kind
    'transient'
    >>> classify(ValueError("429: rate limit")).kind
    'terminal'
    """
    cause = sole(error)
    status, body = _status(cause), _body(cause)
    kind, reason = _judge(cause, status, _codes(cause, body))
    return Failure(kind, error, reason, _wait(cause, body))


def sole(error: BaseException) -> BaseException:
    """The one exception in a group of one, however deep, or the exception itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _judge(error: BaseException, status: int | None, codes: tuple[str, ...]) -> tuple[FailureKind, str]:
    where = f"status {status}" if status is not None else f"no status, {type(error).__name__}"
    if final_code := _first(codes, TERMINAL_CODES) or _first(_class_names(error), _TERMINAL_CLASSES):
        return "terminal", f"{where}, {final_code}: no waiting mends it"
    if status in OVERLOAD_STATUSES:
        return "rate-limited", where
    may_hide_overload = status is None or status >= 500 or 200 <= status < 300
    if may_hide_overload and (code := _first(codes, OVERLOAD_CODES)):
        return "rate-limited", f"{where}, {code}"
    return _judge_the_rest(error, status, codes), where


def _judge_the_rest(error: BaseException, status: int | None, codes: tuple[str, ...]) -> FailureKind:
    """An error with a 2xx is an answer that broke off or cannot be read, so another try may do."""
    if status is not None:
        retryable = status in TRANSIENT_STATUSES or status >= 500 or 200 <= status < 300
    else:
        retryable = _is_connection_error(error) or _first(codes, TRANSIENT_CODES) is not None
    return "transient" if retryable else "terminal"


def _is_connection_error(error: BaseException) -> bool:
    # ConnectionError and TimeoutError are OSErrors.
    return isinstance(error, OSError) or any(
        name.endswith(_CONNECTION_CLASSES) for name in _class_names(error)
    )


def _class_names(error: BaseException) -> tuple[str, ...]:
    return tuple(cls.__name__ for cls in type(error).__mro__)


def _first(found: tuple[str, ...], known: tuple[str, ...]) -> str | None:
    return next((name for name in found if name in known), None)


def _status(error: BaseException) -> int | None:
    response = _read(error, "response")
    candidates = (
        _read(error, "status_code"),
        _read(error, "status"),
        _read(response, "status_code"),
        _read(response, "status"),
        _read(error, "code"),
    )
    return next((value for value in candidates if _is_status(value)), None)


def _is_status(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600


def _wait(error: BaseException, body: Mapping[str, Any]) -> float | None:
    told = _read(error, "retry_after")
    as_header = {"retry-after": str(told)} if isinstance(told, (int, float)) else {}
    return stated_wait(as_header, {}) or stated_wait(_headers(error), body)


def _headers(error: BaseException) -> dict[str, str]:
    for headers in (_read(_read(error, "response"), "headers"), _read(error, "headers")):
        if isinstance(headers, Mapping):
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _codes(error: BaseException, body: Mapping[str, Any]) -> tuple[str, ...]:
    """The machine-readable names of the error, most exact first; messages are left out."""
    return tuple(code for code in _all_codes(error, body) if isinstance(code, str))


def _all_codes(error: BaseException, body: Mapping[str, Any]) -> Iterator[object]:
    details = body.get("details")
    if isinstance(details, Mapping):
        yield details.get("error_code")
    yield from (body.get("code"), body.get("type"), body.get("status"))
    yield from (_read(error, "code"), _read(error, "type"), _read(error, "status"))


def _body(error: BaseException) -> Mapping[str, Any]:
    """The error object of the answer, from the first place that holds one."""
    for source in (_read(error, "body"), _read(error, "details"), _read(_read(error, "response"), "text")):
        if found := _error_object(source):
            return found
    return {}


def _error_object(source: object) -> Mapping[str, Any]:
    """What stands under `error`, or the whole where nothing does; Gemini's streams put it in a list."""
    if isinstance(source, (str, bytes)):
        source = _parsed(source)
    if isinstance(source, list) and source:
        source = source[0]
    if not isinstance(source, Mapping):
        return {}
    inner = source.get("error")
    return inner if isinstance(inner, Mapping) else source


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _read(owner: object, name: str) -> object:
    """An attribute, or `None` if reading it raises, as some do on an answer that is not read to its end."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None
