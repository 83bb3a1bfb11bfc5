"""A Retry-After that is a date is not understood, and the program waits one second instead."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import anyio

from ..clock import EPOCH_SECONDS
from ..tank.tank import Tank
from .specimen import specimen
from .workload import scenario_of

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


async def _run(tank: Tank, items: list[str], read: _Read) -> None:
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
            for item in items:
                group.start_soon(work, item)


SPECIMEN: Final = specimen(
    name="http_date_ignored",
    row="25",
    kind="S",
    story="The header is read as a number. The other form that HTTP allows, a date, is ignored, and the "
    "item is requested again every second until the date.",
    seen="issue 40130 of litellm",
    run=_run,
    variants=(_number, _number_or_date),
    scenario=scenario_of("until-a-date", {"lasts": "4s", "retry_after": {"form": "http-date"}}),
    check="retry_after",
    failure="check",
    items=3,
)
