"""Rows one by one, eight at a time, for packages without a batch of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 8


async def in_tasks(ask: Callable[[str], Awaitable[object]], rows: Sequence[str]) -> list[object]:
    """What each row came to, or the error it failed with."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(row: str) -> object:
        async with free:
            return await ask(row)

    return await asyncio.gather(*map(one, rows), return_exceptions=True)


def in_threads(ask: Callable[[str], object], rows: Sequence[str]) -> list[object]:
    """The same of a function that blocks."""

    def one(row: str) -> object:
        try:
            return ask(row)
        except Exception as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, rows))


def messages(row: str) -> list[dict[str, str]]:
    """A chat about a row."""
    return [{"role": "user", "content": f"Summarise {row}"}]
