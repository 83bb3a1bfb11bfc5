"""The batch API of each provider that has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..providers import ProviderApi
from ..run_errors import RunError
from .anthropic_batches import AnthropicBatches
from .batch_api import BatchApi
from .gemini_batches import GeminiBatches
from .mistral_batches import MistralBatches
from .openai_batches import OpenAIBatches

_APIS: Final[Mapping[str, Callable[[], BatchApi]]] = {
    "anthropic": AnthropicBatches,
    "gemini": GeminiBatches,
    "mistral": MistralBatches,
    "openai": OpenAIBatches,
    "openai-compatible": OpenAIBatches,
}


def batch_api(provider: ProviderApi, row: int) -> BatchApi:
    """The batch API of a provider; `row` is the first row that goes to it.

    Raises:
        RunError: it has none.
    """
    if provider.name not in _APIS:
        raise RunError(
            f"--batch: {provider.name}, to which row {row} goes, has no batch API; "
            f"{', '.join(_APIS)} have one: choose another provider, or run without --batch"
        )
    return _APIS[provider.name]()
