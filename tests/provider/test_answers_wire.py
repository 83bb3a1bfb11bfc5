"""Reasoning, several tool calls and log probabilities in each format, as the vendors' SDKs read them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from wavetank import Answer, Scenario, Tank, simulate

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

FIRST = {"city": "Bern", "note": "two words"}
ANSWER = Answer(
    "It is here.",
    reasoning="Where is it?",
    tool_calls=[{"name": "look", "arguments": FIRST}, {"name": "stop"}],  # type: ignore[arg-type]
)
Seen = tuple[str, str, list[tuple[str, Any]]]
"""What a client read: reasoning, text, and calls with their arguments."""
WHOLE: Seen = ("Where is it?", "It is here.", [("look", FIRST), ("stop", {})])
MESSAGES: Any = [{"role": "user", "content": "item-1"}]
KEY = "a-key-of-some-length"


def seen_by(ask: Callable[[], Awaitable[Any]], answer: object = ANSWER, backend: str = "asyncio") -> Any:
    """What `ask` returns where the fake answers so."""

    async def main(tank: Tank) -> Any:
        tank.fake_llm.answer = lambda _: answer
        return await ask()

    run = simulate(main, scenario=Scenario(), backend=backend)
    run.check()
    return run.value


def called(function: Any) -> tuple[str, Any]:
    return function.name, json.loads(function.arguments)


def openai_client(*, strict: bool = True, **options: Any) -> Any:
    import openai

    return openai.AsyncOpenAI(api_key=KEY, max_retries=0, _strict_response_validation=strict, **options)


# -- OpenAI's chat, and those who speak it ---------------------------------------------------------


async def ask_chat(client: Any, name: str) -> Seen:
    """A chat completion of an SDK in OpenAI's shape; `name` is the field of the reasoning."""
    async with client:
        message = (await client.chat.completions.create(model="m", messages=MESSAGES)).choices[0].message
    calls = [called(call.function) for call in message.tool_calls]
    return getattr(message, name, None) or "", message.content, calls


async def ask_chat_stream(client: Any, name: str) -> Seen:
    """The same from a stream."""
    reasoning, text, calls = "", "", [["", ""], ["", ""]]
    async with client:
        async for chunk in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            for choice in chunk.choices:
                delta = choice.delta
                reasoning += getattr(delta, name, None) or ""
                text += delta.content or ""
                for call in delta.tool_calls or ():
                    calls[call.index][0] += call.function.name or ""
                    calls[call.index][1] += call.function.arguments or ""
    return reasoning, text, [(called_name, json.loads(arguments)) for called_name, arguments in calls]


def groq_client() -> Any:
    import groq

    return groq.AsyncGroq(api_key=KEY, max_retries=0, _strict_response_validation=True)


CHATS: dict[str, tuple[Callable[[], Any], str]] = {
    "openai": (openai_client, "reasoning_content"),
    "deepseek": (lambda: openai_client(base_url="https://api.deepseek.com"), "reasoning_content"),
    "openrouter": (lambda: openai_client(base_url="https://openrouter.ai/api/v1"), "reasoning"),
    "vllm": (lambda: openai_client(base_url="http://vllm:8000/v1"), "reasoning_content"),
    "groq": (groq_client, "reasoning"),
}


@pytest.mark.parametrize("ask", [ask_chat, ask_chat_stream], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", CHATS)
def test_chats(vendor: str, ask: Callable[[Any, str], Awaitable[Seen]]) -> None:
    """OpenAI itself charges for reasoning without showing it."""
    client, name = CHATS[vendor]
    reasoning, text, calls = seen_by(lambda: ask(client(), name))
    assert (text, calls) == WHOLE[1:]
    assert reasoning == ("" if vendor == "openai" else WHOLE[0])


def test_a_model_that_always_thinks_does_so_unasked() -> None:
    """A program reads `reasoning_content` of DeepSeek's reasoner without a look whether it is there."""

    async def ask() -> Any:
        async with openai_client(base_url="https://api.deepseek.com") as client:
            answer = await client.chat.completions.create(model="deepseek-reasoner", messages=MESSAGES)
            return answer.choices[0].message.reasoning_content

    assert seen_by(ask, None)


def test_openai_charges_for_reasoning() -> None:
    """The tokens are in the details of the usage, and count as completion tokens."""

    async def ask() -> Any:
        async with openai_client() as client:
            more: Any = {"model": "m", "messages": MESSAGES}
            plain = await client.chat.completions.create(**more)
            thought = await client.chat.completions.create(**more, reasoning_effort="high")
            return plain.usage, thought.usage

    plain, thought = seen_by(ask, None)
    assert plain.completion_tokens_details.reasoning_tokens == 0
    reasoning = thought.completion_tokens_details.reasoning_tokens
    assert reasoning > 0
    assert thought.completion_tokens == plain.completion_tokens + reasoning


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_mistral(streamed: bool) -> None:
    """Reasoning is a chunk of the content."""
    from mistralai.client import Mistral

    async def ask() -> Seen:
        async with Mistral(api_key=KEY) as client:
            more: Any = {"model": "magistral-small", "messages": MESSAGES}
            if streamed:
                stream = await client.chat.stream_async(**more)
                parts = [event.data.choices[0].delta async for event in stream]
            else:
                parts = [(await client.chat.complete_async(**more)).choices[0].message]
        chunks = [
            chunk for part in parts for chunk in (part.content if isinstance(part.content, list) else [])
        ]
        reasoning = "".join(one.thinking[0].text for one in chunks if one.type == "thinking")
        text = "".join(part.content for part in parts if isinstance(part.content, str))
        text += "".join(one.text for one in chunks if one.type == "text")
        calls = [called(call.function) for part in parts for call in part.tool_calls or ()]
        return reasoning, text, calls

    assert seen_by(ask) == WHOLE


# -- other formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_responses(streamed: bool) -> None:
    """Each block is an item of the output; the events of a stream are numbered without a gap."""

    async def ask() -> Seen:
        more: Any = {"model": "m", "input": "item-1", "reasoning": {"effort": "low", "summary": "auto"}}
        async with openai_client() as client:
            if streamed:
                events = [event async for event in await client.responses.create(**more, stream=True)]
                assert [event.sequence_number for event in events] == list(range(len(events)))
                assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == WHOLE[1]
                response = events[-1].response
            else:
                response = await client.responses.create(**more)
        thought, said, *calls = response.output
        return thought.summary[0].text, said.content[0].text, [called(call) for call in calls]

    assert seen_by(ask) == WHOLE


def test_reasoning_without_a_summary_is_not_shown() -> None:
    """It is charged for, and can be handed back encrypted; the events have no gap then, either."""

    async def ask() -> Any:
        more: Any = {"model": "m", "input": "item-1", "include": ["reasoning.encrypted_content"]}
        async with openai_client() as client:
            events = [event async for event in await client.responses.create(**more, stream=True)]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        return events[-1].response

    response = seen_by(ask)
    assert (response.output[0].type, response.output[0].summary) == ("reasoning", [])
    assert response.output[0].encrypted_content
    assert response.usage.output_tokens_details.reasoning_tokens == 3


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_anthropic(streamed: bool, display: str) -> None:
    """Thinking is a block of its own, with a signature, also where its text is left out."""
    import anthropic

    async def ask() -> Seen:
        more: Any = {"model": "m", "max_tokens": 2000, "messages": MESSAGES}
        more["thinking"] = {"type": "adaptive", "display": display}
        async with anthropic.AsyncAnthropic(
            api_key=KEY, max_retries=0, _strict_response_validation=True
        ) as client:
            if streamed:
                async with client.messages.stream(**more) as stream:
                    message: Any = await stream.get_final_message()
            else:
                message = await client.messages.create(**more)
        thought, said, *calls = message.content
        assert message.stop_reason == "tool_use"
        assert thought.signature
        return thought.thinking, said.text, [(call.name, call.input) for call in calls]

    reasoning, *rest = WHOLE
    assert seen_by(ask) == (reasoning if display == "summarized" else "", *rest)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_gemini(streamed: bool, include: bool) -> None:
    """Thoughts are parts where the request includes them, and are counted by themselves."""
    from google import genai

    async def ask() -> Seen:
        client = genai.Client(api_key=KEY).aio
        config: Any = {"thinking_config": {"include_thoughts": include, "thinking_budget": 100}}
        more: Any = {"model": "gemini-3-pro", "contents": "item-1", "config": config}
        if streamed:
            answers: Any = [one async for one in await client.models.generate_content_stream(**more)]
        else:
            answers = [await client.models.generate_content(**more)]
        parts: Any = [part for one in answers for part in one.candidates[0].content.parts]
        usage: Any = answers[-1].usage_metadata
        assert usage.thoughts_token_count == 3
        thoughts = "".join(part.text for part in parts if part.thought)
        text = "".join(part.text or "" for part in parts if not part.thought)
        calls = [(part.function_call.name, part.function_call.args) for part in parts if part.function_call]
        return thoughts, text, calls

    reasoning, *rest = WHOLE
    assert seen_by(ask) == (reasoning if include else "", *rest)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_cohere(streamed: bool) -> None:
    """Thinking is a content before the text."""
    import cohere

    async def ask() -> Seen:
        more: Any = {"model": "command-a-reasoning", "messages": MESSAGES, "thinking": {"type": "enabled"}}
        async with cohere.AsyncClientV2(api_key=KEY) as client:
            if streamed:
                return await cohere_stream(client.chat_stream(**more))
            message: Any = (await client.chat(**more)).message
        contents, calls = message.content, message.tool_calls
        return contents[0].thinking, contents[1].text, [called(call.function) for call in calls]

    assert seen_by(ask) == WHOLE


async def cohere_stream(events: AsyncIterator[Any]) -> Seen:
    """A stream of Cohere's, put together."""
    reasoning, text, calls = "", "", [["", ""], ["", ""]]
    async for event in events:
        match event.type:
            case "content-delta":
                reasoning += event.delta.message.content.thinking or ""
                text += event.delta.message.content.text or ""
            case "tool-call-start":
                calls[event.index][0] = event.delta.message.tool_calls.function.name
            case "tool-call-delta":
                calls[event.index][1] += event.delta.message.tool_calls.function.arguments
    return reasoning, text, [(name, json.loads(arguments)) for name, arguments in calls]


def test_cohere_before_there_was_thinking() -> None:
    """The first version has calls, and no place for reasoning."""
    import cohere

    async def ask() -> Seen:
        async with cohere.AsyncClient(api_key=KEY) as client:
            answer: Any = await client.chat(message="item-1")
            events: list[Any] = [event async for event in client.chat_stream(message="item-1")]
        calls = [call for e in events if e.event_type == "tool-calls-generation" for call in e.tool_calls]
        assert [call.name for call in calls] == [call.name for call in answer.tool_calls]
        return "", answer.text, [(call.name, call.parameters) for call in answer.tool_calls]

    assert seen_by(ask)[1:] == WHOLE[1:]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_ollama(streamed: bool) -> None:
    """Thinking is a field of the message."""
    import ollama

    async def ask() -> Seen:
        client: Any = ollama.AsyncClient(host="http://localhost:11434")
        more: Any = {"model": "m", "messages": MESSAGES, "think": True}
        answer: Any = await client.chat(**more, stream=streamed)
        messages = [one.message async for one in answer] if streamed else [answer.message]
        calls = [call.function for message in messages for call in message.tool_calls or ()]
        return (
            "".join(message.thinking or "" for message in messages),
            "".join(message.content or "" for message in messages),
            [(call.name, call.arguments) for call in calls],
        )

    assert seen_by(ask) == WHOLE


# -- log probabilities -----------------------------------------------------------------------------


@pytest.mark.parametrize("base_url", [None, "http://vllm:8000/v1", "https://openrouter.ai/api/v1"])
def test_log_probabilities_of_a_chat(base_url: str | None) -> None:
    """An entry for each token of the text, streamed or not, with the alternatives that were asked for."""
    more: Any = {"model": "m", "messages": MESSAGES, "logprobs": True, "top_logprobs": 3}

    async def ask() -> Any:
        async with openai_client(base_url=base_url) as client:
            whole = (await client.chat.completions.create(**more)).choices[0].logprobs.content
            stream = await client.chat.completions.create(**more, stream=True)
            choices = [choice async for chunk in stream for choice in chunk.choices]
        streamed = [entry for one in choices if one.logprobs for entry in one.logprobs.content]
        return whole, streamed

    whole, streamed = seen_by(ask, "It is here.")
    assert [entry.token for entry in whole] == ["It", " is", " here."]
    assert streamed == whole
    assert bytes(whole[1].bytes) == b" is"
    for entry in whole:
        values = [one.logprob for one in entry.top_logprobs]
        assert (entry.top_logprobs[0].token, len({one.token for one in entry.top_logprobs})) == (
            entry.token,
            3,
        )
        assert values == sorted(values, reverse=True)
        assert all(value < 0 for value in values)


@pytest.mark.parametrize("more", [{"top_logprobs": 2}, {"include": ["message.output_text.logprobs"]}])
def test_log_probabilities_of_a_response(more: dict[str, Any]) -> None:
    """They are in the text of the output, and in each piece of a stream."""

    async def ask() -> Any:
        async with openai_client() as client:
            whole = (await client.responses.create(model="m", input="x", **more)).output[0].content[0]
            stream = await client.responses.create(model="m", input="x", **more, stream=True)
            pieces = [event async for event in stream if event.type == "response.output_text.delta"]
        return whole.logprobs, [entry for piece in pieces for entry in piece.logprobs]

    whole, streamed = seen_by(ask, "It is here.")
    assert [entry.token for entry in whole] == [entry.token for entry in streamed] == ["It", " is", " here."]


def test_log_probabilities_of_a_completion() -> None:
    """The older format has a list of each kind, with the places of the tokens in the text."""

    async def ask() -> Any:
        more: Any = {"model": "m", "prompt": "x", "logprobs": 2}
        async with openai_client() as client:
            whole = (await client.completions.create(**more)).choices[0].logprobs
        # The SDK's own type has a reason to finish in each chunk, which OpenAI does not send.
        async with openai_client(strict=False) as client:
            stream = [chunk async for chunk in await client.completions.create(**more, stream=True)]
        return whole, [chunk.choices[0].logprobs for chunk in stream]

    whole, streamed = seen_by(ask, "It is here.")
    assert (whole.tokens, whole.text_offset) == (["It", " is", " here."], [0, 2, 5])
    assert [len(top) for top in whole.top_logprobs] == [2, 2, 2]
    assert [place for one in streamed for place in one.text_offset] == whole.text_offset


# -- what is not served ----------------------------------------------------------------------------


async def ask_groq_logprobs() -> Any:
    await groq_client().chat.completions.create(model="m", messages=MESSAGES, logprobs=True)


async def ask_openai(**more: Any) -> Any:
    await openai_client().chat.completions.create(model="m", messages=MESSAGES, **more)


async def ask_gemini(**config: Any) -> Any:
    from google import genai

    models: Any = genai.Client(api_key=KEY).aio.models
    await models.generate_content(model="gemini-3-pro", contents="x", config=config)


async def ask_mistral() -> Any:
    await openai_client(base_url="https://api.mistral.ai/v1").chat.completions.create(
        model="m", messages=MESSAGES, logprobs=True
    )


async def ask_cohere() -> Any:
    import cohere

    async with cohere.AsyncClientV2(api_key=KEY) as client:
        await client.chat(model="m", messages=MESSAGES, logprobs=True)


async def ask_ollama() -> Any:
    import ollama

    await ollama.AsyncClient(host="http://localhost:11434").chat(model="m", messages=MESSAGES, logprobs=True)


@pytest.mark.parametrize(
    ("ask", "param"),
    [
        (ask_groq_logprobs, "logprobs"),
        (ask_mistral, "logprobs"),
        (ask_cohere, "logprobs"),
        (ask_ollama, "logprobs"),
        (lambda: ask_gemini(response_logprobs=True), "response_logprobs"),
        (lambda: ask_gemini(response_modalities=["AUDIO"]), "response_modalities"),
        (lambda: ask_openai(modalities=["text", "audio"]), "modalities"),
        (lambda: ask_openai(audio={"voice": "alloy", "format": "wav"}), "audio"),
    ],
)
def test_what_is_not_served_is_refused_in_words(ask: Callable[[], Awaitable[Any]], param: str) -> None:
    """The error names the parameter; nothing comes back as if it had been asked for nothing."""

    async def refused() -> str:
        try:
            await ask()
        except Exception as error:
            return f"{error} {getattr(error, 'body', '')}"
        raise AssertionError("it was served")

    said = seen_by(refused, None)
    assert "wavetank doesn't serve" in said
    assert f"remove '{param}'" in said


@pytest.mark.parametrize("top", [21, -1, "3"])
def test_too_many_alternatives_are_refused(top: Any) -> None:
    """As OpenAI does."""
    import openai

    async def refused() -> str:
        with pytest.raises(openai.BadRequestError, match="top_logprobs") as error:
            await ask_openai(logprobs=True, top_logprobs=top)
        return str(error.value)

    assert "an integer from 0 to 20" in seen_by(refused, None)
