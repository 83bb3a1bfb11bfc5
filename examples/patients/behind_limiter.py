"""The openai SDK and its own retries, behind a limiter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import openai_sdk
from batch import Ask


@asynccontextmanager
async def asking(limited: Callable[[Ask], Ask]) -> AsyncIterator[Ask]:
    """The SDK's `Ask`, and what is put before it."""
    async with openai_sdk.asking() as ask:
        yield limited(ask)
