"""Lists the models of a provider."""

from __future__ import annotations

import argparse
import os
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from ..shown import Secrets
from .command_options import address_of, base_urls
from .provider_strategy import need_client, new_client, parsed_answer, request_options
from .providers import PROVIDERS, ProviderApi, Query, find_provider
from .run_arguments import DEFAULT_TIMEOUT
from .run_errors import ApiError, RunError
from .strategy_factory import checked_connection, found_key

if TYPE_CHECKING:
    import httpx2

_REFUSED_KEY: Final = (401, 403)


async def list_models(
    provider: str,
    *,
    key: str | None = None,
    base_url: str | None = None,
    client: httpx2.AsyncClient | None = None,
    timeout_seconds: float | None = None,
) -> tuple[str, ...]:
    """List the models of a provider, in its own order, by the names that requests use.

    The arguments are those of `make_strategy`. A client that is given stays open.

    Raises:
        RunError: there is no such provider, its key is missing or refused, it cannot be reached, or
            it has no list of models; the text says which, and does not show the key.
    """
    spec = find_provider(provider)
    base_url = base_url or spec.address(os.environ)
    checked_connection(client, timeout_seconds)
    secret = found_key(spec, key, base_url)
    secrets = Secrets()
    secrets.label(secret)
    secrets.label_url(base_url)
    need_client()
    import httpx2

    async with AsyncExitStack() as stack:
        if client is None:
            own = new_client(timeout_seconds=timeout_seconds or DEFAULT_TIMEOUT)
            client = await stack.enter_async_context(own)
        try:
            how = request_options(client, timeout_seconds)
            return await _all_pages(client, spec, secret, secrets, base_url, how)
        except ApiError as error:
            raise RunError(_refusal(spec, error, secret)) from None
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            why = secrets.hide(str(error)) or type(error).__name__
            raise RunError(
                f"cannot reach {spec.name}: {why}; check the network, a proxy and the base URL"
            ) from None


async def _all_pages(
    client: httpx2.AsyncClient,
    provider: ProviderApi,
    key: str,
    secrets: Secrets,
    base_url: str | None,
    how: dict[str, Any],
) -> tuple[str, ...]:
    url, headers = provider.url(provider.models.path, base_url), provider.headers(key)
    found: dict[str, None] = {}
    seen: list[Query] = []
    query: Query | None = provider.models.query
    while query is not None:
        if query in seen:
            raise RunError(f"{provider.name} lists the same page of its models again and again")
        seen.append(query)
        answer = await client.get(url, params=query or None, headers=headers, **how)
        page = parsed_answer(answer.status_code, answer.headers, answer.text, secrets)
        try:
            names, following = provider.models.read(page)
        except (AttributeError, IndexError, KeyError, TypeError):
            raise RunError(
                f"{provider.name} answered with no list of models; is its base URL right?"
            ) from None
        found |= dict.fromkeys(names)
        query = None if following is None else {**provider.models.query, **following}
    return tuple(found)


def _refusal(provider: ProviderApi, error: ApiError, key: str) -> str:
    if error.status_code not in _REFUSED_KEY:
        return f"{provider.name} does not list its models: {error}"
    variable = next((name for name in provider.keys if os.environ.get(name, "").strip() == key), None)
    place = "" if variable is None else f" in {variable}"
    return f"{provider.name} refused the API key{place}: {error}"


def show_models(arguments: argparse.Namespace) -> int:
    """Print the models of a provider, sorted, one a line; the exit status is 0.

    Raises:
        RunError: the same as for `list_models`.
    """
    if arguments.scenario is not None:
        raise RunError("--list-models asks the provider itself; leave --scenario out")
    provider = PROVIDERS[arguments.provider]
    url = address_of(base_urls(arguments), provider)
    if url is None and not provider.base_url:
        raise RunError(
            f"--provider {arguments.provider} needs the --base-url of the server, such as https://host/v1"
        )
    key = provider.key(os.environ, url)
    listing = partial(
        list_models, arguments.provider, key=key, base_url=url, timeout_seconds=arguments.timeout
    )
    for name in sorted(anyio.run(listing)):
        print(name)
    return 0
