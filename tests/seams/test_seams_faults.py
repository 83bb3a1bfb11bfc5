"""What a plain HTTP client sees of each kind of fault, and what a direct call raises."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, get_args

import aiohttp
import anyio
import anyio.to_thread
import httpx2
import pytest
import requests

import wavetank
from wavetank import Run, Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import DELAYS, DurationRange, Fault, FaultKind, Latency, RefusalError
from wavetank.seams import loopback
from wavetank.tank.server.served_run import RunSettings
from wavetank.tank.server.served_world import Serving

from ..depth import by_turns

CHAT = "https://api.openai.com/v1/chat/completions"
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
LASTS = Duration(5 * SECOND)

CUT, GONE, NO_CONNECTION = httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.ConnectError
SEEN: dict[FaultKind, tuple[type[Exception] | None, type[Exception] | None]] = {
    "connection-refused": (NO_CONNECTION, NO_CONNECTION),
    "reset": (GONE, GONE),
    "reset-after-headers": (GONE, GONE),
    "cut-mid-stream": (CUT, CUT),
    "length-too-long": (CUT, CUT),
    "no-answer": (httpx2.ReadTimeout, httpx2.ReadTimeout),
    "dns-failure": (NO_CONNECTION, NO_CONNECTION),
    "connect-timeout": (httpx2.ConnectTimeout, httpx2.ConnectTimeout),
    "bad-certificate": (NO_CONNECTION, NO_CONNECTION),
    "closed": (CUT, CUT),
    "malformed-status-line": (CUT, CUT),
    "malformed-headers": (CUT, CUT),
    "malformed-chunk-size": (CUT, CUT),
}
"""The error of reading a plain answer and a stream; the other kinds raise none below JSON."""

RAISED: dict[FaultKind, type[wavetank.ProviderError] | None] = {
    "connection-refused": wavetank.ConnectionLost,
    "reset": wavetank.ConnectionLost,
    "reset-after-headers": wavetank.ConnectionLost,
    "cut-mid-stream": wavetank.ConnectionLost,
    "length-too-long": wavetank.ConnectionLost,
    "dns-failure": wavetank.ConnectionLost,
    "connect-timeout": wavetank.ConnectionLost,
    "bad-certificate": wavetank.ConnectionLost,
    "closed": wavetank.ConnectionLost,
    "stall-before-headers": None,
    "stall": None,
    "slow-trickle": None,
    "error-in-stream": wavetank.ServerError,
}
"""The error of a direct call; the other kinds cannot be read."""

UNCONNECTED = ("connection-refused", "dns-failure", "connect-timeout", "bad-certificate")
"""No connection is made."""

SPOILED = (
    "malformed-chunk",
    "truncated-json",
    "error-in-stream",
    "length-too-short",
    "empty-body",
    "html-body",
    "bad-gzip",
)
"""What is read of such an answer is not its text, or not all of it."""

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)


def with_fault(kind: FaultKind, **fields: Any) -> Scenario:
    """A provider whose first answer, or connection, goes wrong."""
    late: dict[str, Any] = {"lasts": LASTS} if kind in DELAYS else {}
    first = DurationRange(Duration(0), Duration(0))
    return Scenario(latency=Latency(first_token=first), fault=(Fault(kind=kind, **late, **fields),))


async def ask(tank: Tank, client: httpx2.AsyncClient, *, stream: bool) -> bytes:
    """One exchange, read to its end; the ledger hears what became of it."""
    tank.ledger.submit("a")
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    headers = {"authorization": "Bearer key", "x-wavetank-item": "a"}
    read = b""
    try:
        async with client.stream("POST", CHAT, json=body, headers=headers) as response:
            async for data in response.aiter_raw():
                read += data
    except Exception as error:
        tank.ledger.fail("a", error)
        raise
    tank.ledger.complete("a", read.decode())
    return read


def asked(scenario: Scenario, backend: str, *, stream: bool) -> Run[bytes]:
    """A run of one exchange."""

    async def main(tank: Tank) -> bytes:
        async with httpx2.AsyncClient(timeout=60) as client:
            return await ask(tank, client, stream=stream)

    return wavetank.simulate(main, scenario, backend=backend, checks="strict,exercised")


@by_turns(kind=KINDS, stream=[False, True], backend=BACKENDS)
def test_a_client_sees_the_fault(kind: FaultKind, stream: bool, backend: str) -> None:
    """The error of the client, and what the log says: the fault was met, and nothing spoiled is paid."""
    run = asked(with_fault(kind, after_chunks=2), backend, stream=stream)
    error = SEEN.get(kind, (None, None))[stream]
    assert type(run.error) is (error or type(None))
    failed = [name for name, verdict in run.verdicts.items() if verdict.passed is False]
    assert failed == (["answered"] if error is None and kind in SPOILED else [])
    assert run.verdicts["exercised"].passed is True
    paid = [event for event in run.events.of("delivered") if event.fault is None]
    assert bool(paid) is False or kind in DELAYS
    if error is None and kind not in DELAYS:
        assert run.value is not None
        assert good(run.value, stream=stream) is False or kind in ("duplicate-event", "bad-gzip")
    if kind in DELAYS:
        assert run.virtual_seconds == pytest.approx(5)
        assert good(run.value or b"", stream=stream)


def good(body: bytes, *, stream: bool) -> bool:
    """Whether an answer is whole and can be read."""
    lines = [line for line in body.decode().splitlines() if line.startswith("data: ")]
    try:
        parts = [json.loads(line[6:]) for line in lines[:-1]] if stream else [json.loads(body)]
    except ValueError:
        return False
    return "choices" in parts[-1] and (not stream or lines[-1] == "data: [DONE]") if parts else False


@on_both
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "no-answer"])
def test_a_direct_call_raises_what_fits(kind: FaultKind, backend: str) -> None:
    """Lost, unreadable, broken off by an error, or only late."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("hi", item="a")

    run = wavetank.simulate(main, with_fault(kind), backend=backend, checks="exercised")
    assert run.verdicts["exercised"].passed is True
    expected = RAISED.get(kind, wavetank.MalformedAnswer)
    assert type(run.error) is (expected or type(None))
    # As from an HTTP client: a program reads there that no request was made.
    assert isinstance(run.error and run.error.__cause__, OSError) is (kind in UNCONNECTED)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("rate-limit", wavetank.RateLimited),
        ("overloaded", wavetank.Overloaded),
        ("quota", wavetank.QuotaExhausted),
        ("server", wavetank.ServerError),
    ],
)
def test_an_error_in_a_stream_raises_what_it_says(
    error: RefusalError, kind: type[wavetank.ProviderError]
) -> None:
    """A limit that is told in the midst of an answer is a limit, with the status of the answer."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("hi", item="a")

    run = wavetank.simulate(main, with_fault("error-in-stream", error=error), checks=())
    assert isinstance(run.error, wavetank.ProviderError)
    assert (type(run.error), run.error.status) == (kind, 200)


@on_both
def test_a_refused_connection_is_made_again(backend: str) -> None:
    """Nothing arrived; the next attempt connects and is served."""

    async def main(tank: Tank) -> bytes:
        async with httpx2.AsyncClient() as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get("https://api.openai.com/v1/models")
            tank.ledger.submit("b")
            tank.ledger.cancel("b")
            return await ask(tank, client, stream=False)

    run = wavetank.simulate(main, with_fault("connection-refused"), backend=backend, checks="strict")
    run.check()
    assert run.value is not None
    assert good(run.value, stream=False)
    assert [event.fault for event in run.events.of("left")] == [0]


@on_both
def test_a_transport_refuses_connections_too(backend: str) -> None:
    """Each request of a transport counts as a connection."""

    async def main(tank: Tank) -> bytes:
        transport = tank.fake_llm.httpx2_transport()
        async with httpx2.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get("https://api.openai.com/v1/models")
            return await ask(tank, client, stream=False)

    run = wavetank.simulate(main, with_fault("connection-refused"), backend=backend, checks=())
    assert good(run.value or b"", stream=False)


def test_a_blocking_client_sees_a_refused_connection() -> None:
    """Threads meet the same fault."""

    def work() -> str:
        with httpx2.Client() as client:
            try:
                client.get("https://api.openai.com/v1/models")
            except httpx2.ConnectError as error:
                return str(error)
        return ""

    async def main(_: Tank) -> str:
        return await anyio.to_thread.run_sync(work)

    run = wavetank.simulate(main, with_fault("connection-refused"), checks=())
    assert (run.value or "").endswith("the provider refused the connection")


def test_aiohttp_and_requests_see_a_refused_connection() -> None:
    """Each library raises the error it has for that."""

    def by_requests() -> str:
        try:
            requests.get("https://api.openai.com/v1/models", timeout=9)
        except requests.ConnectionError as error:
            return str(error)
        return ""

    async def main(_: Tank) -> tuple[str, str]:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError) as refused:
                await session.get("https://api.openai.com/v1/models")
        return str(refused.value), await anyio.to_thread.run_sync(by_requests)

    run = wavetank.simulate(main, with_fault("connection-refused", times=9), checks=())
    assert run.value is not None
    assert all("the provider refused the connection" in told for told in run.value)


SAID: dict[RefusalError, tuple[str, str]] = {
    "rate-limit": ("rate_limit_exceeded", "rate_limit_error"),
    "quota": ("insufficient_quota", "rate_limit_error"),
    "overloaded": ("server_is_overloaded", "overloaded_error"),
}
"""What OpenAI's and Anthropic's error say of a fault's `error`."""


@pytest.mark.parametrize("error", SAID)
def test_an_error_in_a_stream_is_written_in_the_providers_words(error: RefusalError) -> None:
    """The event that breaks a stream off says what the fault says is wrong."""

    async def main(_: Tank) -> list[str]:
        async with httpx2.AsyncClient(headers={"authorization": "Bearer key"}) as client:
            body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            body |= {"stream": True}
            return [
                (await client.post(url, json=body, headers={"anthropic-version": "2023-06-01"})).text
                for url in (CHAT, "https://api.anthropic.com/v1/messages")
            ]

    run = wavetank.simulate(main, with_fault("error-in-stream", error=error, times=2), checks=())
    assert run.value is not None
    for text, said in zip(run.value, SAID[error], strict=True):
        assert said in text.splitlines()[-2]


def test_a_server_hangs_up_on_a_refused_connection() -> None:
    """Its port is open, so the connection ends as soon as it is made; the next one is served."""

    def ask_twice(port: int) -> int:
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer k"}
        ) as client:
            with pytest.raises(httpx2.TransportError):
                client.get("/v1/models")
            return client.get("/v1/models").status_code

    async def main() -> int:
        with Serving(RunSettings(scenario=with_fault("connection-refused"))) as serving:
            clients = loopback.Clients(lambda: serving.run)
            async with anyio.create_task_group() as group:
                ports: list[int] = []
                listening = anyio.Event()

                def started(port: int) -> None:
                    ports.append(port)
                    listening.set()

                group.start_soon(partial(loopback.serve, clients, host="127.0.0.1", port=0, started=started))
                await listening.wait()
                status = await anyio.to_thread.run_sync(ask_twice, ports[0])
                group.cancel_scope.cancel()
        return status

    assert anyio.run(main) == 200
