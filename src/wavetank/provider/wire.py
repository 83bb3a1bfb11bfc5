"""The provider on the wire: which dialect answers for a host, and the values they speak in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from .dialects import DIALECTS
from .host_patterns import answers_for
from .http import BadRequest, Dialect, Frame, Head, Headers, HttpRequest, WireReply

HOSTS: Final = tuple(host for dialect in DIALECTS for host in dialect.hosts)
"""The hosts the fake answers for: shell patterns, some with a port."""

_BY_NAME: Final = {dialect.name: dialect for dialect in DIALECTS}
_KEPT: Final = 256

# What stands at the beginning of a path that only one dialect has.
_PATHS: Final = (
    ("/v1/messages", "anthropic"),
    ("/v1beta/", "gemini"),
    ("/v1/projects/", "vertex"),
    ("/v1/publishers/", "vertex"),
    ("/v1beta1/", "vertex"),
    ("/api/v1/", "openrouter"),
    ("/api/", "ollama"),
    ("/v2/", "cohere"),
    ("/v1/chat/completions", "openai"),
    ("/v1/chat", "cohere"),
    ("/compatibility/", "cohere"),
    ("/openai/deployments/", "azure"),
)
# What is in the headers of one dialect's clients only.
_HEADERS: Final = (
    ("anthropic-version", "anthropic"),
    ("x-api-key", "anthropic"),
    ("x-goog-api-key", "gemini"),
    ("api-key", "azure"),
)


@lru_cache(maxsize=_KEPT)
def dialect_for(host: str, port: int | None = None) -> Dialect | None:
    """The dialect of a host; upper case and a trailing dot do not matter.

    Args:
        host: a name or an address, which may have a port itself.
        port: the port, where the host has none; a few dialects are found at one port only.

    Returns:
        The dialect, `None` for other hosts.
    """
    return next((dialect.loaded for dialect in DIALECTS if answers_for(dialect.hosts, host, port)), None)


def route(host: str, path: str, headers: Mapping[str, str]) -> Dialect:
    """The dialect of a request: that of its host, or else, at an address of our own, what it looks like.

    At such an address a path may begin with the name of a dialect, as in
    `/groq/openai/v1/chat/completions`. Where nothing else is known it is OpenAI's. Header
    names are lower-case.
    """
    found = dialect_for(host)
    if found is not None:
        return found
    by_path = next((name for beginning, name in _PATHS if path.startswith(beginning)), None)
    by_header = next((name for header, name in _HEADERS if header in headers), None)
    first = path[1:].partition("/")[0]
    # `openai` is also how Azure's own paths begin.
    by_name = first if first in _BY_NAME and (first, by_header) != ("openai", "azure") else None
    return _BY_NAME[by_path or by_name or by_header or "openai"].loaded


__all__ = [
    "HOSTS",
    "BadRequest",
    "Dialect",
    "Frame",
    "Head",
    "Headers",
    "HttpRequest",
    "WireReply",
    "dialect_for",
    "route",
]
