"""Gemini and Claude, at Vertex AI.

Source of the status: `google.rpc.Code`.
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="vertex",
    hosts=(
        "aiplatform.googleapis.com",
        "*-aiplatform.googleapis.com",
        "aiplatform.*.rep.googleapis.com",
    ),
    wire="wavetank.provider.vendors.vertex.wire",
    paths=("/v1/projects/", "/v1/publishers/", "/v1beta1/"),
    key_header="x-goog-api-key",
    url_variables={"ANTHROPIC_VERTEX_BASE_URL": "/v1"},
    statuses={"timeout": 504},
)
