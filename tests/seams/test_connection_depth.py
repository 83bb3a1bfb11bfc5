"""Requests that are handed over without HTTP bytes: no client can tell, and the log is the same."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import anyio
import h11
import httpx
import httpx2
import openai
import pytest

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import DurationRange, Fault, Latency, Wave
from wavetank.seams import httpcore_exchange

URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "row-1"}]}
BEARER = {"authorization": "Bearer k"}
STREAM = BODY | {"stream": True}
NEVER = Fault(kind="reset", at=Duration(90_000 * SECOND))
"""It is one of bytes and meets nothing, so that the bytes are written."""
SLOW = Latency(first_token=DurationRange(Duration(SECOND), Duration(SECOND)), tokens_per_second=10)

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
with_each = pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request on a connection of ours whether it went without bytes."""
    seen: list[bool] = []
    asked, routed = httpcore_exchange._asked, httpcore_exchange._routed

    def counted(stream: Any, request: Any) -> Any:
        http = asked(stream, request)
        if http is None:
            seen.append(False)
        return http

    def counted_too(http: Any, body: bytes, stream: Any) -> Any:
        route = routed(http, body, stream)
        seen.append(route is not None)
        return route

    monkeypatch.setattr(httpcore_exchange, "_asked", counted)
    monkeypatch.setattr(httpcore_exchange, "_routed", counted_too)
    return seen


async def pipeline(_: Tank) -> list[str]:
    """Workers with an SDK: plain and streamed questions, retries, and one that closes a stream early."""
    rows, answers = [f"row-{number:02d}" for number in range(12)], []
    async with openai.AsyncOpenAI(api_key="k", max_retries=6) as client:

        async def work() -> None:
            while rows:
                row = rows.pop(0)
                message: Any = [{"role": "user", "content": row}]
                if row.endswith("1"):
                    async with await client.chat.completions.create(
                        model="m", messages=message, stream=True
                    ) as stream:
                        answers.append(
                            "".join([part.choices[0].delta.content or "" async for part in stream])
                        )
                elif row.endswith("2"):
                    async with await client.chat.completions.create(
                        model="m", messages=message, stream=True
                    ) as stream:
                        answers.append(str(type(await anext(aiter(stream))).__name__))
                else:
                    answer = await client.chat.completions.create(model="m", messages=message)
                    answers.append(str(answer.choices[0].message.content))

        async with anyio.create_task_group() as group:
            for each in (work,) * 4:
                group.start_soon(each)
    return sorted(answers)


leaves_early = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""trio warns of generators, the libraries' own, that a client leaves before their end."""


@on_both
@leaves_early
def test_the_log_is_the_same_with_bytes_and_without(backend: str, handed_over: list[bool]) -> None:
    """Byte for byte, with waves, streams, retries and a client that leaves."""
    wave = Wave(at=Duration(2 * SECOND), lasts=Duration(3 * SECOND), every=Duration(9 * SECOND), share=0.5)
    without = wavetank.simulate(pipeline, scenario=Scenario(latency=SLOW, wave=(wave,)), backend=backend)
    assert all(handed_over)
    assert handed_over
    handed_over.clear()
    scenario = Scenario(latency=SLOW, wave=(wave,), fault=(NEVER,))
    bytewise = wavetank.simulate(pipeline, scenario=scenario, backend=backend)
    assert not handed_over
    assert without.value == bytewise.value
    assert [repr(event) for event in without.events] == [repr(event) for event in bytewise.events]


def test_threads_have_the_same_log_too() -> None:
    """A plain sync client, with its pool."""

    async def main(_: Tank) -> list[str]:
        with httpx2.Client() as client:
            return [client.post(URL, json=body, headers=BEARER).text for body in (BODY, STREAM, BODY)]

    runs = [wavetank.simulate(main, scenario=Scenario(latency=SLOW, fault=f)) for f in ((), (NEVER,))]
    assert runs[0].value == runs[1].value
    assert [repr(event) for event in runs[0].events] == [repr(event) for event in runs[1].events]


@on_both
@with_each
def test_a_response_looks_the_same(library: ModuleType, backend: str) -> None:
    """Status, reason, headers in their order, version and body."""

    async def main(_: Tank) -> list[Any]:
        seen: list[Any] = []
        async with library.AsyncClient() as client:
            for body in (BODY, STREAM, {}):
                answer = await client.post(URL, json=body, headers=BEARER)
                raw = [*answer.headers.raw]
                seen.append((answer.status_code, answer.reason_phrase, answer.http_version, raw, answer.text))
        return seen

    runs = [
        wavetank.simulate(main, scenario=Scenario(fault=faults), backend=backend, checks=())
        for faults in ((), (NEVER,))
    ]
    assert runs[0].value is not None
    assert runs[0].value == runs[1].value


@on_both
@leaves_early
def test_a_connection_is_kept_or_closed_as_by_the_library(backend: str) -> None:
    """Read to its end it serves again; left early, timed out or cancelled it does not."""

    async def main(_: Tank) -> list[int]:
        counts = []
        async with httpx2.AsyncClient(timeout=0.5) as client:
            transport: Any = client._transport
            pool = transport._pool

            async def left_early() -> None:
                async with client.stream("POST", URL, json=STREAM, headers=BEARER, timeout=9) as answer:
                    await anext(answer.aiter_raw())

            async def timed_out() -> None:
                with pytest.raises(httpx2.ReadTimeout):
                    await client.post(URL, json=BODY, headers=BEARER)

            async def cancelled() -> None:
                with anyio.move_on_after(0.2):
                    await client.post(URL, json=BODY, headers=BEARER)

            for spoil in (left_early, timed_out, cancelled):
                await client.post(URL, json=BODY, headers=BEARER, timeout=9)
                await client.post(URL, json=BODY, headers=BEARER, timeout=9)
                counts.append(len(pool.connections))
                await spoil()
                counts.append(len(pool.connections))
        return counts

    runs = [
        wavetank.simulate(main, scenario=Scenario(latency=SLOW, fault=faults), backend=backend, checks=())
        for faults in ((), (NEVER,))
    ]
    assert runs[0].value == [1, 0, 1, 0, 1, 0]
    assert runs[1].value == runs[0].value
    assert [repr(event) for event in runs[0].events] == [repr(event) for event in runs[1].events]


@on_both
def test_what_would_be_seen_goes_in_bytes(
    backend: str, handed_over: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    """Methods, headers and lengths of their own, traces, and lines of the library's log."""
    traced: list[str] = []

    async def trace(name: str, _: object) -> None:
        traced.append(name)

    async def main(_: Tank) -> None:
        async with httpx2.AsyncClient(headers=BEARER) as client:
            assert (await client.head("https://api.openai.com/v1/models")).text == ""
            await client.post(URL, json=BODY, headers={"connection": "close"})
            await client.post(URL, json=BODY, extensions={"trace": trace})
            with pytest.raises(httpx2.LocalProtocolError):
                await client.post(URL, json=BODY, headers={"x-bad": "a\x00b"})
            with pytest.raises(h11.LocalProtocolError):  # the library's own: it leaves this one as it is
                await client.post(URL, content=b"{}", headers={"content-length": "9"})
            with caplog.at_level(logging.DEBUG, logger="httpcore2.http11"):
                await client.post(URL, json=BODY)

    wavetank.simulate(main, scenario=Scenario(), backend=backend, checks=()).check()
    assert not any(handed_over)
    assert "http11.send_request_headers.started" in traced
    assert "send_request_headers.started" in caplog.text


@on_both
def test_keep_alive_expires_in_virtual_time(backend: str) -> None:
    """As the client's limits say."""

    async def main(_: Tank) -> list[str]:
        states = []
        limits = httpx2.Limits(keepalive_expiry=5)
        async with httpx2.AsyncClient(limits=limits, headers=BEARER) as client:
            for pause in (1, 6, 0):
                await client.post(URL, json=BODY)
                transport: Any = client._transport
                states.append(transport._pool.connections[0].info())
                await anyio.sleep(pause)
        return [state.rpartition("Request Count: ")[2] for state in states]

    assert wavetank.simulate(main, scenario=Scenario(), backend=backend, checks=()).value == ["1", "2", "1"]
