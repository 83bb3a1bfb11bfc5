"""vLLM: a server of one's own, on a host named `vllm` or one whose name begins with `vllm-` or `vllm.`."""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="vllm",
    hosts=("vllm", "vllm-*", "vllm.*"),
    wire="wavetank.provider.vendors.vllm.wire",
)
