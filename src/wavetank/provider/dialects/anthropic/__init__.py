"""The Anthropic dialect: messages, the counting of their tokens, and models."""

from __future__ import annotations

import re
from typing import Any, Final

from ...wording import rfc3339
from ..openai.models import Models
from ..spoken import Page, Spoken
from .messages import CountTokens, Messages
from .vendor import AnthropicVendor


def _model(name: str, page: Page) -> dict[str, Any]:
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
        "has_more": False,
        "first_id": entries[0]["id"],
        "last_id": entries[-1]["id"],
    }


ANTHROPIC: Final = Spoken(
    AnthropicVendor(),
    (
        Messages(re.compile(r"/v1/messages")),
        CountTokens(re.compile(r"/v1/messages/count_tokens")),
        Models(
            re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
            ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
            entry=_model,
            whole=_listed,
        ),
    ),
)
"""`api.anthropic.com`."""

__all__ = ["ANTHROPIC"]
