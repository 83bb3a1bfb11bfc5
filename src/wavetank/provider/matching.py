"""Which requests a wave, a fault or a limit means."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ..scenario import Match, ScopeKind
from .model import ACCOUNT
from .request import Request


def fits(match: Match, request: Request) -> bool:
    """Whether the model, the key and the item of a request all fit their patterns."""
    return (
        _fits(match.model, request.model)
        and _fits(match.key, request.secret)
        and _fits(match.item, request.item)
    )


def _fits(pattern: str, name: str | None) -> bool:
    """A request without an item fits only the pattern for everything."""
    return pattern == "*" or (name is not None and fnmatchcase(name, pattern))


def scope_of(kind: ScopeKind, request: Request) -> str:
    """The scope a request falls under: `account`, `key:key-1`, `model:gpt-5`, `item:item-7`."""
    if kind == "account":
        return ACCOUNT
    if kind == "key":
        return f"key:{request.key}"
    if kind == "model":
        return f"model:{request.model}"
    return f"item:{request.item or ''}"
