"""Every SDK at its vendor's real URL, in virtual time: what it reads, what it raises, when it asks again.

The SDKs are the judges: they parse strictly where they can, and `docs/dialects.md` says what
is seen here.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread
import httpx2
import pytest
from pydantic import BaseModel

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.provider.answer_texts import marks_in
from wavetank.scenario import Fault, RefusalError, RetryAfter, Wave

from ..depth import DEEP

pytestmark = [
    # SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
    # Google's SDK, of a class of its own.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    # litellm, of its own types.
    pytest.mark.filterwarnings("ignore:Item.* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

Mode = Literal["plain", "stream", "tool", "tool-stream", "json"]
Ask = Callable[[Mode], Awaitable[str]]

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
MESSAGES: Any = [{"role": "user", "content": "item-1"}]
TEXT = "[wt:item-1] is the item this answer belongs to."


class City(BaseModel):
    """What the structured answers are to be."""

    name: str
    people: int


PARAMETERS: dict[str, Any] = City.model_json_schema()
FUNCTION = {"name": "look", "description": "Look a city up.", "parameters": PARAMETERS}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": PARAMETERS, "strict": True}}


# -- how each SDK is asked -------------------------------------------------------------------------


async def joined(chunks: AsyncIterator[Any], piece: Callable[[Any], str | None]) -> str:
    """The pieces of a stream, put together."""
    return "".join([piece(chunk) or "" async for chunk in chunks])


def fields(mode: Mode) -> dict[str, Any]:
    """What OpenAI's format has in a request for a mode."""
    more: dict[str, Any] = {"model": "m-1", "messages": MESSAGES}
    if mode.startswith("tool"):
        more |= {"tools": TOOLS, "tool_choice": "required"}
    return more | ({"response_format": SCHEMA} if mode == "json" else {})


def said(choice: Any) -> str:
    """The text of a message in OpenAI's format, or the arguments of its call."""
    calls = choice.message.tool_calls
    return str(calls[0].function.arguments if calls else choice.message.content)


def piece(chunk: Any) -> str | None:
    """The text of a chunk in OpenAI's format, or a piece of the arguments of a call."""
    if not chunk.choices:
        return None
    delta = chunk.choices[0].delta
    text: str | None = delta.tool_calls[0].function.arguments if delta.tool_calls else delta.content
    return text


async def ask_chat(client: Any, mode: Mode) -> str:
    """A chat completion of a client in OpenAI's shape."""
    async with client:
        if mode.endswith("stream"):
            return await joined(await client.chat.completions.create(**fields(mode), stream=True), piece)
        return said((await client.chat.completions.create(**fields(mode))).choices[0])


async def ask_openai(mode: Mode) -> str:
    import openai

    return await ask_chat(openai.AsyncOpenAI(_strict_response_validation=True), mode)


async def ask_azure(mode: Mode) -> str:
    import openai

    client = openai.AsyncAzureOpenAI(
        azure_endpoint="https://mine.openai.azure.com",
        api_version="2024-10-21",
        _strict_response_validation=True,
    )
    return await ask_chat(client, mode)


async def ask_vllm(mode: Mode) -> str:
    import openai

    return await ask_chat(
        openai.AsyncOpenAI(base_url="http://vllm:8000/v1", _strict_response_validation=True), mode
    )


async def ask_ollama_v1(mode: Mode) -> str:
    import openai

    return await ask_chat(
        openai.AsyncOpenAI(base_url="http://localhost:11434/v1", _strict_response_validation=True), mode
    )


async def ask_groq(mode: Mode) -> str:
    import groq

    return await ask_chat(groq.AsyncGroq(_strict_response_validation=True), mode)


async def ask_together(mode: Mode) -> str:
    import together

    return await ask_chat(together.AsyncTogether(_strict_response_validation=True), mode)


async def ask_fireworks(mode: Mode) -> str:
    import fireworks

    return await ask_chat(fireworks.AsyncFireworks(_strict_response_validation=True), mode)


async def ask_cerebras(mode: Mode) -> str:
    from cerebras.cloud.sdk import AsyncCerebras

    return await ask_chat(AsyncCerebras(_strict_response_validation=True), mode)


async def ask_hugging_face(mode: Mode) -> str:
    import huggingface_hub

    return await ask_chat(huggingface_hub.AsyncInferenceClient(api_key="hf_key"), mode)


async def ask_responses(mode: Mode) -> str:
    import openai

    more: dict[str, Any] = {"model": "m-1", "input": "item-1"}
    if mode.startswith("tool"):
        more |= {"tools": [{"type": "function", "strict": True, **FUNCTION}], "tool_choice": "required"}
    if mode == "json":
        more |= {"text": {"format": {"type": "json_schema", "name": "city", "schema": PARAMETERS}}}
    async with openai.AsyncOpenAI(_strict_response_validation=True) as client:
        if mode.endswith("stream"):
            events = await client.responses.create(**more, stream=True)
            return await joined(events, lambda event: getattr(event, "delta", None))
        (item,) = (await client.responses.create(**more)).output
        return str(item.arguments if item.type == "function_call" else item.content[0].text)


async def ask_anthropic(mode: Mode) -> str:
    import anthropic

    return await ask_messages(anthropic.AsyncAnthropic(_strict_response_validation=True), mode)


AWS_KEYS: dict[str, Any] = {
    "aws_access_key_id": "AKIAWAVETANK",
    "aws_secret_access_key": "secret-of-the-test",
}


async def ask_anthropic_on_bedrock(mode: Mode) -> str:
    import anthropic

    client = anthropic.AsyncAnthropicBedrock(
        aws_region="us-east-1",
        aws_access_key=AWS_KEYS["aws_access_key_id"],
        aws_secret_key=AWS_KEYS["aws_secret_access_key"],
        _strict_response_validation=True,
    )
    return await ask_messages(client, mode)


async def ask_anthropic_on_vertex(mode: Mode) -> str:
    import anthropic

    client = anthropic.AsyncAnthropicVertex(
        region="us-east5", project_id="p", access_token="token", _strict_response_validation=True
    )
    return await ask_messages(client, mode)


async def ask_anthropic_as_openai(mode: Mode) -> str:
    import openai

    client = openai.AsyncOpenAI(base_url="https://api.anthropic.com/v1", _strict_response_validation=True)
    return await ask_chat(client, mode)


async def ask_boto3(mode: Mode, *, retries: Any = None) -> str:
    import boto3
    from botocore.config import Config

    more: dict[str, Any] = {"modelId": "m-1", "messages": [{"role": "user", "content": [{"text": "item-1"}]}]}
    if mode.startswith("tool"):
        spec = {"name": "look", "inputSchema": {"json": PARAMETERS}}
        more["toolConfig"] = {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}
    if mode == "json":
        wanted = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(PARAMETERS)}}}
        more["outputConfig"] = {"textFormat": wanted}

    def call() -> str:
        config = Config(retries=retries)
        client = boto3.client("bedrock-runtime", region_name="us-east-1", config=config, **AWS_KEYS)
        if not mode.endswith("stream"):
            (block,) = client.converse(**more)["output"]["message"]["content"]
            return json.dumps(block["toolUse"]["input"]) if "toolUse" in block else str(block["text"])
        with closing(client.converse_stream(**more)["stream"]) as events:
            found = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
        deltas = [each["delta"] for each in found]
        return "".join(each["toolUse"]["input"] if "toolUse" in each else each["text"] for each in deltas)

    return await anyio.to_thread.run_sync(call)


async def ask_boto3_as_of_old(mode: Mode) -> str:
    return await ask_boto3(mode, retries={"mode": "legacy"})


async def ask_boto3_adapting(mode: Mode) -> str:
    return await ask_boto3(mode, retries={"mode": "adaptive"})


async def ask_replicate(mode: Mode) -> str:
    from replicate.client import Client

    client: Any = Client(api_token="key")
    model, asked = "meta/meta-llama-3-8b-instruct", {"prompt": "item-1"}
    if mode == "stream":
        return await joined(await client.async_stream(model, input=asked), lambda event: str(event))
    return "".join(await client.async_run(model, input=asked))


async def ask_messages(client: Any, mode: Mode) -> str:
    """A message of one of Anthropic's clients."""
    more: dict[str, Any] = {"model": "m-1", "messages": MESSAGES, "max_tokens": 100}
    if mode.startswith("tool"):
        tool = {"name": "look", "input_schema": PARAMETERS}
        more |= {"tools": [tool], "tool_choice": {"type": "any"}}
    if mode == "json":
        more |= {"output_config": {"format": {"type": "json_schema", "schema": PARAMETERS}}}
    async with client:
        if mode.endswith("stream"):
            async with client.messages.stream(**more) as events:
                async for _ in events:
                    pass
                (block,) = (await events.get_final_message()).content
        else:
            (block,) = (await client.messages.create(**more)).content
    return json.dumps(block.input) if block.type == "tool_use" else str(block.text)


async def ask_gemini(mode: Mode, *, httpx2_too: bool = False, retrying: bool = False, **options: Any) -> str:
    from google import genai
    from google.genai import types

    # Where aiohttp is installed the SDK prefers it, unless it is given a transport of httpx2's.
    http = types.HttpOptions(
        async_client_args={"transport": httpx2.AsyncHTTPTransport()} if httpx2_too else None,
        retry_options=types.HttpRetryOptions() if retrying else None,
    )
    client = genai.Client(http_options=http, **options)
    config: Any = {}
    if mode.startswith("tool"):
        declared = {"name": "look", "parameters_json_schema": PARAMETERS}
        config = {
            "tools": [{"function_declarations": [declared]}],
            "tool_config": {"function_calling_config": {"mode": "ANY"}},
            "automatic_function_calling": {"disable": True},
        }
    if mode == "json":
        config = {"response_mime_type": "application/json", "response_schema": City}

    def stated(answer: Any) -> str:
        calls = answer.function_calls
        return json.dumps(calls[0].args) if calls else str(answer.text or "")

    async with client.aio as asking:
        if mode.endswith("stream"):
            chunks = await asking.models.generate_content_stream(
                model="m-1", contents="item-1", config=config
            )
            return await joined(chunks, stated)
        return stated(await asking.models.generate_content(model="m-1", contents="item-1", config=config))


async def ask_gemini_on_httpx2(mode: Mode) -> str:
    return await ask_gemini(mode, httpx2_too=True)


async def ask_gemini_retrying(mode: Mode) -> str:
    return await ask_gemini(mode, retrying=True)


async def ask_vertex(mode: Mode) -> str:
    return await ask_gemini(mode, vertexai=True, api_key="key")


async def ask_mistral(mode: Mode, *, retrying: bool = False) -> str:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    policy = RetryConfig("backoff", BackoffStrategy(500, 60_000, 1.5, 120_000), retry_connection_errors=True)
    async with Mistral(api_key="key", retry_config=policy if retrying else None) as client:
        if mode.endswith("stream"):
            events = await client.chat.stream_async(**fields(mode))
            return await joined(events, lambda event: piece(event.data))
        answer = await client.chat.complete_async(**fields(mode))
        return said(answer.choices[0])


async def ask_mistral_retrying(mode: Mode) -> str:
    return await ask_mistral(mode, retrying=True)


async def ask_openrouter(mode: Mode) -> str:
    from openrouter import OpenRouter

    async with OpenRouter() as client:
        answer: Any = await client.chat.send_async(**fields(mode), stream=mode.endswith("stream"))
        if mode.endswith("stream"):
            return await joined(answer, piece)
        return said(answer.choices[0])


async def ask_cohere(mode: Mode) -> str:
    import cohere

    more: dict[str, Any] = {"model": "m-1", "messages": MESSAGES}
    if mode.startswith("tool"):
        more |= {"tools": TOOLS, "tool_choice": "REQUIRED"}
    if mode == "json":
        more |= {"response_format": {"type": "json_object", "json_schema": PARAMETERS}}

    def stated(event: Any) -> str | None:
        if event.type == "content-delta":
            return str(event.delta.message.content.text)
        return (
            str(event.delta.message.tool_calls.function.arguments)
            if event.type == "tool-call-delta"
            else None
        )

    async with cohere.AsyncClientV2() as client:
        if mode.endswith("stream"):
            return await joined(client.chat_stream(**more), stated)
        message: Any = (await client.chat(**more)).message
    return str(message.tool_calls[0].function.arguments if message.tool_calls else message.content[0].text)


async def ask_cohere_v1(mode: Mode) -> str:
    import cohere
    import httpx

    # Where httpx-aiohttp is installed the SDK prefers it, unless it is given a client of httpx's.
    async with cohere.AsyncClient(httpx_client=httpx.AsyncClient()) as client:
        if mode == "stream":
            events = client.chat_stream(model="m-1", message="item-1")
            return await joined(events, lambda event: getattr(event, "text", None))
        return str((await client.chat(model="m-1", message="item-1")).text)


async def ask_ollama(mode: Mode) -> str:
    import ollama

    client = ollama.AsyncClient()
    if mode == "stream":
        parts = await client.chat(model="m-1", messages=MESSAGES, stream=True)
        return await joined(parts, lambda part: part.message.content)
    wanted: Any = PARAMETERS if mode == "json" else None
    return str((await client.chat(model="m-1", messages=MESSAGES, format=wanted)).message.content)


async def ask_langchain(mode: Mode) -> str:
    from langchain_openai import ChatOpenAI

    client: Any = ChatOpenAI(model="m-1")
    if mode == "json":
        return str((await client.with_structured_output(City).ainvoke("item-1")).model_dump_json())
    if mode.startswith("tool"):
        client = client.bind_tools(TOOLS, tool_choice="required")
        return json.dumps((await client.ainvoke("item-1")).tool_calls[0]["args"])
    if mode == "stream":
        return await joined(client.astream("item-1"), lambda chunk: str(chunk.content))
    return str((await client.ainvoke("item-1")).content)


async def ask_pydantic_ai(mode: Mode) -> str:
    from pydantic_ai import Agent

    if mode.startswith(("tool", "json")):
        return (await Agent("openai-chat:m-1", output_type=City).run("item-1")).output.model_dump_json()
    agent = Agent("openai-chat:m-1")
    if mode == "stream":
        async with agent.run_stream("item-1") as run:
            return await joined(run.stream_text(delta=True), str)
    return (await agent.run("item-1")).output


async def ask_litellm(mode: Mode, model: str, **more: Any) -> str:
    import litellm

    asked = {**fields(mode), "model": model, **more}
    if mode.endswith("stream"):
        return await joined(await litellm.acompletion(**asked, stream=True), piece)
    answer: Any = await litellm.acompletion(**asked)
    return said(answer.choices[0])


def through_litellm(model: str, **more: Any) -> Ask:
    """How litellm is asked for a model of one of its providers."""
    return partial(ask_litellm, model=model, **more)


@dataclass(frozen=True)
class Sdk:
    """An SDK, the dialect it speaks, and whether it runs on trio."""

    ask: Ask
    dialect: str
    trio: bool = False
    modes: tuple[Mode, ...] = ("plain", "stream", "tool", "tool-stream", "json")


PLAIN: tuple[Mode, ...] = ("plain", "stream")
CALLING: tuple[Mode, ...] = (*PLAIN, "tool", "tool-stream")
SDKS = {
    "openai": Sdk(ask_openai, "openai", trio=True),
    "openai, responses": Sdk(ask_responses, "openai"),
    "openai, Azure": Sdk(ask_azure, "azure"),
    "openai, vLLM": Sdk(ask_vllm, "vllm"),
    "openai, Ollama": Sdk(ask_ollama_v1, "ollama"),
    "anthropic": Sdk(ask_anthropic, "anthropic", trio=True),
    "anthropic, Bedrock": Sdk(ask_anthropic_on_bedrock, "bedrock", trio=True),
    "anthropic, Vertex": Sdk(ask_anthropic_on_vertex, "vertex", trio=True),
    "openai, Anthropic": Sdk(ask_anthropic_as_openai, "anthropic", trio=True),
    "boto3": Sdk(ask_boto3, "bedrock", trio=True),
    "boto3, legacy": Sdk(ask_boto3_as_of_old, "bedrock", modes=PLAIN),
    "boto3, adaptive": Sdk(ask_boto3_adapting, "bedrock", modes=PLAIN),
    "replicate": Sdk(ask_replicate, "replicate", trio=True, modes=PLAIN),
    "google-genai": Sdk(ask_gemini, "gemini"),
    "google-genai, httpx2": Sdk(ask_gemini_on_httpx2, "gemini", trio=True, modes=PLAIN),
    "google-genai, retrying": Sdk(ask_gemini_retrying, "gemini", modes=PLAIN),
    "google-genai, Vertex": Sdk(ask_vertex, "vertex", modes=("plain", "stream", "tool")),
    "groq": Sdk(ask_groq, "groq", trio=True),
    "together": Sdk(ask_together, "together", trio=True),
    "fireworks": Sdk(ask_fireworks, "fireworks"),
    "cerebras": Sdk(ask_cerebras, "cerebras", trio=True),
    "huggingface_hub": Sdk(ask_hugging_face, "huggingface", trio=True),
    "mistralai": Sdk(ask_mistral, "mistral"),
    "mistralai, retrying": Sdk(ask_mistral_retrying, "mistral", modes=PLAIN),
    "openrouter": Sdk(ask_openrouter, "openrouter"),
    "cohere": Sdk(ask_cohere, "cohere"),
    "cohere, v1": Sdk(ask_cohere_v1, "cohere", modes=PLAIN),
    "ollama": Sdk(ask_ollama, "ollama", trio=True, modes=("plain", "stream", "json")),
    "langchain-openai": Sdk(ask_langchain, "openai", modes=("plain", "stream", "tool", "json")),
    "pydantic-ai": Sdk(ask_pydantic_ai, "openai", modes=("plain", "stream", "tool")),
    "litellm, OpenAI": Sdk(through_litellm("openai/m-1"), "openai"),
    "litellm, responses": Sdk(through_litellm("openai/responses/m-1"), "openai"),
    "litellm, Azure": Sdk(
        through_litellm("azure/m-1", api_base="https://mine.openai.azure.com", api_version="2024-10-21"),
        "azure",
    ),
    "litellm, Anthropic": Sdk(through_litellm("anthropic/m-1"), "anthropic"),
    "litellm, Gemini": Sdk(through_litellm("gemini/m-1"), "gemini", modes=CALLING),
    "litellm, Groq": Sdk(through_litellm("groq/m-1"), "groq"),
    "litellm, Mistral": Sdk(through_litellm("mistral/m-1"), "mistral"),
    "litellm, DeepSeek": Sdk(through_litellm("deepseek/m-1"), "deepseek"),
    "litellm, xAI": Sdk(through_litellm("xai/m-1"), "xai"),
    "litellm, OpenRouter": Sdk(through_litellm("openrouter/m-1"), "openrouter"),
    "litellm, Cohere": Sdk(through_litellm("cohere_chat/m-1"), "cohere", modes=PLAIN),
    "litellm, Ollama": Sdk(through_litellm("ollama_chat/m-1"), "ollama", modes=(*PLAIN, "json")),
    "litellm, vLLM": Sdk(through_litellm("hosted_vllm/m-1", api_base="http://vllm:8000/v1"), "vllm"),
}
EACH = pytest.mark.parametrize("name", SDKS)


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """On a busy machine boto3 reads its models for longer than a thread may block on something real."""
    import boto3

    boto3.client("bedrock-runtime", region_name="us-east-1", **AWS_KEYS)


# -- runs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What became of a question: an answer or an error, and when requests set out."""

    answer: str | None
    error: Exception | None
    sent: tuple[float, ...]
    dialects: frozenset[str]

    @property
    def gaps(self) -> list[float]:
        return [round(b - a, 3) for a, b in zip(self.sent, self.sent[1:], strict=False)]


def ask(name: str, mode: Mode, scenario: Scenario | None = None) -> Seen:
    """One question to an SDK in a world of its own."""
    return watched(SDKS[name].ask, mode, scenario=scenario)[mode]


def watched(
    asking: Ask, *modes: Mode, scenario: Scenario | None = None, backend: str = "asyncio"
) -> dict[Mode, Seen]:
    """What becomes of one question in each mode, one after another in a world of their own."""

    async def one(tank: Tank, mode: Mode) -> Seen:
        before, began = len(tank.fake_llm.requests), tank.now()
        answer, error = None, None
        try:
            answer = await asking(mode)
        except Exception as raised:
            error = raised
        # litellm asks Ollama about a model before it asks the model: those requests carry no item.
        records = [record for record in tank.fake_llm.requests[before:] if record.item is not None]
        dialects = frozenset(record.request.dialect for record in records)
        return Seen(answer, error, tuple(record.sent - began for record in records), dialects)

    async def main(tank: Tank) -> dict[Mode, Seen]:
        return {mode: await one(tank, mode) for mode in modes}

    run = wavetank.simulate(main, scenario or Scenario(), backend=backend, checks=())
    if run.error is not None:
        raise run.error
    assert run.value is not None
    return run.value


def after(seconds: float) -> Duration:
    """A length of time."""
    return Duration(round(seconds * SECOND))


def refusing(lasts: float, status: int | None = 429, **more: Any) -> Scenario:
    """All requests are refused for so many seconds."""
    return Scenario(wave=(Wave(lasts=after(lasts), status=status, **more),))


def stated(seconds: float) -> RetryAfter:
    """A Retry-After in seconds."""
    return RetryAfter(value=after(seconds))


# -- answers ---------------------------------------------------------------------------------------


@EACH
def test_an_sdk_reads_its_answers(name: str) -> None:
    """Each with one request, in the dialect of its host.

    They are its text, plain and put together from a stream; the arguments of the call that was forced, whole
    and from a stream; and the JSON of a schema. Those of calls and schemas have the item's mark.
    """
    sdk = SDKS[name]
    for mode, seen in watched(sdk.ask, *sdk.modes).items():
        assert (mode, seen.error, len(seen.sent)) == (mode, None, 1)
        if mode in PLAIN:
            assert (mode, seen.answer, seen.sent, seen.dialects) == (
                mode,
                TEXT,
                (0.0,),
                frozenset({sdk.dialect}),
            )
        else:
            assert marks_in(City.model_validate_json(seen.answer or "").name) == ("item-1",), mode


@pytest.mark.parametrize("name", [name for name, sdk in SDKS.items() if sdk.trio])
def test_an_sdk_reads_its_answers_on_trio(name: str) -> None:
    """Those that are not bound to asyncio."""
    for mode, seen in watched(SDKS[name].ask, *PLAIN, backend="trio").items():
        assert (mode, seen.error, seen.answer) == (mode, None, TEXT)


def sync_openai() -> str:
    import openai

    with openai.OpenAI() as client:
        return said(client.chat.completions.create(**fields("plain")).choices[0])


def sync_anthropic() -> str:
    import anthropic

    with anthropic.Anthropic() as client:
        (block,) = client.messages.create(model="m-1", max_tokens=99, messages=MESSAGES).content
        return str(getattr(block, "text", ""))


def sync_anthropic_on_bedrock() -> str:
    import anthropic

    with anthropic.AnthropicBedrock(
        aws_region="us-east-1", aws_access_key="AKIAWAVETANK", aws_secret_key="secret-of-the-test"
    ) as client:
        (block,) = client.messages.create(model="m-1", max_tokens=99, messages=MESSAGES).content
        return str(getattr(block, "text", ""))


def sync_anthropic_on_vertex() -> str:
    import anthropic

    with anthropic.AnthropicVertex(region="global", project_id="p", access_token="token") as client:
        (block,) = client.messages.create(model="m-1", max_tokens=99, messages=MESSAGES).content
        return str(getattr(block, "text", ""))


def sync_gemini() -> str:
    from google import genai
    from google.genai import types

    options = types.HttpOptions(retry_options=types.HttpRetryOptions())
    with genai.Client(http_options=options) as client:
        return str(client.models.generate_content(model="m-1", contents="item-1").text)


def sync_groq() -> str:
    import groq

    with groq.Groq() as client:
        return said(client.chat.completions.create(**fields("plain")).choices[0])


def sync_together() -> str:
    import together

    with together.Together() as client:
        return said(client.chat.completions.create(**fields("plain")).choices[0])


def sync_fireworks() -> str:
    import fireworks

    with fireworks.Fireworks() as client:
        return said(client.chat.completions.create(**fields("plain")).choices[0])


def sync_cerebras() -> str:
    from cerebras.cloud.sdk import Cerebras

    with Cerebras() as client:
        answer: Any = client.chat.completions.create(**fields("plain"))
        return said(answer.choices[0])


def sync_cohere() -> str:
    import cohere

    with cohere.ClientV2() as client:
        message: Any = client.chat(model="m-1", messages=MESSAGES).message
        return str(message.content[0].text)


def sync_requests() -> str:
    import requests

    while True:
        answer = requests.post(
            "https://api.mistral.ai/v1/chat/completions",
            headers={"authorization": "Bearer key"},
            json=fields("plain"),
            timeout=60,
        )
        if answer.status_code == 200:
            return str(answer.json()["choices"][0]["message"]["content"])
        time.sleep(float(answer.headers["retry-after"]))


@pytest.mark.parametrize(
    ("module", "call", "waits"),
    [
        ("openai", sync_openai, 7),
        ("anthropic", sync_anthropic, 7),
        ("anthropic.lib.bedrock", sync_anthropic_on_bedrock, 7),
        ("anthropic.lib.vertex", sync_anthropic_on_vertex, 7),
        ("google.genai", sync_gemini, None),
        ("groq", sync_groq, 7),
        ("together", sync_together, 7),
        ("fireworks", sync_fireworks, 7),
        ("cerebras.cloud.sdk", sync_cerebras, 7),
        ("cohere", sync_cohere, 7),
        ("requests", sync_requests, 7),
    ],
)
def test_a_sync_client_waits_in_virtual_time(
    module: str, call: Callable[[], str], waits: float | None
) -> None:
    """It reads its answer after a refusal, and waits as its async twin does."""
    import_module(module)  # On a busy machine this takes longer than a thread may block on something real.

    async def main(tank: Tank) -> tuple[str, float]:
        answer = await anyio.to_thread.run_sync(call)
        first, second = (record.sent for record in tank.fake_llm.requests)
        return answer, second - first - 0.01

    run = wavetank.simulate(main, refusing(0.1, retry_after=stated(7)), checks=())
    if run.error is not None:
        raise run.error
    assert run.value is not None
    answer, waited = run.value
    assert answer == TEXT
    assert waited == pytest.approx(waits) if waits is not None else 1 <= waited <= 2


# -- what the page says of each SDK -----------------------------------------------------------------


CASES: dict[str, Callable[[str], Seen]] = {
    "429, 7 s": lambda name: ask(name, "plain", refusing(0.1, retry_after=stated(7))),
    "429, 300 s": lambda name: ask(name, "plain", refusing(0.1, retry_after=stated(300))),
    "429 for 20 s": lambda name: ask(name, "plain", refusing(20, retry_after=RetryAfter(form="none"))),
    "overload for 20 s": lambda name: ask(name, "plain", refusing(20, None, error="overloaded")),
    "error in the stream": lambda name: ask(
        name, "stream", Scenario(fault=(Fault(kind="error-in-stream", after_chunks=2),))
    ),
    "429 inside a 200": lambda name: ask(name, "plain", refusing(0.1, wrapping="in-200")),
}


def cell(case: str, seen: Seen) -> str:
    """What the page says in a cell."""
    requests = len(seen.sent)
    if seen.error is not None:
        error = f"`{type(seen.error).__name__}`"
        return error if requests == 1 else f"{error} after {requests} requests"
    if case == "error in the stream" or (requests == 1 and not marks_in(seen.answer or "")):
        return "raises nothing"
    if requests == 2:
        waited = seen.gaps[0] - 0.01
        return f"waits {waited:g} s" if waited == pytest.approx(round(waited)) else "backs off"
    return f"answered at request {requests}"


def page_rows() -> dict[str, list[str]]:
    """The table of the page."""
    _, _, rest = PAGE.read_text("utf-8").partition("\n## What the SDKs do\n")
    rows = [line.strip("| \n").split(" | ") for line in rest.partition("\n## ")[0].splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == len(CASES) + 1}


@EACH
def test_the_page_says_what_an_sdk_does(name: str) -> None:
    """The row of the SDK is what it does here; of the columns, the cases, every third has its turn."""
    rows = page_rows()
    assert rows["SDK"] == list(CASES)
    row = dict(zip(CASES, rows[name], strict=True))
    columns = list(CASES)[list(SDKS).index(name) % 3 :: 3]
    seen = {case: cell(case, CASES[case](name)) for case in (CASES if DEEP else columns)}
    assert seen == {case: row[case] for case in seen}


BACKOFFS: dict[str, Callable[[int], tuple[float, float]]] = {
    "stainless": lambda n: (0.375 * 2**n, 0.5 * 2**n),
    "together": lambda n: (0.75 * 2**n, 2.0**n),
    "cohere": lambda n: (0.9 * 2**n, 1.1 * 2**n),
    "google": lambda n: (2.0**n, 2.0**n + 1),
    "speakeasy": lambda n: (0.5 * 1.5**n, 0.5 * 1.5**n + 1),
}
"""Seconds between which the n-th wait of an SDK's own making is."""


@pytest.mark.parametrize(
    ("name", "backoff"),
    [
        ("openai", "stainless"),
        ("anthropic", "stainless"),
        ("groq", "stainless"),
        ("together", "together"),
        ("fireworks", "stainless"),
        ("cerebras", "stainless"),
        ("langchain-openai", "stainless"),
        ("cohere", "cohere"),
        ("google-genai, retrying", "google"),
        ("mistralai, retrying", "speakeasy"),
        ("openrouter", "speakeasy"),
    ],
)
def test_an_sdk_backs_off_as_its_makers_wrote(name: str, backoff: str) -> None:
    """Without a Retry-After each wait is longer than the one before, within its bounds."""
    gaps = CASES["overload for 20 s"](name).gaps
    assert len(gaps) >= 2
    for n, gap in enumerate(gaps):
        low, high = BACKOFFS[backoff](n)
        assert low <= gap - 0.01 <= high + 0.001


@pytest.mark.parametrize(
    ("name", "wrong", "error", "requests"),
    [
        ("openai", "billing", "RateLimitError", 3),
        ("anthropic", "billing", "PaymentRequiredError", 1),
        ("openrouter", "billing", "PaymentRequiredResponseError", 1),
        ("groq", "billing", "BadRequestError", 1),
        ("boto3", "billing", "AccessDeniedException", 1),
        ("boto3", "too-large", "ValidationException", 1),
        ("boto3", "timeout", "ModelTimeoutException", 1),
        ("boto3", "throttle", "ModelNotReadyException", 3),
        ("replicate", "billing", "ReplicateError", 1),
        ("anthropic", "too-large", "ContentTooLargeError", 1),
        ("groq", "too-large", "APIStatusError", 1),
        ("google-genai", "timeout", "ServerError", 1),
    ],
)
def test_an_error_comes_with_the_status_of_its_vendor(
    name: str, wrong: RefusalError, error: str, requests: int
) -> None:
    """A scenario that names no status gets the one for which the SDK has a class of its own."""
    seen = ask(name, "plain", refusing(60, None, error=wrong))
    assert (type(seen.error).__name__, len(seen.sent)) == (error, requests)


async def ask_litellm_router(mode: Mode) -> str:
    import litellm

    deployed = {"model_name": "mine", "litellm_params": {"model": "anthropic/m-1"}}
    router = litellm.Router(model_list=[deployed], num_retries=2)
    answer: Any = await router.acompletion(**{**fields(mode), "model": "mine"})
    return said(answer.choices[0])


@pytest.mark.parametrize(
    ("again", "seconds", "low", "high"),
    [
        (through_litellm("anthropic/m-1", num_retries=2), 7, 0.0, 0.0),
        (ask_litellm_router, 7, 7, 7.75),
        (ask_litellm_router, 300, 0.5, 1.25),
    ],
)
def test_litellm_asks_again_in_two_ways(again: Ask, seconds: float, low: float, high: float) -> None:
    """`num_retries` does so at once, whatever the Retry-After; a router waits, unless it is for over 60 s."""
    seen = watched(again, "plain", scenario=refusing(0.005, retry_after=stated(seconds)))["plain"]
    assert seen.answer == TEXT
    (gap,) = seen.gaps
    assert low <= gap - 0.01 <= high + 0.001


def test_the_page_has_no_other_sdk() -> None:
    """Each row is one that is tested."""
    assert set(page_rows()) - {"SDK"} - {"---"} == set(SDKS)
