"""One HTTP exchange at the desk: a request goes in, frames come out when they are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import msgspec

from ..provider.wire import BadRequest, Decoded, Dialect, Frame, Head, HttpRequest
from .desk import Desk, Incoming, Record


@final
class Attempt(msgspec.Struct):
    """One request of a client: when it set out, and the desk's record once it has arrived."""

    sent: int
    record: Record | None = None
    body: int = 0
    """Bytes of the response body so far."""
    whole: bool = False
    """Whether all of the body has been sent."""


def begin(
    desk: Desk,
    dialect: Dialect,
    request: HttpRequest,
    attempt: Attempt,
    on_frame: Callable[[Frame], object],
) -> None:
    """Pass a request to the desk; `on_frame` is called with each part of the response when it is due.

    A request the provider cannot read is answered at once, in its dialect.
    """

    def count(frame: Frame) -> None:
        attempt.body += len(frame.data)
        attempt.whole = frame.end and not frame.abort
        on_frame(frame)

    try:
        decoded = dialect.decode(request, now=desk.clock.now(), epoch_ns=desk.epoch_ns)
    except BadRequest as refused:
        reply = refused.reply
        attempt.record = desk.turn_away(
            Incoming(dialect=dialect.name, model="", key=desk.secrets.label(""), prompt="", prompt_tokens=0),
            sent=attempt.sent,
            status=reply.status,
        )
        count(Frame(head=Head(reply.status, reply.headers), data=reply.body, end=True))
        return
    attempt.record = desk.open(
        _incoming(desk, decoded, request),
        sent=attempt.sent,
        deliver=lambda reply: count(dialect.encode(decoded, reply, epoch_ns=desk.epoch_ns)),
    )


def left(desk: Desk, attempt: Attempt) -> None:
    """The client gave the exchange up, if it ever arrived."""
    if attempt.record is not None:
        desk.leave(attempt.record)


def closed(desk: Desk, attempt: Attempt, read: int) -> None:
    """The client closed the response, having read so many bytes of its body.

    All of them: the reply has reached it, also when it did not ask for the end (some SDKs stop at
    the last event). A refusal has reached it with its head.
    """
    record = attempt.record
    if record is None:
        return
    if record.status != 200 or has_read(attempt, read):
        desk.reached(record)
    else:
        desk.leave(record)


def has_read(attempt: Attempt, read: int) -> bool:
    """Whether so many bytes are all of the response body."""
    return attempt.whole and read == attempt.body


def _incoming(desk: Desk, decoded: Decoded, request: HttpRequest) -> Incoming:
    return Incoming(
        dialect=decoded.dialect,
        model=decoded.model,
        key=desk.secrets.label(decoded.key),
        prompt=decoded.prompt,
        prompt_tokens=decoded.prompt_tokens,
        item=decoded.item,
        declared=decoded.declared,
        max_tokens=decoded.max_tokens,
        stream=decoded.stream,
        copies=decoded.copies,
        headers=desk.secrets.headers(request.headers, decoded.key),
        payload=decoded.payload,
    )
