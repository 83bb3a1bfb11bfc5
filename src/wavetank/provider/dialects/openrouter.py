"""The OpenRouter dialect: OpenAI's chat, with comments that keep a stream alive and errors inside a 200.

Sources: the pages on limits, errors and streaming of openrouter.ai/docs, the types of its
SDK (`openrouter.components`, `openrouter.errors`), and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ...clock import MILLISECOND
from ..http import Decoded, Headers, HttpRequest
from ..model import BucketState, LimitState, Reply
from ..wire_formats import base62, unix_seconds
from .hosts import HOSTS
from .openai.chat import Chat, Flavour, Values, usage
from .openai.embeddings import Embeddings
from .openai.models import Models, Names, Query, page_size
from .openai.requests import one_copy
from .shared import InvalidRequest, limit_hit, stated_in_body
from .wire_dialect import AnswerPart, Refused, Vendor, WireDialect

_PROVIDER: Final = "Wavetank"
_PROCESSING: Final = b": OPENROUTER PROCESSING\n\n"
_PER_DAY: Final = (
    "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
)

# Kind and message of each error.
_ERRORS: Final = {
    "rate-limit": ("rate_limit_exceeded", "Rate limit exceeded"),
    "too-large": ("context_length_exceeded", "This endpoint's maximum context length is exceeded."),
    "quota": ("rate_limit_exceeded", _PER_DAY),
    "billing": (
        "payment_required",
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    ),
    "ramp": ("rate_limit_exceeded", "Rate limit exceeded: traffic grows too fast"),
    "throttle": ("rate_limit_exceeded", "Provider returned error"),
    "overloaded": ("provider_overloaded", "Provider is overloaded"),
    "server": ("server", "Internal Server Error"),
    "timeout": ("timeout", "Request timed out"),
    "conflict": ("conflict", "The request conflicts with another one"),
}
_STATUSES: Final = {
    401: ("authentication", "User not found."),
    403: ("permission_denied", "Forbidden"),
    404: ("not_found", "No endpoints found for this model."),
}
# What the provider behind it said.
_UPSTREAM: Final = {"rate-limit": "rate_limited", "throttle": "rate_limited", "overloaded": "overloaded"}
_NAMES: Final = (
    ("requests", "free-models-per-min"),
    ("requests-per-day", "free-models-per-day"),
)


def _shown(limits: LimitState) -> BucketState | None:
    return limits.requests or limits.requests_per_day


class OpenRouterVendor(Vendor):
    """openrouter.ai."""

    name = "openrouter"
    hosts = HOSTS["openrouter"]
    no_key = "No auth credentials found"
    keep_alive = _PROCESSING

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """Requests, only on a refusal; the reset is an epoch in milliseconds."""
        return self._limit_headers(limits, sent) if refused else ()

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """The error of a bad request."""
        return invalid.status, {"error": {"message": invalid.message, "code": invalid.status}}

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal: the platform's own if it hit a limit, else a provider's behind it."""
        refusal = refused.refusal
        kind, message = _ERRORS[refusal.error]
        if refusal.error == "rate-limit":
            kind, message = _STATUSES.get(refusal.status, (kind, message))
        hit = limit_hit(refusal)
        if hit is not None and refusal.error == "rate-limit":
            message = f"Rate limit exceeded: {dict(_NAMES).get(refusal.reason, 'tokens-per-min')}. "
        hint = stated_in_body(refusal.retry_after)
        if hint:
            message = f"{message.rstrip('. ')}.{hint}"
        metadata: Values = {"error_type": kind}
        if hit is not None and _shown(refusal.limits) is not None:
            metadata["headers"] = dict(self._limit_headers(refusal.limits, refused.sent))
        elif hit is None and refusal.error in _UPSTREAM:
            metadata |= {"provider_name": _PROVIDER, "provider_code": _UPSTREAM[refusal.error]}
        error = {"message": message.strip(), "code": refusal.status, "metadata": metadata}
        return {"error": error, "user_id": "user_wavetank"}

    def mid_stream_error(self, decoded: Decoded, number: str) -> dict[str, Any]:
        """The error after a 200: the provider behind it refused."""
        kind, message = _ERRORS["rate-limit"]
        return {"error": {"code": 429, "message": message, "metadata": {"error_type": kind}}}

    def _limit_headers(self, limits: LimitState, sent: int) -> Headers:
        bucket = _shown(limits)
        if bucket is None:
            return ()
        return (
            ("X-RateLimit-Limit", str(bucket.limit)),
            ("X-RateLimit-Remaining", str(bucket.remaining)),
            ("X-RateLimit-Reset", str(-(-(sent + bucket.reset) // MILLISECOND))),
        )


def _ident(page: AnswerPart) -> str:
    return f"gen-{page.created}-{page.letters(20)}"


def _failed(body: Any, decoded: Decoded, reply: Reply, epoch_ns: int) -> Values:
    """An error in a stream: a chunk with the error beside a choice that ends with it."""
    created = unix_seconds(decoded.arrived if decoded.arrived is not None else reply.at, epoch_ns)
    return {
        "id": f"gen-{created}-{base62(20, 'openrouter', reply.request_id)}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": decoded.model,
        "provider": _PROVIDER,
        "error": body["error"],
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
    }


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
    delta={},
    usage=lambda page: usage(page) | {"cost": 0.0, "is_byok": False},
    usage_in="own-chunk",
    before=lambda page: _PROCESSING,
    failed=_failed,
    copies=one_copy,
)

OPENROUTER: Final = WireDialect(
    OpenRouterVendor(),
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
"""`openrouter.ai/api/v1`."""
