"""`wavetank run`: a table of prompts in, a table of answers out, over a provider's HTTP API.

What it asks a provider with is here for programs, too: `make_strategy` for the batch processor, and
`list_models`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .model_list import list_models
    from .provider_strategy import ProviderStrategy
    from .providers import PROVIDERS, Prices
    from .run_errors import ApiError, RunError, UnreadableAnswer
    from .strategy_factory import make_strategy

# Imported when they are asked for: the words of the command line need none of them.
_HOMES: Final = {
    "ApiError": "run_errors",
    "PROVIDERS": "providers",
    "Prices": "providers",
    "ProviderStrategy": "provider_strategy",
    "RunError": "run_errors",
    "UnreadableAnswer": "run_errors",
    "list_models": "model_list",
    "make_strategy": "strategy_factory",
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
