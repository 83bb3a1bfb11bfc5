"""Anthropic's headers and errors.

Sources: the pages on errors and on rate limits of docs.claude.com, the error classes of its
SDK (`anthropic.types.shared`), and refusals that its users have quoted.
"""

from __future__ import annotations

from typing import Any, Final

from ...dialect_base.retry_after import with_hint
from ...dialect_base.shared import ErrorText, InvalidRequest, is_limit, limit_headers, limit_hit, unit_of
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import Headers, HttpRequest
from ...model import LimitState, Refusal
from ...request import Request
from ...wire_formats import base62, rfc3339
from ..openai.vendor import error as openai_error
from ..openai.vendor import openai_limits

ORGANIZATION: Final = "00000000-0000-4000-8000-000000000001"
INVALID: Final = "invalid_request_error"
COMPATIBLE: Final = "compatible-chat"
"""OpenAI's chat completions."""
COMPATIBLE_PATH: Final = "/v1/chat/completions"

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

# What each error that is no rate limit says; the code of two is `error.details.error_code`, by which
# the SDK chooses a class of its own.
_ERRORS: Final = {
    "too-large": ErrorText("Request exceeds the maximum size", "request_too_large"),
    "quota": ErrorText(_SPEND, "rate_limit_error", "enforced_spend_limit_reached"),
    "billing": ErrorText(_CREDIT, "billing_error"),
    "ramp": ErrorText(_RAMP, "rate_limit_error", "ramp_limit_exceeded"),
    "throttle": ErrorText("Error", "rate_limit_error"),
    "overloaded": ErrorText("Overloaded", "overloaded_error"),
    "server": ErrorText("Internal server error", "api_error"),
    "timeout": ErrorText("Request timed out.", "timeout_error"),
    "conflict": ErrorText("The request conflicts with another one.", "conflict_error"),
}
# Statuses that speak for themselves, whatever a scenario says is wrong.
_STATUSES: Final = {
    401: ErrorText("invalid x-api-key", "authentication_error"),
    403: ErrorText("Your API key does not have permission to use this resource.", "permission_error"),
    404: ErrorText("The requested resource was not found.", "not_found_error"),
    504: _ERRORS["timeout"],
}


class AnthropicVendor(Vendor):
    """api.anthropic.com."""

    no_key = ErrorText("x-api-key header is required", "authentication_error")
    not_found = ErrorText("Not found", "not_found_error")
    not_allowed = ErrorText("Method Not Allowed", INVALID)
    errors = _ERRORS
    statuses = _STATUSES
    breaks_with = "overloaded"

    def key(self, request: HttpRequest) -> str:
        """The key, in its own header or as a bearer token; the version must be there, too.

        OpenAI's SDK, which asks for chat completions, has none.
        """
        key = super().key(request)
        if request.path != COMPATIBLE_PATH and not request.headers.get("anthropic-version"):
            raise InvalidRequest(400, "anthropic-version: header is required", kind=INVALID)
        return key

    def number(self, *key: object) -> str:
        """The request id."""
        return f"req_011C{base62(20, 'anthropic', *key)}"

    def headers(self, number: str, took: int) -> Headers:
        """Request id and organization."""
        return (("request-id", number), ("anthropic-organization-id", ORGANIZATION))

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """Each kind of limit, with the date in whole seconds at which it is whole again; or as OpenAI's."""
        if request.endpoint == COMPATIBLE:
            return openai_limits(limits)
        buckets = (
            ("requests", limits.requests),
            ("input-tokens", limits.input_tokens),
            ("output-tokens", limits.output_tokens),
            ("tokens", limits.tokens),
        )
        return limit_headers(
            buckets, lambda ns: rfc3339(measured + ns), named="anthropic-ratelimit-{name}-{field}"
        )

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error body; the request id is in it as well as in a header."""
        details = {"details": {"error_code": text.code}} if text.code is not None else {}
        return {
            "type": "error",
            "error": {"type": text.kind, "message": text.message, **details},
            "request_id": number,
        }

    def invalid_request(self, invalid: InvalidRequest, number: str, request: HttpRequest) -> tuple[int, Any]:
        """Status and body for a request that cannot be taken."""
        if request.path == COMPATIBLE_PATH:
            return invalid.status, openai_error(invalid.text)
        return super().invalid_request(invalid, number, request)

    def refusal(self, refused: Refused) -> Any:
        """The body of a refusal; the compatible endpoint has OpenAI's form, with words of its own."""
        return (
            openai_error(self.said(refused)._replace(code=None))
            if refused.request.endpoint == COMPATIBLE
            else super().refusal(refused)
        )

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a rate limit names its number."""
        refusal = refused.refusal
        too_dear = refusal.error == "too-large" and refusal.status == 429
        if refusal.error in ("rate-limit", "server") and refusal.status in self.statuses:
            text = self.statuses[refusal.status]
        elif refusal.error in self.errors and not is_limit(refusal) and not too_dear:
            text = self.errors[refusal.error]
        else:
            text = ErrorText(_rate_limited(refusal, refused.request), "rate_limit_error")
        return text._replace(message=with_hint(text.message, refusal.retry_after))


def _rate_limited(refusal: Refusal, request: Request) -> str:
    bucket = limit_hit(refusal)
    if bucket is None:
        return _RATE_LIMITED
    counted = refusal.reason.removesuffix("-per-day").replace("-", " ")
    return (
        f"This request would exceed your organization's rate limit of {bucket.limit:,} "
        f"{counted} per {unit_of(bucket)} (org: {ORGANIZATION}, model: "
        f"{request.model}). For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see "
        "the response headers for current usage. Please reduce the prompt length or the maximum tokens "
        "requested, or try again later."
    )
