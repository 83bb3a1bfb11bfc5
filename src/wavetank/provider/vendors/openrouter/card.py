"""OpenRouter.

Sources: the error classes of its SDK (`openrouter.errors`), and its page on streaming, which says that
comments come "occasionally": here once a second.
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="openrouter",
    hosts=("openrouter.ai", "*.openrouter.ai"),
    wire="wavetank.provider.vendors.openrouter.wire",
    paths=("/api/v1/",),
    key_variables=("OPENROUTER_API_KEY",),
    dummy_key="sk-or-wavetank",
    base_paths=("/api/v1",),
    statuses={"billing": 402, "overloaded": 529},
    keep_alive=b": OPENROUTER PROCESSING\n\n",
)
