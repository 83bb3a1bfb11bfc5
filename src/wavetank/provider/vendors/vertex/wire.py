"""The dialect of Vertex AI: Gemini's, and Claude's messages."""

from __future__ import annotations

import re
from typing import Final

from ...dialect_base.wire_dialect import WireDialect
from ...vendor_card import VendorCard
from ..anthropic.messages import CountTokens, Messages
from ..gemini.wire import endpoints
from .vendor import CLAUDE, COUNT, VertexVendor

_PUBLISHERS: Final = r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/"
_MODEL: Final = rf"{_PUBLISHERS}[^/]+/(?:models|tunedModels)/(?P<model>[^/:]+)"
_CLAUDE: Final = f"{_PUBLISHERS}anthropic/models/"


def wire(card: VendorCard) -> WireDialect:
    """The dialect of `*-aiplatform.googleapis.com`."""
    return WireDialect(
        VertexVendor(card),
        (
            CountTokens(re.compile(f"{_CLAUDE}count-tokens:rawPredict"), name=COUNT),
            Messages(
                re.compile(rf"{_CLAUDE}(?P<model>[^/:]+):(?:r|streamR)awPredict"),
                name=CLAUDE,
                idents="msg_vrtx_01",
                needs=("anthropic_version",),
            ),
            *endpoints(_MODEL),
        ),
    )
