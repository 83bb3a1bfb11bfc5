"""The Ollama dialect: its own chat and generation, and the part of OpenAI's that it offers."""

from __future__ import annotations

import re
from typing import Final

from ...dialect_base.wire_dialect import WireDialect
from ...vendor_card import VendorCard
from ..openai.chat import Chat, Flavour, usage
from ..openai.embeddings import Embeddings
from ..openai.models import Models
from ..openai.requests import one_copy
from .native import NATIVE
from .vendor import OllamaVendor

_FLAVOUR: Final = Flavour(
    ident=lambda page: f"chatcmpl-{page.reply.request_id}",
    call_ident=lambda page, number: f"call_{page.letters(8, 'call', number).lower()}",
    top=lambda page: {"system_fingerprint": "fp_ollama"},
    choice={},
    message={},
    delta={},
    usage=usage,
    whole_calls=True,
    copies=one_copy,
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `localhost:11434` and `ollama.com`."""
    return WireDialect(
        OllamaVendor(card),
        (
            *NATIVE,
            Chat(re.compile(r"/v1/chat/completions"), _FLAVOUR),
            Embeddings(re.compile(r"/v1/embeddings")),
            Models(re.compile(r"/v1/models(?:/(?P<model>.+))?"), ("llama3.2:latest",)),
        ),
    )
