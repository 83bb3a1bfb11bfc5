"""litellm's Router with one deployment."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

# Otherwise its import asks the network for a table of prices.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
from batch import MODEL, Ask, Patient, header, message

# The fake is met through httpx.
litellm.disable_aiohttp_transport = True
litellm.suppress_debug_info = True

DEPLOYMENT = {"model_name": MODEL, "litellm_params": {"model": f"openai/{MODEL}", "api_key": "key"}}


@asynccontextmanager
async def asking(**settings: int) -> AsyncIterator[Ask]:
    """The Router's `Ask`."""
    router = litellm.Router(model_list=[DEPLOYMENT], **settings)

    async def ask(item: str) -> str | None:
        answer = await router.acompletion(MODEL, message(item), extra_headers=header(item))
        return answer.choices[0].message.content

    yield ask


PATIENTS = (
    Patient(
        name="litellm Router",
        packages=("litellm",),
        settings="`Router(model_list=[…])`, one deployment, over httpx",
        asking=asking,
    ),
    Patient(
        name="litellm Router, 8 retries",
        packages=("litellm",),
        settings="`Router(model_list=[…], num_retries=8)`, one deployment, over httpx",
        asking=partial(asking, num_retries=8),
    ),
)
