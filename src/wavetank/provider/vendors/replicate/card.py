"""Replicate: predictions of any model, and OpenAI's chat completions through its proxy.

Sources: the HTTP reference of replicate.com/docs, and the sources of its package.
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="replicate",
    hosts=("api.replicate.com", "stream.replicate.com", "openai-proxy.replicate.com"),
    wire="wavetank.provider.vendors.replicate.wire",
    paths=("/v1/predictions",),
    key_variables=("REPLICATE_API_TOKEN",),
    statuses={"billing": 402},
)
