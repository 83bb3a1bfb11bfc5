"""The providers: what goes over the wire, how answers and errors are read, and that no key leaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from wavetank.processor import CallResult, LLMWorkItem, TokenUsage, classify
from wavetank.run.provider_strategy import ITEM_HEADER, ProviderStrategy, new_client, with_prompt
from wavetank.run.providers import PROVIDERS, Prices, RequestSettings, is_local
from wavetank.run.run_errors import ApiError, NoPrompt, UnreadableAnswer

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
FULL = RequestSettings("some-model", system="Be brief.", max_tokens=9, temperature=0.5)
CHAT = {"choices": [{"message": {"content": "WAVE"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "wave"}]

WIRE: dict[str, tuple[str, tuple[str, str], dict[str, Any], dict[str, Any]]] = {
    "openai": (
        "https://api.openai.com/v1/chat/completions",
        ("authorization", f"Bearer {KEY}"),
        {"model": "some-model", "messages": MESSAGES, "max_completion_tokens": 9, "temperature": 0.5},
        CHAT,
    ),
    "openai-compatible": (
        "https://llm.example/v1/chat/completions",
        ("authorization", f"Bearer {KEY}"),
        {"model": "some-model", "messages": MESSAGES, "max_tokens": 9, "temperature": 0.5},
        CHAT,
    ),
    "mistral": (
        "https://api.mistral.ai/v1/chat/completions",
        ("authorization", f"Bearer {KEY}"),
        {"model": "some-model", "messages": MESSAGES, "max_tokens": 9, "temperature": 0.5},
        CHAT,
    ),
    "openrouter": (
        "https://openrouter.ai/api/v1/chat/completions",
        ("authorization", f"Bearer {KEY}"),
        {"model": "some-model", "messages": MESSAGES, "max_tokens": 9, "temperature": 0.5},
        CHAT,
    ),
    "anthropic": (
        "https://api.anthropic.com/v1/messages",
        ("x-api-key", KEY),
        {
            "model": "some-model",
            "max_tokens": 9,
            "messages": MESSAGES[1:],
            "system": "Be brief.",
            "temperature": 0.5,
        },
        {
            "content": [
                {"type": "thinking", "thinking": "…"},
                {"type": "text", "text": "WA"},
                {"type": "text", "text": "VE"},
            ],
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
    ),
    "gemini": (
        "https://generativelanguage.googleapis.com/v1beta/models/some-model:generateContent",
        ("x-goog-api-key", KEY),
        {
            "contents": [{"role": "user", "parts": [{"text": "wave"}]}],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5},
        },
        {
            "candidates": [{"content": {"parts": [{"text": "WA"}, {"text": "VE"}]}}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
        },
    ),
    "ollama": (
        "http://127.0.0.1:11434/api/chat",
        ("authorization", f"Bearer {KEY}"),
        {
            "model": "some-model",
            "messages": MESSAGES,
            "stream": False,
            "options": {"num_predict": 9, "temperature": 0.5},
        },
        {"message": {"content": "WAVE"}, "prompt_eval_count": 3, "eval_count": 4},
    ),
}


async def sent(
    name: str,
    answer: Callable[[httpx2.Request], httpx2.Response],
    *,
    ask: RequestSettings = FULL,
    prompt: str = "wave",
    key: str = KEY,
    prices: Prices | None = None,
) -> CallResult[str]:
    """One request to a provider that answers like this."""
    base = "https://llm.example/v1/" if name == "openai-compatible" else None
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        strategy = ProviderStrategy(client, PROVIDERS[name], ask, key=key, base_url=base, prices=prices)
        assert key not in repr(strategy) or not key
        result = await strategy.execute(LLMWorkItem("row 1", prompt))
        assert not client.is_closed
        return result


def replying(response: httpx2.Response) -> Callable[[httpx2.Request], httpx2.Response]:
    """A provider with one answer."""
    return lambda _: response


def test_every_provider_is_on_the_wire_here() -> None:
    """None is left out of the table above."""
    assert sorted(WIRE) == sorted(PROVIDERS)


@pytest.mark.parametrize("name", WIRE)
async def test_a_provider_is_asked_and_read(name: str) -> None:
    """URL, key header and body are those of its API; text and tokens are found in its answer."""
    url, header, body, answer = WIRE[name]
    seen: list[httpx2.Request] = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=answer)

    assert await sent(name, reply) == CallResult("WAVE", TokenUsage(3, 4))
    (request,) = seen
    assert str(request.url) == url
    assert request.headers[header[0]] == header[1]
    assert json.loads(request.content) == body
    assert request.headers.get(ITEM_HEADER) == ("row%201" if is_local(url) else None)


@pytest.mark.parametrize("name", WIRE)
async def test_an_answer_is_charged_by_the_prices(name: str) -> None:
    """From its tokens, for every provider; a cost that the provider states is used first."""
    prices, answer = Prices(2.0, 10.0), WIRE[name][-1]
    result = await sent(name, replying(httpx2.Response(200, json=answer)), prices=prices)
    assert result.cost == pytest.approx((3 * 2 + 4 * 10) / 1e6)
    if answer is CHAT:
        printed = {**CHAT, "usage": {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.25}}
        assert (await sent(name, replying(httpx2.Response(200, json=printed)), prices=prices)).cost == 0.25
        silent = {"choices": CHAT["choices"]}
        by_length = await sent(
            name, replying(httpx2.Response(200, json=silent)), prompt="wavey", prices=prices
        )
        assert by_length.usage == TokenUsage()
        assert by_length.cost == pytest.approx((2 * 2 + 1 * 10) / 1e6)


async def test_thoughts_are_charged_as_output() -> None:
    """Gemini counts them apart from the answer."""
    answer = json.loads(json.dumps(WIRE["gemini"][-1]))
    answer["usageMetadata"]["thoughtsTokenCount"] = 5
    result = await sent("gemini", replying(httpx2.Response(200, json=answer)))
    assert result.usage == TokenUsage(3, 9)


@pytest.mark.parametrize("name", WIRE)
async def test_what_was_not_asked_for_is_not_sent(name: str) -> None:
    """Without options the request has a model and the prompt; Anthropic's needs a bound besides."""
    bodies: list[Any] = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json=WIRE[name][3])

    await sent(name, reply, ask=RequestSettings("m"), key="")
    expected = {"ollama": ["messages", "model", "stream"], "gemini": ["contents"]}
    anthropic = ["max_tokens", "messages", "model"]
    assert sorted(bodies[0]) == expected.get(
        name, anthropic if name == "anthropic" else ["messages", "model"]
    )


ERRORS: dict[str, tuple[int, dict[str, str], Any, str, int]] = {
    "openai": (
        429,
        {"retry-after": "7"},
        {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}},
        "rate-limited",
        429,
    ),
    "openrouter": (200, {}, {"error": {"message": "Slow down", "code": 429}}, "rate-limited", 429),
    "anthropic": (
        529,
        {},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Slow down"}},
        "rate-limited",
        529,
    ),
    "gemini": (
        429,
        {},
        [{"error": {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED"}}],
        "rate-limited",
        429,
    ),
    "ollama": (503, {}, {"error": "Slow down"}, "rate-limited", 503),
    "openai-compatible": (400, {}, {"error": {"message": "Slow down", "code": None}}, "terminal", 400),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_has_what_a_classifier_reads(name: str) -> None:
    """Status, headers, body and words of each API's errors are found, also inside a 200."""
    status, headers, body, kind, code = ERRORS[name]
    with pytest.raises(ApiError, match="Slow down") as refused:
        await sent(name, lambda _: httpx2.Response(status, headers=headers, json=body))
    assert (classify(refused.value).kind, refused.value.status_code) == (kind, code)
    assert classify(refused.value).retry_after_seconds == (7.0 if headers else None)


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_no_key_is_in_an_error(status: int) -> None:
    """A provider that repeats the key in its error does not bring it into logs, journal or output."""
    body = {"error": {"message": f"Incorrect API key provided: {KEY}."}}
    for content in (json.dumps(body), f"<html>{KEY}</html>"):
        with pytest.raises((ApiError, UnreadableAnswer)) as refused:
            await sent("openai", replying(httpx2.Response(status, text=content)))
        assert KEY not in f"{refused.value} {refused.value!r} {vars(refused.value)}"
        assert "key-1" in str(refused.value)


async def test_an_answer_has_the_limits_of_its_headers() -> None:
    """The headers of an answer come with it, so that the pace is known before the first refusal."""
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"}
    answer = await sent("openai", replying(httpx2.Response(200, headers=headers, json=CHAT)))
    assert answer.info is not None
    assert answer.info.requests is not None
    assert answer.info.requests.limit == 600


async def test_an_answer_that_is_none_may_be_tried_again() -> None:
    """A 200 without an answer is transient; a blocked prompt is final."""
    for content in ("<html>", '{"choices": []}', "[]"):
        with pytest.raises(UnreadableAnswer, match="status 200") as unreadable:
            await sent("openai", replying(httpx2.Response(200, text=content)))
        assert classify(unreadable.value).kind == "transient"
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    with pytest.raises(ApiError, match="blocked: SAFETY") as refused:
        await sent("gemini", lambda _: httpx2.Response(200, json=blocked))
    assert classify(refused.value).kind == "terminal"


def test_a_row_without_a_prompt_is_not_sent() -> None:
    """Only this row fails, and nothing is sent for it."""
    item = LLMWorkItem("row 1", "wave")
    assert with_prompt(item) is item
    for nothing in ("", " \n"):
        with pytest.raises(NoPrompt, match="the row has no prompt; nothing was sent"):
            with_prompt(LLMWorkItem("row 1", nothing))


async def test_the_client_is_closed_by_the_block_that_opened_it() -> None:
    """One client, with the timeout that was asked for, open until the block ends."""
    async with new_client(connections=7, timeout_seconds=33.0) as client:
        assert client.timeout == httpx2.Timeout(33.0, connect=10.0, pool=None)
    assert client.is_closed
