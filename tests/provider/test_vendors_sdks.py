"""What SDKs of vendors ask for beside chat: embeddings, reranking, and requests of the SDK's own."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import anyio.to_thread
import pytest

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.provider.vendors.openai.rerank import score
from wavetank.scenario import RetryAfter, Wave

TEXTS = ["a", "bb", "ccc"]
ORDER = sorted(range(3), key=lambda index: -score("q", TEXTS[index]))
"""How the reranker orders the texts."""


def run(main: Any, scenario: Scenario | None = None) -> Any:
    """What a program returns in a world of its own."""
    ran = wavetank.simulate(main, scenario or Scenario(), checks=())
    if ran.error is not None:
        raise ran.error
    return ran.value


def refused_once() -> Scenario:
    """The first request is refused, and is to come back after 7 s."""
    wave = Wave(lasts=Duration(SECOND // 10), status=429, retry_after=RetryAfter(value=Duration(7 * SECOND)))
    return Scenario(wave=(wave,))


# -- Voyage AI ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """On a busy machine an import takes longer than a thread may block on something real."""
    import_module("voyageai")
    import_module("cerebras.cloud.sdk")


async def voyage_async(**options: Any) -> tuple[list[Any], list[Any], list[int]]:
    from voyageai.client_async import AsyncClient

    client = AsyncClient(**options)
    found = await client.embed(TEXTS, model="voyage-3.5", input_type="document")
    best = await client.rerank("q", TEXTS, model="rerank-2.5", top_k=2)
    return found.embeddings, best.results, [found.total_tokens, best.total_tokens]


def voyage_sync(**options: Any) -> tuple[list[Any], list[Any], list[int]]:
    from voyageai.client import Client

    client = Client(**options)
    found = client.embed(TEXTS, model="voyage-3.5", input_type="document")
    best = client.rerank("q", TEXTS, model="rerank-2.5", top_k=2)
    return found.embeddings, best.results, [found.total_tokens, best.total_tokens]


async def voyage(kind: str, **options: Any) -> tuple[list[Any], list[Any], list[int]]:
    """Both questions to a client of a kind."""
    if kind == "async":
        return await voyage_async(**options)
    return await anyio.to_thread.run_sync(lambda: voyage_sync(**options))


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_voyage_ai_embeds_and_ranks(kind: str) -> None:
    """Its own SDK, on aiohttp and on requests, has a vector for each text and the best documents."""

    async def main(tank: Tank) -> Any:
        vectors, results, tokens = await voyage(kind)
        return vectors, results, tokens, [record.request.card.name for record in tank.fake_llm.requests]

    vectors, results, tokens, dialects = run(main)
    assert len({tuple(vector) for vector in vectors}) == 3
    assert [(one.index, one.document) for one in results] == [(n, TEXTS[n]) for n in ORDER[:2]]
    assert results[0].relevance_score == score("q", TEXTS[ORDER[0]])
    assert all(count > 0 for count in tokens)
    assert dialects == ["voyage", "voyage"]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_voyage_ai_s_sdk_tells_a_rate_limit_and_backs_off(kind: str) -> None:
    """It says what the `detail` says; with attempts left it waits one or two seconds, not the seven."""
    import voyageai.error

    async def refused(_tank: Tank) -> Any:
        with pytest.raises(voyageai.error.RateLimitError, match="You have exceeded the rate limit of"):
            await voyage(kind)

    async def again(tank: Tank) -> float:
        await voyage(kind, max_retries=3)
        first, second, _ = tank.fake_llm.requests
        return second.sent - first.sent

    run(refused, refused_once())
    assert 1 <= run(again, refused_once()) <= 2.1


# -- other rerankers and embeddings ------------------------------------------------------------------


def test_together_embeds_and_ranks() -> None:
    """Its SDK parses both strictly."""
    import together

    async def main(_tank: Tank) -> Any:
        async with together.AsyncTogether(_strict_response_validation=True) as client:
            ranking = await client.rerank.create(model="m-1", query="q", documents=TEXTS, top_n=2)
            vectors = await client.embeddings.create(model="m-1", input=TEXTS)
        return [(one.index, one.document.text) for one in ranking.results], len(vectors.data)

    assert run(main) == ([(index, TEXTS[index]) for index in ORDER[:2]], 3)


@pytest.mark.parametrize("version", ["1", "2"])
def test_cohere_ranks(version: str) -> None:
    """In both versions; documents come back if they are asked for."""
    import cohere

    async def main(_tank: Tank) -> Any:
        if version == "2":
            async with cohere.AsyncClientV2() as client:
                found = await client.rerank(model="rerank-v3.5", query="q", documents=TEXTS, top_n=2)
                return [(one.index, TEXTS[one.index]) for one in found.results]
        async with cohere.AsyncClient() as first:
            known = await first.rerank(query="q", documents=TEXTS, model="m", top_n=2, return_documents=True)
            return [(one.index, one.document and one.document.text) for one in known.results]

    assert run(main) == [(index, TEXTS[index]) for index in ORDER[:2]]


def test_a_reranker_costs_tokens_and_meets_the_scenario() -> None:
    """It counts as a request, and is refused as chat is."""
    import together

    async def main(tank: Tank) -> Any:
        async with together.AsyncTogether() as client:
            ranking = await client.rerank.create(model="m-1", query="q" * 400, documents=TEXTS)
        assert ranking.usage is not None
        return [record.status for record in tank.fake_llm.requests], ranking.usage.prompt_tokens

    statuses, tokens = run(main, refused_once())
    assert statuses == [429, 200]
    assert tokens >= 100


# -- requests of an SDK's own ------------------------------------------------------------------------


def test_the_warm_up_of_cerebras_counts_as_no_request() -> None:
    """Its client asks for `/v1/tcp_warming` when it is made: that leaves no record and no event."""
    from cerebras.cloud.sdk import Cerebras

    def call() -> str | None:
        with Cerebras() as client:
            asked: Any = {"model": "m-1", "messages": [{"role": "user", "content": "item-1"}]}
            answer: Any = client.chat.completions.create(**asked)
            return str(answer.choices[0].message.content)

    async def main(tank: Tank) -> Any:
        answer = await anyio.to_thread.run_sync(call)
        return answer, [record.request.endpoint for record in tank.fake_llm.requests]

    answer, endpoints = run(main)
    assert answer == "[wt:item-1] is the item this answer belongs to."
    assert endpoints == ["chat"]


def test_hugging_face_s_sync_client_tells_a_rate_limit() -> None:
    """It raises at once, with the vendor's text, and is answered when it asks again."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    def call() -> str:
        client = huggingface_hub.InferenceClient(api_key="hf_key")
        asked: Any = {"model": "m-1", "messages": [{"role": "user", "content": "item-1"}]}
        with pytest.raises(HfHubHTTPError, match="Too many requests"):
            client.chat.completions.create(**asked)
        time.sleep(7)
        return str(client.chat.completions.create(**asked).choices[0].message.content)

    async def main(tank: Tank) -> Any:
        return await anyio.to_thread.run_sync(call), [record.status for record in tank.fake_llm.requests]

    assert run(main, refused_once()) == ("[wt:item-1] is the item this answer belongs to.", [429, 200])
