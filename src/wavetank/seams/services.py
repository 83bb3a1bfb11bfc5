"""Servers in the simulated network that speak no HTTP, and the server's end of a connection to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..sim.processes import Process


class ServerEnd(Protocol):
    """The server's end of a connection, as the client's end of it needs it."""

    ended: bool
    """The server closed the connection; what is queued may still be read."""
    reset: bool
    """The server broke the connection off."""
    process: Process | None

    @property
    def speaks_http(self) -> bool:
        """Whether what a client sends is to be HTTP."""

    @property
    def readable(self) -> bool:
        """Whether a client that reads now gets something: bytes, or the end of the connection."""

    @property
    def pending(self) -> int:
        """How many bytes there are for the client."""

    def take(self, limit: int, /) -> bytes:
        """Up to `limit` bytes for the client; empty when there is nothing yet."""

    def peek(self, limit: int, /) -> bytes:
        """As `take`, but the bytes stay."""

    def line_length(self, limit: int, /) -> int:
        """How many bytes to take, at most `limit`, so as not to go beyond the end of a line."""

    def handed_over(self) -> None:
        """What was taken is with the client."""

    def receive(self, data: bytes, attempt: Any = None, /) -> None:
        """Take bytes from the client."""

    def no_more_requests(self) -> None:
        """The client has closed its sending side."""

    def hang_up(self) -> None:
        """The client has closed the connection."""


class Service(Protocol):
    """A server at one host and port."""

    def connect(self) -> Callable[[Callable[[], object]], ServerEnd]:
        """A connection, still to be given what it calls when there is something for the client.

        Raises:
            OSError: it takes none now.
        """
