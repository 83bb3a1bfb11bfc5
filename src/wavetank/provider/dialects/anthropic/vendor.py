"""Anthropic's headers and errors.

Sources: the pages on errors and on rate limits of docs.claude.com, the error classes of its
SDK (`anthropic.types.shared`), and refusals that its users have quoted.
"""

from __future__ import annotations

from typing import Any, Final

from ...http import Decoded, Headers, HttpRequest
from ...model import LimitState, Refusal
from ...wire_formats import base62, imf_fixdate, rfc3339
from ..hosts import HOSTS
from ..shared import InvalidRequest, bearer, is_limit, limit_hit, stated_in_body
from ..wire_dialect import Refused, Vendor

ORGANIZATION: Final = "00000000-0000-4000-8000-000000000001"
INVALID: Final = "invalid_request_error"

_OVERLOADED: Final = ("overloaded_error", "Overloaded")
_RATE_LIMITED: Final = "This request would exceed your account's rate limit. Please try again later."
_CREDIT: Final = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_SPEND: Final = (
    "You have reached your specified API usage limits. You will regain access at the start of next month."
)
_RAMP: Final = (
    "Your traffic has grown too fast (acceleration limit). Increase your usage gradually and try again later."
)

# Type and message of each error that is no rate limit.
_ERRORS: Final[dict[str, tuple[str, str]]] = {
    "too-large": ("request_too_large", "Request exceeds the maximum size"),
    "quota": ("rate_limit_error", _SPEND),
    "billing": ("billing_error", _CREDIT),
    "ramp": ("rate_limit_error", _RAMP),
    "throttle": ("rate_limit_error", "Error"),
    "overloaded": _OVERLOADED,
    "server": ("api_error", "Internal server error"),
    "timeout": ("timeout_error", "Request timed out."),
    "conflict": ("conflict_error", "The request conflicts with another one."),
}
# Statuses that speak for themselves, whatever a scenario says is wrong.
_STATUSES: Final[dict[int, tuple[str, str]]] = {
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "The requested resource was not found."),
    504: ("timeout_error", "Request timed out."),
}
# `error.details.error_code`, by which the SDK chooses a class of its own.
_CODES: Final = {"ramp": "ramp_limit_exceeded", "quota": "enforced_spend_limit_reached"}

_COUNTED: Final = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "input-tokens": "input tokens per minute",
    "output-tokens": "output tokens per minute",
    "requests-per-day": "requests per day",
    "tokens-per-day": "tokens per day",
}


def error(kind: str, message: str, number: str, code: str | None = None) -> dict[str, Any]:
    """An error body; the request id is in it as well as in a header."""
    details = {"details": {"error_code": code}} if code is not None else {}
    return {
        "type": "error",
        "error": {"type": kind, "message": message, **details},
        "request_id": number,
    }


class AnthropicVendor(Vendor):
    """api.anthropic.com."""

    name = "anthropic"
    hosts = HOSTS["anthropic"]

    def key(self, request: HttpRequest) -> str:
        """The key, in its own header or as a bearer token; the version must be there, too."""
        key = request.headers.get("x-api-key", "").strip() or bearer(request.headers)
        if not key:
            raise InvalidRequest(401, "x-api-key header is required", kind="authentication_error")
        if not request.headers.get("anthropic-version"):
            raise InvalidRequest(400, "anthropic-version: header is required", kind=INVALID)
        return key

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """A path or method that the API does not have."""
        if allowed:
            return InvalidRequest(405, "Method Not Allowed", kind=INVALID)
        return InvalidRequest(404, "Not found", kind="not_found_error")

    def number(self, *key: object) -> str:
        """The request id."""
        return f"req_011C{base62(20, 'anthropic', *key)}"

    def headers(self, number: str, sent: int, took: int) -> Headers:
        """Date, request id and organization."""
        return (
            ("date", imf_fixdate(sent)),
            ("request-id", number),
            ("anthropic-organization-id", ORGANIZATION),
        )

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """Each kind of limit, with the date in whole seconds at which it is whole again."""
        buckets = (
            ("requests", limits.requests),
            ("input-tokens", limits.input_tokens),
            ("output-tokens", limits.output_tokens),
            ("tokens", limits.tokens),
        )
        return tuple(
            (f"anthropic-ratelimit-{name}-{field}", value)
            for name, bucket in buckets
            if bucket is not None
            for field, value in (
                ("limit", str(bucket.limit)),
                ("remaining", str(bucket.remaining)),
                ("reset", rfc3339(sent + bucket.reset)),
            )
        )

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """The error of a bad request."""
        return invalid.status, error(invalid.kind, invalid.message, number)

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal."""
        refusal = refused.refusal
        kind, message = _refused(refusal, refused.decoded)
        hint = stated_in_body(refusal.retry_after)
        if hint:
            message = f"{message.rstrip('.')}.{hint}"
        code = None if is_limit(refusal) else _CODES.get(refusal.error)
        return error(kind, message, refused.number, code)

    def mid_stream_error(self, decoded: Decoded, number: str) -> dict[str, Any]:
        """The error after a 200: no capacity."""
        return error(*_OVERLOADED, number)


def _refused(refusal: Refusal, decoded: Decoded) -> tuple[str, str]:
    """The error type and message of a refusal."""
    if refusal.error in ("rate-limit", "server") and refusal.status in _STATUSES:
        return _STATUSES[refusal.status]
    if refusal.error == "too-large" and refusal.status == 429:
        return "rate_limit_error", _rate_limited(refusal, decoded)
    if refusal.error in _ERRORS and not is_limit(refusal):
        return _ERRORS[refusal.error]
    return "rate_limit_error", _rate_limited(refusal, decoded)


def _rate_limited(refusal: Refusal, decoded: Decoded) -> str:
    bucket = limit_hit(refusal)
    if bucket is None:
        return _RATE_LIMITED
    return (
        f"This request would exceed your organization's rate limit of {bucket.limit:,} "
        f"{_COUNTED.get(refusal.reason, 'requests per minute')} (org: {ORGANIZATION}, model: "
        f"{decoded.model}). For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see "
        "the response headers for current usage. Please reduce the prompt length or the maximum tokens "
        "requested, or try again later."
    )
