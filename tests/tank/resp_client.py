"""A client of Redis over anyio's streams, which run on asyncio and on trio."""

from __future__ import annotations

from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream


class RespError(Exception):
    """The server refused a command."""


class RespClient:
    """One connection; commands go one at a time."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)

    @classmethod
    async def connect(cls, host: str = "cache.internal", port: int = 6379) -> RespClient:
        return cls(await anyio.connect_tcp(host, port))

    async def __call__(self, *command: object) -> Any:
        """Send one command and return its reply."""
        parts = [str(part).encode() for part in command]
        lines = [b"*%d" % len(parts)] + [line for part in parts for line in (b"$%d" % len(part), part)]
        await self._stream.send(b"\r\n".join(lines) + b"\r\n")
        return await self._reply()

    async def _reply(self) -> Any:
        line = await self._received.receive_until(b"\r\n", 65536)
        kind, rest = line[:1], line[1:].decode()
        match kind:
            case b"+":
                return rest
            case b"-":
                raise RespError(rest)
            case b":":
                return int(rest)
            case b"$":
                length = int(rest)
                return (
                    None if length < 0 else (await self._received.receive_exactly(length + 2))[:-2].decode()
                )
            case b"*":
                return [await self._reply() for _ in range(int(rest))]
            case _:
                raise AssertionError(line)

    async def aclose(self) -> None:
        await self._stream.aclose()
