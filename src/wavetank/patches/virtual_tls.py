"""Pass over TLS on connections whose other end is in this process: the bytes go as they are.

What a client asks of TLS afterwards, it gets: a version, a cipher, a certificate with the host's name, and
`http/1.1` as the protocol that was agreed on.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol, final
from weakref import WeakKeyDictionary

from ..sim.asyncio_loop import SimulatedLoop
from ..sim.private_names import require
from ..sim.virtual_files import add_virtual_file, forget_virtual_file, virtual_end_of
from .attributes import replaced
from .socket_lookups import is_numeric
from .virtual_sockets import End

require(
    ssl.SSLContext,
    "_wrap_bio",
    of=f"ssl of Python {sys.version.split()[0]}",
    supported="use a Python that wavetank supports (3.11 to 3.14)",
)

_HTTP: Final = "http/1.1"
_VERSION: Final = "TLSv1.3"
_CIPHER: Final = ("TLS_AES_256_GCM_SHA384", _VERSION, 256)
_FROM: Final = "Jan  1 00:00:00 2020 GMT"
_UNTIL: Final = "Jan  1 00:00:00 2100 GMT"

_handshakes: Final[list[Callable[[str, int | None], object]]] = []
"""What is asked, with host and port, before a certificate is trusted."""

_offered: Final[WeakKeyDictionary[ssl.SSLContext, Sequence[str]]] = WeakKeyDictionary()
"""The protocols that contexts offer, as far as they were set while this stood in."""


class Pipe(Protocol):
    """Where the bytes go, and come from."""

    def read(self, limit: int, /) -> bytes: ...
    def write(self, data: Any, /) -> int: ...


@final
class NoTls:
    """Stands in for the compiled half of an `SSLSocket` or an `SSLObject`, whose methods call this one's."""

    session = None
    session_reused = False
    server_side = False

    def __init__(self, pipe: Pipe, context: ssl.SSLContext, host: str, owner: Any = None) -> None:
        self._pipe = pipe
        self.context = context
        self.server_hostname = host
        self.owner = owner

    def do_handshake(self) -> None:
        """Agree on HTTP/1.1.

        Raises:
            ssl.SSLError: the client offers other protocols only, and the text says what to change; or the
                scenario has no certificate that could be trusted.
        """
        offered = _offered.get(self.context)
        if offered and _HTTP not in offered:
            raise ssl.SSLError(
                ssl.SSL_ERROR_SSL,
                f"the client offers {', '.join(offered)} only, and wavetank's fake speaks HTTP/1.1: let the "
                "client offer http/1.1, too (in httpx http1=True), as it does by default",
            )
        if self.context.verify_mode != ssl.CERT_NONE:
            for ask in _handshakes[-1:]:
                ask(self.server_hostname, None)

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        if buffer is None:
            return self._pipe.read(size)
        with memoryview(buffer).cast("B") as view:
            data = self._pipe.read(min(size, len(view)) if size > 0 else len(view))
            view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._pipe.write(data)

    def pending(self) -> int:
        return 0

    def shutdown(self) -> Any:
        return self.owner

    def selected_alpn_protocol(self) -> str | None:
        return _HTTP if _HTTP in _offered.get(self.context, (_HTTP,)) else None

    def selected_npn_protocol(self) -> None:
        return None

    def compression(self) -> None:
        return None

    def cipher(self) -> tuple[str, str, int]:
        return _CIPHER

    def shared_ciphers(self) -> list[tuple[str, str, int]]:
        return [_CIPHER]

    def version(self) -> str:
        return _VERSION

    def get_channel_binding(self, kind: str = "tls-unique") -> None:
        return None

    def verify_client_post_handshake(self) -> None:
        """There are no certificates of clients."""

    def getpeercert(self, binary_form: bool = False) -> Any:
        """A certificate that fits the host; its binary form is none that could be read."""
        if binary_form:
            return f"wavetank has no certificate for {self.server_hostname}".encode()
        if self.context.verify_mode == ssl.CERT_NONE:
            return {}
        name = ((("commonName", self.server_hostname),),)
        kind = "IP Address" if is_numeric(self.server_hostname) else "DNS"
        return {
            "subject": name,
            "issuer": ((("commonName", "wavetank"),),),
            "subjectAltName": ((kind, self.server_hostname),),
            "notBefore": _FROM,
            "notAfter": _UNTIL,
            "serialNumber": "01",
            "version": 3,
        }


@final
class _Socket:
    """The bytes of a socket, with its timeout."""

    def __init__(self, one: socket.socket, end: End) -> None:
        self._one = one
        self._end = end

    def read(self, limit: int) -> bytes:
        try:
            return self._end.receive(limit, self._one.gettimeout()) if limit else b""
        except BlockingIOError:
            raise ssl.SSLWantReadError(
                ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)"
            ) from None
        except TimeoutError:
            raise TimeoutError("The read operation timed out") from None

    def write(self, data: Any) -> int:
        return self._end.send(data)


@final
class _Memory:
    """The bytes that a client carries itself."""

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def read(self, limit: int) -> bytes:
        data = self._incoming.read(limit)
        if not data and limit and not self._incoming.eof:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
        return data

    def write(self, data: Any) -> int:
        return self._outgoing.write(data)


@contextmanager
def tls_passed_over(
    is_ours: Callable[[str], bool], handshake: Callable[[str, int | None], object]
) -> Iterator[None]:
    """Let contexts wrap connections to hosts of this process without TLS; `is_ours` says which they are.

    `handshake` is asked before a certificate is trusted, and may raise an `OSError`.
    """
    context = ssl.SSLContext
    with ExitStack() as stack:
        for name, method in (
            ("wrap_socket", _wrap_socket(context.wrap_socket)),
            ("_wrap_bio", _wrap_bio(getattr(context, "_wrap_bio"), is_ours)),  # noqa: B009 - it is private
            ("set_alpn_protocols", _set_alpn_protocols(context.set_alpn_protocols)),
        ):
            stack.enter_context(replaced(context, name, method))
        _handshakes.append(handshake)
        stack.callback(_handshakes.remove, handshake)
        stack.enter_context(replaced(SimulatedLoop, "_make_ssl_transport", _make_ssl_transport))
        yield


def _make_ssl_transport(
    self: Any,
    rawsock: socket.socket,
    protocol: Any,
    sslcontext: ssl.SSLContext | None,
    waiter: Any = None,
    *,
    server_hostname: str | None = None,
    **options: Any,
) -> Any:
    """A plain transport that answers questions about TLS; there is no handshake to wait for."""
    context = sslcontext or ssl.create_default_context()
    try:
        made = object_without_tls(context, rawsock, server_hostname)
    except BaseException:
        rawsock.close()  # as asyncio's own transport does, which is not made
        raise
    extra = {
        "sslcontext": context,
        "ssl_object": made,
        "peercert": made.getpeercert(),
        "cipher": made.cipher(),
        "compression": made.compression(),
    }
    return self._make_socket_transport(rawsock, protocol, waiter, extra=extra)


def _wrap_socket(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrap_socket(
        self: ssl.SSLContext,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
        session: Any = None,
    ) -> Any:
        end: End | None = virtual_end_of(sock)
        if end is None:
            at_once, ragged, host = do_handshake_on_connect, suppress_ragged_eofs, server_hostname
            return original(self, sock, server_side, at_once, ragged, host, session)
        if self.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        wrapped = _bare_socket(self, sock, server_hostname, do_handshake_on_connect, suppress_ragged_eofs)
        timeout = sock.gettimeout()
        forget_virtual_file(sock)
        os.close(sock.detach())
        # Not with that descriptor, which is no socket's for the system.
        socket.socket.__init__(wrapped, sock.family, sock.type, sock.proto)
        wrapped.settimeout(timeout)
        end.signal_on(wrapped.fileno())
        add_virtual_file(wrapped, end)
        try:
            connected_by_tls(wrapped, end)
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    return wrap_socket


def _bare_socket(
    context: ssl.SSLContext, sock: socket.socket, host: str | None, at_once: bool, ragged: bool
) -> Any:
    """An `SSLSocket` as its own constructor makes it, but that it has no descriptor yet."""
    kind = context.sslsocket_class
    wrapped: Any = kind.__new__(kind)
    wrapped._context = context
    wrapped._session = None
    wrapped._sslobj = None
    wrapped.server_side = False
    wrapped.server_hostname = host
    wrapped.do_handshake_on_connect = at_once
    wrapped.suppress_ragged_eofs = ragged
    return wrapped


def connected_by_tls(one: Any, end: End) -> None:
    """An `SSLSocket` is connected to a host of this process: let it read and write without TLS.

    Raises:
        ssl.SSLError: the client offers other protocols than HTTP/1.1 only.
        ValueError: the handshake is to be made at once on a socket that does not wait.
    """
    one._connected = True
    one._sslobj = NoTls(_Socket(one, end), one.context, one.server_hostname or end.host, one)
    if one.do_handshake_on_connect:
        if one.gettimeout() == 0.0:
            raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
        one._sslobj.do_handshake()


def object_without_tls(context: ssl.SSLContext, one: socket.socket, host: str | None) -> ssl.SSLObject:
    """An `SSLObject` that answers questions about a connection that needs none.

    Raises:
        ssl.SSLError: the client offers other protocols than HTTP/1.1 only.
    """
    end = virtual_end_of(one)
    made: Any = ssl.SSLObject.__new__(ssl.SSLObject)
    made._sslobj = NoTls(_Socket(one, end), context, host or end.host, made)
    made._sslobj.do_handshake()
    result: ssl.SSLObject = made
    return result


def _wrap_bio(original: Callable[..., Any], is_ours: Callable[[str], bool]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrap_bio(
        self: ssl.SSLContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: Any = None,
        **options: Any,
    ) -> Any:
        host = server_hostname.decode() if isinstance(server_hostname, bytes) else server_hostname
        if server_side or not host or not is_ours(host):
            return original(self, incoming, outgoing, server_side, server_hostname, **options)
        return NoTls(_Memory(incoming, outgoing), self, host, options.get("owner"))

    return wrap_bio


def _set_alpn_protocols(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def set_alpn_protocols(self: ssl.SSLContext, alpn_protocols: Sequence[str]) -> None:
        original(self, alpn_protocols)
        _offered[self] = tuple(alpn_protocols)

    return set_alpn_protocols
