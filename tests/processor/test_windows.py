"""The processor meets limits in windows, instants that have passed, and a provider whose clock is wrong."""

from __future__ import annotations

from typing import Any

import openai

import wavetank
from wavetank import Tank
from wavetank.processor import LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario import scenario_from_dict

from ..depth import by_turns

ITEMS = 25
DATE = {"form": "http-date"}


async def batch(tank: Tank) -> int:
    """Work through the items by OpenAI's SDK, and enter what becomes of them; how many succeeded."""
    async with openai.AsyncOpenAI(max_retries=0) as client:

        async def call(prompt: str) -> str:
            messages: Any = [{"role": "user", "content": prompt}]
            headers = {"x-wavetank-item": prompt}
            answer = await client.chat.completions.create(model="m", messages=messages, extra_headers=headers)
            return answer.choices[0].message.content or ""

        async with ParallelBatchProcessor(call, workers=5) as processor:
            for number in range(ITEMS):
                tank.ledger.submit(f"item-{number}")
                await processor.add_work(LLMWorkItem(id=f"item-{number}", prompt=f"item-{number}"))
            done = await processor.process_all()
    for result in done.results:
        if result.error is None:
            tank.ledger.complete(result.id, str(result.value))
        else:
            tank.ledger.fail(result.id, result.error)
    return done.succeeded


@by_turns(
    case=[
        ({"limits": {"requests_per_minute": 10, "window": "calendar"}}, 180),
        ({"limits": {"requests_per_minute": 10, "window": "sliding"}}, 180),
        ({"limits": {"requests_per_minute": 10, "window": "sliding", "count_refused": True}}, 240),
        ({"limits": {"requests": 2, "per": "1s", "window": "sliding"}}, 30),
        ({"limits": {"requests_per_minute": 60, "reset": "-2s"}}, 60),
        ({"wave": [{"lasts": "5s", "retry_after": "-3s"}]}, 20),
        ({"wave": [{"lasts": "5s", "retry_after": DATE | {"value": "-3s"}}]}, 20),
        ({"clock": {"behind": "5m"}, "wave": [{"lasts": "5s", "retry_after": DATE}]}, 20),
        ({"clock": {"ahead": "5m"}, "wave": [{"lasts": "5s", "retry_after": DATE}]}, 20),
    ],
    where=[("asyncio", "0s"), ("trio", "200ms")],
)
def test_the_processor_takes_as_long_as_the_limit_makes_it(
    case: tuple[dict[str, Any], float], where: tuple[str, str]
) -> None:
    """Every item is answered, by every rule of the checks, and no pause grows beyond what was asked for."""
    (table, seconds), (backend, first_token) = case, where
    table = table | {"latency": {"first_token": first_token}}
    scenario = scenario_from_dict(table, name="mine", source="mine")
    run = wavetank.simulate(batch, scenario, backend=backend, checks="strict")
    run.check()
    assert run.value == ITEMS
    assert run.virtual_seconds < seconds
