"""api.openai.com, and its regions."""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="openai",
    # The last one has the images of which answers give the URLs.
    hosts=("api.openai.com", "*.api.openai.com", "oaidalleapiprodscus.blob.core.windows.net"),
    wire="wavetank.provider.vendors.openai.wire",
    paths=("/v1/chat/completions",),
    key_variables=("OPENAI_API_KEY",),
    dummy_key="sk-wavetank",
    url_variables={"OPENAI_BASE_URL": "/v1"},
)
