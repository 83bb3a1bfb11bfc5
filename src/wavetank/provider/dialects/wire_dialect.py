"""A dialect put together: a vendor, who has hosts, headers and errors, and its endpoints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol, final

import msgspec

from ...clock import EPOCH_NS, MILLISECOND
from ..answer_texts import in_pieces
from ..faults import apply_fault
from ..host_patterns import answers_for
from ..http import BadRequest, Decoded, Frame, Head, Headers, HttpRequest, WireReply
from ..model import ACCOUNT, NO_LIMITS, Answer, LimitState, Refusal, Reply
from ..statuses import status_of_error
from ..wire_formats import base62, hexadecimal, imf_fixdate, json_bytes, unix_seconds
from .shared import JSON, InvalidRequest, ParsedBody, bearer, retry_headers
from .wrapped import wrapped

_TERMINATOR: Final = re.compile(rb"(data: \[DONE\]|event: message_stop\ndata: .*)\s*\Z")
"""The last event of a stream, if it only says that the stream is over."""


@final
class AnswerPart(msgspec.Struct, frozen=True):
    """One part of one answer, still to be written."""

    decoded: Decoded
    reply: Reply
    answer: Answer
    epoch_ns: int

    @property
    def first(self) -> bool:
        return self.reply.index == 0

    @property
    def last(self) -> bool:
        return self.reply.last

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text of the answer, or its JSON, in pieces of one token each."""
        answer, form = self.answer, self.decoded.form
        if form is None:
            return answer.deltas
        word = answer.deltas[0].strip() if answer.deltas else ""
        return in_pieces(form.text(word), answer.deltas, answer.finish)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def piece(self) -> str:
        """The token that this part of a stream carries."""
        return self.pieces[self.reply.index - 1]

    @property
    def tool(self) -> str | None:
        """The tool that the answer calls."""
        return self.decoded.form.tool if self.decoded.form is not None else None

    @property
    def began(self) -> int:
        """The instant at which the request arrived."""
        return self.decoded.arrived if self.decoded.arrived is not None else self.reply.at

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
        return base62(length, self.decoded.dialect, *key, self.reply.request_id)

    def digits(self, length: int, *key: object) -> str:
        """An id of hexadecimal digits that only this request has."""
        return hexadecimal(length, self.decoded.dialect, *key, self.reply.request_id)


@final
class Refused(msgspec.Struct, frozen=True):
    """A refusal, still to be written; `number` is the id of the request on the wire."""

    decoded: Decoded
    refusal: Refusal
    number: str
    sent: int


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

    def read(self, request: HttpRequest, found: re.Match[str]) -> ParsedBody:
        """Read a request; `found` is the match of its path.

        Raises:
            InvalidRequest: the provider would not take it.
        """

    def plain(self, page: AnswerPart) -> bytes:
        """The body of an answer in one piece."""

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""

    def failure(self, body: Any, decoded: Decoded, reply: Reply, epoch_ns: int) -> bytes:
        """An error body as the last thing in a stream; `epoch_ns` is the Unix time of the instant 0."""


class UnstreamedEndpoint:
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

    def failure(self, body: Any, decoded: Decoded, reply: Reply, epoch_ns: int) -> bytes:
        """The error as it is."""
        return json_bytes(body)


class Vendor:
    """What all endpoints of a provider have in common; each provider writes its own errors.

    `hosts` are those of `Dialect.hosts`. `retry_in_body`: a Retry-After in plain seconds is
    stated in the body instead of a header. `no_key` is the message for a request without a key, and
    `keep_alive` what is sent in a stream while its first token is still to come.
    """

    name: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    retry_in_body: ClassVar[bool] = False
    no_key: ClassVar[str] = "No API key was given"
    keep_alive: ClassVar[bytes] = b""

    def path(self, request: HttpRequest) -> str:
        """The path by which the endpoint is found; other parts of a request may be added to it."""
        return request.path

    def key(self, request: HttpRequest) -> str:
        """The API key.

        Raises:
            InvalidRequest: there is none.
        """
        key = bearer(request.headers)
        if not key:
            raise InvalidRequest(401, self.no_key, kind="authentication")
        return key

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """What is said to a path that is not known (no method `allowed`), or to a wrong method."""
        if allowed:
            return InvalidRequest(405, "Method Not Allowed")
        return InvalidRequest(404, "Not Found")

    def number(self, *key: object) -> str:
        """The id of a request on the wire."""
        return f"req_{hexadecimal(32, self.name, *key)}"

    def headers(self, number: str, sent: int, took: int) -> Headers:
        """The headers of every response; `took` is in whole milliseconds."""
        return (("date", imf_fixdate(sent)),)

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """The headers that state the limits; none unless a provider has such headers."""
        return ()

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """Status and body for a request that cannot be taken."""
        raise NotImplementedError

    def refusal(self, refused: Refused) -> Any:
        """The body of a refusal."""
        raise NotImplementedError

    def mid_stream_error(self, decoded: Decoded, number: str) -> Any:
        """The error body that follows after an answer has begun with 200."""
        raise NotImplementedError


@final
class WireDialect:
    """A dialect; see `Dialect`."""

    def __init__(self, vendor: Vendor, endpoints: Sequence[Endpoint]) -> None:
        self.name = vendor.name
        self.hosts = vendor.hosts
        self._vendor = vendor
        self._prefix = f"/{vendor.name}/"
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def decode(self, request: HttpRequest, *, now: int | None = None, epoch_ns: int = EPOCH_NS) -> Decoded:
        """Read a request; see `Dialect.decode`."""
        try:
            return self._read(request, now)
        except InvalidRequest as invalid:
            raise BadRequest(self._answer_invalid(request, invalid, epoch_ns + (now or 0))) from None

    def encode(self, decoded: Decoded, reply: Reply, *, epoch_ns: int = EPOCH_NS) -> Frame:
        """Write one part of an outcome; see `Dialect.encode`."""
        outcome = reply.outcome
        if isinstance(outcome, Refusal):
            return self._refuse(decoded, reply, outcome, epoch_ns)
        endpoint = self._endpoints[decoded.endpoint]
        page = AnswerPart(decoded, reply, outcome, epoch_ns)
        head = self._head(page, endpoint) if reply.first else None
        if reply.index < 0:
            return Frame(head=head, data=self._vendor.keep_alive)
        data = endpoint.plain(page) if reply.count == 1 else endpoint.part(page)
        whole_at = _whole_at(data) if reply.last and decoded.generates else None
        frame = Frame(head=head, data=data, end=reply.last, whole_at=whole_at)
        if outcome.fault is None:
            return frame
        error = self._mid_stream_error(decoded, reply, outcome, epoch_ns + reply.at)
        body = json_bytes(error) if reply.count == 1 else endpoint.failure(error, decoded, reply, epoch_ns)
        return apply_fault(outcome.fault, frame, reply, body)

    def _mid_stream_error(self, decoded: Decoded, reply: Reply, answer: Answer, sent: int) -> Any:
        """The error after a 200: what the fault says is wrong, or else what the vendor usually sends."""
        number = self._vendor.number(reply.request_id)
        wrong = answer.fault.error if answer.fault is not None else None
        if wrong is None:
            return self._vendor.mid_stream_error(decoded, number)
        refusal = Refusal(
            status_of_error(self.name, wrong), "wave", ACCOUNT, None, answer.limits, error=wrong
        )
        return self._vendor.refusal(Refused(decoded, refusal, number, sent))

    # -- requests ----------------------------------------------------------------------------

    def _read(self, request: HttpRequest, now: int | None) -> Decoded:
        endpoint, found = self._route(request)
        key = self._vendor.key(request)
        wanted = endpoint.read(request, found)
        return Decoded(
            dialect=self.name,
            model=wanted.model,
            key=key,
            item=wanted.item,
            declared=wanted.declared,
            prompt=wanted.prompt,
            prompt_tokens=wanted.prompt_tokens,
            max_tokens=wanted.max_tokens,
            stream=wanted.stream,
            payload=wanted.payload,
            arrived=now,
            endpoint=endpoint.name,
            form=wanted.form,
            copies=wanted.copies,
            generates=not isinstance(endpoint, UnstreamedEndpoint),
        )

    def _route(self, request: HttpRequest) -> tuple[Endpoint, re.Match[str]]:
        path = self._vendor.path(request)
        if path.startswith(self._prefix) and not answers_for(self.hosts, request.host):
            path = f"/{path.removeprefix(self._prefix)}"
        allowed: list[str] = []
        for endpoint in self._endpoints.values():
            found = endpoint.path.fullmatch(path)
            if found is not None:
                if endpoint.method == request.method:
                    return endpoint, found
                allowed.append(endpoint.method)
        invalid = self._vendor.unknown_route(request, tuple(allowed))
        invalid.allow = ", ".join(dict.fromkeys(allowed))
        raise invalid

    def _answer_invalid(self, request: HttpRequest, invalid: InvalidRequest, sent: int) -> WireReply:
        number = self._vendor.number(request.method, request.path, request.body)
        status, body = self._vendor.invalid_request(invalid, number, request)
        headers = (
            ("content-type", JSON),
            *self._vendor.headers(number, sent, 0),
            *((("allow", invalid.allow),) if invalid.allow else ()),
        )
        return WireReply(status, headers, json_bytes(body))

    # -- replies -----------------------------------------------------------------------------

    def _head(self, page: AnswerPart, endpoint: Endpoint) -> Head:
        vendor, sent = self._vendor, page.epoch_ns + page.reply.at
        content_type = JSON if page.reply.count == 1 else endpoint.streams_as
        number = vendor.number(page.reply.request_id)
        return Head(
            200,
            (
                ("content-type", content_type),
                *vendor.headers(number, sent, page.took // MILLISECOND),
                *self._limits(page.answer.limits, page.decoded, sent, refused=False),
            ),
        )

    def _refuse(self, decoded: Decoded, reply: Reply, refusal: Refusal, epoch_ns: int) -> Frame:
        sent = epoch_ns + reply.at
        if refusal.wrapping in ("html", "empty", "text"):
            return wrapped(refusal, sent)
        vendor, number = self._vendor, self._vendor.number(reply.request_id)
        began = decoded.arrived if decoded.arrived is not None else reply.at
        body = vendor.refusal(Refused(decoded, refusal, number, sent))
        inside = refusal.wrapping == "in-200"
        streamed = inside and decoded.stream
        endpoint = self._endpoints[decoded.endpoint]
        headers = (
            ("content-type", endpoint.streams_as if streamed else JSON),
            *vendor.headers(number, sent, (reply.at - began) // MILLISECOND),
            *self._refusal_headers(decoded, refusal, sent),
        )
        data = endpoint.failure(body, decoded, reply, epoch_ns) if streamed else json_bytes(body)
        return Frame(head=Head(200 if inside else refusal.status, headers), data=data, end=True)

    def _limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        return () if limits is NO_LIMITS else self._vendor.limits(limits, decoded, sent, refused=refused)

    def _refusal_headers(self, decoded: Decoded, refusal: Refusal, sent: int) -> Headers:
        """Limits, unless a throttle hides them; when to come back, and whether to."""
        stated, should = refusal.retry_after, refusal.should_retry
        in_body = stated is not None and stated.form == "seconds" and self._vendor.retry_in_body
        hidden = refusal.error == "throttle"
        shown = () if hidden else self._limits(refusal.limits, decoded, sent, refused=True)
        return (
            *shown,
            *(() if in_body else retry_headers(stated, sent)),
            *((("x-should-retry", str(should).lower()),) if should is not None else ()),
        )

    def __repr__(self) -> str:
        return f"<WireDialect {self.name} at {', '.join(self.hosts)}>"


def _whole_at(data: bytes) -> int:
    """How much of the last part of an answer holds the rest of its text and why it finished.

    A terminator says neither, nor do the brackets that close the JSON.
    """
    found = _TERMINATOR.search(data)
    return len((data if found is None else data[: found.start()]).rstrip(b"}] \r\n\t"))
