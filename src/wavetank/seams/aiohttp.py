"""The in-memory network under `aiohttp`: real client, real connector, real HTTP parser.

A connection to a provider's host ends at the desk; TLS is passed over, because both ends are in
this process. The client's `ClientTimeout` stays in force.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final, Self

from ..sim.virtual_files import virtual_file
from .exchange import closed, has_read, set_out
from .memory import connection_to, current_attempt
from .network import is_known
from .reception import Patch, current
from .unknown_hosts import refused

LIBRARIES: Final = ("aiohttp",)


def patches(library: ModuleType) -> Sequence[Patch]:
    """What is replaced in `aiohttp`."""
    connector, response = library.connector, library.client_reqrep.ClientResponse
    return (
        (connector.TCPConnector, "_create_connection", _create_connection(library)),
        (connector.TCPConnector, "_resolve_host", _resolve_host(library)),
        (connector.UnixConnector, "_create_connection", _no_unix_socket),
        (connector.BaseConnector, "connect", _entry(library)),
        (response, "start", _started(library)),
        (response, "release", _given_back(response.release)),
        (response, "close", _given_back(response.close)),
    )


# -- connecting --------------------------------------------------------------------------------


def _create_connection(library: ModuleType) -> Callable[..., Any]:
    """Connect straight to the host of the request, also where it is to go through a proxy."""
    original = inspect.unwrap(library.connector.TCPConnector._create_connection)

    @functools.wraps(original)
    async def create_connection(self: Any, request: Any, traces: Any, timeout: Any) -> Any:
        desk, url = current(), request.url
        if desk.lets_through(url.host, url.port):
            return await original(self, request, traces, timeout)
        if not is_known(desk, url.host, url.port):
            connection_to(desk, url.host, url.port, "connect")  # raises, also in real time
        _, protocol = await self._create_direct_connection(request, traces, timeout)
        return protocol

    return create_connection


def _resolve_host(library: ModuleType) -> Callable[..., Any]:
    """Look a host of the fake up by `socket`: not in a cache from before, nor by a compiled resolver."""
    original = inspect.unwrap(library.connector.TCPConnector._resolve_host)

    @functools.wraps(original)
    async def resolve_host(self: Any, host: str, port: int, traces: Any = None) -> Any:
        if current().lets_through(host, port):
            return await original(self, host, port, traces)
        return await library.ThreadedResolver(self._loop).resolve(host, port, self._family)

    return resolve_host


async def _no_unix_socket(self: Any, request: object, traces: object, timeout: object) -> Any:
    raise refused(f"the unix socket {self.path}", loopback=True)


def _entry(library: ModuleType) -> Callable[..., Any]:
    """The pool's entry, where each request sets out."""
    original = inspect.unwrap(library.connector.BaseConnector.connect)

    @functools.wraps(original)
    async def connect(self: object, request: Any, *args: object, **options: object) -> Any:
        attempt = set_out(current(), request.method, request.url.raw_path, counts=True)
        token = current_attempt.set(attempt)
        try:
            connection = await original(self, request, *args, **options)
        finally:
            current_attempt.reset(token)
        end = _end(connection.transport)
        if end is not None:
            end.attempt = attempt
        return connection

    return connect


def _end(transport: Any) -> Any:
    one = None if transport is None else transport.get_extra_info("socket")
    return None if one is None else virtual_file(one)


# -- the response: when it has been read whole, or is given up -----------------------------------------


class _Watch:
    """Stands in for the timer of a response's body and knows how far the client has read."""

    def __init__(self, transport: Any, timer: Any) -> None:
        self._desk = transport.desk
        self._attempt = transport.attempt
        self._timer = timer

    def read(self, body: Any) -> None:
        """The client has read from the body, maybe to its end."""
        self._attempt.read = body.total_bytes - body._size
        if has_read(self._attempt, self._attempt.read):
            closed(self._desk, self._attempt, self._attempt.read)

    def given_back(self, body: Any) -> None:
        """The client is done with the response."""
        closed(self._desk, self._attempt, body.total_bytes - body._size)

    def __enter__(self) -> Self:
        self._timer.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._timer.__exit__(*error)

    def assert_timeout(self) -> None:
        self._timer.assert_timeout()


def _started(library: ModuleType) -> Callable[..., Any]:
    original = inspect.unwrap(library.client_reqrep.ClientResponse.start)
    watched = _watched_type(library)

    @functools.wraps(original)
    async def start(self: Any, connection: Any) -> Any:
        end = _end(connection.transport)
        response = await original(self, connection)
        if end is not None:
            _watch(response.content, end, watched)
        return response

    return start


def _watch(body: Any, transport: Any, watched: type) -> None:
    if type(body) not in watched.__bases__:
        # No body: the head is all there is to read.
        closed(transport.desk, transport.attempt, transport.attempt.body)
        return
    body.__class__ = watched
    body._timer = _Watch(transport, body._timer)


def _watched_type(library: ModuleType) -> type:
    base: Any = library.streams.StreamReader

    class Watched(base):  # type: ignore[misc]
        """A response body that reports how far it was read, in the reader's own step."""

        __slots__ = ()

        def _read_nowait_chunk(self, n: int) -> bytes:
            data: bytes = super()._read_nowait_chunk(n)
            self._timer.read(self)
            return data

        async def _wait(self, func_name: str) -> None:
            await super()._wait(func_name)
            self._timer.read(self)

    return Watched


def _given_back(method: Callable[..., Any]) -> Callable[..., Any]:
    original = inspect.unwrap(method)

    @functools.wraps(original)
    def given_back(self: Any, *args: object, **options: object) -> Any:
        watch = getattr(self.content, "_timer", None)
        if isinstance(watch, _Watch):
            watch.given_back(self.content)
        return original(self, *args, **options)

    return given_back
