"""Groq.

Source of the statuses: its pages on errors and on spend limits.
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="groq",
    hosts=("api.groq.com",),
    wire="wavetank.provider.vendors.groq.wire",
    key_variables=("GROQ_API_KEY",),
    dummy_key="gsk_wavetank",
    url_variables={"GROQ_BASE_URL": "/groq"},
    base_paths=("/openai/v1",),
    statuses={"billing": 400, "too-large": 413},
    # Others say 429 of a request that is dearer than a limit.
    over_limit={"too-large": 413},
)
