"""The Anthropic dialect: messages, their tokens, batches and models; chat completions as OpenAI writes them.

Source of the last: the page "OpenAI SDK compatibility" of docs.claude.com, which says what is always empty.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ...dialect_base.shared import InvalidRequest
from ...dialect_base.wire_dialect import AnswerPart, WireDialect
from ...vendor_card import VendorCard
from ...wire_formats import rfc3339
from ..openai.chat import Chat, Flavour, usage
from ..openai.models import Models, Names, Query, page_size
from ..openai.requests import one_copy
from .batches import MessageBatches
from .messages import CountTokens, Messages
from .vendor import COMPATIBLE, COMPATIBLE_PATH, INVALID, AnthropicVendor


def _model(name: str, page: AnswerPart) -> dict[str, Any]:
    """A model (`ModelInfo` of the SDK)."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": rfc3339(page.epoch_ns),
        "lifecycle": "active",
    }


def _listed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": entries,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
    }


def _pages(query: Query, names: Names) -> tuple[Names, dict[str, Any]]:
    """`limit`, 20 by default, and `after_id` or `before_id` (`ModelListParams` of the SDK)."""
    limit = page_size(query, "limit", 20)
    after, before = query.get("after_id"), query.get("before_id")
    for cursor in filter(None, (after, before)):
        if cursor not in names:
            raise InvalidRequest(400, f"there is no model {cursor}", kind=INVALID)
    if before:
        rest = names[: names.index(before)]
        return rest[-limit:], {"has_more": len(rest) > limit}
    rest = names[names.index(after) + 1 :] if after else names
    return rest[:limit], {"has_more": len(rest) > limit}


_COMPATIBLE: Final = Flavour(
    ident=lambda page: f"msg_01{page.letters(22)}",
    top=lambda page: {},
    choice={},
    message={"refusal": None},
    delta={},
    usage=usage,
    copies=one_copy,
    logprobs=False,
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.anthropic.com`."""
    vendor, messages = AnthropicVendor(card), Messages(re.compile(r"/v1/messages"))
    return WireDialect(
        vendor,
        (
            messages,
            *MessageBatches(vendor, messages).endpoints(),
            CountTokens(re.compile(r"/v1/messages/count_tokens")),
            Chat(re.compile(re.escape(COMPATIBLE_PATH)), _COMPATIBLE, name=COMPATIBLE),
            Models(
                re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
                ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
                entry=_model,
                whole=_listed,
                pages=_pages,
            ),
        ),
    )
