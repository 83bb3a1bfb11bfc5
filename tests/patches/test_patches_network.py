"""What a run keeps off the network: early names, datagrams, connections made before, compiled clients."""

from __future__ import annotations

import _socket
import socket
import ssl
import subprocess
import sys
import textwrap
from _socket import socket as bare_socket
from collections.abc import Callable, Iterator
from socket import create_connection as early_create_connection
from socket import getaddrinfo as early_getaddrinfo
from socket import gethostbyname as early_gethostbyname

import pytest

import wavetank
from wavetank.tank.fake_llm import FakeLLM

from ..forked import ForkedPython

early_connect = socket.socket.connect
early_recv = socket.socket.recv

ADDRESS = ("127.0.0.1", 9)


class Subclass(socket.socket):
    """Calls the method of the compiled class past that of `socket.socket`."""

    def connect(self, address: object, /) -> None:
        _socket.socket.connect(self, address)  # type: ignore[arg-type]


class BareSubclass(bare_socket):
    """Has nothing of `socket.socket`."""


class Overriding(BareSubclass):
    """Has methods of its own."""

    def connect(self, address: object, /) -> None:
        super().connect(address)  # type: ignore[arg-type]


def datagram(send: Callable[[socket.socket], object]) -> Callable[[], object]:
    def sends() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            send(one)

    return sends


def connects(kind: Callable[[], socket.socket]) -> Callable[[], object]:
    def connect() -> None:
        one = kind()
        try:
            one.connect(ADDRESS)
        finally:
            one.close()

    return connect


CALLS: dict[str, Callable[[], object]] = {
    "early connection": lambda: early_create_connection(ADDRESS),
    "early look-up": lambda: early_getaddrinfo("localhost", 80),
    "early name": lambda: early_gethostbyname("localhost"),
    "name behind an address": lambda: socket.gethostbyaddr("127.0.0.1"),
    "name for a pair": lambda: socket.getnameinfo(ADDRESS, 0),
    "bare socket": connects(lambda: bare_socket()),  # type: ignore[arg-type, return-value]
    "early method": datagram(lambda one: early_connect(one, ADDRESS)),
    "early transfer": datagram(lambda one: early_recv(one, 1)),
    "subclass": connects(Subclass),
    "bare subclass": connects(BareSubclass),  # type: ignore[arg-type]
    "overriding subclass": connects(Overriding),  # type: ignore[arg-type]
    "sendto": datagram(lambda one: one.sendto(b"x", ADDRESS)),
    "sendmsg": datagram(lambda one: one.sendmsg([b"x"], [], 0, ADDRESS)),
    "certificate": lambda: ssl.get_server_certificate(ADDRESS),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("fake_llm")
def test_every_way_out_is_refused(name: str) -> None:
    """Whatever name the program bound before the test, and whichever class it uses."""
    with pytest.raises(wavetank.RealInputOutput, match="llm_clock"):
        CALLS[name]()


@pytest.fixture(scope="module")
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection made before the test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with near, far:
            yield near, far


def test_a_connection_made_before_is_not_used(
    connected: tuple[socket.socket, socket.socket], fake_llm: FakeLLM
) -> None:
    """Neither to send nor to receive; the error names the other end."""
    near, far = connected
    place = str(far.getsockname()[1])
    for use in (lambda: near.send(b"x"), lambda: near.sendall(b"x"), lambda: near.recv(1), far.accept):
        with pytest.raises(wavetank.RealInputOutput):
            use()
    with pytest.raises(wavetank.RealInputOutput, match=str(near.getpeername()[1])):
        near.makefile("rb").read(1)
    assert not fake_llm.requests
    assert place


def test_it_is_usable_again(connected: tuple[socket.socket, socket.socket]) -> None:
    """Nothing was sent in the test before, and nothing is refused after it."""
    near, far = connected
    near.sendall(b"after")
    assert far.recv(16) == b"after"


@pytest.mark.usefixtures("fake_llm")
def test_a_pair_of_sockets_within_the_process_works() -> None:
    """It is no network."""
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"


COMPILED = {
    "grpc/_channel.py": "class _UnaryUnaryMultiCallable:\n    def __call__(self): return 'sent'\n",
    "psycopg/connection.py": "class Connection:\n    @classmethod\n    def connect(cls): return 'sent'\n",
    "curl_cffi/curl.py": "class Curl:\n    def perform(self): return 'sent'\n",
    "pycurl.py": "class Curl:\n    def perform(self): return 'sent'\nclass CurlMulti: pass\n",
}
"""Stand-ins by the files of the real modules, which are too heavy to install for this."""

USES = """
def grpc():
    from grpc._channel import _UnaryUnaryMultiCallable
    return _UnaryUnaryMultiCallable()()

def psycopg():
    from psycopg.connection import Connection
    return Connection.connect()

def curl_cffi():
    from curl_cffi.curl import Curl
    return Curl().perform()

def pycurl():
    from pycurl import Curl
    return Curl().perform()
"""


def test_compiled_clients_are_refused_by_name(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported before the test or within it; a test without the fake has them as ever."""
    monkeypatch.setattr(subprocess, "Popen", ForkedPython)
    for file, text in COMPILED.items():
        path = pytester.path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    pytester.makepyfile(
        f"""
        import pytest, wavetank
        from pycurl import Curl as Early
        import psycopg.connection
        {textwrap.indent(USES, " " * 8)}
        every = pytest.mark.parametrize("use", [grpc, psycopg, curl_cffi, pycurl])

        @every
        def test_within(fake_llm, use):
            with pytest.raises(wavetank.RealInputOutput, match=f"^{{use.__name__}} .*llm_clock"):
                use()

        def test_early(fake_llm):
            with pytest.raises(wavetank.RealInputOutput):
                Early()

        @every
        def test_after(use):
            assert use() == "sent"
            assert Early().perform() == "sent"
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio", "-q")
    result.assert_outcomes(passed=9)


def test_no_audit_hook_is_left_in_the_process() -> None:
    """It would slow down every look at a frame for good; a look-up works after a run."""
    program = (
        "import sys, socket\n"
        "hooks = []\n"
        "sys.addaudithook = hooks.append\n"
        "import wavetank\n"
        "async def main(tank): pass\n"
        "wavetank.simulate(main)\n"
        "assert not hooks\n"
        "assert socket.getaddrinfo('127.0.0.1', 80)\n"
        "assert 'connect' not in vars(socket.socket)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)
