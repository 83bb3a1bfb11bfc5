"""Mistral."""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="mistral",
    hosts=("api.mistral.ai", "codestral.mistral.ai"),
    wire="wavetank.provider.vendors.mistral.wire",
    key_variables=("MISTRAL_API_KEY",),
)
