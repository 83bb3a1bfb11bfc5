"""Ollama: a server of one's own on its own port, one named `ollama`, or ollama.com."""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="ollama",
    hosts=(
        "localhost:11434",
        "127.0.0.1:11434",
        "[::1]:11434",
        "0.0.0.0:11434",
        "ollama",
        "ollama-*",
        "ollama.*",
    ),
    wire="wavetank.provider.vendors.ollama.wire",
    paths=("/api/",),
    url_variables={"OLLAMA_HOST": ""},
    base_paths=("/v1", "/api"),
)
