"""The Groq dialect: OpenAI's formats, with limits per day in the headers and no `param` in errors.

Sources: the pages on rate limits and errors of console.groq.com, the types of its SDK
(`groq.types`), and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...clock import SECOND
from ..http import Decoded, Headers, HttpRequest
from ..model import LimitState
from ..wire_formats import go_duration, imf_fixdate
from .hosts import HOSTS
from .openai.chat import Chat, Flavour, Values, usage
from .openai.embeddings import Embeddings
from .openai.models import Models
from .openai.requests import copies_of
from .openai.responses import Responses
from .openai.vendor import counted, rate_limited
from .shared import InvalidRequest, is_limit, limit_headers, retry_hint
from .wire_dialect import AnswerPart, Refused, Vendor, WireDialect

_ORGANIZATION: Final = "org_wavetank"
_INVALID: Final = "invalid_request_error"
_UPGRADE: Final = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"

# Type, code and message of each error that is no rate limit.
_ERRORS: Final[dict[str, tuple[str, str | None, str]]] = {
    "quota": ("insufficient_quota", "insufficient_quota", "You have used up your quota."),
    "billing": (_INVALID, "blocked_api_access", "API access is blocked: check the billing of your account."),
    "throttle": ("rate_limit_error", "rate_limit_exceeded", "Too many requests."),
    "overloaded": (
        "internal_server_error",
        "over_capacity",
        "The model is currently over capacity. Please try again and back off exponentially.",
    ),
    "server": ("internal_server_error", None, "Internal Server Error"),
    "timeout": ("request_timeout", None, "Request timed out."),
    "conflict": (_INVALID, "conflict", "The request conflicts with another one."),
}
_STATUSES: Final[dict[int, tuple[str, str | None, str]]] = {
    401: (_INVALID, "invalid_api_key", "Invalid API Key"),
    403: ("permissions_error", None, "Not allowed."),
    404: (
        _INVALID,
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
}


def _error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, **({"code": code} if code is not None else {})}}


class GroqVendor(Vendor):
    """api.groq.com."""

    name = "groq"
    hosts = HOSTS["groq"]
    no_key = "Invalid API Key"

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """A path or method that the API does not have."""
        message = (
            f"Unknown request URL: {request.method} {request.path}. Please check the URL for typos, or see "
            "the docs at https://console.groq.com/docs/"
        )
        return InvalidRequest(405 if allowed else 404, message, kind=_INVALID, code="unknown_url")

    def headers(self, number: str, sent: int, took: int) -> Headers:
        """Date and request id."""
        return (("date", imf_fixdate(sent)), ("x-request-id", number), ("x-groq-region", "us-west-1"))

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """Requests are those of a day, tokens those of a minute; resets are durations."""
        return limit_headers((("requests", limits.requests_per_day), ("tokens", limits.tokens)), go_duration)

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """The error of a bad request."""
        code = "invalid_api_key" if invalid.status == 401 else invalid.code
        return invalid.status, _error(invalid.message, _INVALID, code)

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal; a rate limit names its numbers, in OpenAI's words."""
        refusal, decoded = refused.refusal, refused.decoded
        other = _STATUSES.get(refusal.status) if is_limit(refusal) else _ERRORS.get(refusal.error)
        if other is not None:
            kind, code, message = other
            return _error(message + retry_hint(refusal.retry_after), kind, code)
        where = f"for model `{decoded.model}` in organization `{_ORGANIZATION}` service tier `on_demand`"
        message = f"{rate_limited(refusal, decoded, where=where, minute='minute')} {_UPGRADE}"
        return _error(message, counted(refusal)[0], "rate_limit_exceeded")

    def mid_stream_error(self, decoded: Decoded, number: str) -> dict[str, Any]:
        """The error after a 200: the server's own."""
        kind, code, message = _ERRORS["server"]
        return _error(message, kind, code)


def _timed(page: AnswerPart) -> Values:
    """The usage, with how long the answer took in seconds."""
    took = page.took / SECOND
    return usage(page) | {
        "queue_time": 0.0,
        "prompt_time": 0.0,
        "completion_time": took,
        "total_time": took,
    }


def _top(page: AnswerPart) -> Values:
    """The request id is in the first chunk and in a plain answer, the usage of a stream in the last."""
    whole = page.reply.count == 1
    own: Values = {"id": f"req_{page.letters(26, 'request')}"} if page.first else {}
    if page.last and not whole:
        own = own | {"id": f"req_{page.letters(26, 'request')}", "usage": _timed(page)}
    return {
        "system_fingerprint": "fp_wavetank",
        **({"service_tier": "on_demand"} if whole else {}),
        **({"x_groq": own} if own else {}),
    }


def _only_one(payload: Mapping[str, Any]) -> int:
    """One answer; more are refused (`n` in the types of the SDK)."""
    if copies_of(payload) > 1:
        raise InvalidRequest(400, "'n' : number must be at most 1", kind=_INVALID)
    return 1


_FLAVOUR: Final = Flavour(
    top=_top,
    message={},
    delta={},
    usage=_timed,
    whole_calls=True,
    copies=_only_one,
)

GROQ: Final = WireDialect(
    GroqVendor(),
    (
        Chat(re.compile(r"/openai/v1/chat/completions"), _FLAVOUR),
        Responses(re.compile(r"/openai/v1/responses")),
        Embeddings(re.compile(r"/openai/v1/embeddings")),
        Models(
            re.compile(r"/openai/v1/models(?:/(?P<model>.+))?"),
            ("llama-3.3-70b-versatile", "openai/gpt-oss-120b"),
        ),
    ),
)
"""`api.groq.com/openai/v1`."""
