"""The Gemini dialect, at the Developer API."""

from __future__ import annotations

import re
from typing import Any, Final

from ...dialect_base.shared import InvalidRequest
from ...dialect_base.wire_dialect import AnswerPart, Endpoint, WireDialect
from ...vendor_card import VendorCard
from ..openai.chat import Chat, Flavour, usage
from ..openai.models import Models, Names, Query, page_size
from .batches import GeminiBatches
from .content import SSE, CountTokens, Embed, Generate
from .files import file_endpoints
from .vendor import COMPATIBLE, IN_ARRAY, GeminiVendor

_MODEL: Final = r"(?:models|tunedModels)/(?P<model>[^/:]+)"
_DEVELOPER: Final = rf"/v1(?:alpha|beta)?/{_MODEL}"


def _model(name: str, page: AnswerPart) -> dict[str, Any]:
    """A model (`Model` of the Gemini API reference)."""
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def _pages(query: Query, names: Names) -> tuple[Names, dict[str, Any]]:
    """`pageSize`, 50 by default, and the `pageToken` of the last page (`models.list` of its reference).

    What is above 1000 is taken for 1000, as it says there.
    """
    size = min(page_size(query, "pageSize", 50, most=2**31), 1000)
    token = query.get("pageToken") or "0"
    if not token.isdecimal():
        raise InvalidRequest(400, "Invalid page token.")
    start, end = int(token), int(token) + size
    return names[start:end], {"nextPageToken": str(end)} if end < len(names) else {}


def endpoints(start: str) -> tuple[Endpoint, ...]:
    """What generates, counts and embeds with the models whose paths begin like this."""
    stream = f"{start}:streamGenerateContent"
    return (
        Generate(re.compile(f"{start}:generateContent"), "generate"),
        Generate(re.compile(rf"{stream}\?alt=sse"), "stream", streamed=True, streams_as=SSE),
        Generate(re.compile(stream), IN_ARRAY, streamed=True),
        CountTokens(re.compile(f"{start}:countTokens")),
        Embed(re.compile(f"{start}:(?:e|batchE)mbedContents?")),
    )


_OPENAI: Final = Flavour(
    ident=lambda page: page.letters(22),
    top=lambda page: {},
    choice={},
    message={},
    delta={},
    usage=usage,
    whole_calls=True,
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `generativelanguage.googleapis.com`."""
    vendor, asked = GeminiVendor(card), endpoints(_DEVELOPER)
    named = {endpoint.name: endpoint for endpoint in asked}
    return WireDialect(
        vendor,
        (
            *asked,
            *GeminiBatches(vendor, named["generate"], named["embeddings"]).endpoints(),
            *file_endpoints(),
            Chat(re.compile(r"/v1beta/openai/chat/completions"), _OPENAI, name=COMPATIBLE),
            Models(
                re.compile(r"/v1(?:alpha|beta)?/models(?:/(?P<model>[^/:]+))?"),
                ("gemini-2.5-pro", "gemini-2.5-flash"),
                entry=_model,
                whole=lambda entries: {"models": entries},
                pages=_pages,
            ),
        ),
    )
