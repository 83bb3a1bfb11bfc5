"""OpenAI's headers and errors.

Sources: the guides on rate limits and on error codes of platform.openai.com, `Error` and
`Retry-After` in OpenAI's OpenAPI description, and refusals that its users have quoted.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from ...dialect_base.retry_after import retry_hint
from ...dialect_base.shared import ErrorText, is_limit, limit_headers, limit_hit, unit_of
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import Headers, HttpRequest
from ...model import BucketState, LimitState, Refusal
from ...request import Request
from ...wire_formats import go_duration
from .requests import INVALID

ORGANIZATION: Final = "org-wavetank"
VERSION: Final = "2020-10-01"
STORE: Final = "oaidalleapiprodscus.blob.core.windows.net"
"""The host that has the images of which an answer gives the URL."""

_SORRY: Final = "The server had an error while processing your request. Sorry about that!"
_VISIT: Final = "Visit https://platform.openai.com/account/rate-limits to learn more."
_QUOTA: Final = (
    "You exceeded your current quota, please check your plan and billing details. For more information on "
    "this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_CREDIT: Final = (
    "You have no credits left. Add credits to continue: "
    "https://platform.openai.com/settings/organization/billing/overview."
)
_RAMP: Final = (
    "Your traffic grows too fast. Slow down, keep a steady rate for 15 minutes or more, and then raise it "
    "step by step."
)
_UNSCRIPTED_LIMIT: Final = 500

# What each error that is no rate limit says.
_ERRORS: Final = {
    "quota": ErrorText(_QUOTA, "insufficient_quota", "insufficient_quota"),
    "billing": ErrorText(_CREDIT, "insufficient_quota", "credit_balance_exhausted"),
    "ramp": ErrorText(_RAMP, "rate_limit_error", "slow_down"),
    "overloaded": ErrorText(
        "The server is currently overloaded.", "service_unavailable_error", "server_is_overloaded"
    ),
    "server": ErrorText(_SORRY, "server_error"),
    "timeout": ErrorText("Request timed out.", "timeout"),
    "conflict": ErrorText("The request conflicts with another one.", INVALID, "conflict"),
}
# Statuses that speak for themselves, whatever a scenario says is wrong.
_STATUSES: Final = {
    401: ErrorText("Incorrect API key provided.", INVALID, "invalid_api_key"),
    403: ErrorText("You are not allowed to make this request.", INVALID),
    404: ErrorText("The model does not exist or you do not have access to it.", INVALID, "model_not_found"),
    413: ErrorText("The request is too large.", INVALID, "request_too_large"),
}


def error(text: ErrorText) -> dict[str, Any]:
    """An error body: all four keys are required."""
    fields = {"message": text.message, "type": text.kind, "param": text.param, "code": text.code}
    return {"error": fields}


def counted(refusal: Refusal) -> Literal["tokens", "requests"]:
    """What the limit counts that was hit: the error's type."""
    return "tokens" if refusal.error == "too-large" or "tokens" in refusal.reason else "requests"


def used(refusal: Refusal, bucket: BucketState | None) -> tuple[int, int]:
    """The limit a message names and how much of it is used; a scripted refusal needs no bucket."""
    hit = limit_hit(refusal)
    if hit is not None:
        return hit.limit, max(0, hit.limit - hit.remaining)
    limit = bucket.limit if bucket is not None else _UNSCRIPTED_LIMIT
    return limit, limit


def rate_limited(refusal: Refusal, request: Request, *, where: str, minute: str = "min") -> str:
    """The first sentences of a rate limit, with the numbers that clients read out of them.

    Args:
        refusal: what is refused.
        request: the request.
        where: the words for the model and the organization.
        minute: the word for a minute.
    """
    kind, unit = counted(refusal), unit_of(limit_hit(refusal), minute)
    initials = f" ({kind[0]}P{unit[0]})".upper() if unit.isalpha() else ""
    words = f"{kind} per {unit}{initials}"
    limits = refusal.limits
    limit, spent = used(refusal, limits.tokens if kind == "tokens" else limits.requests)
    requested = request.cost if kind == "tokens" else 1
    if refusal.error == "too-large":
        # A scripted refusal need not fit a limit, but what it says has to.
        limit = min(limit, requested - 1)
        return (
            f"Request too large {where} on {words}: Limit {limit}, Requested {requested}. "
            "The input or output tokens must be reduced in order to run successfully."
        )
    message = f"Rate limit reached {where} on {words}: Limit {limit}, Used {spent}, Requested {requested}."
    return message + retry_hint(refusal.retry_after)


def openai_limits(limits: LimitState) -> Headers:
    """The limit headers of OpenAI: resets are durations as Go prints them."""
    requests = limits.requests or limits.requests_per_day
    tokens = limits.tokens or limits.tokens_per_day
    return limit_headers((("requests", requests), ("tokens", tokens)), go_duration)


class OpenAIVendor(Vendor):
    """api.openai.com."""

    no_key = ErrorText(
        "You didn't provide an API key. You need to provide your API key in an Authorization header "
        "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        INVALID,
        "invalid_api_key",
    )
    not_found = ErrorText("Invalid URL ({method} {path})", INVALID)
    not_allowed = ErrorText(
        "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use {allowed}?)",
        INVALID,
        "method_not_supported",
    )
    errors = _ERRORS
    statuses = _STATUSES

    def key(self, request: HttpRequest) -> str:
        """The key; images behind URLs need none."""
        return "" if request.host == STORE else super().key(request)

    def headers(self, number: str, took: int) -> Headers:
        """Request id, organization, time and version."""
        return (
            ("x-request-id", number),
            ("openai-organization", ORGANIZATION),
            ("openai-processing-ms", str(took)),
            ("openai-version", VERSION),
        )

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """Requests and tokens, on every answer."""
        return openai_limits(limits)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error object."""
        return error(text)

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a rate limit names its numbers."""
        refusal, request = refused.refusal, refused.request
        limit = is_limit(refusal) or (refusal.error == "too-large" and refusal.status == 413)
        text = self.statuses.get(refusal.status) if limit else self.errors.get(refusal.error)
        if text is not None:
            return text._replace(message=text.message + retry_hint(refusal.retry_after))
        what = f"for {request.model} " if request.model else ""
        where = f"{what}in organization {ORGANIZATION}"
        message = f"{rate_limited(refusal, request, where=where)} {_VISIT}"
        return ErrorText(message, counted(refusal), "rate_limit_exceeded")
