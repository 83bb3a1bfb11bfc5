"""What SDKs ask for besides one answer in a chat: several answers, texts to go on with, counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import groq
import httpx2
import openai
import pytest
from mistralai.client import Mistral
from openrouter import OpenRouter

import wavetank
from wavetank import Scenario, Tank
from wavetank.scenario import Limits, scenario_from_dict

# Vendors' SDKs leave generators of their own to the garbage collector, of which trio warns.
pytestmark = pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning")

MESSAGES: Any = [{"role": "user", "content": "item-1"}]
TEXT = "[wt:item-1] is the item this answer belongs to."
TOKENS = 8
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}
FUNCTION: dict[str, Any] = {"name": "look", "description": "Look a city up.", "parameters": SCHEMA}
TOOL: Any = {"type": "function", "function": FUNCTION}
VLLM = "http://vllm:8000/v1"


def seen(ask: Callable[[], Awaitable[Any]], scenario: Scenario | None = None) -> Any:
    """What a client gets in a world of its own."""

    async def main(_: Tank) -> Any:
        return await ask()

    run = wavetank.simulate(main, scenario or Scenario(), checks=())
    if run.error is not None:
        raise run.error
    return run.value


def strict(**options: Any) -> openai.AsyncOpenAI:
    """OpenAI's client, which takes nothing loosely."""
    return openai.AsyncOpenAI(_strict_response_validation=True, **options)


# -- several answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"base_url": VLLM}])
def test_several_answers_are_choices_of_one(options: dict[str, Any]) -> None:
    """Each has its number and the item's mark; their tokens add up, and the prompt counts once."""

    async def ask() -> Any:
        return await strict(**options).chat.completions.create(model="m", messages=MESSAGES, n=3)

    answer = seen(ask)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [
        (0, TEXT), (1, TEXT), (2, TEXT),
    ]  # fmt: skip
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 3 * TOKENS)


def test_several_answers_stream_side_by_side() -> None:
    """Chunk for chunk, with the same usage at the end."""

    async def ask() -> tuple[dict[int, str], list[int], Any]:
        texts, order, usage = {0: "", 1: ""}, [], None
        options: Any = {"include_usage": True}
        async for chunk in await strict().chat.completions.create(
            model="m", messages=MESSAGES, n=2, stream=True, stream_options=options
        ):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                order.append(choice.index)
                texts[choice.index] += choice.delta.content or ""
        return texts, order, usage

    texts, order, usage = seen(ask)
    assert texts == {0: TEXT, 1: TEXT}
    assert order == [0, 1] * (TOKENS + 2)
    assert usage.completion_tokens == 2 * TOKENS


def test_mistral_gives_several_answers_too() -> None:
    """In a stream, usage is in the last chunk alone."""

    async def ask() -> Any:
        async with Mistral(api_key="key") as client:
            plain = await client.chat.complete_async(model="m", messages=MESSAGES, n=2)
            events = await client.chat.stream_async(model="m", messages=MESSAGES, n=2)
            return plain, [event.data.usage async for event in events]

    plain, usages = seen(ask)
    assert [choice.message.content for choice in plain.choices] == [TEXT, TEXT]
    assert [usage.completion_tokens for usage in usages if usage] == [2 * TOKENS]


def test_groq_gives_one() -> None:
    """More are refused, as the types of its SDK say."""

    async def ask() -> Any:
        async with groq.AsyncGroq() as client:
            assert (await client.chat.completions.create(model="m", messages=MESSAGES, n=1)).choices
            with pytest.raises(groq.BadRequestError, match="at most 1"):
                await client.chat.completions.create(model="m", messages=MESSAGES, n=2)

    seen(ask)


@pytest.mark.parametrize("number", [0, 129, "two"])
def test_a_wrong_number_of_answers_is_refused(number: Any) -> None:
    """OpenAI gives from 1 to 128."""

    async def ask() -> Any:
        with pytest.raises(openai.BadRequestError, match="from 1 to 128"):
            await strict().chat.completions.create(model="m", messages=MESSAGES, n=number)

    seen(ask)


def test_each_of_several_answers_spends_its_tokens() -> None:
    """A budget that has room for one answer has none for a hundred, and says how many were asked for."""

    async def ask() -> Any:
        client = strict(max_retries=0)
        await client.chat.completions.create(model="m", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError, match="Requested 802"):
            await client.chat.completions.create(model="m", messages=MESSAGES, n=100)

    seen(ask, Scenario(limits=Limits(tokens_per_minute=600)))


# -- texts to go on with ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"base_url": VLLM}])
def test_a_text_is_completed(options: dict[str, Any]) -> None:
    """The format from before there was chat; several prompts are choices of one answer."""

    async def ask() -> Any:
        client = strict(**options)
        one = await client.completions.create(model="m", prompt="item-1")
        return one, await client.completions.create(model="m", prompt=["item-0", "item-1"], n=2)

    one, four = seen(ask)
    assert [(choice.text, choice.finish_reason) for choice in one.choices] == [(TEXT, "stop")]
    assert (one.usage.prompt_tokens, one.usage.completion_tokens) == (2, TOKENS)
    assert [choice.index for choice in four.choices] == [0, 1, 2, 3]
    assert four.usage.completion_tokens == 4 * TOKENS


@pytest.mark.parametrize("options", [{}, {"base_url": VLLM}])
def test_a_completion_streams(options: dict[str, Any]) -> None:
    """Token by token; the last chunk of a choice says why it ends, and one of its own what it cost."""

    async def ask() -> Any:
        # The vendor's chunks have no finish_reason until the last: its strict parser wants one.
        client = openai.AsyncOpenAI(**options)
        wanted: Any = {"include_usage": True}
        stream = await client.completions.create(
            model="m", prompt="item-1", stream=True, stream_options=wanted, max_tokens=5
        )
        return [chunk async for chunk in stream]

    *chunks, last = seen(ask)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "[wt:item-1] is the item this"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 5 + ["length"]
    assert (last.choices, last.usage.completion_tokens) == ([], 5)


# -- counts ----------------------------------------------------------------------------------------


def test_openai_counts_the_tokens_of_an_input() -> None:
    """As many as the response to it is charged, with its instructions and tools."""

    async def ask() -> Any:
        client = strict()
        asked: Any = {"model": "m", "input": "item-1", "instructions": "Be brief.", "tools": [
            {"type": "function", "strict": False, **FUNCTION}
        ]}  # fmt: skip
        counted = await client.responses.input_tokens.count(**asked)
        bare = await client.responses.input_tokens.count(input="item-1")
        return counted, bare, (await client.responses.create(**asked)).usage

    counted, bare, usage = seen(ask)
    assert counted.input_tokens == usage.input_tokens > bare.input_tokens + 30
    assert bare.input_tokens == 2


def test_tools_cost_tokens() -> None:
    """What defines them counts with the prompt, in every dialect the same."""

    async def ask() -> Any:
        client = strict()
        bare = await client.chat.completions.create(model="m", messages=MESSAGES)
        chat = await client.chat.completions.create(model="m", messages=MESSAGES, tools=[TOOL])
        other = anthropic.AsyncAnthropic(_strict_response_validation=True)
        tools: Any = [{"name": "look", "description": "Look a city up.", "input_schema": SCHEMA}]
        counted = await other.messages.count_tokens(model="m", messages=MESSAGES, tools=tools)
        message = await other.messages.create(model="m", messages=MESSAGES, tools=tools, max_tokens=9)
        return bare.usage, chat.usage, counted.input_tokens, message.usage.input_tokens

    bare, chat, counted, charged = seen(ask)
    assert bare.prompt_tokens == 2
    assert chat.prompt_tokens > 30
    assert counted == charged > 25


def test_anthropic_takes_the_token_of_a_subscription() -> None:
    """A bearer token with the beta of OAuth, as agents send it, in place of a key."""

    async def main(tank: Tank) -> Any:
        beta = {"anthropic-beta": "oauth-2025-04-20"}
        client = anthropic.AsyncAnthropic(auth_token="sk-ant-oat01-x", default_headers=beta)
        answer = await client.messages.create(model="m", messages=MESSAGES, max_tokens=20)
        keys = [tank.fake_llm._desk.secrets.behind(record.key) for record in tank.fake_llm.requests]
        return answer, keys

    run = wavetank.simulate(main, Scenario(), checks=())
    assert run.value is not None
    answer, keys = run.value
    assert answer.content[0].text == TEXT
    assert keys == ["sk-ant-oat01-x"]


# -- the wait for a stream -------------------------------------------------------------------------


def slow(**more: Any) -> Scenario:
    """An answer whose first token takes twelve seconds and a bit."""
    return scenario_from_dict({"latency": {"first_token": "12500ms"}, **more}, name="slow", source="test")


def test_openrouter_keeps_a_stream_alive() -> None:
    """Its SDK gives up after 5 s of silence and asks again; a slow stream is not silent."""

    async def main(tank: Tank) -> Any:
        async with OpenRouter() as client:
            stream: Any = await client.chat.send_async(model="m", messages=MESSAGES, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        return "".join(pieces), tank.now(), len(tank.fake_llm.requests)

    run = wavetank.simulate(main, slow(), checks=())
    assert run.value == (TEXT, 12.5, 1)


@pytest.mark.parametrize(
    ("scenario", "comments"),
    [
        (slow(), [*range(1, 13), 12.5]),
        (slow(latency={"first_token": "1s"}), [1]),
        (slow(fault=[{"kind": "missing-end"}]), [12.5]),
    ],
)
def test_a_comment_comes_each_second_until_the_first_token(scenario: Scenario, comments: list[float]) -> None:
    """None does where a fault spoils the answer, and none after the answer has begun."""

    async def main(tank: Tank) -> Any:
        asked = {"model": "m", "messages": MESSAGES, "stream": True}
        url = "https://openrouter.ai/api/v1/chat/completions"
        async with (
            httpx2.AsyncClient(timeout=60) as client,
            client.stream("POST", url, json=asked, headers={"authorization": "Bearer k"}) as answer,
        ):
            lines = [(tank.now(), line) async for line in answer.aiter_lines() if line]
        kept = [at for at, line in lines if line == ": OPENROUTER PROCESSING"]
        return kept, lines[len(kept)][1].startswith("data: {"), answer.status_code

    run = wavetank.simulate(main, scenario, checks=())
    assert run.value == (comments, True, 200)
