"""Streams and sockets of asyncio, trio and anyio at the providers' real hosts, in virtual time."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.streams.tls
import pytest
import trio

import wavetank
from wavetank import RealInputOutput, Tank, UnknownHost
from wavetank.scenario import scenario_from_dict

HOST = "api.openai.com"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: Bearer k\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
START = b"HTTP/1.1 200 OK\r\n"

Main = Callable[[Tank], Awaitable[Any]]


def ran(main: Main, backend: str = "asyncio", **tables: Any) -> Any:
    """A run in which the first token takes two seconds, unless `tables` say otherwise."""
    tables = {"latency": {"first_token": "2s"}} | tables
    scenario = scenario_from_dict(tables, name="scripted", source="test")
    run: Any = wavetank.simulate(main, scenario, backend=backend)
    if run.error is not None:
        raise run.error
    return run


# -- asyncio ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [None, True, ssl.create_default_context()])
def test_streams(tls: Any) -> None:
    """Two requests over one connection, with and without TLS; the transport can be asked about both."""

    async def main(tank: Tank) -> Any:
        reader, writer = await asyncio.open_connection(HOST, 443, ssl=tls)
        seen: list[Any] = []
        for _ in range(2):
            writer.write(REQUEST)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            seen.append((head[: len(START)], b"wt:hi" in await reader.readexactly(length), tank.now()))
        agreed = writer.get_extra_info("ssl_object")
        seen.append(agreed and (agreed.version(), agreed.selected_alpn_protocol()))
        assert writer.get_extra_info("peername")[1] == 443
        writer.close()
        await writer.wait_closed()
        return seen

    *answers, agreed = ran(main).value
    assert answers == [(START, True, 2), (START, True, 4)]
    assert agreed == (("TLSv1.3", "http/1.1") if tls else None)


def test_tls_may_begin_later() -> None:
    """`start_tls` on a plain stream is passed over as well."""

    async def main(_: Tank) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, 443)
        await writer.start_tls(ssl.create_default_context(), server_hostname=HOST)
        writer.write(REQUEST)
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    assert ran(main).value == START


def test_the_client_may_close_its_sending_side() -> None:
    """It still gets the answer, and then the end."""

    async def main(tank: Tank) -> Any:
        reader, writer = await asyncio.open_connection(HOST, 80)
        writer.write(REQUEST)
        writer.write_eof()
        reply = await reader.read()
        writer.close()
        await writer.wait_closed()
        return b"wt:hi" in reply, tank.now(), tank.fake_llm.requests[0].delivered

    assert ran(main).value == (True, 2, True)


def test_a_client_that_gives_up_has_left() -> None:
    """Its timeout takes virtual time, and the provider sees it hang up."""

    async def main(tank: Tank) -> Any:
        reader, writer = await asyncio.open_connection(HOST, 80)
        writer.write(REQUEST)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await reader.read(1)
        writer.close()
        await writer.wait_closed()
        return tank.now(), tank.fake_llm.requests[0].left

    assert ran(main).value == (1, True)


def test_faults_are_asyncios_own() -> None:
    """A reset raises, and a refused connection as well."""

    async def is_reset(_: Tank) -> None:
        reader, writer = await asyncio.open_connection(HOST, 80)
        writer.write(REQUEST)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()

    async def is_refused(_: Tank) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, 80)

    ran(is_reset, fault=[{"at": "0s", "kind": "reset"}])
    ran(is_refused, fault=[{"at": "0s", "kind": "connection-refused"}])


def test_sockets_of_the_loop() -> None:
    """`sock_connect`, `sock_sendall`, `sock_recv`, `add_reader` and `add_writer`, in virtual time."""

    async def main(tank: Tank) -> Any:
        loop = asyncio.get_running_loop()
        with socket.socket() as one:
            one.setblocking(False)
            await loop.sock_connect(one, (HOST, 80))
            await loop.sock_sendall(one, REQUEST)
            first = await loop.sock_recv(one, len(START))
            into = bytearray(7)
            assert await loop.sock_recv_into(one, into) == 7
            one.recv(1 << 20)
            calls: list[str] = []
            readable = asyncio.Event()
            loop.add_reader(one, readable.set)
            loop.add_writer(one, lambda: calls.append("writable") or loop.remove_writer(one))  # type: ignore[func-returns-value]
            await loop.sock_sendall(one, REQUEST)
            await readable.wait()
            assert loop.remove_reader(one)
            return first, calls, tank.now()

    assert ran(main).value == (START, ["writable"], 4)


def test_real_files_are_refused_by_the_loop() -> None:
    """A pair of sockets of the program's own is none of the fake's."""

    async def main(_: Tank) -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            for call in (
                lambda: loop.sock_recv(near, 1),
                lambda: loop.create_connection(asyncio.Protocol, sock=near),
            ):
                with pytest.raises(RealInputOutput, match="llm_clock"):
                    await call()
            with pytest.raises(RealInputOutput, match=r"loop\.add_reader"):
                loop.add_reader(near, print)

    ran(main)


def test_tornado() -> None:
    """Its own loop, streams and HTTP parser come in without a module for them."""
    httpclient = pytest.importorskip("tornado.httpclient")

    async def main(tank: Tank) -> Any:
        client = httpclient.AsyncHTTPClient(force_instance=True)
        url, headers = f"https://{HOST}/v1/chat/completions", {"authorization": "Bearer k"}
        replies = await asyncio.gather(
            *(client.fetch(url, method="POST", headers=headers, body=BODY) for _ in range(3))
        )
        client.close()
        return [reply.code for reply in replies], tank.now(), tank.fake_llm.peak_in_flight

    assert ran(main).value == ([200] * 3, 2, 3)


# -- trio ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_streams_of_trio(tls: bool) -> None:
    """A timeout leaves the connection usable."""

    async def main(tank: Tank) -> Any:
        opened: Any = await (trio.open_ssl_over_tcp_stream if tls else trio.open_tcp_stream)(HOST, 443)
        async with opened as stream:
            await stream.send_all(REQUEST)
            with trio.move_on_after(1) as scope:
                await stream.receive_some(1)
            return scope.cancelled_caught, await stream.receive_some(len(START)), tank.now()

    assert ran(main, "trio").value == (True, START, 2)


def test_trio_closes_a_stream_that_is_waited_for() -> None:
    """The task that reads gets `ClosedResourceError`, a second one `BusyResourceError`."""

    async def main(tank: Tank) -> float:
        stream = await trio.open_tcp_stream(HOST, 80)

        async def reads() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reads)
            await trio.sleep(1)
            with pytest.raises(trio.BusyResourceError):
                await trio.lowlevel.wait_readable(stream.socket)
            await stream.aclose()
        return tank.now()

    assert ran(main, "trio").value == 1


# -- both ---------------------------------------------------------------------------------------------

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def ask(item: str) -> int:
    """Ask over a stream of anyio's until there is an answer."""
    body = BODY.replace(b"hi", item.encode())
    head = REQUEST.partition(b"content-length")[0] + b"content-length: %d\r\n\r\n" % len(body)
    while True:
        stream = await anyio.connect_tcp(HOST, 443, tls=True, tls_standard_compatible=False)
        async with stream:
            await stream.send(head + body)
            reply = b""
            while b"}}" not in reply:
                reply += await stream.receive()
        status = int(reply[9:12])
        if status != 429:
            return status
        lines = dict(line.partition(b": ")[::2] for line in reply.split(b"\r\n"))
        await anyio.sleep(float(lines[b"retry-after"]))


@backends
def test_streams_of_anyio(backend: str) -> None:
    """The same on both backends; the certificate has the host's name."""

    async def main(tank: Tank) -> Any:
        async with await anyio.connect_tcp(HOST, 443, tls=True) as stream:
            certificate: Any = stream.extra(anyio.streams.tls.TLSAttribute.peer_certificate)
            names = certificate["subjectAltName"]
            await stream.send(REQUEST)
            return (await stream.receive(len(START))), names, tank.now()

    assert ran(main, backend).value == (START, (("DNS", HOST),), 2)


@backends
def test_hosts_that_are_refused(backend: str) -> None:
    """Unknown ones by their name, this machine as the real network."""

    async def main(_: Tank) -> None:
        for host, error in (("nowhere.example", UnknownHost), ("127.0.0.1", RealInputOutput)):
            with pytest.raises((error, ExceptionGroup)) as caught:
                await anyio.connect_tcp(host, 9)
            assert error.__name__ in repr(caught.value)

    ran(main, backend)


@backends
def test_a_search_repeats(backend: str) -> None:
    """Tasks with streams of their own take the same course in every run; no order of them goes wrong."""

    async def main(_: Tank) -> set[int]:
        statuses = set()

        async def one(number: int) -> None:
            statuses.add(await ask(f"item {number}"))

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(one, number)
        return statuses

    logs = set()
    for _ in range(2):
        run = wavetank.simulate(main, "cascade", backend=backend, seed=1)
        assert run.value == {200}
        logs.add(run.events.to_ndjson())
    assert len(logs) == 1
    search = wavetank.search(main, "cascade", backend=backend, schedules=5, checks="liveness")
    assert search.failure is None


# -- real time ----------------------------------------------------------------------------------------


@pytest.mark.llm_clock("real")
@pytest.mark.usefixtures("fake_llm")
@pytest.mark.parametrize("runs", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)])
def test_in_real_time_too(runs: Callable[[Any], bytes]) -> None:
    """Loops with the system's own selector read when there is something."""

    async def main() -> bytes:
        async with await anyio.connect_tcp(HOST, 443, tls=True, tls_standard_compatible=False) as stream:
            await stream.send(REQUEST)
            return await stream.receive(len(START))

    assert runs(main()) == START
