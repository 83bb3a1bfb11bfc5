"""The protocol of Redis and Valkey (RESP2), over anyio's streams, so that it runs on asyncio and trio.

The clients that exist need asyncio or many libraries; a shared gate sends five commands.
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import Any, Final, final

from anyio.abc import ByteStream

_READ_BYTES: Final = 65536


@final
class RedisError(Exception):
    """An error that the server answered, such as `NOAUTH Authentication required.`"""

    @property
    def code(self) -> str:
        """The first word, such as `NOAUTH`."""
        return str(self).partition(" ")[0]


class _Incomplete(Exception):
    """More bytes are needed."""


def encode(words: list[str]) -> bytes:
    """A command as bytes.

    >>> encode(["GET", "a"])
    b'*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n'
    """
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def decode(data: bytes, start: int = 0) -> tuple[Any, int]:
    """The value that begins at a place, and the place after it.

    Raises:
        _Incomplete: it is cut off.
        ValueError: it is no RESP2.
    """
    end = data.find(b"\r\n", start)
    if end < 0:
        raise _Incomplete
    kind, line, place = data[start : start + 1], data[start + 1 : end], end + 2
    if kind == b"+":
        return line.decode(), place
    if kind == b"-":
        return RedisError(line.decode("utf-8", "replace")), place
    if kind == b":":
        return int(line), place
    if kind == b"$":
        if (size := int(line)) < 0:
            return None, place
        if len(data) < place + size + 2:
            raise _Incomplete
        return data[place : place + size].decode("utf-8", "surrogateescape"), place + size + 2
    if kind == b"*":
        values = []
        for _ in range(int(line)):
            value, place = decode(data, place)
            values.append(value)
        return values, place
    raise ValueError(f"{data[start : start + 20]!r} is no answer of Redis")


@final
class RespStream:
    """Commands and answers over a stream of bytes; one task may use it at a time.

    Args:
        stream: is closed by its owner.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._received = b""

    async def send(self, *words: str) -> None:
        """Send a command and do not wait for its answer."""
        await self._stream.send(encode(list(words)))

    async def receive(self) -> Any:
        """The next answer: text, a number, a list, or `None`.

        Raises:
            RedisError: the answer is an error.
            ValueError: the server does not speak RESP2.
            anyio.EndOfStream: the server has closed the connection.
        """
        while True:
            try:
                value, place = decode(self._received)
            except _Incomplete:
                self._received += await self._stream.receive(_READ_BYTES)
                continue
            self._received = self._received[place:]
            if isinstance(value, RedisError):
                raise value
            return value

    async def ask(self, *words: str) -> Any:
        """Send a command and return its answer."""
        await self.send(*words)
        return await self.receive()
