"""The hosts of the fake as sockets find them: names have addresses, and connections end at the desk."""

from __future__ import annotations

import errno
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, cast, final

from ..patches.socket_lookups import is_numeric
from ..patches.sockets import network_in_memory
from ..patches.virtual_sockets import End
from ..patches.virtual_tls import tls_passed_over
from ..provider.host_patterns import is_loopback
from .desk import Desk
from .endpoint import Endpoint, Unanswered
from .memory import connection_to
from .reception import installed_desk
from .services import ServerEnd
from .unknown_hosts import connect, place

_FIRST: Final = int(IPv4Address("198.18.0.0"))
_SIZE: Final = 1 << 17
"""198.18.0.0/15 is for tests of devices (RFC 2544): no host of the network has such an address."""

_FIRST_V6: Final = int(IPv6Address("2001:db8::"))
"""The network for examples (RFC 3849)."""

_HERE: Final = ("127.0.0.1", "::1")
_FIRST_PORT: Final = 49152
"""The first of the ports that systems give to clients (RFC 6335)."""

_CHOSEN_BY_THE_SYSTEM: Final = 32768
"""From here on Linux gives ports to clients, another in each run."""


@final
class FakeNetwork:
    """What `patches.sockets` asks for addresses and connections.

    An address depends on nothing but the name, since programs keep addresses longer than one test.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def address_of(self, host: str, port: int | None, family: int) -> str | None:
        name, desk = _plain(host), installed_desk()
        if desk is None or not _answers(desk, name, port):
            return None
        if desk.hosts.knows(name, port):
            connect(desk, name, port, None, stage="look-up")
        number = self._number(name)
        if family == socket.AF_INET6:
            return str(IPv6Address(_FIRST_V6 + number))
        return str(IPv4Address(_FIRST + number))

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = zlib.crc32(name.encode()) % _SIZE
            while number in self._names:
                number = (number + 1) % _SIZE
            self._numbers[name], self._names[number] = number, name
        return number

    def name_of(self, address: str) -> str | None:
        try:
            kind = IPv6Address if ":" in address else IPv4Address
            number = int(kind(address)) - (_FIRST_V6 if kind is IPv6Address else _FIRST)
        except ValueError:
            return None
        return self._names.get(number)

    def passes_tls_over(self, host: str) -> bool:
        """Whether a client that wants TLS with `host` has its connection from here."""
        name, desk = _plain(host), installed_desk()
        return name in self._numbers or (desk is not None and desk.hosts.knows(name))

    def shake_hands(self, host: str, port: int | None) -> None:
        """A client is about to trust the certificate of `host`.

        Raises:
            OSError: the scenario has it fail.
        """
        name, desk = _plain(host), installed_desk()
        if desk is not None and desk.hosts.knows(name, port):
            connect(desk, name, port, None, stage="handshake")

    def connect(self, one: socket.socket, address: Any) -> End | None:
        if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
            return None
        host, port = address[:2]
        known = self.name_of(host)
        if one.type != socket.SOCK_STREAM:
            if known is not None:
                raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
            return None
        desk, name = installed_desk(), known or _plain(host)
        if desk is None or not _answers(desk, name, port):
            return None
        service = desk.services.get((name, port))
        connected: Callable[[Callable[[], object]], ServerEnd] | None
        try:
            connected = connection_to(desk, name, port, "connect") if service is None else service.connect()
        except TimeoutError:
            connected = None
        if connected is None:
            return cast("End", Unanswered(desk, name, one.gettimeout()))
        shown = host if is_numeric(host) else self.address_of(name, port, one.family)
        there = (shown, port, *address[2:])
        here, blocking = _own_address(one, desk), one.gettimeout() != 0
        return Endpoint(desk, connected, name, here=here, there=there, blocking=blocking)


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


def is_known(desk: Desk, name: str, port: int | None) -> bool:
    """Whether the fake answers for a host, or the test says that it may be refused."""
    return (
        desk.hosts.knows(name, port) or _has_service(desk, name, port) or desk.is_declared(place(name, port))
    )


def _has_service(desk: Desk, name: str, port: int | None) -> bool:
    """Whether a server of the simulated network is there; without a port, at any."""
    return any(host == name and port in (None, 0, at) for host, at in desk.services)


def _answers(desk: Desk, name: str, port: int | None) -> bool:
    """Whether a connection ends at the desk, if only to be refused there with a word on the host."""
    if desk.lets_through(name, port):
        return False
    return is_known(desk, name, port) or (desk.waits.is_virtual_here() and not is_loopback(name))


def _own_address(one: socket.socket, desk: Desk) -> tuple[Any, ...]:
    """The client's own: what it was bound to, else the address of this machine and the next port."""
    host, port, *rest = one.getsockname()
    desk.ports += 1
    is_any = host in ("0.0.0.0", "::")
    return (
        _HERE[one.family == socket.AF_INET6] if is_any else host,
        port if 0 < port < _CHOSEN_BY_THE_SYSTEM else _FIRST_PORT + desk.ports % (65536 - _FIRST_PORT),
        *rest,
    )


_network: Final = FakeNetwork()


@contextmanager
def sockets_meet_the_fake() -> Iterator[None]:
    """Let sockets, their look-ups and their TLS meet the desk that is installed."""
    with ExitStack() as stack:
        stack.enter_context(network_in_memory(_network))
        stack.enter_context(tls_passed_over(_network.passes_tls_over, _network.shake_hands))
        yield
