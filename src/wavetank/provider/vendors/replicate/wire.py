"""The dialect of Replicate: predictions, models, and chat completions through its proxy."""

from __future__ import annotations

import re
from typing import Final

from ...dialect_base.wire_dialect import WireDialect
from ...vendor_card import VendorCard
from ..openai.chat import Chat
from ..openai.models import Models
from .predictions import CreatePrediction, GetModel, GetPrediction, ListPredictions, StreamPrediction
from .vendor import ReplicateVendor

_ONE: Final = r"/v1/predictions/(?P<id>\w+)"
_MODEL: Final = r"(?P<model>[^/]+/[^/]+)"


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.replicate.com`, `stream.replicate.com` and `openai-proxy.replicate.com`."""
    return WireDialect(
        ReplicateVendor(card),
        (
            CreatePrediction(re.compile(rf"/v1/(?:(?:models|deployments)/{_MODEL}/)?predictions")),
            ListPredictions(re.compile("/v1/predictions")),
            GetPrediction(re.compile(_ONE)),
            GetPrediction(
                re.compile(f"{_ONE}/cancel"), cancels=True, name="cancel-prediction", method="POST"
            ),
            StreamPrediction(re.compile(f"{_ONE}/stream")),
            GetModel(re.compile(rf"/v1/models/{_MODEL}(?:/versions/(?P<version>\w+))?")),
            Chat(re.compile("/v1/chat/completions")),
            Models(re.compile("/v1/models"), ("meta/meta-llama-3-8b-instruct",)),
        ),
    )
