"""Stand between sockets and the network: connections may end in this process, and a run has no others.

The methods of sockets are replaced on the classes of `socket` and `ssl`. Names that modules hold since
before are replaced with them: look-ups, the compiled class, and its methods. An audit hook would hear of
them all, whatever they are bound to, but it makes every audited operation ten times slower, reading a
frame among them, and it cannot be removed.
"""

from __future__ import annotations

import _socket
import errno
import functools
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

from ..sim.errors import RealInputOutput
from ..sim.refused_io import LEAVE_OUT
from ..sim.virtual_files import NETWORKS, add_socket, add_virtual_file, virtual_end_of
from .attributes import replaced
from .imported_names import ImportedNames
from .imports import on_import
from .socket_lookups import ANSWERS, Network
from .virtual_sockets import AT_END, End
from .virtual_tls import NoTls, connected_by_tls

Method = Callable[..., Any]

RECEIVES: Final = ("accept", "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")
"""The methods of a socket that wait for the other end."""

_TRANSFERS: Final = (*RECEIVES, "read", "send", "sendall", "sendfile", "write")
"""What goes over a socket that is connected already."""

_NETWORK: Final = (socket.AF_INET, socket.AF_INET6)

_runs: Final[list[Callable[[], bool]]] = []
"""Of each run in virtual time, whether the calling thread is one of its own."""


_networks: Final[list[Network]] = NETWORKS

_replaced: Final = ExitStack()


@contextmanager
def no_network(is_mine: Callable[[], bool]) -> Iterator[None]:
    """Refuse connections, look-ups and transfers of the run's threads; `is_mine` says whose thread calls."""
    with _in_place(_runs, is_mine):
        yield


@contextmanager
def network_in_memory(network: Network) -> Iterator[None]:
    """Let connections to the hosts of `network` end there."""
    with _in_place(_networks, network), ExitStack() as stack:
        stack.enter_context(on_import(("trio._socket",), partial(_let_trio_see, stack)))
        yield


def _let_trio_see(stack: ExitStack, module: ModuleType) -> None:
    """Let trio's sockets use the methods of the class, not those that trio took from it at its import."""
    kind, name = vars(module)["_SocketType"], "_nonblocking_helper"
    original = getattr(kind, name)

    def by_name(self: Any, wait_fn: Method, fn: Method, *args: Any, **options: Any) -> Any:
        return original(self, wait_fn, getattr(type(self._sock), fn.__name__), *args, **options)

    stack.enter_context(replaced(kind, name, by_name))


@contextmanager
def _in_place(users: list[Any], user: Any) -> Iterator[None]:
    """Replace the methods while anybody needs it; blocks may end in any order."""
    if not (_runs or _networks):
        _NAMES.put_in()
        _replaced.callback(_NAMES.take_out)
        for owner, name, method in (*_ON_CLASSES, *_on_subclasses()):
            _replaced.enter_context(replaced(owner, name, method))
    users.append(user)
    try:
        yield
    finally:
        users.remove(user)
        if not (_runs or _networks):
            _replaced.close()


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


def _with_ends(original: Method) -> Method:
    """A method that asks first whether the socket's other end is in this process."""
    guard, at_end = _GUARDS.get(original.__name__), AT_END.get(original.__name__)
    if guard is _connects:
        return _connects(original)
    otherwise = original if guard is None else guard(original)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **options: Any) -> Any:
        end = virtual_end_of(self)
        if end is None:
            return otherwise(self, *args, **options)
        if at_end is not None:
            result = at_end(end, self, *args, **options)
            if result is not NotImplemented:
                return result
        return original(self, *args, **options)

    return method


def _of_tls(original: Method) -> Method:
    """A method of `SSLSocket` reads and writes by what stands in for TLS, if its other end is here."""
    guard = _GUARDS[original.__name__]
    otherwise = guard(original)
    if guard is _connects:
        return otherwise

    @functools.wraps(original)
    def method(self: Any, *args: Any, **options: Any) -> Any:
        of_ours = isinstance(self._sslobj, NoTls) or (
            self._sslobj is None and virtual_end_of(self) is not None
        )
        return (original if of_ours else otherwise)(self, *args, **options)

    return method


def _connects(original: Method) -> Method:
    by_number = original.__name__ == "connect_ex"

    @functools.wraps(original)
    def guarded(self: socket.socket, address: Any, /) -> Any:
        try:
            if _end_at(self, address) is not None:
                return 0 if by_number else None
            if _is_in_a_run():
                raise _refusal(address)
        except OSError as error:
            if by_number and error.errno is not None:
                return error.errno
            raise
        except RuntimeError:
            self.close()  # else a warning hides the error: only for an OSError do callers close it
            raise
        return original(self, address)

    return guarded


def _made(original: Method) -> Method:
    @functools.wraps(original)
    def noted(self: socket.socket, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        if _networks and self.family in _NETWORK:
            add_socket(self)

    return noted


def _end_at(one: socket.socket, address: Any) -> End | None:
    """Connect a socket to a host in this process, if the address is one."""
    if not _networks or one.family not in _NETWORK:
        return None
    if virtual_end_of(one) is not None:
        raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
    end = _networks[-1].connect(one, address)
    if end is not None:
        add_virtual_file(one, end)
        end.signal_on(one.fileno())
        if isinstance(one, ssl.SSLSocket):
            connected_by_tls(one, end)
    return end


def _sends_to(original: Method) -> Method:
    @functools.wraps(original)
    def guarded(self: socket.socket, *args: Any) -> Any:
        address = args[-1] if original.__name__ == "sendto" else args[3] if len(args) > 3 else None
        if _is_in_a_run() and (address is not None or self.family in _NETWORK):
            raise _refusal(_peer(self) if address is None else address)
        return original(self, *args)

    return guarded


def _is_idle(one: socket.socket) -> bool:
    """Whether a socket has no other end, or is closed, so that the system refuses to use it."""
    if one.type != socket.SOCK_STREAM:
        return False
    try:
        one.getpeername()
    except OSError:
        return True
    return False


def _transfers(original: Method) -> Method:
    is_accept = original.__name__ == "accept"

    @functools.wraps(original)
    def guarded(self: socket.socket, *args: Any, **options: Any) -> Any:
        if self.family in _NETWORK and _is_in_a_run() and (is_accept or not _is_idle(self)):
            raise _refusal(_peer(self))
        return original(self, *args, **options)

    return guarded


def _looks_up(original: Method) -> Method:
    answer = ANSWERS[original.__name__]

    @functools.wraps(original)
    def guarded(*args: Any, **options: Any) -> Any:
        if _networks:
            found = answer(_networks[-1], original, *args, **options)
            if found is not None:
                return found
        if _is_in_a_run():
            named = (*args, *options.values())[:2]
            raise _refusal(":".join(str(part) for part in named if part is not None))
        return original(*args, **options)

    return guarded


_GUARDS: Final[dict[str, Callable[[Method], Method]]] = {
    "connect": _connects,
    "connect_ex": _connects,
    "sendto": _sends_to,
    "sendmsg": _sends_to,
    **dict.fromkeys(_TRANSFERS, _transfers),
}
_LOOK_UPS: Final = tuple(ANSWERS)

_compiled: Final = _socket.socket
_OF_SOCKETS: Final = tuple({**_GUARDS, **AT_END})
_OF_COMPILED: Final = {
    name: _with_ends(getattr(_compiled, name)) for name in _OF_SOCKETS if hasattr(_compiled, name)
}
_ON_CLASSES: Final = (
    (socket.socket, "__init__", _made(socket.socket.__init__)),
    *(
        (socket.socket, name, _with_ends(getattr(socket.socket, name)))
        for name in _OF_SOCKETS
        if hasattr(socket.socket, name)
    ),
    *(
        (ssl.SSLSocket, name, _of_tls(vars(ssl.SSLSocket)[name]))
        for name in _GUARDS
        if name in vars(ssl.SSLSocket)
    ),
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
                yield kind, name, guarded if own is None else _with_ends(own)


_NAMES: Final = ImportedNames(
    (
        *((getattr(_socket, name), _looks_up(getattr(_socket, name))) for name in _LOOK_UPS),
        *((getattr(_compiled, name), guarded) for name, guarded in _OF_COMPILED.items()),
        (_compiled, _Compiled),
    )
)
