"""Look up names of hosts that are in this process, in the place of the functions of `socket`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from .virtual_sockets import End


class Network(Protocol):
    """The hosts that are in this process."""

    def address_of(self, host: str, port: int | None, family: int, /) -> str | None:
        """The address of a host; `None` if it is none of ours."""

    def name_of(self, address: str, /) -> str | None:
        """The host at an address; `None` if it is none of ours."""

    def connect(self, one: socket.socket, address: Any, /) -> End | None:
        """The client's end of a new connection; `None` if the address is none of ours.

        Raises:
            OSError: the connection is refused.
        """


def is_numeric(host: object) -> bool:
    """Whether a host is an address, or none at all, so that no look-up is needed."""
    if not host:
        return True
    text = _text(host).partition("%")[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)


def _getaddrinfo(
    network: Network,
    original: Callable[..., Any],
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> Any:
    if flags & socket.AI_NUMERICHOST or is_numeric(host):
        return original(host, port, family, type, proto, flags)
    number = int(port) if isinstance(port, int) or str(port).isdecimal() else None
    address = network.address_of(_text(host), number, family)
    if address is None:
        return None
    return original(address, port, family, type, proto, flags)


def _gethostbyname(network: Network, original: Callable[..., Any], host: Any) -> Any:
    return network.address_of(_text(host), None, socket.AF_INET)


def _gethostbyname_ex(network: Network, original: Callable[..., Any], host: Any) -> Any:
    address = network.address_of(_text(host), None, socket.AF_INET)
    return None if address is None else (_text(host), [], [address])


def _gethostbyaddr(network: Network, original: Callable[..., Any], address: Any) -> Any:
    name = network.name_of(_text(address))
    return None if name is None else (name, [], [_text(address)])


def _getnameinfo(network: Network, original: Callable[..., Any], pair: Any, flags: int) -> Any:
    name = network.name_of(_text(pair[0]))
    if name is None:
        return None
    _, port = original(pair, flags | socket.NI_NUMERICHOST)
    return (_text(pair[0]) if flags & socket.NI_NUMERICHOST else name), port


ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "getaddrinfo": _getaddrinfo,
    "gethostbyname": _gethostbyname,
    "gethostbyname_ex": _gethostbyname_ex,
    "gethostbyaddr": _gethostbyaddr,
    "getnameinfo": _getnameinfo,
}
"""By the name of a function what it returns for a host of ours; `None` for any other."""
