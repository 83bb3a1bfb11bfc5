"""Connections that are not made, as real clients report them, and what else decides about an outage."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from wavetank.processor import Failure, classify
from wavetank.run.run_errors import ApiError


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


async def with_httpx2(url: str) -> None:
    import httpx2

    async with httpx2.AsyncClient() as client:
        await client.get(url)


async def with_httpx(url: str) -> None:
    import httpx

    async with httpx.AsyncClient() as client:
        await client.get(url)


async def with_aiohttp(url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as client:
        await client.get(url)


async def with_openai(url: str) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        await client.models.list()


async def with_anthropic(url: str) -> None:
    import anthropic

    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
        await client.models.list()


async def with_requests(url: str) -> None:
    import requests

    requests.get(url, timeout=5)


async def with_anyio(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    await anyio.connect_tcp(host, int(port))


CLIENTS = [with_httpx2, with_httpx, with_aiohttp, with_openai, with_anthropic, with_requests, with_anyio]


def failure_of(call: Callable[[str], Awaitable[None]], url: str) -> Failure:
    """What the error of a call is classified as, on asyncio."""

    async def main() -> Failure:
        try:
            await call(url)
        except Exception as error:
            return classify(error)
        raise AssertionError("it was answered")

    return anyio.run(main)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refused_connection_is_unreachable(client: Any, closed_port: int) -> None:
    """Whatever its client wraps it in."""
    failure = failure_of(client, f"http://127.0.0.1:{closed_port}")
    assert (failure.kind, failure.unreachable, failure.may_be_outage) == ("transient", True, True)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_host_is_unreachable(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that fails at once; this needs no network."""

    def lookup(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    failure = failure_of(client, "http://api.nowhere.invalid:80")
    assert (failure.kind, failure.unreachable, failure.may_be_outage) == ("transient", True, True)


@pytest.mark.parametrize(
    ("error", "unreachable"),
    [
        (ConnectionResetError(104, "reset"), False),
        (TimeoutError(), False),
        (OSError(113, "No route to host"), True),
        (ValueError(), False),
    ],
)
def test_a_request_that_was_sent_was_reachable(error: Exception, unreachable: bool) -> None:
    """A reset or a timeout may come from the request itself."""
    assert classify(error).unreachable is unreachable


@pytest.mark.parametrize(
    ("status", "code", "overloaded", "may_be_outage"),
    [
        (503, None, True, True),
        (529, "overloaded_error", True, True),
        (498, None, True, True),
        (200, "overloaded_error", True, True),
        (429, "rate_limit_error", False, False),
        (200, "rate_limit_error", False, False),
        (500, None, False, True),
        (502, None, False, True),
        (408, None, False, True),
        (400, None, False, False),
    ],
)
def test_what_may_be_an_outage(status: int, code: str | None, overloaded: bool, may_be_outage: bool) -> None:
    """A rate limit and an error of the request never are."""
    failure = classify(ApiError(status, {}, {"error": {"type": code, "message": "no"}}, "no"))
    assert (failure.overloaded, failure.may_be_outage) == (overloaded, may_be_outage)


OPENAI = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
GEMINI = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}
MODERATED = {
    "error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["x"], "flagged_input": "y"}}
}


@pytest.mark.parametrize(
    ("status", "body", "denied"),
    [
        (401, OPENAI, True),
        (200, OPENAI, True),
        (400, GEMINI, True),
        (403, {"error": {"type": "permission_error"}}, True),
        (403, MODERATED, False),
        (404, {"error": {"type": "not_found_error", "message": "model: claude-x"}}, True),
        (404, "<html>", True),
        (400, {"error": {"type": "invalid_request_error"}}, False),
        (402, {"error": {"code": "insufficient_quota"}}, False),
        (429, {"error": {"code": "insufficient_quota"}}, False),
        (413, {"error": {"type": "request_too_large"}}, False),
    ],
)
def test_a_refused_key_or_model(status: int, body: Any, denied: bool) -> None:
    """In the bodies of OpenAI, Gemini, Anthropic and OpenRouter; a flagged prompt is its item's own error."""
    failure = classify(ApiError(status, {}, body, "no"))
    assert failure.denied is denied
    assert failure.kind == "terminal"
