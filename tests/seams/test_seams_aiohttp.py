"""aiohttp at the providers' real URLs: real client, pool, parser and timeouts, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

import wavetank
from wavetank import Scenario, Tank, UnknownHost
from wavetank.scenario import scenario_from_dict

CHAT = "https://api.openai.com/v1/chat/completions"
MESSAGES = "https://api.anthropic.com/v1/messages"
BEARER = {"authorization": "Bearer sk-test"}
VERSIONED = {"x-api-key": "sk-ant", "anthropic-version": "2023-06-01"}
QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
KINDS = ["arrived", "answered", "delivered"]


def scripted(**tables: Any) -> Scenario:
    return scenario_from_dict(tables, name="scripted", source="test")


def kinds(run: wavetank.Run[Any]) -> list[str]:
    return [event.kind for event in run.events]


def test_an_answer_and_a_refusal_come_as_over_the_network() -> None:
    """Status, headers and body are the provider's; each reply reaches the client once it is read."""

    async def main(tank: Tank) -> Any:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            async with session.post(CHAT, json=QUESTION) as refused:
                seen = [
                    refused.status,
                    refused.headers["retry-after"],
                    (await refused.json())["error"]["type"],
                ]
            await asyncio.sleep(7)
            async with session.post(
                MESSAGES, headers=VERSIONED, json={**QUESTION, "max_tokens": 9}
            ) as answer:
                text = (await answer.json())["content"][0]["text"]
        return *seen, answer.status, text, [record.reached for record in tank.fake_llm.requests]

    wave = {"at": "0s", "lasts": "1s", "retry_after": "7s"}
    run = wavetank.simulate(main, scripted(wave=[wave], latency={"first_token": "2s"}))
    run.check()
    assert run.value is not None
    assert run.value[:4] == (429, "7", "requests", 200)
    assert "[wt:hi]" in run.value[4]
    assert run.value[5] == [0.01, 9.01]


def test_a_stream_comes_piece_by_piece() -> None:
    """Each piece has its own instant, and the answer is delivered when its last byte was read."""

    async def main(tank: Tank) -> list[float]:
        times = []
        async with (
            aiohttp.ClientSession(headers=BEARER) as session,
            session.post(CHAT, json={**QUESTION, "stream": True}) as answer,
        ):
            async for line in answer.content:
                if line.strip():
                    times.append(tank.now())
            assert tank.fake_llm.requests[0].delivered
        return times

    run = wavetank.simulate(main, scripted(latency={"first_token": "1s", "tokens_per_second": 2}))
    run.check()
    assert run.value is not None
    assert sorted(set(run.value)) == [1 + step / 2 for step in range(8)]
    assert kinds(run) == KINDS


@pytest.mark.parametrize("how", ["read", "content", "chunks", "unread"])
def test_reading_marks_an_answer_delivered_in_the_readers_own_step(how: str) -> None:
    """Read whole in any way it is delivered at that instant; never read, it has left."""

    async def main(tank: Tank) -> list[bool]:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            answer = await session.post(CHAT, json=QUESTION)
            await asyncio.sleep(5)
            before = tank.fake_llm.requests[0].delivered
            if how == "read":
                await answer.read()
            elif how == "content":
                await answer.content.readexactly(int(answer.headers["content-length"]))
            elif how == "chunks":
                _ = [chunk async for chunk, _ in answer.content.iter_chunks()]
            else:
                answer.release()
        return [before, tank.fake_llm.requests[0].delivered]

    run = wavetank.simulate(main, Scenario())
    assert run.error is None
    assert run.value == [False, how != "unread"]
    assert kinds(run) == ["arrived", "answered", "left" if how == "unread" else "delivered"]
    assert run.events[-1].at == 5_000_000_000


@pytest.mark.parametrize(
    ("limit", "at"),
    [({"total": 2.5}, 2.5), ({"sock_read": 3}, 3.0), ({"total": 5.5}, 6.0)],
    ids=["total", "sock_read", "rounded-up"],
)
def test_the_clients_own_timeout_holds(limit: dict[str, float], at: float) -> None:
    """`ClientTimeout` fires at its instant, above five seconds a whole one, and the request has left."""

    async def main(tank: Tank) -> float:
        timeout = aiohttp.ClientTimeout(**limit)
        async with aiohttp.ClientSession(headers=BEARER, timeout=timeout) as session:
            with pytest.raises(TimeoutError):
                await session.post(CHAT, json=QUESTION)
        return tank.now()

    run = wavetank.simulate(main, scripted(latency={"first_token": "30s"}))
    assert run.value == at
    assert kinds(run) == ["arrived", "left"]


def test_a_full_pool_makes_the_next_request_wait() -> None:
    """With one connection the second request arrives later than it set out."""

    async def main(tank: Tank) -> list[tuple[float, float | None]]:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(headers=BEARER, connector=connector) as session:

            async def ask() -> None:
                async with session.post(CHAT, json=QUESTION) as answer:
                    await answer.read()

            await asyncio.gather(ask(), ask())
        return [(record.sent, record.reached) for record in tank.fake_llm.requests]

    run = wavetank.simulate(main, scripted(latency={"first_token": "1s"}))
    assert run.value == [(0, 1), (0, 2)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("reset", aiohttp.ClientOSError), ("cut-mid-stream", aiohttp.ClientPayloadError)],
)
def test_a_broken_connection_is_the_librarys_own_error(kind: str, error: type[Exception]) -> None:
    """A reset and a cut raise what they raise over a real network, and the session goes on."""

    async def main(_: Tank) -> int:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            with pytest.raises(error):
                async with session.post(CHAT, json={**QUESTION, "stream": True}) as answer:
                    await answer.read()
            async with session.post(CHAT, json=QUESTION) as answer:
                await answer.read()
                return answer.status

    run = wavetank.simulate(main, scripted(fault=[{"at": "0s", "kind": kind, "times": 1}]))
    assert run.error is None
    assert run.value == 200
    assert "left" in kinds(run)


def test_a_cancelled_request_has_left() -> None:
    """Cancelled while it waits for the head, the request leaves at that instant."""

    async def main(_: Tank) -> None:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await session.post(CHAT, json=QUESTION)

    run = wavetank.simulate(main, scripted(latency={"first_token": "30s"}))
    assert run.error is None
    assert [(event.kind, event.at) for event in run.events] == [("arrived", 0), ("left", 1_500_000_000)]


@pytest.mark.parametrize(
    ("url", "options", "where"),
    [
        ("https://example.com/v1", {}, r"answers for example.com;"),
        ("http://127.0.0.1:8080/", {}, "127.0.0.1:8080"),
        ("https://example.com/", {"proxy": "http://proxy.example.com:3128"}, r"answers for example.com;"),
    ],
)
def test_an_unknown_host_is_named_and_nothing_is_sent(url: str, options: dict[str, Any], where: str) -> None:
    """The error is ours, and names host and port."""

    async def main(tank: Tank) -> int:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(UnknownHost, match=where.replace(".", r"\.")):
                await session.get(url, **options)
        return len(tank.fake_llm.requests)

    assert wavetank.simulate(main, "calm").value == 0


def test_a_unix_socket_is_refused() -> None:
    """No fake answers behind a socket file."""

    async def main(_: Tank) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector("some.sock")) as session:
            with pytest.raises(UnknownHost, match=r"some\.sock"):
                await session.get("http://localhost/")

    assert wavetank.simulate(main, "calm").error is None


def test_a_large_body_goes_both_ways() -> None:
    """A megabyte of prompt arrives whole; a head alone is all of a HEAD reply."""

    async def main(_: Tank) -> Any:
        question = {"model": "m", "messages": [{"role": "user", "content": "x" * 1_000_000}]}
        async with aiohttp.ClientSession(headers=BEARER) as session:
            async with session.post(CHAT, json=question) as answer:
                tokens = (await answer.json())["usage"]["prompt_tokens"]
            async with session.head(CHAT) as head:
                return tokens, head.status

    run = wavetank.simulate(main, "calm")
    assert run.value == (250_000, 405)
    assert kinds(run)[-1] == "delivered"
