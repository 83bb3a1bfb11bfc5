"""The Mistral dialect: a chat like OpenAI's, with usage in the last chunk and errors of its own.

Sources: the API reference of docs.mistral.ai, the types of its SDK
(`mistralai.client.models`), and answers and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...dialect_base.shared import ErrorText, InvalidRequest, Values, limit_headers, unit_of
from ...dialect_base.wire_dialect import AnswerPart, Endpoint, Vendor, WireDialect
from ...http import Headers, HttpRequest
from ...model import LimitState
from ...request import Request
from ...vendor_card import VendorCard
from ...wire_formats import hexadecimal
from ..openai.chat import Chat, Flavour, usage
from ..openai.embeddings import Embeddings
from ..openai.models import Models
from ..openai.moderations import Moderations
from .batches import MistralBatches

_RATE_LIMITED: Final = ErrorText("Requests rate limit exceeded", "rate_limited", "1300")
_UNAUTHORIZED: Final = ErrorText("Unauthorized", "unauthorized", "1100")


class MistralVendor(Vendor):
    """api.mistral.ai."""

    no_key = _UNAUTHORIZED
    errors: Mapping[str, ErrorText] = {
        "rate-limit": _RATE_LIMITED._replace(message="Rate limit exceeded"),
        "too-large": ErrorText(
            "Prompt contains more tokens than your rate limit allows.", "invalid_request_prompt", "3051"
        ),
        "quota": _RATE_LIMITED._replace(
            message="You have reached the limit of requests of your plan for this month."
        ),
        "billing": ErrorText("Check the billing of your account.", "invalid_request_billing", "1200"),
        "ramp": _RATE_LIMITED,
        "throttle": _RATE_LIMITED,
        "overloaded": ErrorText(
            "Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"
        ),
        "server": ErrorText("Service unavailable.", "internal_server_error", "1000"),
        "timeout": ErrorText("Request timed out.", "request_timeout", "1001"),
        "conflict": ErrorText("The request conflicts with another one.", "conflict"),
    }
    statuses: Mapping[int, ErrorText] = {
        401: _UNAUTHORIZED,
        403: ErrorText("Forbidden", "forbidden"),
        404: ErrorText("Invalid model", "invalid_model", "1500"),
    }

    def number(self, *key: object) -> str:
        """The id that its gateway gives to a request."""
        return hexadecimal(32, "mistral", *key)

    def headers(self, number: str, took: int) -> Headers:
        """Ids and the time at the backend."""
        return (
            ("mistral-correlation-id", number),
            ("x-kong-request-id", number),
            ("x-envoy-upstream-service-time", str(took)),
        )

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """Requests and tokens, with the time they are for, and what the request cost; no resets."""
        requests, tokens = limits.requests, limits.tokens
        named = ((f"req-{unit_of(requests)}", requests), (f"tokens-{unit_of(tokens)}", tokens))
        headers = limit_headers(named, None)
        if limits.tokens is None:
            return headers
        return (*headers, ("x-ratelimit-tokens-query-cost", str(request.cost)))

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """A 422 that lists what is wrong with the body; other errors have a message."""
        text = invalid.text
        if invalid.status == 400:
            place = ["body", *(text.param or "").replace("[", ".").replace("]", "").split(".")]
            detail = {
                "type": text.code or "json_invalid",
                "loc": [part for part in place if part],
                "msg": text.message,
                "input": None,
            }
            return 422, {"detail": [detail]}
        return invalid.status, {"message": text.message, "request_id": number}

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """The error of a refusal."""
        return {
            "object": "error",
            "message": text.message,
            "type": text.kind,
            "param": None,
            "code": text.code,
            "raw_status_code": status,
        }


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


def _thought(page: AnswerPart, reasoning: str, text: str | None) -> Values:
    """The content as a list of chunks (`ThinkChunk`, `TextChunk` of the SDK)."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
    return {"content": [thinking, *([{"type": "text", "text": text}] if text else [])]}


_FLAVOUR: Final = Flavour(
    ident=lambda page: page.digits(32),
    call_ident=lambda page, number: page.letters(9, "call", number),
    top=lambda page: {},
    choice={},
    message={"tool_calls": None, "prefix": False},
    delta={},
    usage=usage,
    usage_in="last-chunk",
    whole_calls=True,
    thought=_thought,
    logprobs=False,
)


# `category_scores` of its page on moderation.
_CATEGORIES: Final = (
    *("sexual", "hate_and_discrimination", "violence_and_threats", "dangerous_and_criminal_content"),
    *("selfharm", "health", "financial", "law", "pii"),
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.mistral.ai`."""
    vendor = MistralVendor(card)
    asked: dict[str, Endpoint] = {
        "/v1/chat/completions": Chat(re.compile(r"/v1/chat/completions"), _FLAVOUR),
        "/v1/embeddings": Embeddings(re.compile(r"/v1/embeddings"), extra=_with_id),
    }
    return WireDialect(
        vendor,
        (
            *asked.values(),
            *MistralBatches(vendor, asked).endpoints(),
            Moderations(re.compile(r"/v1/moderations"), _CATEGORIES, free=False),
            Models(
                re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
                ("mistral-large-latest", "mistral-small-latest"),
                entry=_model,
            ),
        ),
    )
