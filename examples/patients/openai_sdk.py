"""The openai SDK and its own retries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import openai
from batch import MODEL, Ask, Patient, header, message


@asynccontextmanager
async def asking(**settings: int) -> AsyncIterator[Ask]:
    """The SDK's `Ask`."""
    async with openai.AsyncOpenAI(**settings) as client:

        async def ask(item: str) -> str | None:
            answer = await client.chat.completions.create(
                model=MODEL, messages=message(item), extra_headers=header(item)
            )
            return answer.choices[0].message.content

        yield ask


PATIENTS = (
    Patient(name="openai", packages=("openai",), settings="`AsyncOpenAI()`", asking=asking),
    Patient(
        name="openai, 8 retries",
        packages=("openai",),
        settings="`AsyncOpenAI(max_retries=8)`",
        asking=partial(asking, max_retries=8),
    ),
)
