"""The batch that every patient is given, and what a patient is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import anyio

from wavetank import Tank

ITEMS = 40
UNDER_WAY = 10
MODEL = "gpt-4o"
URL = "https://api.openai.com/v1/chat/completions"

Ask = Callable[[str], Awaitable[object]]
"""Sends one item through the package: it returns the answer, or raises when the package gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A package as its users set it up: `settings` says how, `asking` opens its `Ask`."""

    name: str
    packages: tuple[str, ...]
    settings: str
    asking: Callable[[], AbstractAsyncContextManager[Ask]]


async def process(tank: Tank, patient: Patient) -> None:
    """Forty items, ten of them under way at any instant; what the package raises is the item's outcome."""
    permits = anyio.CapacityLimiter(UNDER_WAY)

    async def one(item: str) -> None:
        async with permits:
            try:
                answer = await ask(item)
            except Exception as error:
                tank.ledger.fail(item, error)
            else:
                tank.ledger.complete(item, answer)

    async with patient.asking() as ask, anyio.create_task_group() as group:
        for item in [f"item-{number}" for number in range(1, ITEMS + 1)]:
            tank.ledger.submit(item)
            group.start_soon(one, item)


def message(item: str) -> list[dict[str, Any]]:
    """The conversation of an item."""
    return [{"role": "user", "content": f"Do {item}."}]


def header(item: str) -> dict[str, str]:
    """The header that tells the fake which item a request is for."""
    return {"x-wavetank-item": item}
