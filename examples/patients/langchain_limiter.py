"""langchain's chat model for OpenAI with its rate limiter: ten requests a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from batch import MODEL, Ask, Patient, header
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_openai import ChatOpenAI


@asynccontextmanager
async def asking(**settings: float) -> AsyncIterator[Ask]:
    """A chat model that is given the limiter."""
    limiter = InMemoryRateLimiter(requests_per_second=10, **settings)
    model = ChatOpenAI(model=MODEL, rate_limiter=limiter)

    async def ask(item: str) -> object:
        return (await model.ainvoke(f"Do {item}.", extra_headers=header(item))).content

    yield ask


PACKAGES = ("langchain-core", "langchain-openai", "openai")

PATIENTS = (
    Patient(
        name="langchain's rate limiter",
        packages=PACKAGES,
        settings="`ChatOpenAI(rate_limiter=InMemoryRateLimiter(requests_per_second=10))`",
        asking=asking,
    ),
    Patient(
        name="langchain's, bucket of 10",
        packages=PACKAGES,
        settings="`InMemoryRateLimiter(requests_per_second=10, max_bucket_size=10)`",
        asking=partial(asking, max_bucket_size=10),
    ),
)
