"""One HTTP exchange as plain values, and what a dialect does with it; no HTTP library here."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol, final

import msgspec

from .model import LimitState, Refusal, Reply
from .request import Request
from .vendor_card import VendorCard

Headers = tuple[tuple[str, str], ...]

WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
"""Responses with these have no body, nor a length of one (RFC 9110, 8.6)."""


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

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none; the text names the request.
        """
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise ValueError(
                f"the body of {self.method} {self.host}{self.path} is no JSON: {error}"
            ) from None

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

    The head comes with the first part. `end` closes the body after `data`; `abort` ends the connection
    after `data`, and nothing that follows is sent. Without `data` it is reset then, unless `end` says that
    it is closed properly. `data` without a head before it stands in the place of a response. `whole_at`: a
    client that has this much of `data`, in bytes, and all that came before has the text of the answer and
    the signal that it is finished; `None` in all other parts.
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
    """A request the provider cannot take; `reply` is its answer in its own dialect.

    One that does not `count` asks for nothing: some clients only open a connection with it. One that is
    `unserved` asks for a path that the dialect does not have.
    """

    def __init__(self, reply: WireReply, *, counts: bool = True, unserved: bool = False) -> None:
        super().__init__(f"{reply.status}: {reply.body.decode(errors='replace')}")
        self.reply = reply
        self.counts = counts
        self.unserved = unserved


class Dialect(Protocol):
    """One provider's wire format."""

    @property
    def card(self) -> VendorCard:
        """The vendor that uses it."""

    def serves(self, http: HttpRequest) -> bool:
        """Whether it has an endpoint for the method and the path of a request."""

    def decode(self, http: HttpRequest, *, now: int | None = None, epoch_ns: int = ...) -> Request:
        """Read a request that arrives at the instant `now`; `epoch_ns` is the Unix time of the instant 0.

        Raises:
            BadRequest: the provider would not take it; carries the answer to send.
        """

    def invalid(self, request: HttpRequest, refusal: Refusal, *, sent: int) -> WireReply:
        """Say why a request cannot be taken; `sent` is the Unix time in nanoseconds."""

    def limits(self, request: Request, limits: LimitState, *, epoch_ns: int = ...) -> Headers:
        """The headers of a good answer that state the limits; none where the provider states none."""

    def encode(self, request: Request, reply: Reply, *, epoch_ns: int = ...) -> Frame:
        """Write one part of the outcome; `epoch_ns` is the Unix time of the instant 0 in nanoseconds."""
