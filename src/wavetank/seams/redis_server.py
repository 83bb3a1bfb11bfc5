"""A Redis in the simulated network: reached over sockets at its real address, with latency and outages."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, final

from ..clock import format_duration
from ..sim.origin import NOWHERE, Origin
from ..sim.processes import current_process
from .desk import Desk

if TYPE_CHECKING:
    from .redis_commands import RedisCommands, RedisSession

PORT: Final = 6379
"""The port of Redis that IANA has registered."""

_MISSING: Final = (
    "a simulated Redis needs fakeredis and Lua, which are not installed: pip install 'wavetank[fleet]'"
)

Choose = Callable[[Sequence[int]], int]
"""Takes one of several latencies, in nanoseconds."""


def _commands(desk: Desk) -> RedisCommands:
    try:
        from .redis_commands import RedisCommands
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(_MISSING, name=error.name) from None
    return RedisCommands(desk.clock)


@final
class RedisServer:
    """One server: its data outlive the connections to it, and the replicas of the program.

    `latency` is the shortest and the longest time from a command to its reply, in nanoseconds: half of it
    on the way there. `choose` takes one of several for each command.

    Raises:
        ModuleNotFoundError: fakeredis or Lua is missing; the text says what to install.
    """

    def __init__(self, desk: Desk, host: str, *, latency: tuple[int, int], choose: Choose) -> None:
        self.desk = desk
        self.host = host
        self.commands = _commands(desk)
        self.connections: list[RedisConnection] = []
        self._latency = latency
        self._choose = choose
        self._back_at = 0
        self._working_at: int | None = None
        self._slow_until, self._slowness = 0, 0

    # -- its state ----------------------------------------------------------------------------

    def away(self, ns: int) -> None:
        """All connections are reset, and new ones refused, for so long."""
        self._back_at = self.desk.clock.now() + ns
        for connection in [*self.connections]:
            connection.close(reset=True)

    def slow(self, ns: int, latency: int) -> None:
        """For so long every command takes `latency` more."""
        self._slow_until, self._slowness = self.desk.clock.now() + ns, latency

    # -- connections --------------------------------------------------------------------------

    def connect(self) -> Callable[[Callable[[], object]], RedisConnection]:
        """As `Service.connect`.

        Raises:
            ConnectionRefusedError: it is away.
        """
        self.desk.admit()
        if self.desk.clock.now() < self._back_at:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return lambda wake: RedisConnection(self, wake)

    def delay(self) -> int:
        """How long the next bytes are under way, in one direction."""
        low, high = self._latency
        chosen = low if low == high else self._choose((low, (low + high) // 2, high))
        slowness = self._slowness if self.desk.clock.now() < self._slow_until else 0
        return (chosen + slowness) // 2

    @contextmanager
    def working_at(self, instant: int) -> Iterator[int]:
        """What happens inside is done as of an instant; gives how long ago that was."""
        self._working_at = instant
        try:
            yield self.desk.clock.now() - instant
        finally:
            self._working_at = None

    @property
    def instant(self) -> int:
        """As of which instant the server works."""
        return self.desk.clock.now() if self._working_at is None else self._working_at

    def __repr__(self) -> str:
        low, high = map(format_duration, self._latency)
        return f"<RedisServer {self.host}, {low}..{high}, {len(self.connections)} connections>"


@final
class RedisConnection:
    """The server's end of one connection. What the client has sent arrives, also if the client is gone."""

    speaks_http = False

    def __init__(self, server: RedisServer, wake: Callable[[], object]) -> None:
        self.ended = self.reset = False
        self.process = current_process.get()
        self._server = server
        self._wake = wake
        self._out = bytearray()
        self._under_way = bytearray()
        """The replies that reach the client last, at `_back_at`."""
        self._there_at = self._back_at = self._delay = 0
        self._origin: Origin = NOWHERE
        self._sent = 0
        self._session: RedisSession | None = server.commands.session(self._send, self._note)
        server.connections.append(self)
        server.desk.connected(self)

    # -- the client's side --------------------------------------------------------------------

    def receive(self, data: bytes, attempt: object = None) -> None:
        """Take bytes from the client: they are under way for a while, and stay in order."""
        if self.ended:
            return
        clock, origin = self._server.desk.clock, self._server.desk.origin()
        sent, delay = clock.now(), self._server.delay()
        self._there_at = at = max(self._there_at, sent + delay)
        clock.call_at(at, lambda: self._arrived(data, origin, sent, at, delay))

    def _arrived(self, data: bytes, origin: Origin, sent: int, at: int, delay: int) -> None:
        """The server has the bytes since `at`: it was not held up if time has passed in the program."""
        if self._session is None:
            return
        self._origin, self._sent, self._delay = origin, sent, delay
        with self._server.working_at(at) as late:
            self._session.feed(data, late=late)
        if self._session.failed:
            self._let_go()
            self._server.desk.clock.call_at(self._back_at, self.close)

    def _send(self, reply: bytes) -> None:
        """A reply is on its way to the client; those that are sent at one instant arrive together."""
        clock = self._server.desk.clock
        at = max(self._back_at, self._server.instant + self._delay)
        if at > self._back_at or not self._under_way:
            self._back_at, self._under_way = at, (data := bytearray())
            clock.call_at(at, lambda: self._reached(data))
        self._under_way += reply

    def _reached(self, data: bytearray) -> None:
        if data is self._under_way:
            self._under_way = bytearray()
        if not self.ended:
            self._out += data
            self._wake()

    def _note(self, command: str) -> None:
        origin = self._origin
        self._server.desk.note(
            "command",
            host=self._server.host,
            target=command,
            sent=self._sent,
            task=origin.task,
            file=origin.file,
            line=origin.line,
        )

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes for the client; empty when there is nothing yet."""
        data = bytes(self._out[:limit])
        del self._out[:limit]
        return data

    def peek(self, limit: int) -> bytes:
        """As `take`, but the bytes stay."""
        return bytes(self._out[:limit])

    @property
    def readable(self) -> bool:
        """Whether a client that reads now gets something: bytes, or the end of the connection."""
        return bool(self._out) or self.ended

    @property
    def pending(self) -> int:
        """How many bytes there are for the client."""
        return len(self._out)

    def line_length(self, limit: int) -> int:
        """How many bytes to take, at most `limit`, so as not to go beyond the end of a line."""
        end = self._out.find(b"\n", 0, limit)
        return limit if end < 0 else end + 1

    def handed_over(self) -> None:
        """What was taken is with the client."""

    def no_more_requests(self) -> None:
        """The client has closed its sending side: Redis closes the connection then."""
        self._server.desk.clock.call_at(self._there_at, self.close)

    # -- the end ------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """The client has closed the connection; the server hears of it after what was sent before."""
        if not self.ended:
            self.ended = True
            clock = self._server.desk.clock
            clock.call_at(max(clock.now(), self._there_at), self._let_go)

    def close(self, *, reset: bool = False) -> None:
        """End the connection from the server's side."""
        self._let_go()
        if not self.ended:
            self.ended, self.reset = True, reset
            if reset:
                self._out.clear()
            self._wake()

    def _let_go(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end()
            with suppress(ValueError):
                self._server.connections.remove(self)

    def __repr__(self) -> str:
        return f"<RedisConnection to {self._server.host}{', ended' if self.ended else ''}>"
