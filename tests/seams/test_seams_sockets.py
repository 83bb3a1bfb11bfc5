"""Sockets of the standard library at the providers' real hosts: in memory, in virtual time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import http.client
import json
import os
import select
import selectors
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio

import wavetank
from wavetank import RealInputOutput, Tank, UnknownHost
from wavetank.scenario import scenario_from_dict
from wavetank.seams.errors import WrongProtocol

HOST = "api.openai.com"
PATH = "/v1/chat/completions"
HEADERS = {"authorization": "Bearer k", "content-type": "application/json"}
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: Bearer k\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
SLOW = {"latency": {"first_token": "2s"}}


def ran(work: Callable[[Tank], Any], **tables: Any) -> Any:
    """The run of a blocking program."""

    async def main(tank: Tank) -> Any:
        return work(tank)

    run = wavetank.simulate(main, scenario_from_dict(tables, name="scripted", source="test"))
    if run.error is not None:
        raise run.error
    return run


def value_of(work: Callable[[Tank], Any], **tables: Any) -> Any:
    return ran(work, **tables).value


def connected(port: int = 80, timeout: float | None = None) -> socket.socket:
    return socket.create_connection((HOST, port), timeout)


def whole(one: Any) -> bytes:
    return b"".join(iter(lambda: one.recv(100), b""))


# -- clients of the standard library ----------------------------------------------------------------


def test_http_client_keeps_its_connection() -> None:
    """Two requests over one connection; each reply has reached the client when it has read the last byte."""

    def work(tank: Tank) -> list[Any]:
        client = http.client.HTTPSConnection(HOST, timeout=30)
        seen: list[Any] = []
        for _ in range(2):
            client.request("POST", PATH, BODY, HEADERS)
            reply = client.getresponse()
            before = tank.fake_llm.requests[-1].reached
            text = json.loads(reply.read())["choices"][0]["message"]["content"]
            seen.append((reply.status, "[wt:hi]" in text, before, tank.fake_llm.requests[-1].reached))
            seen.append(id(client.sock))
        client.close()
        return seen

    first, at, second, also_at = value_of(work, **SLOW)
    assert first == (200, True, None, 2)
    assert second == (200, True, None, 4)
    assert at == also_at


def test_urllib_gets_answers_and_refusals() -> None:
    """`urlopen` returns the one and raises the other."""

    def work(_: Tank) -> list[Any]:
        asked = urllib.request.Request(f"https://{HOST}{PATH}", BODY, HEADERS)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked)
        with refused.value:
            time.sleep(float(refused.value.headers["retry-after"]))
        with urllib.request.urlopen(asked) as answer:
            return [refused.value.code, answer.status, len(answer.read()) > 100]

    wave = {"at": "0s", "lasts": "1s", "retry_after": "7s"}
    assert value_of(work, wave=[wave]) == [429, 200, True]


def test_who_sent_a_request_and_when() -> None:
    """It set out with its first byte, in the thread and at the line that sent it."""

    def work(tank: Tank) -> Any:
        with connected() as one:
            time.sleep(3)
            one.sendall(REQUEST)
            one.recv(1)
            time.sleep(3)
        return tank.fake_llm.requests[0].sent

    run = ran(work)
    assert run.value == 3
    arrived = run.events.of("arrived")[0]
    assert (arrived.sent, arrived.file) == (3_000_000_000, "tests/seams/test_seams_sockets.py")
    assert [event.at for event in run.events.of("left")] == [6_000_000_000]


def test_a_search_repeats() -> None:
    """Threads on sockets of their own take the same course in every run of a schedule."""

    def ask(item: str) -> int:
        body = BODY.replace(b"hi", item.encode())
        status = 429
        while status == 429:
            client = http.client.HTTPSConnection(HOST, timeout=60)
            client.request("POST", PATH, body, HEADERS)
            reply = client.getresponse()
            status = reply.status
            reply.read()
            client.close()
            time.sleep(float(reply.headers.get("retry-after", 0)))
        return status

    async def main(tank: Tank) -> Any:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(ask, [f"item {number}" for number in range(16)]))
        return statuses, tank.fake_llm.peak_in_flight

    logs = set()
    for _ in range(2):
        run = wavetank.simulate(main, "simultaneous", seed=3)
        assert run.value == ({200}, 8)
        logs.add(run.events.to_ndjson())
    assert len(logs) == 1
    assert wavetank.search(main, "simultaneous", schedules=6, checks="liveness").failure is None


def test_other_clients() -> None:
    """A pure-Python library that nobody has thought of comes in."""
    httplib2 = pytest.importorskip("httplib2")

    def work(tank: Tank) -> Any:
        client = httplib2.Http(timeout=30)
        reply, body = client.request(f"https://{HOST}{PATH}", "POST", BODY, HEADERS)
        client.close()
        return reply.status, b"wt:hi" in body, tank.now()

    assert value_of(work, **SLOW) == (200, True, 2)


# -- what a socket does -------------------------------------------------------------------------------


def test_ways_to_read_and_write() -> None:
    """Each method moves the bytes that it names."""

    def work(_: Tank) -> list[bytes]:
        with connected() as one:
            one.sendmsg([REQUEST[:9], REQUEST[9:50]])
            assert one.send(REQUEST[50:]) == len(REQUEST) - 50
            start = one.recv(4, socket.MSG_PEEK)
            parts = [one.recv(4), one.recvfrom(1)[0], one.recvmsg(3)[0]]
            into = bytearray(5)
            assert one.recv_into(into, 2) == 2
            assert one.recvmsg_into([into[2:3], bytearray(1)])[0] == 2
            parts.append(bytes(into[:2]))
            with one.makefile("rb") as file:
                parts += [file.readline(), file.read(12)]
            return [start, *parts]

    start, *parts = value_of(work)
    assert start == b"HTTP"
    assert parts[:3] == [b"HTTP", b"/", b"1.1"]
    assert parts[3:] == [b" 2", b" OK\r\n", b"content-type"]


def test_addresses_and_options() -> None:
    """Names have addresses of no real host; a socket knows both ends, and options can be set."""

    def work(_: Tank) -> Any:
        found: Any = socket.getaddrinfo(HOST, 443, type=socket.SOCK_STREAM)
        family, kind, *_rest, address = found[0]
        assert (family, kind) == (socket.AF_INET, socket.SOCK_STREAM)
        assert socket.gethostbyname(HOST) == address[0]
        assert socket.gethostbyname_ex(HOST)[2] == [address[0]]
        assert socket.gethostbyaddr(address[0])[0] == HOST
        assert socket.getnameinfo(address, 0)[0] == HOST
        assert str(socket.getaddrinfo(HOST, 443, socket.AF_INET6)[0][4][0]).startswith("2001:db8:")
        with socket.create_connection((HOST, 443), source_address=("127.0.0.1", 0)) as one:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert one.getpeername() == address
            assert one.connect_ex(address) == errno.EISCONN
            return address[0], one.getsockname()

    address, here = value_of(work)
    assert address.startswith(("198.18.", "198.19."))
    assert here == ("127.0.0.1", 49153)


def test_the_client_closes_its_sending_side() -> None:
    """It still gets the answer, and then the end; sending more is an error."""

    def work(tank: Tank) -> Any:
        with connected() as one:
            one.sendall(REQUEST)
            one.shutdown(socket.SHUT_WR)
            with pytest.raises(BrokenPipeError):
                one.send(b"x")
            return whole(one), tank.now()

    reply, at = value_of(work, **SLOW)
    assert b"wt:hi" in reply
    assert b"connection: close" in reply
    assert at == 2


def test_timeouts_and_faults_are_a_sockets_own() -> None:
    """A read in vain, a reset and a refused connection raise what they raise over a network."""

    def times_out(tank: Tank) -> float:
        with connected(timeout=3) as one:
            one.sendall(REQUEST)
            with pytest.raises(TimeoutError, match="timed out"):
                one.recv(1)
        return tank.now()

    def times_out_in_tls(tank: Tank) -> float:
        client = http.client.HTTPSConnection(HOST, timeout=3)
        client.request("POST", PATH, BODY, HEADERS)
        with pytest.raises(TimeoutError):
            client.getresponse()
        client.close()
        return tank.now()

    def is_reset(_: Tank) -> None:
        with connected() as one:
            one.sendall(REQUEST)
            with pytest.raises(ConnectionResetError):
                one.recv(1)

    def is_refused(_: Tank) -> int:
        with pytest.raises(ConnectionRefusedError):
            connected()
        with socket.socket() as one:
            return one.connect_ex((HOST, 80))

    late = {"latency": {"first_token": "30s"}}
    assert value_of(times_out, **late) == 3
    assert value_of(times_out_in_tls, **late) == 3
    value_of(is_reset, fault=[{"at": "0s", "kind": "reset"}])
    refused = {"at": "0s", "kind": "connection-refused"}
    assert value_of(is_refused, fault=[refused, refused]) == errno.ECONNREFUSED


def test_a_socket_that_is_lost_has_hung_up() -> None:
    """Closed, or collected without that: the provider sees the client leave, and the descriptor is free."""

    def work(tank: Tank) -> Any:
        one = connected()
        one.sendall(REQUEST)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del one
        return [record.left for record in tank.fake_llm.requests]

    assert value_of(work, **SLOW) == [True]


def test_a_thread_that_reads_is_woken_by_a_shutdown() -> None:
    """It gets the end."""

    def work(tank: Tank) -> Any:
        got: list[tuple[bytes, float]] = []
        with connected() as one:
            one.sendall(REQUEST)
            thread = threading.Thread(target=lambda: got.append((one.recv(1), tank.now())))
            thread.start()
            time.sleep(1)
            one.shutdown(socket.SHUT_RDWR)
            thread.join()
        return got

    assert value_of(work, **SLOW) == [(b"", 1)]


# -- TLS ----------------------------------------------------------------------------------------------


def test_what_a_client_asks_of_tls() -> None:
    """Version, cipher, certificate and the agreed protocol; unwrapped, the socket is plain."""

    def work(_: Tank) -> Any:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(connected(443), server_hostname=HOST) as one:
            certificate = one.getpeercert()
            assert certificate is not None
            assert certificate["subjectAltName"] == (("DNS", HOST),)
            assert one.getpeercert(binary_form=True)
            one.sendall(REQUEST)
            assert one.recv(12) == b"HTTP/1.1 200"
            cipher = one.cipher()
            assert cipher is not None
            return one.version(), cipher[1], one.selected_alpn_protocol(), one.pending()

    assert value_of(work) == ("TLSv1.3", "TLSv1.3", "http/1.1", 0)


def test_tls_before_the_connection() -> None:
    """A socket that was wrapped first connects, too."""

    def work(_: Tank) -> bytes:
        with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname=HOST) as one:
            one.connect((HOST, 443))
            one.sendall(REQUEST)
            return one.recv(12)

    assert value_of(work) == b"HTTP/1.1 200"


def test_http2_is_refused_in_words() -> None:
    """A client that offers nothing else, that begins it at once, or that encrypts by itself."""

    def offers(_: Tank) -> None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
        with connected(443) as one, pytest.raises(ssl.SSLError, match=r"offers h2 only.*http1=True"):
            context.wrap_socket(one, server_hostname=HOST)

    def begins(_: Tank) -> None:
        with connected() as one, pytest.raises(WrongProtocol, match=r"http1=True"):
            one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    def encrypts(_: Tank) -> None:
        with connected() as one, pytest.raises(WrongProtocol, match="TLS library of its own"):
            one.sendall(b"\x16\x03\x01\x02\x00")

    for work in (offers, begins, encrypts):
        value_of(work)


def test_tls_of_the_programs_own_is_left_alone() -> None:
    """Between two ends of the program, bytes are really encrypted."""

    def work(_: Tank) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        one = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="own.example")
        with suppress(ssl.SSLWantReadError):
            one.do_handshake()
        return outgoing.read(2)

    assert value_of(work) == b"\x16\x03"


# -- hosts that the fake does not answer for ---------------------------------------------------------


def test_a_proxy_is_refused_by_name() -> None:
    """A client on sockets that is given one cannot reach it."""

    def work(_: Tank) -> None:
        client = http.client.HTTPSConnection("proxy.example", 3128)
        client.set_tunnel(HOST)
        with pytest.raises(UnknownHost, match=r"proxy\.example:3128"):
            client.request("GET", "/v1/models")

    value_of(work)


def test_unknown_hosts_are_refused_by_name() -> None:
    """By their names or by the guard of the real network, and no socket is left open."""

    def work(tank: Tank) -> list[str]:
        with pytest.raises(UnknownHost, match=r"nowhere\.example"):
            urllib.request.urlopen("https://nowhere.example/v1")
        for place in (("127.0.0.1", 9), ("localhost", 9)):
            with pytest.raises(RealInputOutput, match="llm_clock"):
                socket.create_connection(place)
        with socket.socket(type=socket.SOCK_DGRAM) as one, pytest.raises(OSError, match="unreachable"):
            one.connect((socket.gethostbyname(HOST), 53))
        return [*tank.fake_llm.requests]

    assert value_of(work) == []


# -- waiting for several ------------------------------------------------------------------------------


def by_select(one: socket.socket, timeout: float | None) -> bool:
    return bool(select.select([one], [], [], timeout)[0])


def by_poll(one: socket.socket, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def by_selector(one: socket.socket, timeout: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ)
        return bool(selector.select(timeout))


WAYS = (by_select, by_poll, by_selector)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_waiting_takes_virtual_time(way: Callable[[socket.socket, float | None], bool], tls: bool) -> None:
    """Until there is something to read, or until the time is over."""

    def work(tank: Tank) -> Any:
        one = connected(443)
        if tls:
            one = ssl.create_default_context().wrap_socket(one, server_hostname=HOST)
        with one:
            one.setblocking(False)
            one.sendall(REQUEST)
            with pytest.raises((BlockingIOError, ssl.SSLWantReadError)):
                one.recv(1)
            assert select.select([], [one], [], 60)[1] == [one]
            early, at = way(one, 1), tank.now()
            found, then = way(one, None), tank.now()
            assert one.recv(1 << 20)
            return (early, at), (found, then), (way(one, 3), tank.now())

    assert value_of(work, **SLOW) == ((False, 1), (True, 2), (False, 5))


def test_waiting_where_the_system_has_no_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of sockets does the same, as on macOS."""
    monkeypatch.delattr(os, "eventfd", raising=False)
    for way in WAYS:
        test_waiting_takes_virtual_time(way, tls=True)


def test_a_poll_object_changes_its_mind() -> None:
    """What is taken out of it again is not waited for."""

    def work(tank: Tank) -> Any:
        with connected() as one, connected() as other:
            poll = select.poll()
            for each in (one, other):
                poll.register(each, select.POLLIN)
                each.sendall(REQUEST)
            poll.unregister(other)
            poll.modify(one, select.POLLIN | select.POLLPRI)
            return [number == one.fileno() for number, _ in poll.poll(-1)], tank.now()

    assert value_of(work, **SLOW) == ([True], 2)


@pytest.mark.parametrize("way", WAYS)
def test_threads_wait_beside_each_other(way: Callable[[socket.socket, float | None], bool]) -> None:
    """Each for a socket of its own; the log is the same in every run."""

    def ask(_: int) -> None:
        with connected() as one:
            for _ in range(3):
                one.sendall(REQUEST)
                assert way(one, None)
                one.recv(1 << 20)

    def work(tank: Tank) -> Any:
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            list(pool.map(ask, range(5)))
        return tank.now(), tank.fake_llm.peak_in_flight

    runs = [ran(work, **SLOW) for _ in range(2)]
    assert [run.value for run in runs] == [(6, 5)] * 2
    assert len({run.events.to_ndjson() for run in runs}) == 1


def test_a_wait_that_nothing_can_end_is_a_deadlock() -> None:
    """It is reported, and does not hang for real."""

    async def main(_: Tank) -> None:
        with connected() as one:
            select.select([one], [], [])

    assert wavetank.simulate(main, "calm").kind == "deadlock"


# -- real time ----------------------------------------------------------------------------------------


@pytest.mark.llm_clock("real")
@pytest.mark.usefixtures("fake_llm")
def test_in_real_time_too() -> None:
    """The system itself says when there is something to read; this machine's own servers are met as ever."""
    with connected() as one:
        one.sendall(REQUEST)
        assert by_poll(one, 60)
        assert one.recv(12) == b"HTTP/1.1 200"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
    ):
        far, _ = server.accept()
        with far:
            near.sendall(b"x")
            assert far.recv(1) == b"x"


# -- duplicates, epoll, and connections that are never made ----------------------------------------------


def test_a_duplicate_reaches_the_same_end() -> None:
    """The connection ends with the last of its sockets."""

    def work(tank: Tank) -> Any:
        one = connected()
        two = one.dup()
        one.sendall(REQUEST)
        one.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            one.recv(1)
        assert two.recv(12) == b"HTTP/1.1 200"
        two.close()
        return tank.now()

    run = ran(work, **SLOW)
    assert run.value == 2
    assert [event.kind for event in run.events if event.request] == ["arrived", "answered", "left"]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="the system has no epoll")
def test_epoll_waits_in_virtual_time() -> None:
    """Until there is something to read, or its timeout is over; files of the system's are seen as ever."""

    def work(tank: Tank) -> Any:
        with connected() as one, select.epoll() as waits:
            waits.register(one.fileno(), select.EPOLLIN)
            nothing, at = waits.poll(1.5), tank.now()
            one.sendall(REQUEST)
            return (
                nothing,
                at,
                waits.poll(timeout=60, maxevents=1) == [(one.fileno(), select.EPOLLIN)],
                tank.now(),
            )

    assert value_of(work, **SLOW) == ([], 1.5, True, 3.5)


UNANSWERED: dict[str, object] = {"fault": [{"kind": "connect-timeout", "times": 99}]}


@pytest.mark.parametrize(
    ("timeout", "number", "at"), [(3, None, 3), (200, errno.ETIMEDOUT, 127), (None, errno.ETIMEDOUT, 127)]
)
def test_a_connection_that_nothing_answers(timeout: float | None, number: int | None, at: float) -> None:
    """The socket's own timeout ends the attempt, or the system's patience."""

    def work(tank: Tank) -> Any:
        with pytest.raises(TimeoutError) as late:
            connected(timeout=timeout)
        return late.value.errno, tank.now()

    assert value_of(work, **UNANSWERED) == (number, at)


@pytest.mark.parametrize(("timeout", "at"), [(3, 3), (200, 127)])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_waits_for_such_a_connection(backend: str, timeout: float, at: float) -> None:
    """It can be written to only when the attempt has failed; until then nothing can be done with it."""

    async def main(tank: Tank) -> float:
        with socket.socket() as one:
            one.setblocking(False)
            assert one.connect_ex((HOST, 80)) == errno.EINPROGRESS
            with pytest.raises(OSError, match="Transport endpoint is not connected"):
                one.getpeername()
        streams: Any = {"asyncio": asyncio.open_connection, "trio": trio.open_tcp_stream}
        with pytest.raises(OSError), anyio.fail_after(timeout):  # noqa: PT011 - whoever gives up first
            await streams[backend](HOST, 80)
        return tank.now()

    scenario = scenario_from_dict(UNANSWERED, name="scripted", source="test")
    run = wavetank.simulate(main, scenario, backend=backend)
    assert (run.error, run.value) == (None, at)


def test_a_datagram_is_refused() -> None:
    """No provider takes them."""

    def work(_: Tank) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            pytest.raises(RealInputOutput, match="over the real network"),
        ):
            one.sendto(b"x", (HOST, 53))

    value_of(work)
