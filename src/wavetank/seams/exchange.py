"""One HTTP exchange at the desk: a request goes in, frames come out when they are due.

What a seam calls, in this order:

1. `set_out`, in the step in which the client enters its call.
2. `Desk.admit`, which raises where the desk's clock does not run.
3. `unknown_hosts.connect`, for each new connection, which raises what the client is to see of one that fails.
4. `desk.hosts.route` with an `HttpRequest`, whose host is `unknown_hosts.place`; for `None`, answer 404
   with the text of `unknown_hosts.unknown_path`.
5. `begin`, which calls back with each frame. To wait for one, take an event of `desk.waits`.
6. Once, at the end: `closed`, if the seam knows how much the client has read; else `reached` or `left`.

A client that writes and reads bytes is given a connection by `memory.connection_to`: that connects, and
`http1.ServerConnection` behind it does what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import msgspec

from ..provider.host_rules import HostApp, Route
from ..provider.http import BadRequest, Frame, Head, HttpRequest
from ..provider.model import Refusal, Reply
from ..provider.request import Request
from ..provider.vendor_card import VendorCard
from ..sim.origin import NOWHERE, Origin
from .apps import AppCall
from .desk import Desk
from .sent_requests import Record


@final
class Attempt(msgspec.Struct):
    """One request of a client: when it set out and from where, and the desk's record once it has arrived."""

    sent: int
    origin: Origin = NOWHERE
    target: str = ""
    """What it asks for, without its query, as in `POST /v1/messages`."""
    record: Record | None = None
    blocking: bool = False
    """Whether the client blocks its thread until it is answered."""
    app: AppCall | None = None
    """The application that answers, if one does; such a request is none of the desk's."""
    counts: bool = False
    """Whether the client's own library keeps count of what it has `read`."""
    body: int = 0
    """Bytes of the response body so far."""
    whole: bool = False
    """Whether all of the body has been sent."""
    over: bool = False
    """Whether the provider sends nothing more: all has been sent, or the connection broke."""
    answer_at: int | None = None
    """How much of the body holds the whole text of the answer and why it finished."""
    read: int = 0
    """Bytes of the body that the client has read."""

    @property
    def has_answer(self) -> bool:
        """Whether the client has the whole answer: its text, and the signal that it is finished."""
        return self.answer_at is not None and self.read >= self.answer_at

    @property
    def stopped_early(self) -> bool:
        """Whether the client has read the first of the answer and not all that came."""
        return self.read > 0 and (self.read < self.body or not self.over)


CUT: Final = "peer closed connection without sending complete message body (incomplete chunked read)"
"""What h11 says of a body that breaks off."""


CLOSED: Final = "Server disconnected without sending a response."
"""What httpcore says of a connection that ends without a response."""

GARBLED: Final = "illegal status line"
"""What h11 says of bytes that are no response."""


def raw_headers(first: Frame) -> list[tuple[bytes, bytes]]:
    """The headers of a response in bytes, with the length of a body that is whole in its first frame."""
    assert first.head is not None
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in first.head.headers]
    if first.end and not first.abort:
        headers.append((b"content-length", b"%d" % len(first.data)))
    return headers


def set_out(desk: Desk, method: str, path: str, *, counts: bool = False, blocking: bool = False) -> Attempt:
    """A client enters its call, in its own step; `counts` and `blocking` as in `Attempt`."""
    target = f"{method} {path.partition('?')[0]}"
    return Attempt(desk.clock.now(), desk.origin(), target, counts=counts, blocking=blocking)


def begin(
    desk: Desk,
    route: Route,
    attempt: Attempt,
    on_frame: Callable[[Frame], object],
) -> None:
    """Pass a request to what answers; `on_frame` is called with each part of the response when it is due.

    That is the desk, or an application, in a task of its own. A request the provider cannot read is
    answered at once, in its dialect.
    """

    def count(frame: Frame) -> None:
        if frame.whole_at is not None:
            attempt.answer_at = attempt.body + frame.whole_at
        attempt.body += len(frame.data)
        attempt.whole = frame.end and not frame.abort
        attempt.over = frame.end or frame.abort
        on_frame(frame)

    dialect, http, prefix = route
    if isinstance(dialect, HostApp):
        attempt.app = AppCall(desk, dialect, http, prefix, count)
        attempt.app.begin(blocking=attempt.blocking)
        return
    try:
        request = dialect.decode(http, now=desk.clock.now(), epoch_ns=desk.epoch_ns)
    except BadRequest as refused:
        reply = refused.reply
        if refused.unserved:
            _note_unserved(desk, http, attempt)
        elif refused.counts:
            attempt.record = _turn_away(desk, dialect.card, http, attempt, reply.status)
        count(Frame(head=Head(reply.status, reply.headers), data=reply.body, end=True))
        return

    def deliver(reply: Reply) -> None:
        outcome = reply.outcome
        if isinstance(outcome, Refusal) and outcome.invalid:
            whole = dialect.invalid(http, outcome, sent=desk.epoch_ns + reply.at)
            count(Frame(head=Head(whole.status, whole.headers), data=whole.body, end=True))
        else:
            count(dialect.encode(request, reply, epoch_ns=desk.epoch_ns))

    attempt.record = desk.open(
        request,
        sent=attempt.sent,
        deliver=deliver,
        origin=attempt.origin,
    )


def _note_unserved(desk: Desk, http: HttpRequest, attempt: Attempt) -> None:
    """Log a request for a path that the fake does not have, at a host of its own; it is no refusal."""
    target, origin = attempt.target or f"{http.method} {http.path}", attempt.origin
    desk.note(
        "unknown-host",
        host=http.host,
        target=desk.secrets.hide(target),
        task=origin.task,
        file=origin.file,
        line=origin.line,
    )


def _turn_away(desk: Desk, card: VendorCard, http: HttpRequest, attempt: Attempt, status: int) -> Record:
    """Log a request that the provider can't read."""
    request = Request(model="", item=None, declared=False, prompt="", prompt_tokens=0)
    request.card, request.host, request.headers = card, http.host, http.headers
    return desk.turn_away(request, sent=attempt.sent, status=status, origin=attempt.origin)


def reached(desk: Desk, attempt: Attempt) -> None:
    """The whole reply, if the request ever arrived, is with the client; called in the client's own step."""
    if attempt.record is not None:
        attempt.read = attempt.body
        desk.reached(attempt.record, whole=attempt.has_answer)


def left(desk: Desk, attempt: Attempt) -> None:
    """The client gave the exchange up, if it ever arrived."""
    if attempt.app is not None:
        attempt.app.hang_up()
    if attempt.record is not None:
        desk.leave(attempt.record, whole=attempt.has_answer, early=attempt.stopped_early)


def closed(desk: Desk, attempt: Attempt, read: int) -> None:
    """The client closed the response, having read so many bytes of its body.

    All of them: the reply has reached it, also when it did not ask for the end (some SDKs stop at
    the last event). A refusal has reached it with its head.
    """
    if attempt.app is not None:
        attempt.app.hang_up()
    record, attempt.read = attempt.record, read
    if record is None:
        return
    if record.status != 200 or has_read(attempt, read):
        reached(desk, attempt)
    else:
        left(desk, attempt)


def has_read(attempt: Attempt, read: int) -> bool:
    """Whether so many bytes are all of the response body."""
    return attempt.whole and read == attempt.body
