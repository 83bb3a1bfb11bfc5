"""The Gemini dialect at Vertex AI."""

from __future__ import annotations

from typing import Final

from ...dialect_base.wire_dialect import WireDialect
from ...vendor_card import VendorCard
from ..gemini.vendor import VertexVendor
from ..gemini.wire import endpoints

_PUBLISHER: Final = r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+"
_MODEL: Final = rf"{_PUBLISHER}/(?:models|tunedModels)/(?P<model>[^/:]+)"


def wire(card: VendorCard) -> WireDialect:
    """The dialect of `*-aiplatform.googleapis.com`."""
    return WireDialect(VertexVendor(card), endpoints(_MODEL))
