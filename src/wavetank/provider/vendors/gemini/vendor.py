"""Gemini's errors, at the Developer API.

Sources: the pages on rate limits and troubleshooting of ai.google.dev, `google/rpc/code.proto`
and `google/rpc/error_details.proto`, and refusals that their users have quoted.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

from ....clock import SECOND
from ...dialect_base.shared import ErrorText, limit_hit, unit_of
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import Headers, HttpRequest
from ...model import Refusal
from ...request import Request
from ...wire_formats import decimal

IN_ARRAY: Final = "stream-array"
"""The endpoint whose bodies are arrays."""
COMPATIBLE: Final = "compatible-chat"
"""OpenAI's chat completions; its errors are in arrays, too."""

# Names of google.rpc.Code by HTTP status.
_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
_EXHAUSTED: Final = ("rate-limit", "quota", "billing", "ramp", "throttle")

_QUOTA: Final = (
    "You exceeded your current quota, please check your plan and billing details. For more information on "
    "this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, "
    "head to: https://ai.dev/usage?tab=rate-limit. "
)
_BARE: Final = "Resource has been exhausted (e.g. check quota)."
_MESSAGES: Final = {
    "billing": (
        "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."
    ),
    "ramp": _BARE,
    "throttle": _BARE,
    "overloaded": "The model is overloaded. Please try again later.",
    "server": "An internal error has occurred. Please retry.",
    "timeout": "Deadline expired before operation could complete.",
    "conflict": "The operation was aborted.",
}
STATUSES: Final = {
    401: "API keys are not supported by this API. Expected OAuth2 access token.",
    403: "The caller does not have permission.",
    404: "The requested entity was not found.",
}
"""Statuses that speak for themselves, whatever a scenario says is wrong."""
_UNREGISTERED: Final = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key "
    "or other form of API consumer identity to call this API."
)
_TOO_LARGE: Final = "The input token count exceeds the maximum number of tokens allowed."

_METRIC: Final = "generativelanguage.googleapis.com/generate_content_free_tier"
# Metric and quota id by the limit that was hit.
_QUOTAS: Final = {
    "tokens": (f"{_METRIC}_input_token_count", "GenerateContentInputTokensPerModelPerMinute-FreeTier"),
    "output-tokens": (f"{_METRIC}_input_token_count", "GenerateContentInputTokensPerModelPerMinute-FreeTier"),
    "input-tokens": (f"{_METRIC}_input_token_count", "GenerateContentInputTokensPerModelPerMinute-FreeTier"),
    "tokens-per-day": (f"{_METRIC}_input_token_count", "GenerateContentInputTokensPerModelPerDay-FreeTier"),
    "requests-per-day": (f"{_METRIC}_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
}
_PER_MINUTE: Final = (f"{_METRIC}_requests", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
_TYPE: Final = "type.googleapis.com/google.rpc."


def error(message: str, status: int, code: str | None = None, **more: Any) -> dict[str, Any]:
    """An error: the HTTP status, a message and the name of a code."""
    name = code or _CODES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": status, "message": message, "status": name, **more}}


def in_array(body: dict[str, Any], refused: Refused) -> Any:
    """Where answers are arrays an error is an array of one."""
    is_array = refused.request.endpoint in (IN_ARRAY, COMPATIBLE) and refused.refusal.wrapping == "json"
    return [body] if is_array else body


class GeminiVendor(Vendor):
    """generativelanguage.googleapis.com: the body says when to come back."""

    retry_in_body = True
    no_key = ErrorText(_UNREGISTERED)
    no_key_status = 403
    not_found = ErrorText("Not Found: {path}")
    not_allowed = ErrorText("{method} is not allowed on {path}.")
    breaks_with = "overloaded"

    def path(self, request: HttpRequest) -> str:
        """With `alt=sse` where the query asks for events."""
        return f"{request.path}?alt=sse" if "alt=sse" in request.query.split("&") else request.path

    def key(self, request: HttpRequest) -> str:
        """The key in its header or in the query, or a token; the address of an upload needs none."""
        query = parse_qs(request.query)
        if "upload_id" in query:
            return ""
        in_query = query.get("key", [""])[0]
        if in_query and not request.headers.get(self.card.key_header, "").strip():
            return in_query
        return super().key(request)

    def headers(self, number: str, took: int) -> Headers:
        """The time at the server; there is no request id."""
        return (("server-timing", f"gfet4t7; dur={took}"),)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """The error of a bad request."""
        return error(text.message, status)

    def refusal(self, refused: Refused) -> Any:
        """The error of a refusal; a quota is named, with when to come back."""
        return in_array(refused_with(refused.refusal, refused.request), refused)

    def mid_stream_error(self, refused: Refused) -> Any:
        """The error after a 200, in no array of its own."""
        return refused_with(refused.refusal, refused.request)


def refused_with(refusal: Refusal, request: Request, *, details: bool = True) -> dict[str, Any]:
    """The error of a refusal; without `details` it does not say when to come back."""
    if refusal.error in ("rate-limit", "quota") or (refusal.error == "too-large" and refusal.status == 429):
        if refusal.status in STATUSES:
            return error(STATUSES[refusal.status], refusal.status)
        return _quota(refusal, request)
    code = "RESOURCE_EXHAUSTED" if refusal.error in _EXHAUSTED else None
    message = _TOO_LARGE if refusal.error == "too-large" else _MESSAGES[refusal.error]
    if details and refusal.retry_after is not None:
        return error(message, refusal.status, code, details=[_retry_info(refusal)])
    return error(message, refusal.status, code)


def _quota(refusal: Refusal, request: Request) -> dict[str, Any]:
    """The quota that was exceeded, where to read about it, and when to come back."""
    default = _QUOTAS["requests-per-day"] if refusal.error == "quota" else _PER_MINUTE
    metric, quota = _QUOTAS.get(
        refusal.reason, _QUOTAS["tokens"] if refusal.error == "too-large" else default
    )
    hit = limit_hit(refusal)
    quota = quota.replace("Minute", unit_of(hit).capitalize())
    violation: dict[str, Any] = {
        "quotaMetric": metric,
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": request.model},
    }
    if hit is not None:
        violation["quotaValue"] = str(hit.limit)
    quota_text = f"\n* Quota exceeded for metric: {metric}, limit: {hit.limit if hit is not None else 0}"
    details: list[dict[str, Any]] = [
        {"@type": f"{_TYPE}QuotaFailure", "violations": [violation]},
        {
            "@type": f"{_TYPE}Help",
            "links": [
                {
                    "description": "Learn more about Gemini API quotas",
                    "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                }
            ],
        },
    ]
    message = _QUOTA + (quota_text if hit is not None else "")
    if refusal.retry_after is not None:
        details.append(_retry_info(refusal))
        message += f"\nPlease retry in {decimal(refusal.retry_after.value, SECOND)}s."
    return error(message, refusal.status, "RESOURCE_EXHAUSTED", details=details)


def _retry_info(refusal: Refusal) -> dict[str, str]:
    assert refusal.retry_after is not None
    return {"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{decimal(refusal.retry_after.value, SECOND)}s"}
