"""What else can be asked: embeddings, models, counts of tokens; by the vendors' SDKs and by hand."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.provider.http import BadRequest, Dialect, HttpRequest
from wavetank.provider.provider import Provider
from wavetank.provider.vendors.openai.embeddings import packed, vector
from wavetank.scenario import Limits, Wave

from .dialects import dialect_for

# Google's SDK warns of a class of its own.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

Call = Callable[[], Awaitable[Any]]


def met(call: Call, scenario: Scenario | None = None) -> Any:
    """What a call returns in a world of its own."""

    async def main(_tank: Tank) -> Any:
        return await call()

    run = wavetank.simulate(main, scenario or Scenario(), checks=())
    if run.error is not None:
        raise run.error
    return run.value


# -- embeddings ------------------------------------------------------------------------------------


def test_a_vector_depends_on_its_text_alone() -> None:
    """Its length is 1, whatever its number of dimensions."""
    assert vector("a") == vector("a") != vector("b")
    for dimensions in (1, 8, 100):
        numbers = vector("a", dimensions)
        assert len(numbers) == dimensions
        assert math.hypot(*numbers) == pytest.approx(1)


def test_base64_is_little_endian() -> None:
    """32-bit floats, the lowest byte first."""
    assert base64.b64decode(packed([1.0, -0.5])) == struct.pack("<f", 1.0) + struct.pack("<f", -0.5)


async def embedded_by_openai(**options: Any) -> Any:
    import openai

    async with openai.AsyncOpenAI(**options) as client:
        floats = await client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        packed_ones = [] if options else (await client.embeddings.create(model="m", input=["a", "b"])).data
        return floats, packed_ones


def test_openai_reads_embeddings() -> None:
    """As lists and packed; strictly only as lists, since the SDK's type knows no text."""
    floats, _ = met(lambda: embedded_by_openai(_strict_response_validation=True))
    assert [one.embedding for one in floats.data] == [vector("a"), vector("b")]
    assert (floats.usage.prompt_tokens, floats.usage.total_tokens) == (1, 1)
    floats, packed_ones = met(embedded_by_openai)
    for one, other in zip(floats.data, packed_ones, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)


async def embedded_by_mistral() -> Any:
    from mistralai.client import Mistral

    async with Mistral(api_key="key") as client:
        answer = await client.embeddings.create_async(model="m", inputs=["a", "b"])
        return [one.embedding for one in answer.data]


async def embedded_by_cohere() -> Any:
    import cohere

    async with cohere.AsyncClientV2() as client:
        answer = await client.embed(
            model="m", texts=["a", "b"], input_type="search_query", embedding_types=["float"]
        )
        return answer.embeddings.float_


async def embedded_by_cohere_v1() -> Any:
    import cohere

    async with cohere.AsyncClient() as client:
        return (await client.embed(texts=["a", "b"])).embeddings


async def embedded_by_ollama() -> Any:
    import ollama

    return (await ollama.AsyncClient().embed(model="m", input=["a", "b"])).embeddings


async def embedded_by_gemini() -> Any:
    from google import genai

    async with genai.Client().aio as client:
        texts: Any = ["a", "b"]
        answer: Any = await client.models.embed_content(model="m", contents=texts)
        return [one.values for one in answer.embeddings]


@pytest.mark.parametrize(
    "call",
    [embedded_by_mistral, embedded_by_cohere, embedded_by_cohere_v1, embedded_by_ollama, embedded_by_gemini],
)
def test_other_sdks_read_embeddings(call: Call) -> None:
    """All have the same vectors."""
    assert [list(one) for one in met(call)] == [vector("a"), vector("b")]


# -- models and counts -----------------------------------------------------------------------------


async def models_of_openai() -> list[str]:
    import openai

    async with openai.AsyncOpenAI(_strict_response_validation=True) as client:
        found = [model.id async for model in client.models.list()]
        return [*found, (await client.models.retrieve("gpt-9")).id]


async def models_of_anthropic() -> list[str]:
    import anthropic

    async with anthropic.AsyncAnthropic(_strict_response_validation=True) as client:
        found = [model.id async for model in client.models.list()]
        return [*found, (await client.models.retrieve("claude-9")).id]


async def models_of_groq() -> list[str]:
    import groq

    async with groq.AsyncGroq(_strict_response_validation=True) as client:
        return [model.id for model in (await client.models.list()).data]


async def models_of_mistral() -> list[str]:
    from mistralai.client import Mistral

    async with Mistral(api_key="key") as client:
        return [model.id for model in (await client.models.list_async()).data or []]


async def models_of_openrouter() -> list[str]:
    from openrouter import OpenRouter

    async with OpenRouter() as client:
        return [model.id for model in (await client.models.list_async()).result.data]


async def models_of_cohere() -> list[str]:
    import cohere

    async with cohere.AsyncClientV2() as client:
        return [model.name or "" for model in (await client.models.list()).models]


async def models_of_ollama() -> list[str]:
    import ollama

    return [model.model or "" for model in (await ollama.AsyncClient().list()).models]


async def models_of_gemini() -> list[str]:
    from google import genai

    async with genai.Client().aio as client:
        return [model.name or "" async for model in await client.models.list()]


@pytest.mark.parametrize(
    ("call", "some"),
    [
        (models_of_openai, {"gpt-5", "gpt-9"}),
        (models_of_anthropic, {"claude-sonnet-5-5", "claude-9"}),
        (models_of_groq, {"llama-3.3-70b-versatile"}),
        (models_of_mistral, {"mistral-large-latest"}),
        (models_of_openrouter, {"openai/gpt-5"}),
        (models_of_cohere, {"command-a-03-2025"}),
        (models_of_ollama, {"llama3.2:latest"}),
        (models_of_gemini, {"models/gemini-2.5-pro"}),
    ],
)
def test_sdks_read_lists_of_models(call: Call, some: set[str]) -> None:
    """A few names; and one model, whatever its name, where an SDK asks for it."""
    assert some <= set(met(call))


async def counted_by_anthropic() -> int:
    import anthropic

    async with anthropic.AsyncAnthropic(_strict_response_validation=True) as client:
        messages: Any = [{"role": "user", "content": "How long is a wave?"}]
        return (await client.messages.count_tokens(model="m", messages=messages)).input_tokens


async def counted_by_gemini() -> int:
    from google import genai

    async with genai.Client().aio as client:
        answer = await client.models.count_tokens(model="m", contents="How long is a wave?")
        return int(answer.total_tokens or 0)


@pytest.mark.parametrize("call", [counted_by_anthropic, counted_by_gemini])
def test_sdks_read_counts_of_tokens(call: Call) -> None:
    """The same count that an answer to the same text is charged with."""
    assert met(call) == 5


def test_sdks_read_a_list_of_models_page_by_page() -> None:
    """Anthropic's, Gemini's and OpenRouter's lists come in the pages that the SDK asks for."""
    import anthropic
    from google import genai
    from openrouter import OpenRouter

    async def anthropic_pages() -> list[str]:
        async with anthropic.AsyncAnthropic(_strict_response_validation=True) as client:
            page = await client.models.list(limit=1)
            later = await client.models.list(limit=1, before_id="claude-haiku-5-5")
            return [later.data[0].id, *[model.id async for model in page]]

    async def gemini_pages() -> list[str]:
        async with genai.Client().aio as client:
            page = await client.models.list(config={"page_size": 1})
            return [model.name or "" async for model in page]

    async def openrouter_pages() -> list[str]:
        async with OpenRouter() as client:
            first = (await client.models.list_async(limit=1)).result
            second = (await client.models.list_async(limit=1, offset=1)).result
            assert first.links is not None
            assert second.links is not None
            return [str(first.links.next), first.data[0].id, second.data[0].id, str(second.links.next)]

    claude = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"]
    assert met(anthropic_pages) == ["claude-sonnet-5-5", *claude]
    assert met(gemini_pages) == ["models/gemini-2.5-pro", "models/gemini-2.5-flash"]
    url = "https://openrouter.ai/api/v1/models?offset=1&limit=1"
    assert met(openrouter_pages) == [url, "openai/gpt-5", "anthropic/claude-sonnet-5.5", "None"]


@pytest.mark.parametrize(
    ("host", "query", "said"),
    [
        ("api.anthropic.com", "limit=0", "limit: must be a number from 1 to 1000"),
        ("api.anthropic.com", "after_id=gpt-5", "there is no model gpt-5"),
        ("generativelanguage.googleapis.com", "pageSize=x", "pageSize: must be a number"),
        ("generativelanguage.googleapis.com", "pageToken=x", "Invalid page token."),
        ("openrouter.ai", "offset=-1", "offset: must be a number"),
    ],
)
def test_a_page_that_does_not_exist_is_refused(host: str, query: str, said: str) -> None:
    """With status 400, in the provider's own error."""
    path = {"openrouter.ai": "/api/v1/models"}.get(host, "/v1/models")
    dialect = dialect_for(host)
    assert dialect is not None
    headers = {"authorization": "Bearer k", "anthropic-version": "1"}
    request = HttpRequest(method="GET", host=host, path=path, query=query, headers=headers)
    with pytest.raises(BadRequest) as refused:
        dialect.decode(request)
    assert refused.value.reply.status == 400
    assert said in refused.value.reply.body.decode()


def test_a_list_of_models_can_be_refused() -> None:
    """A wave meets every request, and the SDK asks again."""
    wave = Wave(lasts=Duration(SECOND), status=429)
    assert "gpt-5" in met(models_of_openai, Scenario(wave=(wave,)))


# -- by hand ---------------------------------------------------------------------------------------


def replied(host: str, path: str, body: Any = None, *, scenario: Scenario | None = None) -> Any:
    """The JSON of an answer, or of the refusal of a bad request."""
    dialect = dialect_for(host)
    assert dialect is not None
    method = "GET" if body is None else "POST"
    request = HttpRequest(
        method=method,
        host=host,
        path=path,
        headers={"authorization": "Bearer k", "anthropic-version": "1"},
        body=b"" if body is None else json.dumps(body).encode(),
    )
    try:
        return encoded(dialect, request, scenario or Scenario())
    except BadRequest as bad:
        return bad.reply.status, json.loads(bad.reply.body)


def encoded(dialect: Dialect, request: HttpRequest, scenario: Scenario) -> Any:
    """The JSON of the only part of an answer."""
    decoded = dialect.decode(request, now=0)
    provider = Provider(scenario)
    provider.arrive(
        msgspec.structs.replace(decoded, id=1, key="key-1"),
        0,
    )
    (reply,) = provider.advance(SECOND)
    return json.loads(dialect.encode(decoded, reply).data)


def test_an_embedding_costs_its_prompt_alone() -> None:
    """No words are answered, so none are charged: it passes where a chat would be too large."""
    few = Scenario(limits=Limits(tokens_per_minute=3))
    assert replied("api.openai.com", "/v1/embeddings", {"model": "m", "input": "abc"}, scenario=few)["data"]
    chat = {"model": "m", "messages": [{"role": "user", "content": "abc"}]}
    assert "error" in replied("api.openai.com", "/v1/chat/completions", chat, scenario=few)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": [{}]}, "input"),
        ({"model": "m", "input": 7}, "input"),
        ({"input": "x"}, "model"),
        ({"model": "m", "input": "x", "dimensions": 0}, "dimensions"),
    ],
)
def test_bad_embeddings_are_turned_away(body: Any, param: str) -> None:
    """The parameter that is wrong is named."""
    status, refused = replied("api.openai.com", "/v1/embeddings", body)
    assert (status, refused["error"]["param"]) == (400, param)


def test_cohere_s_embeddings_come_by_type() -> None:
    """Floats and bytes; what is not known is left out."""
    body = {"model": "m", "texts": ["a"], "embedding_types": ["float", "int8", "ubinary"]}
    assert replied("api.cohere.com", "/v2/embed", body)["embeddings"].keys() == {"float", "int8"}


def test_ollama_shows_a_model() -> None:
    """Under either name that clients give it; without one it is a bad request."""
    for body in ({"model": "m"}, {"name": "m"}):
        assert "tools" in replied("localhost:11434", "/api/show", body)["capabilities"]
    assert replied("localhost:11434", "/api/show", {}) == (400, {"error": "model is required"})


def test_ollama_states_its_version() -> None:
    """Some clients ask for it first."""
    assert replied("localhost:11434", "/api/version")["version"]
