"""The provider on the wire: which dialect answers for a host, and the values they speak in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .dialects import DIALECTS
from .http import BadRequest, Decoded, Dialect, Frame, Head, Headers, HttpRequest, WireReply

HOSTS: Final = tuple(host for dialect in DIALECTS for host in dialect.hosts)
"""The hosts the fake answers for."""

_BY_NAME: Final = {dialect.name: dialect for dialect in DIALECTS}
_ANTHROPIC: Final = ("anthropic-version", "x-api-key")
_BY_HOST: Final = {host: dialect for dialect in DIALECTS for host in dialect.hosts}


def dialect_for(host: str) -> Dialect | None:
    """The dialect spoken at a host; upper case and a port do not matter. `None` for other hosts."""
    name, _, _ = host.partition(":")
    return _BY_HOST.get(name.strip().lower().removesuffix("."))


def route(host: str, path: str, headers: Mapping[str, str]) -> Dialect:
    """The dialect of a request: that of its host, or else, at an address of our own, what it looks like.

    Header names are lower-case.
    """
    spoken = dialect_for(host)
    if spoken is not None:
        return spoken
    anthropic = path.startswith("/v1/messages") or any(name in headers for name in _ANTHROPIC)
    return _BY_NAME["anthropic" if anthropic else "openai"]


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
    "route",
]
