"""A Retry-After that is a date is not understood, and a second of waiting stands in for it."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import anyio

from ..clock import EPOCH_SECONDS
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import submitted, weather

_ITEMS: Final = 3
_URL: Final = "https://api.openai.com/v1/chat/completions"

_Read = Callable[[str, float], float]


def _number(text: str, _: float) -> float:
    try:
        return float(text)
    except ValueError:
        return 1


def _number_or_date(text: str, now: float) -> float:
    try:
        return float(text)
    except ValueError:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)


async def _run(tank: Tank, read: _Read) -> None:
    import httpx

    async with httpx.AsyncClient(transport=tank.fake_llm.httpx_transport()) as client:

        async def work(item: str) -> None:
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"Do {item}."}]}
            headers = {"authorization": "Bearer fake-key", "x-wavetank-item": item}
            while True:
                reply = await client.post(_URL, json=body, headers=headers)
                if reply.status_code == 200:
                    tank.ledger.complete(item, reply.text)
                    return
                await anyio.sleep(read(reply.headers["retry-after"], EPOCH_SECONDS + tank.now()))

        async with anyio.create_task_group() as group:
            for item in submitted(tank, _ITEMS):
                group.start_soon(work, item)


async def _buggy(tank: Tank) -> None:
    await _run(tank, _number)


async def _twin(tank: Tank) -> None:
    await _run(tank, _number_or_date)


SPECIMEN: Final = Specimen(
    name="http_date_ignored",
    row="25",
    kind="S",
    story="The header is read as a number. The other form that HTTP allows, a date, is taken for no header "
    "at all, and the item is asked again each second of a wave that said when it ends.",
    seen="issue 40130 of litellm",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("until-a-date", {"lasts": "4s", "retry_after": {"form": "http-date"}}),
    check="retry_after",
    failure="check",
    items=_ITEMS,
)
