"""Which requests a wave, a fault or a limit means."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from ..scenario import Match, ScopeKind
from .host_patterns import answers_for
from .model import ACCOUNT
from .request import Request

_HTTPS: Final = 443


def fits(match: Match, request: Request) -> bool:
    """Whether the model, the key, the item, the host and the path of a request all fit their patterns.

    A request without an item fits only the pattern for everything.
    """
    item = request.item
    return (
        (match.model == "*" or fnmatchcase(request.model, match.model))
        and (match.key == "*" or fnmatchcase(request.secret, match.key))
        and (match.item == "*" or (item is not None and fnmatchcase(item, match.item)))
        and fits_host(match.host, request.host)
        and (match.path == "*" or fnmatchcase(request.path, match.path))
    )


def fits_host(pattern: str, host: str) -> bool:
    """Whether a host fits the pattern for hosts; without a port it is at the usual one.

    The host of a direct call is empty.
    """
    return pattern == "*" or (bool(host) and answers_for((pattern,), host, _HTTPS))


def scope_of(kind: ScopeKind, match: Match, request: Request) -> str:
    """The scope a request falls under: `account`, `host:api.openai.com`, `key:key-1`, `model:gpt-5`, …

    Where `match` names hosts a key, a model or an item is meant at that host only, as in
    `host:api.openai.com/item:item-7`: elsewhere it may be tried.
    """
    if kind == "account":
        return ACCOUNT
    host = f"host:{request.host}"
    if kind == "host":
        return host
    name = _named(kind, request)
    return name if match.host == "*" else f"{host}/{name}"


def _named(kind: ScopeKind, request: Request) -> str:
    if kind == "key":
        return f"key:{request.key}"
    if kind == "model":
        return f"model:{request.model}"
    return f"item:{request.item or ''}"
