"""A plain request by httpx, for what is put around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from batch import MODEL, URL, Ask, header, message


@asynccontextmanager
async def asking(retrying: Callable[[Ask], Ask]) -> AsyncIterator[Ask]:
    """A plain request that raises for every status but success, and what is put around it."""
    async with httpx.AsyncClient(headers={"authorization": "Bearer key"}, timeout=60) as client:

        async def ask(item: str) -> object:
            response = await client.post(
                URL, headers=header(item), json={"model": MODEL, "messages": message(item)}
            )
            response.raise_for_status()
            return response.json()["choices"][0]["message"]["content"]

        yield retrying(ask)
