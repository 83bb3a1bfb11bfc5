"""`wavetank run`: a table of prompts in, a table of answers out, over a provider's HTTP API.

What it asks a provider with is here for programs, too: `make_strategy` for the batch processor, and
`list_models`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .asking import ProviderStrategy
    from .errors import ApiError, RunError, UnreadableAnswer
    from .factory import make_strategy
    from .models import list_models
    from .providers import PROVIDERS, Prices

# Imported when they are asked for: the words of the command line need none of them.
_HOMES: Final = {
    "ApiError": "errors",
    "PROVIDERS": "providers",
    "Prices": "providers",
    "ProviderStrategy": "asking",
    "RunError": "errors",
    "UnreadableAnswer": "errors",
    "list_models": "models",
    "make_strategy": "factory",
}

__all__ = [
    "PROVIDERS",
    "ApiError",
    "Prices",
    "ProviderStrategy",
    "RunError",
    "UnreadableAnswer",
    "list_models",
    "make_strategy",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
