"""The in-memory network under `httpcore` and `httpcore2`: real client, real pool, real HTTP parser.

A connection to a provider's host ends at the desk; TLS is passed over, because both ends
are in this process. The client's timeouts stay in force.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final
from weakref import WeakSet

import anyio.lowlevel

from .desk import Desk
from .exchange import Attempt, closed, left, set_out
from .httpcore_exchange import async_connection_type, blocking_connection_type
from .httpcore_pool import with_short_way
from .memory import (
    SYSTEM_PATIENCE,
    async_stream_type,
    blocking_stream_type,
    connection_to,
    current_attempt,
)
from .reception import Patch, current
from .unknown_hosts import refused
from .waiting import wait_for

LIBRARIES: Final = ("httpcore2", "httpcore")


def patches(core: ModuleType) -> Sequence[Patch]:
    """What is replaced in `httpcore` or `httpcore2`."""
    backends = core._backends
    return (
        (backends.auto.AutoBackend, "connect_tcp", _async_connect(core)),
        (backends.auto.AutoBackend, "connect_unix_socket", _no_unix_socket_async),
        (backends.sync.SyncBackend, "connect_tcp", _blocking_connect(core)),
        (backends.sync.SyncBackend, "connect_unix_socket", _no_unix_socket),
        (core.AsyncConnectionPool, "handle_async_request", _async_entry(core)),
        (core.ConnectionPool, "handle_request", _blocking_entry(core)),
        (core._async.connection, "AsyncHTTP11Connection", async_connection_type(core)),
        (core._sync.connection, "HTTP11Connection", blocking_connection_type(core)),
        *_proxies_left_aside(core),
    )


# -- connecting --------------------------------------------------------------------------------


def _async_connect(core: ModuleType) -> Callable[..., Any]:
    stream = async_stream_type(core)
    original = inspect.unwrap(core._backends.auto.AutoBackend.connect_tcp)

    @functools.wraps(original)
    async def connect_tcp(self: object, host: str, port: int, *args: Any, **options: Any) -> Any:
        desk = current()
        if desk.lets_through(host, port):
            return await original(self, host, port, *args, **options)
        await anyio.lowlevel.checkpoint()
        try:
            connected = connection_to(desk, host, port, "look-up", "connect")
        except OSError as error:
            timeout, raised = _failed(core, error, *args, **options)
            await wait_for(desk.waits.event(), desk.clock, timeout)
            raise raised from error
        return stream(connected, desk.waits)

    return connect_tcp


def _blocking_connect(core: ModuleType) -> Callable[..., Any]:
    stream = blocking_stream_type(core)
    original = inspect.unwrap(core._backends.sync.SyncBackend.connect_tcp)

    @functools.wraps(original)
    def connect_tcp(self: object, host: str, port: int, *args: Any, **options: Any) -> Any:
        desk = current()
        if desk.lets_through(host, port):
            return original(self, host, port, *args, **options)
        try:
            connected = connection_to(desk, host, port, "look-up", "connect")
        except OSError as error:
            timeout, raised = _failed(core, error, *args, **options)
            desk.waits.blocking_event().wait(timeout)
            raise raised from error
        return stream(connected, desk.waits)

    return connect_tcp


def _failed(
    core: ModuleType, error: OSError, timeout: float | None = None, *_: object, **__: object
) -> tuple[float, Exception]:
    """After how many seconds a connection has failed, and what the library raises then."""
    if not isinstance(error, TimeoutError):
        return 0, core.ConnectError(str(error))
    if timeout is None or timeout > SYSTEM_PATIENCE:
        return SYSTEM_PATIENCE, core.ConnectError(str(error))
    return timeout, core.ConnectTimeout(f"no connection within {timeout} s")


async def _no_unix_socket_async(self: object, path: str, *args: object, **options: object) -> Any:
    raise refused(f"the unix socket {path}", loopback=True)


def _no_unix_socket(self: object, path: str, *args: object, **options: object) -> Any:
    raise refused(f"the unix socket {path}", loopback=True)


# -- proxies and connections from before: the request's own host decides ---------------------------


def _proxies_left_aside(core: ModuleType) -> Iterator[Patch]:
    """A request that is the fake's goes straight to it, and never over a connection that was made before."""
    made: WeakSet[Any] = WeakSet()
    for prefix, module in (("Async", core._async), ("", core._sync)):
        pool = getattr(core, f"{prefix}ConnectionPool")
        direct = getattr(core, f"{prefix}HTTPConnection")
        for owner in (pool, getattr(core, f"{prefix}HTTPProxy"), getattr(core, f"{prefix}SOCKSProxy")):
            if "create_connection" in vars(owner):
                yield owner, "create_connection", _straight(owner, direct, made)
        yield direct, "can_handle_request", _only_if(direct, lambda connection: connection in made)
        kinds = [vars(module.http_proxy)[f"{prefix}{name}HTTPConnection"] for name in ("Forward", "Tunnel")]
        if hasattr(module, "socks_proxy"):
            kinds.append(vars(module.socks_proxy)[f"{prefix}Socks5Connection"])
        for kind in kinds:
            yield kind, "can_handle_request", _only_if(kind, lambda _: False)


def _lets_through(origin: Any) -> bool:
    return current().lets_through(origin.host.decode("ascii"), origin.port)


def _straight(pool: Any, direct: Any, made: WeakSet[Any]) -> Callable[..., Any]:
    original = inspect.unwrap(pool.create_connection)

    @functools.wraps(original)
    def create_connection(self: Any, origin: Any) -> Any:
        if _lets_through(origin):
            return original(self, origin)
        connection = direct(
            origin=origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_expiry,
            http1=self._http1,
            http2=self._http2,
            retries=self._retries,
            network_backend=self._network_backend,
        )
        made.add(connection)
        return connection

    return create_connection


def _only_if(kind: Any, may: Callable[[Any], bool]) -> Callable[..., Any]:
    original = inspect.unwrap(kind.can_handle_request)

    @functools.wraps(original)
    def can_handle_request(self: Any, origin: Any) -> bool:
        return original(self, origin) and (_lets_through(origin) or may(self))

    return can_handle_request


# -- the pool's entry: when a request sets out, and when its reply has been read whole --------------


def _async_entry(core: ModuleType) -> Callable[..., Any]:
    original = inspect.unwrap(core.AsyncConnectionPool.handle_async_request)
    quick = with_short_way(core, original)

    @functools.wraps(original)
    async def handle_async_request(self: object, request: Any) -> Any:
        desk = current()
        with _setting_out(desk, request, blocking=False) as attempt:
            response = await quick(self, request)
        response.stream = _AsyncBody(response.stream, desk, attempt)
        return response

    return handle_async_request


def _blocking_entry(core: ModuleType) -> Callable[..., Any]:
    original = inspect.unwrap(core.ConnectionPool.handle_request)

    @functools.wraps(original)
    def handle_request(self: object, request: Any) -> Any:
        desk = current()
        with _setting_out(desk, request, blocking=True) as attempt:
            response = original(self, request)
        response.stream = _BlockingBody(response.stream, desk, attempt)
        return response

    return handle_request


@contextmanager
def _setting_out(desk: Desk, request: Any, *, blocking: bool) -> Iterator[Attempt]:
    """A request on its way through the pool; if it never gets a response, it has left."""
    method, path = request.method.decode("ascii"), request.url.target.decode("latin-1")
    attempt = set_out(desk, method, path, counts=True, blocking=blocking)
    token = current_attempt.set(attempt)
    try:
        yield attempt
    except BaseException:
        left(desk, attempt)
        raise
    finally:
        current_attempt.reset(token)


class _Body:
    """A response body that reports to the desk when it was read to its end and closed, or given up."""

    def __init__(self, stream: Any, desk: Desk, attempt: Attempt) -> None:
        self._stream = stream
        self._desk = desk
        self._attempt = attempt

    def _closed(self) -> None:
        closed(self._desk, self._attempt, self._attempt.read)


class _AsyncBody(_Body):
    def __aiter__(self) -> AsyncIterator[bytes]:
        # No generator: trio warns of those that a client leaves before their end.
        self._parts = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        part: bytes = await anext(self._parts)
        self._attempt.read += len(part)
        return part

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            left(self._desk, self._attempt)
            raise
        self._closed()


class _BlockingBody(_Body):
    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._attempt.read += len(part)
            yield part

    def close(self) -> None:
        try:
            self._stream.close()
        except BaseException:
            left(self._desk, self._attempt)
            raise
        self._closed()
