"""Keep a run in virtual time off the real network.

The methods that connect, send and receive are replaced on the classes of `socket` and `ssl`. Names
that modules hold since before the run are replaced with them: look-ups, the compiled class, and its
methods. An audit hook would hear of them all, whatever they are bound to, but it makes every audited
operation ten times slower, reading a frame among them, and it cannot be removed.
"""

from __future__ import annotations

import _socket
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from ..sim.errors import RealInputOutput
from ..sim.refused_io import LEAVE_OUT
from .attributes import replaced
from .imported_names import ImportedNames

RECEIVES: Final = ("accept", "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")
"""The methods of a socket that wait for the other end."""

_TRANSFERS: Final = (*RECEIVES, "read", "send", "sendall", "sendfile", "write")
"""What goes over a socket that is connected already."""

_NETWORK: Final = (socket.AF_INET, socket.AF_INET6)

_runs: Final[list[Callable[[], bool]]] = []
"""Of each run in virtual time, whether the calling thread is one of its own."""


@contextmanager
def no_network(is_mine: Callable[[], bool]) -> Iterator[None]:
    """Refuse connections, look-ups and transfers of the run's threads; `is_mine` says whose thread calls."""
    with ExitStack() as stack:
        if not _runs:
            _NAMES.put_in()
            stack.callback(_NAMES.take_out)
            for owner, name, guarded in (*_ON_CLASSES, *_on_subclasses()):
                stack.enter_context(replaced(owner, name, guarded))
        _runs.append(is_mine)
        stack.callback(_runs.remove, is_mine)
        yield


def _is_in_a_run() -> bool:
    return bool(_runs) and _runs[-1]()


def _refusal(where: object) -> RealInputOutput:
    shown = repr(where) if isinstance(where, bytes) else where
    return RealInputOutput(
        f"the program wants to reach {shown} over the real network, and virtual time cannot wait "
        f"for that. Use a client whose HTTP library meets the fake, or {LEAVE_OUT}"
    )


def _peer(one: socket.socket) -> object:
    try:
        return one.getpeername()
    except OSError:
        return one.getsockname() if one.fileno() >= 0 else "a socket that is closed"


# -- what stands in ---------------------------------------------------------------------------------


def _connects(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(self: socket.socket, address: object, /) -> Any:
        if _is_in_a_run():
            raise _refusal(address)
        return original(self, address)

    return guarded


def _sends_to(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(self: socket.socket, *args: Any) -> Any:
        address = args[-1] if original.__name__ == "sendto" else args[3] if len(args) > 3 else None
        if _is_in_a_run() and (address is not None or self.family in _NETWORK):
            raise _refusal(_peer(self) if address is None else address)
        return original(self, *args)

    return guarded


def _transfers(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(self: socket.socket, *args: Any, **options: Any) -> Any:
        if self.family in _NETWORK and _is_in_a_run():
            raise _refusal(_peer(self))
        return original(self, *args, **options)

    return guarded


def _looks_up(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(*args: Any, **options: Any) -> Any:
        if _is_in_a_run():
            named = (*args, *options.values())[:2]
            raise _refusal(":".join(str(part) for part in named if part is not None))
        return original(*args, **options)

    return guarded


_METHODS: Final[dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "connect": _connects,
    "connect_ex": _connects,
    "sendto": _sends_to,
    "sendmsg": _sends_to,
    **dict.fromkeys(_TRANSFERS, _transfers),
}
_LOOK_UPS: Final = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")

_compiled: Final = _socket.socket
_OF_COMPILED: Final = {
    name: guard(getattr(_compiled, name)) for name, guard in _METHODS.items() if hasattr(_compiled, name)
}
_ON_CLASSES: Final = tuple(
    (owner, name, guard(getattr(owner, name)))
    for owner, names in (
        (socket.socket, {*vars(socket.socket), *_OF_COMPILED}),
        (ssl.SSLSocket, vars(ssl.SSLSocket)),
    )
    for name, guard in _METHODS.items()
    if name in names
)


class _LikeTheCompiled(type):
    """Sockets that were made as the compiled class are instances of what stands in for it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _compiled)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _compiled)


_Compiled: Final = _LikeTheCompiled("socket", (_compiled,), {"__slots__": (), **_OF_COMPILED})


_IMMUTABLE: Final = 1 << 8
"""The flag of a type whose attributes cannot be set: Py_TPFLAGS_IMMUTABLETYPE of CPython."""


def _on_subclasses() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """What stands in on classes that were derived from the compiled one past that of `socket`."""
    for kind in _compiled.__subclasses__():
        if kind not in (socket.socket, _Compiled) and not kind.__flags__ & _IMMUTABLE:
            for name, guarded in _OF_COMPILED.items():
                own = vars(kind).get(name)
                yield kind, name, guarded if own is None else _METHODS[name](own)


_NAMES: Final = ImportedNames(
    (
        *((getattr(_socket, name), _looks_up(getattr(_socket, name))) for name in _LOOK_UPS),
        *((getattr(_compiled, name), guarded) for name, guarded in _OF_COMPILED.items()),
        (_compiled, _Compiled),
    )
)
