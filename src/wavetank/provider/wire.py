"""The provider on the wire: which dialect answers for a host, and the values they speak in."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from .dialects import ANTHROPIC, DIALECTS, OPENAI
from .http import BadRequest, Decoded, Dialect, Frame, Head, Headers, HttpRequest, WireReply

HOSTS: Final = tuple(host for dialect in DIALECTS for host in dialect.hosts)
"""The hosts the fake answers for: shell patterns, some with a port."""

_KEPT: Final = 256

# What stands at the beginning of a path that only one dialect has.
_PATHS: Final = (
    ("/v1/messages", "anthropic"),
    ("/v1beta/", "gemini"),
    ("/v1/projects/", "gemini"),
    ("/v1beta1/", "gemini"),
    ("/api/v1/", "openrouter"),
    ("/api/", "ollama"),
    ("/v2/", "cohere"),
    ("/v1/chat/completions", "openai"),
    ("/v1/chat", "cohere"),
    ("/openai/deployments/", "azure"),
    ("/openai/v1/", "groq"),
)
_ANTHROPIC: Final = ("anthropic-version", "x-api-key")


@lru_cache(maxsize=_KEPT)
def dialect_for(host: str, port: int | None = None) -> Dialect | None:
    """The dialect spoken at a host; upper case and a trailing dot do not matter.

    Args:
        host: a name or an address, which may have a port itself.
        port: the port, where the host has none; a few dialects are spoken at one port only.

    Returns:
        The dialect, `None` for other hosts.
    """
    name, given = _split(host.strip().lower())
    at = given or (str(port) if port is not None else "")
    for dialect in DIALECTS:
        for pattern in dialect.hosts:
            bare, wanted = _split(pattern)
            if fnmatchcase(name, bare) and wanted in ("", at):
                return dialect
    return None


def _split(host: str) -> tuple[str, str]:
    """A host and its port, `""` if it has none; an address of IPv6 may be in brackets or not."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    if host.count(":") > 1:
        return host, ""
    name, _, port = host.partition(":")
    return name.removesuffix("."), port


def dialect_spoken(request: HttpRequest) -> Dialect:
    """The dialect of a request that came to no provider's own host, told by its path, then its headers.

    A path may begin with the name of a dialect, such as `/groq/openai/v1/chat/completions`.
    OpenAI's is spoken where nothing else is known.
    """
    by_name = {dialect.name: dialect for dialect in DIALECTS}
    first = request.path[1:].partition("/")[0]
    if first in by_name:
        return by_name[first]
    for beginning, name in _PATHS:
        if request.path.startswith(beginning) and name in by_name:
            return by_name[name]
    return ANTHROPIC if any(name in request.headers for name in _ANTHROPIC) else OPENAI


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
    "dialect_spoken",
]
