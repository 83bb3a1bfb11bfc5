"""Gemini, at the Developer API.

Source of the status: `google.rpc.Code`.
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="gemini",
    hosts=("generativelanguage.googleapis.com",),
    wire="wavetank.provider.vendors.gemini.wire",
    paths=("/v1beta/",),
    headers=("x-goog-api-key",),
    key_header="x-goog-api-key",
    key_variables=("GEMINI_API_KEY",),
    # Google's SDK warns of two names for one key.
    key_aliases=("GOOGLE_API_KEY",),
    url_variables={"GOOGLE_GEMINI_BASE_URL": ""},
    base_paths=("/v1beta",),
    statuses={"timeout": 504},
)
