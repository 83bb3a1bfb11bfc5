"""The state of a shared gate in Redis or Valkey."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, final

import anyio
from anyio.abc import ByteStream

from .address import SharedAddress
from .errors import SharedGateError, StoreAway
from .resp import RedisError, RespStream
from .stores import IN_USE, LAYOUT

CALL_SECONDS: Final = 2.0
"""A call takes a millisecond; a server that has not answered after two seconds counts as away."""
_KEYS: Final = ("state", "members", "tickets", "log", "learnt")
_AWAY: Final = frozenset(("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "MISCONF"))
"""Errors of a server that may be over in a moment, from Redis' source."""


@cache
def script() -> tuple[str, str]:
    """The script and its SHA-1, by which Redis knows it."""
    text = Path(__file__).with_name("shared_gate.lua").read_text("utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@final
class RedisStore:
    """One gate in a server; it has a connection for calls, and another one that listens.

    Args:
        address: of the server.
        name: of the gate, as `key_name` makes it.
    """

    wakes: Final = True

    def __init__(self, address: SharedAddress, name: str) -> None:
        self.place: Final = address.shown
        self._address = address
        self._keys = [f"wavetank:{{{name}}}:{key}" for key in _KEYS]
        self._stream: ByteStream | None = None
        self._resp: RespStream | None = None

    def __repr__(self) -> str:
        return f"<RedisStore {self._keys[0]} at {self.place}>"

    async def connect(self) -> None:
        """Connect, and see that the server can be written to."""
        async with self._errors_translated():
            with anyio.fail_after(CALL_SECONDS):
                self._stream = await self._open()
                self._resp = await self._log_in(self._stream)
                # A replica refuses this although there is no such key.
                await self._resp.ask("PEXPIRE", f"{self._keys[0]}:absent", "1")

    async def call(self, arguments: Sequence[str]) -> list[str]:
        """Make one call, which is one step for all processes."""
        resp = self._resp
        if resp is None:
            raise StoreAway(f"there is no connection to {self.place}")
        text, digest = script()
        rest = [str(len(self._keys)), *self._keys, LAYOUT, *arguments]
        async with self._errors_translated():
            with anyio.fail_after(CALL_SECONDS):
                try:
                    reply = await resp.ask("EVALSHA", digest, *rest)
                except RedisError as error:
                    if error.code != "NOSCRIPT":
                        raise
                    reply = await resp.ask("EVAL", text, *rest)
        return list(reply)

    async def listen(self, on_wake: Callable[[], object]) -> None:
        """Call `on_wake` for each message of the script."""
        async with self._errors_translated():
            with anyio.fail_after(CALL_SECONDS):
                stream = await self._open()
            async with stream:
                resp = await self._log_in(stream)
                await resp.send("SUBSCRIBE", f"{self._keys[0]}:wake")
                while True:
                    await resp.receive()
                    on_wake()

    async def aclose(self) -> None:
        """Close the connection."""
        stream, self._stream, self._resp = self._stream, None, None
        if stream is not None:
            await anyio.aclose_forcefully(stream)

    async def _open(self) -> ByteStream:
        address = self._address
        if address.path is not None:
            return await anyio.connect_unix(address.path)
        if address.tls:
            # Redis closes connections of TLS without a farewell.
            return await anyio.connect_tcp(
                address.host,
                address.port,
                ssl_context=ssl.create_default_context(),
                tls_standard_compatible=False,
            )
        return await anyio.connect_tcp(address.host, address.port)

    async def _log_in(self, stream: ByteStream) -> RespStream:
        resp, address = RespStream(stream), self._address
        if address.password is not None:
            await resp.ask("AUTH", *([address.user] if address.user else []), address.password)
        if address.database:
            await resp.ask("SELECT", str(address.database))
        return resp

    @asynccontextmanager
    async def _errors_translated(self) -> AsyncIterator[None]:
        """Turn what the connection and the server raise into errors that name the place and the fix."""
        try:
            yield
        except ssl.SSLError as error:
            why = f"no TLS with {self.place}: {error}"
            raise SharedGateError(
                f"{why}; check its certificate, or use redis:// if it has no TLS"
            ) from error
        except TimeoutError as error:
            await self.aclose()
            raise StoreAway(f"{self.place} has not answered within {CALL_SECONDS:g} s") from error
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            await self.aclose()
            raise StoreAway(f"{self.place} cannot be reached: {_words(error)}") from error
        except RedisError as error:
            await self.aclose()
            raise self._described(error) from error
        except ValueError as error:
            raise SharedGateError(
                f"{self.place} is no Redis or Valkey: {error}; check host and port"
            ) from error

    def _described(self, error: RedisError) -> SharedGateError:
        place, code = self.place, error.code
        if code in _AWAY:
            return StoreAway(f"{place} cannot be used now: {error}")
        if code == "READONLY":
            return SharedGateError(
                f"{place} is a read-only replica, and requests are booked in its primary: give that address"
            )
        if code in ("NOAUTH", "WRONGPASS", "NOPERM") or "AUTH" in str(error):
            return SharedGateError(
                f"{place} refuses the login: {error}; give user and password in the URL, such as "
                "redis://user:password@host:6379/0, of a user who may run scripts on keys wavetank:*"
            )
        if code == "MOVED":
            return SharedGateError(
                f"{place} is one node of a cluster, and the keys are at another one ({error}): give the "
                "address of that node"
            )
        if code == "WAVETANKLAYOUT":
            theirs = str(error).partition(" ")[2]
            return SharedGateError(IN_USE.format(place=place, theirs=theirs, ours=LAYOUT))
        if code in ("WAVETANKFOREIGN", "WRONGTYPE"):
            return SharedGateError(
                f"{place} has other data in {self._keys[0]!r}, which was not changed: choose another name "
                "with ?name=…, or another database, or delete that key"
            )
        return SharedGateError(f"{place} cannot be used: {error}")


def _words(error: BaseException) -> Any:
    if isinstance(error, BaseExceptionGroup):
        return _words(error.exceptions[0])
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup) or (not str(error) and cause is not None):
        return _words(cause)
    return getattr(error, "strerror", None) or str(error) or "the connection was closed"
