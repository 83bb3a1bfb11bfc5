"""`wavetank run`: it reads a table of prompts and writes a table of answers, over a provider's HTTP API.

Programs can use parts of it: `make_strategy` makes a strategy for the batch processor, and
`list_models` lists the models of a provider.
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

# Imported when they are first used: the parser of the command line needs none of them.
_MODULES: Final = {
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
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
