"""The kinds of faults: scenarios name them, and event logs repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from .extensions import Extensions

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
    "dns-failure",
    "connect-timeout",
    "bad-certificate",
    "closed",
    "malformed-status-line",
    "malformed-headers",
    "malformed-chunk-size",
    "bad-gzip",
]
DELAYS: Final[tuple[FaultKind, ...]] = ("stall", "stall-before-headers", "slow-trickle")
"""Faults that only delay the answer: it arrives complete."""
Stage = Literal["look-up", "connect", "handshake"]
"""The steps by which a client gets a connection."""
CONNECTING: Final[Mapping[FaultKind, Stage]] = {
    "dns-failure": "look-up",
    "connection-refused": "connect",
    "connect-timeout": "connect",
    "bad-certificate": "handshake",
}
"""The faults that keep a client from getting a connection, and at which step."""
OUTAGES: Final[tuple[FaultKind, ...]] = ("connection-refused", "no-answer")
"""Faults in which the provider cannot be reached: no wave and no limit decides about such a request."""
WITHOUT_BYTES: Final[frozenset[FaultKind]] = frozenset(
    {"stall", "stall-before-headers", "error-in-stream", "no-answer"}
)
"""Faults that change when and what is answered, and not how it is written."""
KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
"""All kinds of wavetank's own."""
ADDED: Final = Extensions("wavetank.faults", "fault", lambda: KINDS)
"""The kinds that installed packages add: each changes an answer, none a connection."""
