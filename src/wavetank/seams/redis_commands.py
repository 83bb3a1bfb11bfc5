"""What a simulated Redis does with commands: fakeredis, in a run's time, with replies written as RESP.

This module imports fakeredis and with it Lua: import it only when a test asks for a Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, final

import fakeredis
import redis
from fakeredis import _helpers as helpers
from fakeredis._socket import FakeSocket
from fakeredis.model import is_write_command

from ..clock import Clock, Timer, after_delay
from ..sim.private_names import require
from ..sim.processes import Process, current_process

require(
    FakeSocket,
    "_run_command",
    "_process_command",
    "_decode_result",
    "_blocking",
    "put_response",
    "pause",
    "resume",
    of=f"fakeredis {fakeredis.__version__}",
    supported="install a version of fakeredis that wavetank supports: pip install 'wavetank[fleet]'",
)

VERSION: Final = (7, 2)
"""Of the Redis that is simulated."""

_READ_ONLY: Final = "READONLY You can't write against a read only replica."
"""What Redis says (src/server.c)."""

_QUIET: Final = ("auth", "hello", "client", "config", "acl")
"""Commands of which no argument is shown: they carry passwords, or say nothing of the program."""


@final
class _NoLock:
    """Stands in for the server's lock: the program never runs while a command does."""

    def acquire(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""

    def _is_owned(self) -> bool:
        return True

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


@final
class RedisCommands:
    """The data of one simulated server, and the clients that wait in a blocking command."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.read_only = False
        """Whether it is a replica that takes no writes."""
        self._waiting: list[_Waiting] = []
        self._sessions = 0
        self._server = Context().run(self._made)

    def _made(self) -> fakeredis.FakeServer:
        server = fakeredis.FakeServer(version=VERSION)
        server.lock = _NoLock()  # type: ignore[assignment]
        return server

    def session(self, reply: Callable[[bytes], object], noted: Callable[[str], object]) -> RedisSession:
        """The server's side of a new connection; `noted` is called with each command, in short."""
        self._sessions += 1
        number = self._sessions
        return Context().run(lambda: RedisSession(self, self._server, number, reply, noted))

    def wait(self, waiting: _Waiting) -> None:
        """A client waits in a blocking command; those that wait longest go first."""
        self._waiting.append(waiting)

    def look_again(self) -> None:
        """Something may have changed for those that wait."""
        for waiting in [*self._waiting]:
            if waiting.over or waiting.look():
                self._waiting.remove(waiting)

    def __repr__(self) -> str:
        return f"<RedisCommands [{self._sessions} connections]>"


@final
class _Waiting:
    """A client that waits in a blocking command."""

    def __init__(self, look: Callable[[], Any], end: Callable[[Any], object]) -> None:
        self.over = False
        self.timer: Timer | None = None
        self._look = look
        self._end = end

    def look(self) -> bool:
        """Whether it has what it waits for, and has been answered."""
        found = self._look()
        if found is not None:
            self.end(found)
        return self.over

    def end(self, found: Any) -> None:
        """Answer it."""
        if not self.over:
            self.over = True
            if self.timer is not None:
                self.timer.cancel()
            self._end(found)


@final
class RedisSession(FakeSocket):
    """The server's side of one connection: bytes of commands in, bytes of replies out."""

    def __init__(
        self,
        commands: RedisCommands,
        server: fakeredis.FakeServer,
        number: int,
        reply: Callable[[bytes], object],
        noted: Callable[[str], object],
    ) -> None:
        super().__init__(server, 0, client_class=redis.Redis)
        self._commands = commands
        self._number = number
        self._reply = reply
        self._noted = noted
        self.failed = False
        """Whether what came was no command, so that the server closes the connection."""

    def __hash__(self) -> int:
        return self._number  # sets of subscribers iterate in the order of connections

    def __eq__(self, other: object) -> bool:
        return self is other

    def feed(self, data: bytes, *, late: int = 0) -> None:
        """Take bytes that came from the client `late` nanoseconds ago, and run each whole command."""
        context = Context()  # the server's clock is no replica's
        if late:
            context.run(current_process.set, Process("a simulated Redis", clock_offset=-late))
        context.run(self._feed, data)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.send(data)
        except (helpers.SimpleError, ValueError) as error:
            self._reply(f"-ERR Protocol error: {getattr(error, 'value', error)}\r\n".encode())
            self.failed = True
        self._commands.look_again()

    def end(self) -> None:
        """The connection is closed: it watches and subscribes to nothing any more."""
        self.kill()

    # -- what fakeredis calls -----------------------------------------------------------------

    def put_response(self, msg: Any) -> None:
        self._reply(encoded(msg, self._client_info.protocol_version))

    def _decode_result(self, result: Any) -> Any:
        return result

    def _process_command(self, fields: list[bytes]) -> None:
        if fields:
            self._noted(in_short(fields))
        super()._process_command(fields)

    def _run_command(self, func: Any, sig: Any, args: list[Any], from_script: bool) -> Any:
        if self._commands.read_only and is_write_command(sig.name.partition(" ")[0].encode()):
            return helpers.SimpleError(_READ_ONLY)
        return super()._run_command(func, sig, args, from_script)

    def _blocking(
        self,
        timeout: float | None,
        func: Callable[[bool], Any],
        shape: Callable[[Any], Any] | None = None,
    ) -> Any:
        shaped = shape or (lambda found: found)
        found = func(True)
        if found is not None or self._in_transaction:
            return shaped(found)

        def end(found: Any) -> None:
            self._blocked = False
            self.put_response(shaped(found))
            self.resume()

        waiting = _Waiting(lambda: func(False), end)
        if timeout:
            clock = self._commands.clock
            waiting.timer = clock.call_at(clock.now() + after_delay(timeout), lambda: waiting.end(None))
        self._blocked = True
        self.pause()
        self._commands.wait(waiting)
        return helpers.NoResponse()


def in_short(fields: list[bytes]) -> str:
    """A command as the event log has it: its name and its first key.

    >>> in_short([b"set", b"lock:1", b"me", b"nx"]), in_short([b"EVALSHA", b"6d1f", b"1", b"limit", b"9"])
    ('SET lock:1', 'EVALSHA limit')
    """
    name = fields[0].decode("ascii", "replace").lower()
    place = 3 if name in ("eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro") else 1
    if name in _QUIET or len(fields) <= place:
        return name.upper()
    return f"{name.upper()} {fields[place].decode('utf-8', 'backslashreplace')[:60]}"


def encoded(value: Any, protocol: int) -> bytes:
    """A reply in RESP2 or RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec).

    >>> encoded([b"a", 1, None], 2)
    b'*3\\r\\n$1\\r\\na\\r\\n:1\\r\\n$-1\\r\\n'
    """
    match value:
        case None:
            return b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case helpers.SimpleString():
            return b"+%b\r\n" % value.value
        case helpers.SimpleError():
            return f"-{value.value}\r\n".encode()
        case bool():
            return (b"#t\r\n" if value else b"#f\r\n") if protocol == 3 else b":%d\r\n" % value
        case int():
            return b":%d\r\n" % value
        case float():
            return f",{value:.17g}\r\n".encode() if protocol == 3 else encoded(f"{value:.17g}".encode(), 2)
        case str():
            return encoded(value.encode(), protocol)
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case dict() if protocol == 3:
            parts = [part for pair in value.items() for part in pair]
            return b"%%%d\r\n" % len(value) + b"".join(encoded(part, protocol) for part in parts)
        case dict():
            return encoded([part for pair in value.items() for part in pair], protocol)
        case list() | tuple() | set() | frozenset():
            return b"*%d\r\n" % len(value) + b"".join(encoded(part, protocol) for part in value)
        case _:
            raise TypeError(f"a simulated Redis cannot reply with a {type(value).__name__}")
