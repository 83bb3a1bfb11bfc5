"""The short way through a pool of `httpcore` and `httpcore2`: an idle connection takes a request at once.

The pool looks at each of its connections, several times over, when a request comes and when it goes, and it
shields what it does then from cancellation; together that costs more than the fake's answer. Where all of
it would only hand over an idle connection, that is done here: the pool's lists change as they would, and a
client waits at the same points. When anything else may be due, such as a connection to close or to make,
or a request that waits for one, the pool does it itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import anyio.lowlevel

from .httpcore_exchange import AsyncContent

Handle = Callable[[Any, Any], Awaitable[Any]]


def with_short_way(core: ModuleType, long_way: Handle) -> Handle:
    """The pool's `handle_async_request`, which goes the short way where no client can see a difference."""
    idle_of = _idle_connections(core)
    body_type = _body_type(core, idle_of)
    place_type = core._async.connection_pool.AsyncPoolRequest

    async def handle_async_request(pool: Any, request: Any) -> Any:
        origin = request.url.origin
        idle = idle_of(pool) or ()
        connection = next((each for each in idle if each.can_handle_request(origin)), None)
        if connection is None:
            return await long_way(pool, request)
        place = place_type(request)
        place.connection = connection
        pool._requests.append(place)
        try:
            response = await _sent(core, pool, place, request)
        except BaseException:
            pool._requests.remove(place)
            await pool._close_connections(pool._assign_requests_to_connections())
            raise
        response.stream = body_type(response.stream, place, pool)
        return response

    return handle_async_request


async def _sent(core: ModuleType, pool: Any, place: Any, request: Any) -> Any:
    """The response; as in the pool's own loop another task may have been faster to take the connection."""
    lock: Any = getattr(place.connection._request_lock, "_anyio_lock", None)
    if getattr(lock, "_fast_acquire", False) and not lock.locked():
        await anyio.lowlevel.checkpoint_if_cancelled()  # all that taking the lock would do
        return await place.connection._connection.handle_async_request(request)
    while True:
        try:
            return await place.connection.handle_async_request(request)
        except core.ConnectionNotAvailable:
            place.clear_connection()
            await pool._close_connections(pool._assign_requests_to_connections())
            await place.wait_for_connection(timeout=request.extensions.get("timeout", {}).get("pool"))


def _body_type(core: ModuleType, idle_of: Callable[[Any], list[Any] | None]) -> Any:
    """The class of bodies that give their connection back to the pool."""
    shielded, own = core._synchronization.AsyncShieldCancellation, core._async.connection_pool.PoolByteStream

    class Body(own):  # type: ignore[misc, valid-type]
        _closed: bool

        async def aclose(self) -> None:
            if self._closed:
                return
            self._closed = True
            if not (isinstance(self._stream, AsyncContent) and self._stream.rests()):
                with shielded():
                    await self._stream.aclose()
            self._pool._requests.remove(self._pool_request)
            if idle_of(self._pool) is None:
                await self._pool._close_connections(self._pool._assign_requests_to_connections())

    return Body


def _idle_connections(core: ModuleType) -> Callable[[Any], list[Any] | None]:
    """Of a pool those that are idle; `None`: it has something to do, or connections that are not ours."""
    http11 = core._async.http11
    # The pool of httpcore compares its limit of idle connections with all; that of httpcore2 does not.
    counts_idle = hasattr(core._async.connection_pool, "safe_async_iterate")
    idle_state, active_state = http11.HTTPConnectionState.IDLE, http11.HTTPConnectionState.ACTIVE

    def idle_connections(pool: Any) -> list[Any] | None:
        idle, active, now = [], 0, http11.time.monotonic()
        for each in pool._connections:
            connection = each._connection
            server = getattr(connection, "server", None)
            if server is None:
                return None
            if connection._state is active_state:
                active += 1
                continue
            expires = connection._expire_at
            if (
                connection._state is not idle_state
                or (expires is not None and now > expires)
                or server.readable
            ):
                return None
            idle.append(each)
        # As many are active as there are requests: none waits, and none is yet to use an idle one.
        kept = len(idle if counts_idle else pool._connections)
        settled = active == len(pool._requests) and kept <= pool._max_keepalive_connections
        return idle if settled else None

    return idle_connections
