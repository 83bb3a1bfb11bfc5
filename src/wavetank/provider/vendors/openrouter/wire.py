"""The OpenRouter dialect: OpenAI's chat, with comments that keep a stream alive and errors inside a 200.

Sources: the pages on limits, errors and streaming of openrouter.ai/docs, the types of its
SDK (`openrouter.components`, `openrouter.errors`), and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ....clock import MILLISECOND
from ...dialect_base.retry_after import with_hint
from ...dialect_base.shared import ErrorText, InvalidRequest, Values, limit_hit, unit_of
from ...dialect_base.wire_dialect import AnswerPart, Refused, Vendor, WireDialect
from ...http import Headers
from ...model import BucketState, LimitState, Reply
from ...request import Request
from ...vendor_card import VendorCard
from ...wire_formats import base62, unix_seconds
from ..openai.chat import Chat, Flavour, usage
from ..openai.embeddings import Embeddings
from ..openai.models import Models, Names, Query, page_size
from ..openai.requests import hides_reasoning, one_copy

_PROVIDER: Final = "Wavetank"
_PER_DAY: Final = (
    "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
)

# What the provider behind it said.
_UPSTREAM: Final = {"rate-limit": "rate_limited", "throttle": "rate_limited", "overloaded": "overloaded"}


def _shown(limits: LimitState) -> BucketState | None:
    return limits.requests or limits.requests_per_day


class OpenRouterVendor(Vendor):
    """openrouter.ai."""

    no_key = ErrorText("No auth credentials found")
    errors: Mapping[str, ErrorText] = {
        "rate-limit": ErrorText("Rate limit exceeded", "rate_limit_exceeded"),
        "too-large": ErrorText(
            "This endpoint's maximum context length is exceeded.", "context_length_exceeded"
        ),
        "quota": ErrorText(_PER_DAY, "rate_limit_exceeded"),
        "billing": ErrorText(
            "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
            "payment_required",
        ),
        "ramp": ErrorText("Rate limit exceeded: traffic grows too fast", "rate_limit_exceeded"),
        "throttle": ErrorText("Provider returned error", "rate_limit_exceeded"),
        "overloaded": ErrorText("Provider is overloaded", "provider_overloaded"),
        "server": ErrorText("Internal Server Error", "server"),
        "timeout": ErrorText("Request timed out", "timeout"),
        "conflict": ErrorText("The request conflicts with another one", "conflict"),
    }
    statuses: Mapping[int, ErrorText] = {
        401: ErrorText("User not found.", "authentication"),
        403: ErrorText("Forbidden", "permission_denied"),
        404: ErrorText("No endpoints found for this model.", "not_found"),
    }
    breaks_with = "rate-limit"

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """Requests, only on a refusal; the reset is an epoch in milliseconds."""
        return self._limit_headers(limits, measured) if refused else ()

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """The error of a bad request."""
        return {"error": {"message": text.message, "code": status}}

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a limit that was hit is named."""
        refusal = refused.refusal
        text, message = self.errors[refusal.error], None
        if refusal.error == "rate-limit":
            text = self.statuses.get(refusal.status, text)
            hit = limit_hit(refusal)
            if hit is not None:
                counted = "tokens" if "tokens" in refusal.reason else "free-models"
                message = f"Rate limit exceeded: {counted}-per-{unit_of(hit, 'min')}. "
        return text._replace(message=with_hint(message or text.message, refusal.retry_after).strip())

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal: the platform's own if it hit a limit, else a provider's behind it."""
        refusal, text = refused.refusal, self.said(refused)
        metadata: Values = {"error_type": text.kind}
        hit = limit_hit(refusal) is not None
        if hit and _shown(refusal.limits) is not None:
            metadata["headers"] = dict(self._limit_headers(refusal.limits, refused.measured))
        elif not hit and refusal.error in _UPSTREAM:
            metadata |= {"provider_name": _PROVIDER, "provider_code": _UPSTREAM[refusal.error]}
        error = {"message": text.message, "code": refusal.status, "metadata": metadata}
        return {"error": error, "user_id": "user_wavetank"}

    def mid_stream_error(self, refused: Refused) -> dict[str, Any]:
        """The error after a 200: the provider behind it refused."""
        text, status = self.said(refused), refused.refusal.status
        return {"error": {"code": status, "message": text.message, "metadata": {"error_type": text.kind}}}

    def _limit_headers(self, limits: LimitState, measured: int) -> Headers:
        bucket = _shown(limits)
        if bucket is None:
            return ()
        return (
            ("X-RateLimit-Limit", str(bucket.limit)),
            ("X-RateLimit-Remaining", str(bucket.remaining)),
            ("X-RateLimit-Reset", str(-(-(measured + bucket.reset) // MILLISECOND))),
        )


def _ident(page: AnswerPart) -> str:
    return f"gen-{page.created}-{page.letters(20)}"


def _failed(body: Any, request: Request, reply: Reply, epoch_ns: int) -> Values:
    """An error in a stream: a chunk with the error beside a choice that ends with it."""
    created = unix_seconds(request.arrived if request.arrived is not None else reply.at, epoch_ns)
    return {
        "id": f"gen-{created}-{base62(20, 'openrouter', reply.request_id)}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": request.model,
        "provider": _PROVIDER,
        "error": body["error"],
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
    }


def _thought(page: AnswerPart, reasoning: str, text: str | None) -> Values:
    """Reasoning as a text, and as one of several kinds of details."""
    if hides_reasoning(page.request.payload):
        return {}
    details = {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0}
    return {"reasoning": reasoning, "reasoning_details": [details]}


def _model(name: str, page: AnswerPart) -> Values:
    return {
        "id": name,
        "canonical_slug": name,
        "name": name,
        "created": page.created,
        "description": "",
        "context_length": 128000,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0", "completion": "0"},
        "top_provider": {"context_length": 128000, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": ["tools", "structured_outputs"],
        "supported_voices": None,
        "default_parameters": None,
        "links": {"details": f"/api/v1/models/{name}/endpoints"},
    }


def _pages(query: Query, names: Names) -> tuple[Names, dict[str, Any]]:
    """`limit`, 500 by default, and `offset`; `links.next` is the whole URL of the next page."""
    limit = page_size(query, "limit", 500)
    offset = query.get("offset") or "0"
    if not offset.isdecimal():
        raise InvalidRequest(400, "offset: must be a number")
    end = int(offset) + limit
    more = f"https://openrouter.ai/api/v1/models?offset={end}&limit={limit}" if end < len(names) else None
    return names[int(offset) : end], {"links": {"next": more}, "total_count": len(names)}


_FLAVOUR: Final = Flavour(
    ident=_ident,
    top=lambda page: {"provider": _PROVIDER, "system_fingerprint": None},
    choice={"logprobs": None, "native_finish_reason": None},
    message={"refusal": None, "reasoning": None},
    thought=_thought,
    delta={},
    usage=lambda page: usage(page) | {"cost": 0.0, "is_byok": False},
    usage_in="own-chunk",
    before=lambda page: page.request.card.keep_alive,
    failed=_failed,
    copies=one_copy,
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `openrouter.ai/api/v1`."""
    return WireDialect(
        OpenRouterVendor(card),
        (
            Chat(re.compile(r"/api/v1/chat/completions"), _FLAVOUR),
            Embeddings(re.compile(r"/api/v1/embeddings")),
            Models(
                re.compile(r"/api/v1/models"),
                ("openai/gpt-5", "anthropic/claude-sonnet-5.5"),
                entry=_model,
                whole=lambda entries: {"data": entries},
                pages=_pages,
            ),
        ),
    )
