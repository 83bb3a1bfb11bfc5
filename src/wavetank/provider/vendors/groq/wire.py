"""The Groq dialect: OpenAI's formats, with limits per day in the headers and no `param` in errors.

Sources: the pages on rate limits and errors of console.groq.com, the types of its SDK
(`groq.types`), and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ....clock import SECOND
from ...dialect_base.retry_after import retry_hint
from ...dialect_base.shared import ErrorText, InvalidRequest, Values, is_limit, limit_headers
from ...dialect_base.wire_dialect import AnswerPart, Refused, Vendor, WireDialect
from ...http import Headers
from ...model import LimitState
from ...request import Request
from ...vendor_card import VendorCard
from ...wire_formats import go_duration
from ..openai.audio import Speech, Transcriptions
from ..openai.chat import Chat, Flavour, shown_as, usage
from ..openai.embeddings import Embeddings
from ..openai.models import Models
from ..openai.requests import INVALID, copies_of
from ..openai.responses import Responses
from ..openai.vendor import counted, rate_limited

_ORGANIZATION: Final = "org_wavetank"
_UPGRADE: Final = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"

# What each error that is no rate limit says.
_ERRORS: Final = {
    "quota": ErrorText("You have used up your quota.", "insufficient_quota", "insufficient_quota"),
    "billing": ErrorText(
        "API access is blocked: check the billing of your account.", INVALID, "blocked_api_access"
    ),
    "throttle": ErrorText("Too many requests.", "rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ErrorText(
        "The model is currently over capacity. Please try again and back off exponentially.",
        "internal_server_error",
        "over_capacity",
    ),
    "server": ErrorText("Internal Server Error", "internal_server_error"),
    "timeout": ErrorText("Request timed out.", "request_timeout"),
    "conflict": ErrorText("The request conflicts with another one.", INVALID, "conflict"),
}
_INVALID_KEY: Final = ErrorText("Invalid API Key", INVALID, "invalid_api_key")
_STATUSES: Final = {
    401: _INVALID_KEY,
    403: ErrorText("Not allowed.", "permissions_error"),
    404: ErrorText("The model does not exist or you do not have access to it.", INVALID, "model_not_found"),
}
_UNKNOWN_URL: Final = ErrorText(
    "Unknown request URL: {method} {path}. Please check the URL for typos, or see the docs at "
    "https://console.groq.com/docs/",
    INVALID,
    "unknown_url",
)


class GroqVendor(Vendor):
    """api.groq.com."""

    no_key = _INVALID_KEY
    not_found = not_allowed = _UNKNOWN_URL
    errors = _ERRORS
    statuses = _STATUSES

    def headers(self, number: str, took: int) -> Headers:
        """Request id and region."""
        return (("x-request-id", number), ("x-groq-region", "us-west-1"))

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """Requests are those of a day, tokens those of a minute; resets are durations."""
        return limit_headers((("requests", limits.requests_per_day), ("tokens", limits.tokens)), go_duration)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error object: it has a code only where there is one."""
        code = {"code": text.code} if text.code is not None else {}
        return {"error": {"message": text.message, "type": text.kind, **code}}

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a rate limit names its numbers, in OpenAI's words."""
        refusal, request = refused.refusal, refused.request
        limit = is_limit(refusal)
        text = self.statuses.get(refusal.status) if limit else self.errors.get(refusal.error)
        if text is not None:
            return text._replace(message=text.message + retry_hint(refusal.retry_after))
        where = f"for model `{request.model}` in organization `{_ORGANIZATION}` service tier `on_demand`"
        message = f"{rate_limited(refusal, request, where=where, minute='minute')} {_UPGRADE}"
        return ErrorText(message, counted(refusal), "rate_limit_exceeded")


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
        raise InvalidRequest(400, "'n' : number must be at most 1", kind=INVALID)
    return 1


_FLAVOUR: Final = Flavour(
    top=_top,
    message={},
    delta={},
    usage=_timed,
    whole_calls=True,
    copies=_only_one,
    thought=shown_as("reasoning"),
    logprobs=False,
)


def _asked(page: AnswerPart) -> Values:
    """The request id, beside a transcription."""
    return {"x_groq": {"id": f"req_{page.letters(26, 'request')}"}}


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.groq.com/openai/v1`."""
    return WireDialect(
        GroqVendor(card),
        (
            Chat(re.compile(r"/openai/v1/chat/completions"), _FLAVOUR),
            Responses(re.compile(r"/openai/v1/responses")),
            Embeddings(re.compile(r"/openai/v1/embeddings")),
            Transcriptions(re.compile(r"/openai/v1/audio/transcriptions"), _asked),
            Transcriptions(re.compile(r"/openai/v1/audio/translations"), _asked, name="translations"),
            Speech(re.compile(r"/openai/v1/audio/speech"), "wav"),
            Models(
                re.compile(r"/openai/v1/models(?:/(?P<model>.+))?"),
                ("llama-3.3-70b-versatile", "openai/gpt-oss-120b"),
            ),
        ),
    )
