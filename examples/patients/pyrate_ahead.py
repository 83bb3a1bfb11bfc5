"""pyrate-limiter ahead of the openai SDK: ten requests a second."""

from __future__ import annotations

from functools import partial

import behind_limiter
from batch import Ask, Patient
from pyrate_limiter import Duration, Limiter, Rate


def limited_by(ask: Ask) -> Ask:
    """Wait for a place in the window, then ask."""
    limiter = Limiter(Rate(10, Duration.SECOND))

    async def limited(item: str) -> object:
        await limiter.try_acquire_async("llm")
        return await ask(item)

    return limited


PATIENTS = (
    Patient(
        name="pyrate-limiter, then openai",
        packages=("pyrate-limiter", "openai"),
        settings="`Limiter(Rate(10, Duration.SECOND))`, then `AsyncOpenAI()`",
        asking=partial(behind_limiter.asking, limited_by),
    ),
)
