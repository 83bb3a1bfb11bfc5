"""The kinds of faults: scenarios name them, and event logs repeat them."""

from __future__ import annotations

from typing import Final, Literal

FaultKind = Literal[
    "stall",
    "cut-mid-stream",
    "malformed-chunk",
    "error-in-stream",
    "reset",
    "empty-body",
    "html-body",
    "slow-trickle",
    "connection-refused",
    "no-answer",
    "reset-after-headers",
    "stall-before-headers",
    "truncated-json",
    "missing-end",
    "duplicate-event",
    "length-too-long",
    "length-too-short",
]
DELAYS: Final[tuple[FaultKind, ...]] = ("stall", "stall-before-headers", "slow-trickle")
"""Faults that only delay the answer: it arrives complete."""
OUTAGES: Final[tuple[FaultKind, ...]] = ("connection-refused", "no-answer")
"""Faults in which the provider cannot be reached: no wave and no limit decides about such a request."""
WITHOUT_BYTES: Final[frozenset[FaultKind]] = frozenset(
    {"stall", "stall-before-headers", "error-in-stream", "no-answer"}
)
"""Faults that change when and what is answered, and not how it is written."""
