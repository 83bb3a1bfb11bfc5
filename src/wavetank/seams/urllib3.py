"""`urllib3`, and so `requests` and botocore: when a request sets out, and where it goes in the end.

Its connections are sockets of the standard library, which meet the fake by themselves. What has to be said
here is what a pool knows and a socket does not: when an attempt enters it, and which host is behind a proxy.
"""

from __future__ import annotations

import functools
import inspect
import socket
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from ..sim.virtual_files import virtual_end_of
from .exchange import set_out
from .memory import connection_to, current_attempt
from .network import is_known
from .reception import Patch, current

LIBRARIES: Final = ("urllib3",)

Place = tuple[str, int | None]
"""A host and a port."""

forwarded_to: Final[ContextVar[Place | None]] = ContextVar("wavetank_forwarded", default=None)
"""Where the request goes that a proxy without a tunnel is asked for."""


def patches(library: ModuleType) -> Sequence[Patch]:
    """What is replaced in `urllib3`."""
    plain, secure = library.connection.HTTPConnection, library.connection.HTTPSConnection
    return (
        (plain, "connect", _connect(library, plain)),
        (secure, "connect", _connect(library, secure)),
        (plain, "is_connected", _is_connected(plain)),
        (library.connectionpool.HTTPConnectionPool, "urlopen", _entry(library)),
    )


def _connect(library: ModuleType, connection_type: Any) -> Callable[..., None]:
    original = inspect.unwrap(connection_type.connect)

    @functools.wraps(original)
    def connect(self: Any) -> None:
        desk = current()
        host, port = self._wavetank_target = _target(self)
        if not desk.lets_through(host, port):
            if not is_known(desk, host, port):
                connection_to(desk, host, port, "connect")  # raises, also in real time
            if (host, port) != (self.host, self.port):
                _connect_straight(library, self, host, port)
                return
        original(self)

    return connect


def _connect_straight(library: ModuleType, connection: Any, host: str, port: int | None) -> None:
    """Pass by the proxy."""
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else None
    try:
        connection.sock = socket.create_connection((host, port), timeout)
    except OSError as refusal:
        raise library.exceptions.NewConnectionError(connection, str(refusal)) from refusal
    # What the pool would otherwise warn about.
    connection.is_verified = True


def _target(connection: Any) -> Place:
    """Where a request goes in the end: behind a proxy, that is not the host of its connection."""
    behind = forwarded_to.get()
    if behind is not None:
        return behind
    if getattr(connection, "_tunnel_host", None):
        return connection._tunnel_host, connection._tunnel_port
    return connection.host, connection.port


def _is_connected(connection_type: Any) -> property:
    """Whether a pooled connection still stands, and leads where the next request goes."""
    original: property = connection_type.is_connected

    def is_connected(self: Any) -> bool:
        if self.sock is not None and not current().lets_through(*_target(self)):
            if virtual_end_of(self.sock) is None:
                return False  # made before the fake, or through a proxy
            if self._wavetank_target != _target(self):
                return False
        connected: bool = original.__get__(self)
        return connected

    return property(is_connected)


def _entry(library: ModuleType) -> Callable[..., Any]:
    """The pool's entry, where each attempt sets out; for a retry the pool calls it again."""
    original = inspect.unwrap(library.connectionpool.HTTPConnectionPool.urlopen)

    @functools.wraps(original)
    def urlopen(self: Any, method: str, url: str, *args: object, **options: object) -> Any:
        token = current_attempt.set(set_out(current(), method, _path(url), blocking=True))
        behind = forwarded_to.set(_behind(library, self, url))
        try:
            return original(self, method, url, *args, **options)
        finally:
            forwarded_to.reset(behind)
            current_attempt.reset(token)

    return urlopen


def _path(url: str) -> str:
    """The path of what the pool is asked for; for a proxy that is a whole URL."""
    return f"/{url.split('/', 3)[-1]}" if "://" in url else url


def _behind(library: ModuleType, pool: Any, url: str) -> Place | None:
    """Host and port in a URL that a proxy is to fetch for the client."""
    if pool.proxy is None:
        return None
    whole = library.util.parse_url(url)
    return None if whole.host is None or whole.scheme is None else (whole.host, whole.port)
