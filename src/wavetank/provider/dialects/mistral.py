"""The Mistral dialect: a chat like OpenAI's, with usage in the last chunk and errors of its own.

Sources: the API reference of docs.mistral.ai, the types of its SDK
(`mistralai.client.models`), and answers and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..answer_texts import request_cost
from ..http import Decoded, Headers, HttpRequest
from ..model import LimitState
from ..wire_formats import hexadecimal, imf_fixdate
from .hosts import HOSTS
from .openai.chat import Chat, Flavour, Values, usage
from .openai.embeddings import Embeddings
from .openai.models import Models
from .shared import InvalidRequest, limit_headers, stated_in_body
from .wire_dialect import AnswerPart, Refused, Vendor, WireDialect

# Type, code and message of each error.
_ERRORS: Final[dict[str, tuple[str, str | None, str]]] = {
    "rate-limit": ("rate_limited", "1300", "Rate limit exceeded"),
    "too-large": (
        "invalid_request_prompt",
        "3051",
        "Prompt contains more tokens than your rate limit allows.",
    ),
    "quota": ("rate_limited", "1300", "You have reached the limit of requests of your plan for this month."),
    "billing": (
        "invalid_request_billing",
        "1200",
        "Check the billing of your account.",
    ),
    "ramp": ("rate_limited", "1300", "Requests rate limit exceeded"),
    "throttle": ("rate_limited", "1300", "Requests rate limit exceeded"),
    "overloaded": (
        "service_tier_capacity_exceeded",
        "3505",
        "Service tier capacity exceeded for this model.",
    ),
    "server": ("internal_server_error", "1000", "Service unavailable."),
    "timeout": ("request_timeout", "1001", "Request timed out."),
    "conflict": ("conflict", None, "The request conflicts with another one."),
}
_STATUSES: Final[dict[int, tuple[str, str | None, str]]] = {
    401: ("unauthorized", "1100", "Unauthorized"),
    403: ("forbidden", None, "Forbidden"),
    404: ("invalid_model", "1500", "Invalid model"),
}


def _error(message: str, kind: str, code: str | None, status: int) -> dict[str, Any]:
    return {
        "object": "error",
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "raw_status_code": status,
    }


class MistralVendor(Vendor):
    """api.mistral.ai."""

    name = "mistral"
    hosts = HOSTS["mistral"]
    no_key = "Unauthorized"

    def number(self, *key: object) -> str:
        """The id that its gateway gives to a request."""
        return hexadecimal(32, "mistral", *key)

    def headers(self, number: str, sent: int, took: int) -> Headers:
        """Date, ids and the time at the backend."""
        return (
            ("date", imf_fixdate(sent)),
            ("mistral-correlation-id", number),
            ("x-kong-request-id", number),
            ("x-envoy-upstream-service-time", str(took)),
        )

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """Requests and tokens of a minute, and what the request cost; no resets."""
        headers = limit_headers((("req-minute", limits.requests), ("tokens-minute", limits.tokens)), None)
        if limits.tokens is None:
            return headers
        cost = request_cost(decoded.item, decoded.prompt_tokens, decoded.max_tokens, decoded.copies)
        return (*headers, ("x-ratelimit-tokens-query-cost", str(cost)))

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """A 422 that lists what is wrong with the body; other errors have a message."""
        if invalid.status == 400:
            place = ["body", *(invalid.param or "").replace("[", ".").replace("]", "").split(".")]
            detail = {
                "type": invalid.code or "json_invalid",
                "loc": [part for part in place if part],
                "msg": invalid.message,
                "input": None,
            }
            return 422, {"detail": [detail]}
        return invalid.status, {"message": invalid.message, "request_id": number}

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal."""
        refusal = refused.refusal
        kind, code, message = _ERRORS[refusal.error]
        if refusal.error == "rate-limit":
            kind, code, message = _STATUSES.get(refusal.status, (kind, code, message))
        hint = stated_in_body(refusal.retry_after)
        return _error(f"{message}.{hint}" if hint else message, kind, code, refusal.status)

    def mid_stream_error(self, decoded: Decoded, number: str) -> dict[str, Any]:
        """The error after a 200: the server's own."""
        kind, code, message = _ERRORS["server"]
        return _error(message, kind, code, 500)


def _with_id(page: AnswerPart) -> Values:
    return {"id": page.digits(32)}


def _model(name: str, page: AnswerPart) -> Values:
    """A model (`BaseModelCard` of the SDK)."""
    can = {"completion_chat": True, "completion_fim": False, "function_calling": True, "fine_tuning": False}
    return {
        "id": name,
        "object": "model",
        "created": page.created,
        "owned_by": "mistralai",
        "capabilities": can,
        "max_context_length": 131072,
        "type": "base",
    }


_FLAVOUR: Final = Flavour(
    ident=lambda page: page.digits(32),
    call_ident=lambda page: page.letters(9, "call"),
    top=lambda page: {},
    choice={},
    message={"tool_calls": None, "prefix": False},
    delta={},
    usage=usage,
    usage_in="last-chunk",
    whole_calls=True,
)

MISTRAL: Final = WireDialect(
    MistralVendor(),
    (
        Chat(re.compile(r"/v1/chat/completions"), _FLAVOUR),
        Embeddings(re.compile(r"/v1/embeddings"), extra=_with_id),
        Models(
            re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
            ("mistral-large-latest", "mistral-small-latest"),
            entry=_model,
        ),
    ),
)
"""`api.mistral.ai`."""
