"""The dialect of Amazon Bedrock: Converse, InvokeModel, their streams, and the counting of tokens."""

from __future__ import annotations

import re
from typing import Final

from ...dialect_base.wire_dialect import WireDialect
from ...vendor_card import VendorCard
from .converse import Converse
from .invoke import CountTokens, Invoke
from .vendor import BedrockVendor

_MODEL: Final = r"/model/(?P<model>.+)"
"""An ARN in the path may have slashes."""


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `bedrock-runtime.*.amazonaws.com`."""
    return WireDialect(
        BedrockVendor(card),
        (
            Converse(re.compile(rf"{_MODEL}/converse")),
            Converse(re.compile(rf"{_MODEL}/converse-stream"), streamed=True, name="converse-stream"),
            Invoke(re.compile(rf"{_MODEL}/invoke")),
            Invoke(
                re.compile(rf"{_MODEL}/invoke-with-response-stream"),
                streamed=True,
                name="invoke-with-response-stream",
            ),
            CountTokens(re.compile(rf"{_MODEL}/count-tokens")),
        ),
    )
