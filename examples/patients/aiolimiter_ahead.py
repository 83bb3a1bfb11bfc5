"""aiolimiter ahead of the openai SDK: ten requests a second."""

from __future__ import annotations

from functools import partial

import behind_limiter
from aiolimiter import AsyncLimiter
from batch import Ask, Patient


def limited_by(ask: Ask) -> Ask:
    """Wait for a place in the leaky bucket, then ask."""
    limiter = AsyncLimiter(10, 1)

    async def limited(item: str) -> object:
        async with limiter:
            return await ask(item)

    return limited


PATIENTS = (
    Patient(
        name="aiolimiter, then openai",
        packages=("aiolimiter", "openai"),
        settings="`AsyncLimiter(10, 1)`, then `AsyncOpenAI()`",
        asking=partial(behind_limiter.asking, limited_by),
    ),
)
