"""Azure OpenAI."""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="azure",
    hosts=("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"),
    wire="wavetank.provider.vendors.azure.wire",
    paths=("/openai/deployments/",),
    headers=("api-key",),
    key_header="api-key",
    key_variables=("AZURE_OPENAI_API_KEY",),
    url_variables={"AZURE_OPENAI_ENDPOINT": ""},
    base_paths=("/openai/v1", "/openai"),
)
