"""langchain's chat model for OpenAI with its rate limiter: ten requests a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batch import MODEL, Ask, Patient, header
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_openai import ChatOpenAI


@asynccontextmanager
async def asking() -> AsyncIterator[Ask]:
    """A chat model that is given the limiter."""
    # A bucket of one is emptied no faster than the limiter looks at it, ten times a second.
    limiter = InMemoryRateLimiter(requests_per_second=10, max_bucket_size=10)
    model = ChatOpenAI(model=MODEL, rate_limiter=limiter)

    async def ask(item: str) -> object:
        return (await model.ainvoke(f"Do {item}.", extra_headers=header(item))).content

    yield ask


PATIENTS = (
    Patient(
        name="langchain's rate limiter",
        packages=("langchain-core", "langchain-openai", "openai"),
        settings="`ChatOpenAI(rate_limiter=InMemoryRateLimiter(requests_per_second=10, max_bucket_size=10))`",
        asking=asking,
    ),
)
