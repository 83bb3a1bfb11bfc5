"""A dialect put together: a vendor, who has hosts, headers and errors, and its endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol, final

import msgspec

from ...clock import EPOCH_NS, MILLISECOND
from ...scenario import RefusalError
from ..content import Block, BlockKind, Content
from ..event_stream import first_message, is_event_stream, last_message
from ..faults import apply_fault
from ..host_patterns import path_ends
from ..http import BadRequest, Frame, Head, Headers, HttpRequest, WireReply
from ..model import ACCOUNT, NO_LIMITS, LimitState, Refusal, Reply, Success
from ..request import Request
from ..vendor_card import VendorCard
from ..wire_formats import base62, date_header, hexadecimal, json_bytes, unix_seconds
from .retry_after import retry_headers, stated_in_body
from .shared import JSON, ErrorText, InvalidRequest, bearer
from .wrapped import wrapped

_TERMINATOR: Final = re.compile(rb"(data: \[DONE\]|event: message_stop\ndata: .*)\s*\Z")
"""The last event of a stream, if it only says that the stream is over."""


@final
class AnswerPart(msgspec.Struct, frozen=True):
    """One part of one answer, still to be written."""

    request: Request
    reply: Reply
    answer: Success
    epoch_ns: int

    @property
    def first(self) -> bool:
        return self.reply.index == 0

    @property
    def last(self) -> bool:
        return self.reply.last

    @property
    def content(self) -> Content:
        """What the answer says."""
        return self.answer.content

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.answer.content.text

    @property
    def calls(self) -> tuple[Block, ...]:
        """The tools that the answer calls."""
        return self.answer.content.calls

    @property
    def place(self) -> tuple[int, int]:
        """Which block the token of this part of a stream belongs to, and which of its tokens it is."""
        nth = self.reply.index - 1
        for number, block in enumerate(self.answer.content.blocks):
            if nth < len(block.pieces):
                return number, nth
            nth -= len(block.pieces)
        raise IndexError(f"part {self.reply.index} carries no token")

    @property
    def block(self) -> Block:
        """The block that the token of this part belongs to."""
        return self.answer.content.blocks[self.place[0]]

    @property
    def piece(self) -> str:
        """The token that this part of a stream carries."""
        number, nth = self.place
        return self.answer.content.blocks[number].pieces[nth]

    def carries(self, kind: BlockKind) -> bool:
        """Whether this part of a stream carries a token of that kind."""
        return not (self.reply.index <= 0 or self.last) and self.block.kind == kind

    def call_number(self, block: int) -> int:
        """How many calls come before the block of this number."""
        return sum(one.kind == "call" for one in self.answer.content.blocks[:block])

    @property
    def began(self) -> int:
        """The instant at which the request arrived."""
        return self.request.arrived if self.request.arrived is not None else self.reply.at

    @property
    def took(self) -> int:
        """Nanoseconds from the arrival to this part."""
        return self.reply.at - self.began

    @property
    def created(self) -> int:
        """The arrival in whole Unix seconds."""
        return unix_seconds(self.began, self.epoch_ns)

    def letters(self, length: int, *key: object) -> str:
        """An id of letters and digits that only this request has."""
        return base62(length, self.request.dialect, *key, self.reply.request_id)

    def digits(self, length: int, *key: object) -> str:
        """An id of hexadecimal digits that only this request has."""
        return hexadecimal(length, self.request.dialect, *key, self.reply.request_id)


@final
class Refused(msgspec.Struct, frozen=True):
    """A refusal, still to be written.

    `number` is the id of the request on the wire, and `measured` the Unix time at which its limits were so.
    """

    request: Request
    refusal: Refusal
    number: str
    measured: int


class Endpoint(Protocol):
    """One thing that can be asked of a provider."""

    @property
    def name(self) -> str:
        """A name that no other endpoint of the dialect has."""

    @property
    def method(self) -> str:
        """The HTTP method."""

    @property
    def path(self) -> re.Pattern[str]:
        """What the whole path matches, as the vendor documents it."""

    @property
    def streams_as(self) -> str:
        """The content type of a stream."""

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; `found` is the match of its path.

        Raises:
            InvalidRequest: the provider would not take it.
        """

    def plain(self, page: AnswerPart) -> bytes:
        """The body of an answer in one piece."""

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """An error body as the last thing in a stream; `epoch_ns` is the Unix time of the instant 0."""


class OwnHead:
    """What endpoints have in common whose plain answers may have a status, a type or headers of their own."""

    __slots__ = ()

    def status(self, page: AnswerPart) -> int:
        """The status of a plain answer."""
        return 200

    def content_type(self, page: AnswerPart) -> str:
        """The type of a plain answer."""
        return JSON

    def headers(self, page: AnswerPart) -> Headers:
        """Headers of an answer, plain or streamed, beside those of the vendor."""
        return ()


class UnstreamedEndpoint(OwnHead):
    """What endpoints have in common that generate no text: their answers are never streamed."""

    __slots__ = ()

    method: str = "POST"
    streams_as: str = JSON

    def plain(self, page: AnswerPart) -> bytes:
        """The body of an answer."""
        raise NotImplementedError

    def part(self, page: AnswerPart) -> bytes:
        """The whole answer."""
        return self.plain(page)

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """The error as it is."""
        return json_bytes(body)


_USUAL_HEAD: Final = OwnHead()


class Vendor:
    """What all endpoints of a provider have in common: its keys, its headers and its errors.

    `retry_in_body`: a Retry-After in plain seconds is stated in the body instead of a header. The key
    is read from the header `key_header` of the card, or else from `Authorization`; a request without one
    is refused with `no_key` and `no_key_status`, unless `no_key` is `None`. `not_found` answers an
    unknown path and `not_allowed` a wrong method; both may use the placeholders `{method}`, `{path}` and
    `{allowed}`. `errors` is what a refusal says for each error, and `statuses` what a rate limit with
    that status says instead. `breaks_with` is the error that usually ends a broken stream.
    `invalid_kind` is the type of the error of a request that cannot be taken.
    """

    retry_in_body: ClassVar[bool] = False
    no_key: ErrorText | None
    no_key_status: ClassVar[int] = 401
    not_found: ErrorText = ErrorText("Not Found")
    not_allowed: ErrorText = ErrorText("Method Not Allowed")
    errors: Mapping[str, ErrorText]
    statuses: Mapping[int, ErrorText] = {}
    breaks_with: ClassVar[RefusalError] = "server"
    invalid_kind: ClassVar[str] = "invalid_request_error"

    def __init__(self, card: VendorCard) -> None:
        self.card = card

    def path(self, request: HttpRequest) -> str:
        """The path by which the endpoint is found; other parts of a request may be added to it."""
        return request.path

    def key(self, request: HttpRequest) -> str:
        """The API key.

        Raises:
            InvalidRequest: there is none, and one is needed.
        """
        key = request.headers.get(self.card.key_header, "").strip() or bearer(request.headers)
        if not key and self.no_key is not None:
            raise InvalidRequest.saying(self.no_key, self.no_key_status)
        return key

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """What is said to a path that is not known (no method `allowed`), or to a wrong method."""
        text = self.not_allowed if allowed else self.not_found
        message = text.message.format(method=request.method, path=request.path, allowed=" or ".join(allowed))
        return InvalidRequest.saying(text._replace(message=message), 405 if allowed else 404)

    def number(self, *key: object) -> str:
        """The id of a request on the wire."""
        return f"req_{hexadecimal(32, self.card.name, *key)}"

    def headers(self, number: str, took: int) -> Headers:
        """The headers of every response beside its date; `took` is in whole milliseconds."""
        return ()

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """The headers that state the limits; none unless a provider has such headers.

        `measured` is the Unix time, in nanoseconds, at which the limits were so.
        """
        return ()

    def refusal_headers(self, refused: Refused) -> Headers:
        """The headers of a refusal beside those of all responses, its limits and its Retry-After."""
        return ()

    def error(self, text: ErrorText, status: int, number: str) -> Any:
        """An error body; `number` is the id of the request on the wire."""
        raise NotImplementedError

    def invalid_request(self, invalid: InvalidRequest, number: str, request: HttpRequest) -> tuple[int, Any]:
        """Status and body for a request that cannot be taken."""
        return invalid.status, self.error(invalid.text, invalid.status, number)

    def invalid_headers(self, invalid: InvalidRequest) -> Headers:
        """The headers of the answer to a request that cannot be taken, beside those of all responses."""
        return ()

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says."""
        refusal = refused.refusal
        text = self.errors[refusal.error]
        if refusal.error == "rate-limit":
            text = self.statuses.get(refusal.status, text)
        hint = stated_in_body(refusal.retry_after)
        return text._replace(message=f"{text.message}.{hint}") if hint else text

    def said(self, refused: Refused) -> ErrorText:
        """What a refusal says: its own message, or else the vendor's words."""
        text, own = self.refusal_text(refused), refused.refusal.message
        return text._replace(message=own) if own else text

    def refusal(self, refused: Refused) -> Any:
        """The body of a refusal."""
        return self.error(self.said(refused), refused.refusal.status, refused.number)

    def mid_stream_error(self, refused: Refused) -> Any:
        """The error body that follows after an answer has begun with 200, where a fault names no error."""
        return self.refusal(refused)


@final
class WireDialect:
    """A dialect; see `Dialect`.

    Raises:
        ValueError: two endpoints have one name.
    """

    def __init__(self, vendor: Vendor, endpoints: Sequence[Endpoint]) -> None:
        self.card = vendor.card
        self._vendor = vendor
        self._endpoints: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            other = self._endpoints.setdefault(endpoint.name, endpoint)
            if other is not endpoint:
                raise ValueError(
                    f"the dialect {self.card.name!r} has two endpoints named {endpoint.name!r}, "
                    f"{other.path.pattern} and {endpoint.path.pattern}: each needs a name of its own"
                )

    def serves(self, http: HttpRequest) -> bool:
        """Whether there is an endpoint for a request; see `Dialect.serves`."""
        return any(endpoint.method == http.method for endpoint, _ in self._found(http))

    def decode(self, http: HttpRequest, *, now: int | None = None, epoch_ns: int = EPOCH_NS) -> Request:
        """Read a request; see `Dialect.decode`."""
        if http.path in self.card.pings:
            raise BadRequest(WireReply(200, (("content-type", JSON),), b'""'), counts=False)
        try:
            return self._read(http, now)
        except InvalidRequest as invalid:
            reply = self._answer_invalid(http, invalid, epoch_ns + (now or 0))
            raise BadRequest(reply, unserved=invalid.unserved) from None

    def encode(self, request: Request, reply: Reply, *, epoch_ns: int = EPOCH_NS) -> Frame:
        """Write one part of an outcome; see `Dialect.encode`."""
        outcome = reply.outcome
        if isinstance(outcome, Refusal):
            return self._refuse(request, reply, outcome, epoch_ns)
        endpoint = self._endpoints[request.endpoint]
        page = AnswerPart(request, reply, outcome, epoch_ns)
        head = self._head(page, endpoint) if reply.first else None
        if reply.index < 0:
            return Frame(head=head, data=self.card.keep_alive)
        data = self._data(page, endpoint)
        whole_at = _whole_at(data) if reply.last and request.generates else None
        frame = Frame(head=head, data=data, end=reply.last, whole_at=whole_at)
        if outcome.fault is None:
            return frame
        error = self._mid_stream_error(request, reply, outcome, epoch_ns)
        body = json_bytes(error) if reply.count == 1 else endpoint.failure(error, request, reply, epoch_ns)
        return apply_fault(outcome.fault, frame, reply, body)

    def limits(self, request: Request, limits: LimitState, *, epoch_ns: int = EPOCH_NS) -> Headers:
        """The headers of an answer that state the limits; see `Dialect.limits`."""
        return self._vendor.limits(limits, request, epoch_ns + limits.at, refused=False)

    def invalid(self, request: HttpRequest, refusal: Refusal, *, sent: int) -> WireReply:
        """Say that a request cannot be taken; see `Dialect.invalid`."""
        kind = refusal.kind or self._vendor.invalid_kind
        invalid = InvalidRequest(
            refusal.status, refusal.message, kind=kind, param=refusal.param, code=refusal.code
        )
        return self._answer_invalid(request, invalid, sent)

    def _data(self, page: AnswerPart, endpoint: Endpoint) -> bytes:
        if page.answer.made is not None:
            return page.answer.made.body
        return endpoint.plain(page) if page.reply.count == 1 else endpoint.part(page)

    def _mid_stream_error(self, request: Request, reply: Reply, answer: Success, epoch_ns: int) -> Any:
        """The error after a 200: what the fault says is wrong, or else what the vendor usually sends."""
        vendor = self._vendor
        stated = answer.fault.error if answer.fault is not None else None
        error = stated or vendor.breaks_with
        refusal = Refusal(self.card.status_of_error(error), "wave", ACCOUNT, None, answer.limits, error=error)
        number = vendor.number(reply.request_id)
        refused = Refused(request, refusal, number, epoch_ns + answer.limits.at)
        return vendor.mid_stream_error(refused) if stated is None else vendor.refusal(refused)

    # -- requests ----------------------------------------------------------------------------

    def _read(self, http: HttpRequest, now: int | None) -> Request:
        endpoint, found = self._route(http)
        secret = self._vendor.key(http)
        request = endpoint.read(http, found)
        request.card, request.endpoint, request.host = self.card, endpoint.name, http.host
        request.headers, request.secret, request.arrived = http.headers, secret, now
        request.path = http.path
        if request.action is not None or isinstance(endpoint, UnstreamedEndpoint):
            request.generates = False
        return request

    def _route(self, http: HttpRequest) -> tuple[Endpoint, re.Match[str]]:
        allowed: list[str] = []
        for endpoint, found in self._found(http):
            if endpoint.method == http.method:
                return endpoint, found
            allowed.append(endpoint.method)
        invalid = self._vendor.unknown_route(http, tuple(allowed))
        invalid.allow = ", ".join(dict.fromkeys(allowed))
        if not allowed:
            invalid.is_unserved(http)
        raise invalid

    def _found(self, http: HttpRequest) -> Iterator[tuple[Endpoint, re.Match[str]]]:
        """The endpoints whose path this is, whatever the method."""
        for path in self._paths(http):
            for endpoint in self._endpoints.values():
                found = endpoint.path.fullmatch(path)
                if found is not None:
                    yield endpoint, found

    def _paths(self, http: HttpRequest) -> Iterator[str]:
        """The paths a request may mean: its own, and at a host of a user's that without its beginning.

        A gateway may have replaced the vendor's own beginning, too: so does Azure's API management.
        """
        path = self._vendor.path(http)
        yield path
        if http.anywhere:
            ends = path_ends(path)
            yield from ends[1:]
            for end in ends:
                yield from (f"{base}{end}" for base in self.card.base_paths)

    def _answer_invalid(self, http: HttpRequest, invalid: InvalidRequest, sent: int) -> WireReply:
        number = self._vendor.number(http.method, http.path, http.body)
        status, body = self._vendor.invalid_request(invalid, number, http)
        headers = (
            ("content-type", JSON),
            ("date", date_header(sent)),
            *self._vendor.headers(number, 0),
            *self._vendor.invalid_headers(invalid),
            *((("allow", invalid.allow),) if invalid.allow else ()),
        )
        return WireReply(status, headers, json_bytes(body))

    # -- replies -----------------------------------------------------------------------------

    def _head(self, page: AnswerPart, endpoint: Endpoint) -> Head:
        vendor, sent = self._vendor, page.epoch_ns + page.reply.at
        own, plain = endpoint if isinstance(endpoint, OwnHead) else _USUAL_HEAD, page.reply.count == 1
        number = vendor.number(page.reply.request_id)
        return Head(
            own.status(page) if plain else 200,
            (
                ("content-type", own.content_type(page) if plain else endpoint.streams_as),
                ("date", date_header(sent)),
                *vendor.headers(number, page.took // MILLISECOND),
                *own.headers(page),
                *self._limits(page.answer.limits, page.request, page.epoch_ns, refused=False),
            ),
        )

    def _refuse(self, request: Request, reply: Reply, refusal: Refusal, epoch_ns: int) -> Frame:
        sent = epoch_ns + reply.at
        if refusal.wrapping in ("html", "empty", "text"):
            return wrapped(refusal, sent)
        vendor, number = self._vendor, self._vendor.number(reply.request_id)
        began = request.arrived if request.arrived is not None else reply.at
        refused = Refused(request, refusal, number, epoch_ns + refusal.limits.at)
        body = vendor.refusal(refused)
        inside = refusal.wrapping == "in-200"
        streamed = inside and request.stream
        endpoint = self._endpoints[request.endpoint]
        headers = (
            ("content-type", endpoint.streams_as if streamed else JSON),
            ("date", date_header(sent)),
            *vendor.headers(number, (reply.at - began) // MILLISECOND),
            *self._refusal_headers(request, refusal, sent, epoch_ns),
            *vendor.refusal_headers(refused),
        )
        data = endpoint.failure(body, request, reply, epoch_ns) if streamed else json_bytes(body)
        return Frame(head=Head(200 if inside else refusal.status, headers), data=data, end=True)

    def _limits(self, limits: LimitState, request: Request, epoch_ns: int, *, refused: bool) -> Headers:
        if limits is NO_LIMITS:
            return ()
        return self._vendor.limits(limits, request, epoch_ns + limits.at, refused=refused)

    def _refusal_headers(self, request: Request, refusal: Refusal, sent: int, epoch_ns: int) -> Headers:
        """Limits, unless a throttle hides them; when to come back, and whether to."""
        stated, should = refusal.retry_after, refusal.should_retry
        in_body = stated is not None and stated.form == "seconds" and self._vendor.retry_in_body
        hidden = refusal.error == "throttle"
        shown = () if hidden else self._limits(refusal.limits, request, epoch_ns, refused=True)
        return (
            *shown,
            *(() if in_body else retry_headers(stated, sent)),
            *((("x-should-retry", str(should).lower()),) if should is not None else ()),
        )

    def __repr__(self) -> str:
        return f"<WireDialect {self.card.name}>"


def _whole_at(data: bytes) -> int:
    """How much of the last part of an answer holds the rest of its text and why it finished.

    A terminator says neither, nor do the brackets that close the JSON, nor the last of several messages of
    AWS's encoding, which has the usage.
    """
    if is_event_stream(data):
        alone = len(first_message(data)) == len(data)
        return len(data) - (0 if alone else len(last_message(data)))
    found = _TERMINATOR.search(data)
    return len((data if found is None else data[: found.start()]).rstrip(b"}] \r\n\t"))
