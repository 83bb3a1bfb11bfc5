"""Keep a run in virtual time off the real network.

An audit hook hears of every connection and look-up that the interpreter makes, whatever name the
program bound before. What goes over a connection that was made before raises no event, so the methods
that send and receive are replaced.
"""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from ..sim.errors import RealInputOutput
from ..sim.refused import LEAVE_OUT
from .attributes import replaced
from .audit import Judge, judged

_TRANSFERS: Final = (
    "accept",
    "read",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendfile",
    "write",
)
_NETWORK: Final = (socket.AF_INET, socket.AF_INET6)

_runs: Final[list[Callable[[], bool]]] = []


@contextmanager
def no_network(is_mine: Callable[[], bool]) -> Iterator[None]:
    """Refuse connections, look-ups and transfers of the run's threads; `is_mine` tells whose thread calls."""
    _runs.append(is_mine)
    with ExitStack() as stack:
        stack.callback(_runs.remove, is_mine)
        stack.enter_context(judged(_JUDGES))
        for owner in (socket.socket, ssl.SSLSocket):
            for name in _TRANSFERS:
                if name in vars(owner) or hasattr(socket.SocketType, name):
                    stack.enter_context(replaced(owner, name, _guarded(getattr(owner, name), is_mine)))
        yield


def _connects(_: str, args: tuple[Any, ...]) -> None:
    _refuse(args[1])


def _sends(_: str, args: tuple[Any, ...]) -> None:
    if args[1] is not None:  # over a connection, which is judged where it is made or used
        _refuse(args[1])


def _looks_up(_: str, args: tuple[Any, ...]) -> None:
    _refuse(":".join(str(part) for part in args[:2] if part is not None))


_JUDGES: Final[dict[str, Judge]] = {
    "socket.connect": _connects,
    "socket.sendto": _sends,
    "socket.sendmsg": _sends,
    "socket.getaddrinfo": _looks_up,
    "socket.gethostbyname": _looks_up,
    "socket.gethostbyaddr": _looks_up,
    "socket.getnameinfo": _looks_up,
}


def _refuse(where: object) -> None:
    if _runs[-1]():
        raise RealInputOutput(
            f"the program wants to reach {_shown(where)} over the real network, and virtual time cannot wait "
            f"for that. Use a client whose HTTP library meets the fake, or {LEAVE_OUT}"
        )


def _shown(where: object) -> object:
    return repr(where) if isinstance(where, bytes) else where


def _guarded(original: Callable[..., Any], is_mine: Callable[[], bool]) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(self: socket.socket, *args: Any, **options: Any) -> Any:
        if self.family in _NETWORK and is_mine():
            _refuse(_peer(self))
        return original(self, *args, **options)

    return guarded


def _peer(one: socket.socket) -> object:
    try:
        return one.getpeername()
    except OSError:
        return one.getsockname() if one.fileno() >= 0 else "a socket that is closed"
