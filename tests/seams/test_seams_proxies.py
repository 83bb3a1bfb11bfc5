"""A request is judged by its own host, also behind a proxy or over a connection made before the fake."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from wavetank.provider.host_patterns import is_loopback
from wavetank.tank.fake_llm import FakeLLM

PATH = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
HEADERS = {"authorization": "Bearer k"}

urls = pytest.mark.parametrize("url", [f"https://api.openai.com{PATH}", f"http://api.openai.com{PATH}"])


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.llm_clock("real")), "virtual"])
def either_clock(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Proxy:
    """A server on this machine that answers everything with `hi`, and what it was asked."""

    url: str
    asked: list[bytes] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)


@pytest.fixture(scope="module")
def running_proxy() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(f"http://127.0.0.1:{server.getsockname()[1]}")
        threading.Thread(target=_serve, args=(server, proxy), daemon=True).start()
        yield proxy
        server.shutdown(socket.SHUT_RDWR)
        for connection in proxy.connections:  # else their threads stay, and later tests report them
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, proxy: Proxy) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        proxy.connections.append(connection)
        threading.Thread(target=_answer, args=(connection, proxy), daemon=True).start()


def _answer(connection: socket.socket, proxy: Proxy) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(65536):
            proxy.asked.append(data)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")


@dataclass
class Clients:
    """One client of each library behind the proxy; each has an open connection to it."""

    httpx: httpx.Client
    httpx2: httpx2.Client
    urllib3: urllib3.ProxyManager
    requests: requests.Session

    def texts(self, url: str) -> Iterator[str]:
        yield self.httpx.post(url, headers=HEADERS, json=BODY).text
        yield self.httpx2.post(url, headers=HEADERS, json=BODY).text
        yield self.urllib3.request("POST", url, headers=HEADERS, json=BODY).data.decode()
        yield self.requests.post(url, headers=HEADERS, json=BODY).text


@pytest.fixture(scope="module")
def clients(running_proxy: Proxy) -> Iterator[Clients]:
    url = running_proxy.url
    session = requests.Session()
    session.proxies, session.trust_env = {"http": url, "https": url}, False
    made = Clients(
        httpx.Client(proxy=url),
        httpx2.Client(proxy=url),
        urllib3.ProxyManager(url, retries=False),
        session,
    )
    assert list(made.texts(f"http://api.openai.com{PATH}")) == ["hi"] * 4
    yield made
    for client in (made.httpx, made.httpx2, made.requests):
        client.close()
    made.urllib3.clear()


@pytest.fixture
def proxy(running_proxy: Proxy) -> Proxy:
    running_proxy.asked.clear()
    return running_proxy


@urls
@pytest.mark.usefixtures("either_clock")
def test_proxied_requests_meet_the_fake(fake_llm: FakeLLM, clients: Clients, proxy: Proxy, url: str) -> None:
    """Clients made before the test, with a proxy and a connection to it, are answered by the fake."""
    for _ in range(2):
        assert all("wt:" in text for text in clients.texts(url))
    assert not proxy.asked
    assert len(fake_llm.requests) == 8


@urls
@pytest.mark.usefixtures("either_clock")
@pytest.mark.anyio
@pytest.mark.usefixtures("fake_llm")
async def test_proxied_requests_of_async_clients_meet_the_fake(
    proxy: Proxy, url: str, anyio_backend_name: str
) -> None:
    """So are those of async clients."""
    async with httpx.AsyncClient(proxy=proxy.url) as client:
        assert "wt:" in (await client.post(url, headers=HEADERS, json=BODY)).text
    if anyio_backend_name == "asyncio":
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, proxy=proxy.url, headers=HEADERS, json=BODY) as response,
        ):
            assert "wt:" in await response.text()
    assert not proxy.asked


@pytest.mark.llm_clock("real")
def test_requests_to_this_machine_go_through_in_real_time(fake_llm: FakeLLM, proxy: Proxy) -> None:
    """With and without a proxy; the fake sees none of them."""
    assert httpx.get(proxy.url).text == "hi"
    assert urllib3.request("GET", proxy.url).data == b"hi"
    with httpx.Client(proxy=proxy.url) as client:
        assert client.get("http://127.0.0.1:1/x").text == "hi"
    assert len(proxy.asked) == 3
    assert not fake_llm.requests


@pytest.mark.usefixtures("either_clock")
@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil.example", "127.evil.example"])
@pytest.mark.usefixtures("fake_llm")
@pytest.mark.llm_expect(unknown_hosts="*.evil.example")
def test_hosts_that_begin_like_this_machine_are_unknown(proxy: Proxy, host: str) -> None:
    """Neither directly nor behind a proxy is anything sent to them."""
    for client in (httpx.Client(), httpx.Client(proxy=proxy.url)):
        with client, pytest.raises(httpx.ConnectError, match=host.replace(".", r"\.")):
            client.get(f"http://{host}:1/")
    assert not proxy.asked


def test_connections_are_made_again_after_the_test(clients: Clients, proxy: Proxy) -> None:
    """In a test without the fake the same clients reach the proxy."""
    assert list(clients.texts(f"http://api.openai.com{PATH}")) == ["hi"] * 4
    assert len([part for part in proxy.asked if part.startswith(b"POST")]) == 4


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("127.8.9.1:80", True),
        ("::1", True),
        ("[::1]:80", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("127.1", False),
        ("::2", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_recognized_by_name_and_address(host: str, is_local: bool) -> None:
    """No prefix makes a host this machine."""
    assert is_loopback(host) is is_local
