"""Requests that vendors answer for nothing, asked for by their SDKs: no item is paid for them."""

from __future__ import annotations

from typing import Any

import pytest

import wavetank
from wavetank import Tank

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

TEXT = "How long is a wave?"
MESSAGES: Any = [{"role": "user", "content": TEXT}]


async def tokens_by_openai() -> str | None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        assert (await client.responses.input_tokens.count(model="m", input=TEXT)).input_tokens == 5
        return (await client.responses.create(model="m", input=TEXT)).output_text


async def tokens_by_anthropic() -> str:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic() as client:
        await client.messages.count_tokens(model="m", messages=MESSAGES)
        answer: Any = await client.messages.create(model="m", messages=MESSAGES, max_tokens=99)
        return str(answer.content[0].text)


async def tokens_by_gemini() -> str | None:
    from google import genai

    async with genai.Client().aio as client:
        await client.models.count_tokens(model="m", contents=TEXT)
        return (await client.models.generate_content(model="m", contents=TEXT)).text


async def moderation_by_openai() -> str | None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        await client.moderations.create(input=TEXT)
        return (await client.chat.completions.create(model="m", messages=MESSAGES)).choices[0].message.content


async def moderation_by_mistral() -> Any:
    from mistralai.client import Mistral

    async with Mistral(api_key="none") as client:
        await client.classifiers.moderate_async(model="m", inputs=[TEXT])
        answer: Any = await client.chat.complete_async(model="m", messages=MESSAGES)
        return answer.choices[0].message.content


def verdict_of(call: Any) -> tuple[bool | None, str, list[str | None]]:
    """Whether one item was paid once, and the last parts of the paths of the requests that are free."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.item_of = lambda _: "row-1"
        tank.ledger.submit("row-1")
        tank.ledger.complete("row-1", await call())

    run = wavetank.simulate(main, "calm", checks=())
    assert run.error is None, run.error
    verdict = wavetank.checks.judge(run.events, ["exactly_once"])["exactly_once"]
    return (
        verdict.passed,
        verdict.summary,
        [event.target and event.target.rpartition("/")[2] for event in run.events.of("arrived")],
    )


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (tokens_by_openai, "input_tokens"),
        (tokens_by_anthropic, "count_tokens"),
        (tokens_by_gemini, "m:countTokens"),
        (moderation_by_openai, "moderations"),
    ],
)
def test_what_is_free_is_no_payment(call: Any, path: str) -> None:
    """An item whose tokens are counted, or whose text is moderated, and which is answered is paid once."""
    assert verdict_of(call) == (True, "1 item(s), each with one outcome", [path, None])


def test_what_a_vendor_charges_for_is_a_payment() -> None:
    """Mistral's moderation has a price (https://mistral.ai/pricing)."""
    assert verdict_of(moderation_by_mistral) == (
        False,
        "item 'row-1' was paid 2 times (declared: 1)",
        [None, None],
    )
