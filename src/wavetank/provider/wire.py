"""The provider on the wire: which dialect answers for a host, and the values they speak in."""

from __future__ import annotations

from typing import Final

from .dialects import DIALECTS
from .http import BadRequest, Decoded, Dialect, Frame, Head, Headers, HttpRequest, WireReply

HOSTS: Final = tuple(host for dialect in DIALECTS for host in dialect.hosts)
"""The hosts the fake answers for."""

_BY_HOST: Final = {host: dialect for dialect in DIALECTS for host in dialect.hosts}


def dialect_for(host: str) -> Dialect | None:
    """The dialect spoken at a host; upper case and a port do not matter. `None` for other hosts."""
    name, _, _ = host.partition(":")
    return _BY_HOST.get(name.strip().lower().removesuffix("."))


__all__ = [
    "HOSTS",
    "BadRequest",
    "Decoded",
    "Dialect",
    "Frame",
    "Head",
    "Headers",
    "HttpRequest",
    "WireReply",
    "dialect_for",
]
