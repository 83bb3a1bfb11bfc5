"""OpenAI's headers and errors.

Sources: the guides on rate limits and on error codes of platform.openai.com, `Error` and
`Retry-After` in OpenAI's OpenAPI description, and refusals that its users have quoted.
"""

from __future__ import annotations

from typing import Any, Final

from ...answer_texts import request_cost
from ...http import Decoded, Headers, HttpRequest
from ...model import BucketState, LimitState, Refusal
from ...wire_formats import go_duration, imf_fixdate
from ..hosts import HOSTS
from ..shared import InvalidRequest, is_limit, limit_headers, limit_hit, retry_hint
from ..wire_dialect import Refused, Vendor
from .requests import INVALID

ORGANIZATION: Final = "org-wavetank"
VERSION: Final = "2020-10-01"

SORRY: Final = "The server had an error while processing your request. Sorry about that!"
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

# Type, code and message of each error that is no rate limit.
_ERRORS: Final[dict[str, tuple[str, str | None, str]]] = {
    "quota": ("insufficient_quota", "insufficient_quota", _QUOTA),
    "billing": ("insufficient_quota", "credit_balance_exhausted", _CREDIT),
    "ramp": ("rate_limit_error", "slow_down", _RAMP),
    "overloaded": (
        "service_unavailable_error",
        "server_is_overloaded",
        "The server is currently overloaded.",
    ),
    "server": ("server_error", None, SORRY),
    "timeout": ("timeout", None, "Request timed out."),
    "conflict": (INVALID, "conflict", "The request conflicts with another one."),
}
# Statuses that speak for themselves, whatever a scenario says is wrong.
_STATUSES: Final[dict[int, tuple[str, str | None, str]]] = {
    401: (INVALID, "invalid_api_key", "Incorrect API key provided."),
    403: (INVALID, None, "You are not allowed to make this request."),
    404: (INVALID, "model_not_found", "The model does not exist or you do not have access to it."),
    413: (INVALID, "request_too_large", "The request is too large."),
}

# Kind, what is counted, and its abbreviation, by the limit that was hit.
_COUNTED: Final = {
    "tokens": ("tokens", "tokens per {minute} (TPM)"),
    "input-tokens": ("tokens", "tokens per {minute} (TPM)"),
    "output-tokens": ("tokens", "tokens per {minute} (TPM)"),
    "tokens-per-day": ("tokens", "tokens per day (TPD)"),
    "requests-per-day": ("requests", "requests per day (RPD)"),
}
_REQUESTS: Final = ("requests", "requests per {minute} (RPM)")


def error(
    message: str, kind: str, *, param: str | None = None, code: str | None = None
) -> dict[str, str | None]:
    """An error object: all four keys are required."""
    return {"message": message, "type": kind, "param": param, "code": code}


def status_error(refusal: Refusal) -> tuple[str, str | None, str] | None:
    """Type, code and message of a refusal that is no rate limit; `None` for one that is."""
    if is_limit(refusal) or (refusal.error == "too-large" and refusal.status == 413):
        return _STATUSES.get(refusal.status)
    return _ERRORS.get(refusal.error)


def counted(refusal: Refusal) -> tuple[str, str]:
    """What the limit counts that was hit: the error's type, and how its message says it."""
    if refusal.error == "too-large":
        return _COUNTED["tokens"]
    return _COUNTED.get(refusal.reason, _REQUESTS)


def used(refusal: Refusal, bucket: BucketState | None) -> tuple[int, int]:
    """The limit a message names and how much of it is used; a scripted refusal needs no bucket."""
    hit = limit_hit(refusal)
    if hit is not None:
        return hit.limit, max(0, hit.limit - hit.remaining)
    limit = bucket.limit if bucket is not None else _UNSCRIPTED_LIMIT
    return limit, limit


def rate_limited(refusal: Refusal, decoded: Decoded, *, where: str, minute: str = "min") -> str:
    """The first sentences of a rate limit, with the numbers that clients read out of them.

    Args:
        refusal: what is refused.
        decoded: the request.
        where: the words for the model and the organization.
        minute: the word for a minute.
    """
    kind, words = counted(refusal)
    words = words.format(minute=minute)
    limits = refusal.limits
    limit, spent = used(refusal, limits.tokens if kind == "tokens" else limits.requests)
    cost = request_cost(decoded.item, decoded.prompt_tokens, decoded.max_tokens, decoded.copies)
    requested = cost if kind == "tokens" else 1
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

    name = "openai"
    hosts = HOSTS["openai"]
    no_key = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header "
        "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
    )

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """A path or method that the API does not have."""
        if not allowed:
            message = f"Invalid URL ({request.method} {request.path})"
            return InvalidRequest(404, message, kind=INVALID)
        wanted = " or ".join(allowed)
        message = (
            f"Not allowed to {request.method} on {request.path}. (HINT: Perhaps you meant to use {wanted}?)"
        )
        return InvalidRequest(405, message, kind=INVALID, code="method_not_supported")

    def headers(self, number: str, sent: int, took: int) -> Headers:
        """Date, request id, organization, time and version."""
        return (
            ("date", imf_fixdate(sent)),
            ("x-request-id", number),
            ("openai-organization", ORGANIZATION),
            ("openai-processing-ms", str(took)),
            ("openai-version", VERSION),
        )

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """Requests and tokens, on every answer."""
        return openai_limits(limits)

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """The error object of a bad request."""
        code = "invalid_api_key" if invalid.status == 401 else invalid.code
        return invalid.status, {"error": error(invalid.message, INVALID, param=invalid.param, code=code)}

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error object of a refusal."""
        refusal, decoded = refused.refusal, refused.decoded
        other = status_error(refusal)
        if other is not None:
            kind, code, message = other
            return {"error": error(message + retry_hint(refusal.retry_after), kind, code=code)}
        where = f"for {decoded.model} in organization {ORGANIZATION}"
        message = f"{rate_limited(refusal, decoded, where=where)} {_VISIT}"
        return {"error": error(message, counted(refusal)[0], code="rate_limit_exceeded")}

    def mid_stream_error(self, decoded: Decoded, number: str) -> dict[str, Any]:
        """The error after a 200: the server's own."""
        return {"error": error(SORRY, "server_error")}
