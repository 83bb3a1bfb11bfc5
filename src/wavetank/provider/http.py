"""One HTTP exchange as plain values, and what a dialect does with it; no HTTP library here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, final

import msgspec

from .model import Reply
from .request import Request
from .vendor_card import VendorCard

Headers = tuple[tuple[str, str], ...]


@final
class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as read from the wire; `path` has no query, and header names are lower-case.

    `anywhere`: the host is one that a user named, and its paths may have anything before the vendor's own.
    """

    method: str
    host: str
    path: str
    query: str = ""
    headers: Mapping[str, str]
    body: bytes = b""
    anywhere: bool = False

    def __repr__(self) -> str:
        """Without what may be secret."""
        return f"<HttpRequest {self.method} {self.host}{self.path}>"


@final
class Head(msgspec.Struct, frozen=True):
    """Status and headers of a response; the HTTP layer adds those that frame the body.

    `length` is the content length to announce, in bytes, where the body is cut short of it.
    """

    status: int
    headers: Headers
    length: int | None = None


@final
class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a response on the wire.

    The head comes with the first part. `end` closes the body after `data`; `abort` breaks
    the connection off after `data`, and nothing that follows is sent. `whole_at`: a client that has
    this much of `data`, in bytes, and all that came before has the text of the answer and the signal
    that it is finished; `None` in all other parts.
    """

    head: Head | None = None
    data: bytes = b""
    end: bool = False
    abort: bool = False
    whole_at: int | None = None


@final
class WireReply(msgspec.Struct, frozen=True):
    """A whole response."""

    status: int
    headers: Headers
    body: bytes


@final
class BadRequest(Exception):
    """A request the provider cannot take; `reply` is its answer in its own dialect."""

    def __init__(self, reply: WireReply) -> None:
        super().__init__(f"{reply.status}: {reply.body.decode()}")
        self.reply = reply


class Dialect(Protocol):
    """One provider's wire format."""

    @property
    def card(self) -> VendorCard:
        """The vendor that speaks it."""

    def decode(self, http: HttpRequest, *, now: int | None = None, epoch_ns: int = ...) -> Request:
        """Read a request that arrives at the instant `now`; `epoch_ns` is the Unix time of the instant 0.

        Raises:
            BadRequest: the provider would not take it; carries the answer to send.
        """

    def invalid(self, request: HttpRequest, message: str, *, sent: int) -> WireReply:
        """Say with these words that a request cannot be taken; `sent` is the Unix time in nanoseconds."""

    def encode(self, request: Request, reply: Reply, *, epoch_ns: int = ...) -> Frame:
        """Write one part of the outcome; `epoch_ns` is the Unix time of the instant 0 in nanoseconds."""
