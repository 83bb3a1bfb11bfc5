"""Makes a strategy for the processor from the name of a provider, with key, address, timeout and client."""

from __future__ import annotations

import inspect
import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from .provider_strategy import ProviderStrategy, need_client
from .providers import Prices, ProviderApi, RequestSettings, checked_key, find_provider
from .run_errors import RunError
from .target import Target

if TYPE_CHECKING:
    import httpx2


def make_strategy(
    provider: str,
    model: str,
    *,
    key: str | None = None,
    base_url: str | None = None,
    client: httpx2.AsyncClient | None = None,
    timeout_seconds: float | None = None,
    system: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    prices: Prices | None = None,
    scope: str | None = None,
) -> ProviderStrategy:
    """Make a strategy that sends the items of a `ParallelBatchProcessor` to a model.

    A client that is given is shared and stays open: you close it. Without one the strategy
    opens its own client when the processor prepares it, and closes it at the end. Each model
    has limits of its own, unless strategies have the same `scope`.

    >>> make_strategy("ollama", "llama3.2", timeout_seconds=30)
    <ProviderStrategy ollama/llama3.2>

    Args:
        provider: one of `PROVIDERS`, such as `openai`.
        model: the name of one of its models.
        key: the API key; by default from the environment variable of the provider. It is sent in
            the headers, and no error shows it.
        base_url: the address of the API; by default that in the variable from which the vendor's SDK
            reads it, such as `OPENAI_BASE_URL`, or else the provider's own.
        client: an httpx2 client, which is shared.
        timeout_seconds: how long a request may wait for the next byte; by default the timeout of
            the given client, or 120 s.
        system: the system prompt of every request.
        max_tokens: how many tokens an answer may have.
        temperature: a number in the range of the provider.
        prices: the prices of tokens, for answers that do not state their cost.
        scope: the key of the limits, such as the name of an account; by default provider and
            model, as in `ollama/llama3.2`. Strategies with the same scope share a gate.

    Raises:
        RunError: there is no such provider, its key or its address is missing, a value is out of
            range, or httpx2 is not installed.
    """
    spec = find_provider(provider)
    base_url = base_url or spec.address(os.environ)
    settings = _checked_settings(provider, RequestSettings(model, system, max_tokens, temperature))
    if not isinstance(prices, Prices | None):
        raise RunError(f"prices must be such as Prices(input=2.5, output=10), not {prices!r}")
    checked_connection(client, timeout_seconds)
    return ProviderStrategy(
        client,
        spec,
        settings,
        timeout_seconds=timeout_seconds,
        key=found_key(spec, key, base_url),
        base_url=base_url,
        prices=prices,
        scope=scope or Target(spec.name, settings.model).name,
    )


def _checked_settings(provider: str, settings: RequestSettings) -> RequestSettings:
    """The same settings, if they are valid."""
    if not isinstance(settings.model, str) or not settings.model.strip():
        raise RunError(f"name a model of {provider}; `wavetank run --list-models` lists them")
    if settings.max_tokens is not None and not (
        type(settings.max_tokens) is int and settings.max_tokens >= 1
    ):
        raise RunError(f"max_tokens must be a whole number from 1 on, not {settings.max_tokens!r}")
    if settings.temperature is not None and not _is_number(settings.temperature):
        raise RunError(f"temperature must be a number, not {settings.temperature!r}")
    return replace(settings, model=settings.model.strip())


def found_key(provider: ProviderApi, key: str | None, base_url: str | None) -> str:
    """The given key, or else the key in the environment.

    Raises:
        RunError: there is no key, or it cannot be a key.
    """
    if key is not None:
        if not isinstance(key, str):
            # The value is not shown: it may contain the key.
            raise RunError(f"the API key of {provider.name} must be a str, not {type(key).__name__}")
        return checked_key(key.strip(), f"the API key of {provider.name}")
    try:
        return provider.key(os.environ, base_url)
    except RunError as error:
        raise RunError(f"{error}, or give it as `key`") from None


def checked_connection(client: object, timeout_seconds: float | None) -> None:
    """Check that requests can be made with this client and timeout.

    Raises:
        RunError: the timeout is no number above 0, the client is not async, or httpx2 is not installed.
    """
    if timeout_seconds is not None and not (_is_number(timeout_seconds) and timeout_seconds > 0):
        raise RunError(f"timeout_seconds must be a number of seconds above 0, not {timeout_seconds!r}")
    if client is None:
        need_client()
    elif not inspect.iscoroutinefunction(getattr(client, "post", None)):
        raise RunError(f"client must be an httpx2.AsyncClient, not {type(client).__name__}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
