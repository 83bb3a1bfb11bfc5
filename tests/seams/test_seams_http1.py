"""The connection handler without a socket: framing, limits, hostile bytes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wavetank.clock import SECOND
from wavetank.events import EventLog, Header
from wavetank.provider.host_rules import HostTable
from wavetank.provider.provider import Provider
from wavetank.scenario import Scenario, scenario_from_dict
from wavetank.seams.desk import Desk
from wavetank.seams.http1 import IDLE, MAX_AHEAD, PATIENCE, ServerConnection
from wavetank.seams.loop_time import LoopWaits
from wavetank.seams.request_reader import LARGE, MAX_BODY, MAX_FIELDS, MAX_HEAD, Room

from ..depth import n_of

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-secret\r\n"
WHOLE = CHAT + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
IN_CHUNKS = CHAT + b"transfer-encoding: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n"
UPGRADE = b"\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n"
IN_CHUNKS += b"%X;name=value\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\nx-trailer: 1\r\n\r\n"


class HandTime:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self._now = 0
        self._due: list[tuple[int, int, dict[str, Any]]] = []
        self._count = count()

    def now(self) -> int:
        return self._now

    def call_at(self, when: int, callback: Callable[[], object]) -> Any:
        timer: dict[str, Any] = {"callback": callback}
        heapq.heappush(self._due, (when, next(self._count), timer))
        return _Timer(timer)

    def go(self, to: int) -> None:
        while self._due and self._due[0][0] <= to:
            self._now, _, timer = heapq.heappop(self._due)
            if timer["callback"] is not None:
                timer["callback"]()
        self._now = max(self._now, to)

    @property
    def timers(self) -> int:
        return sum(timer["callback"] is not None for _, _, timer in self._due)


class _Timer:
    def __init__(self, timer: dict[str, Any]) -> None:
        self._timer = timer

    def cancel(self) -> None:
        self._timer["callback"] = None


class Peer:
    """A client of one connection: sends, lets time pass, and keeps what comes back."""

    def __init__(
        self, scenario: Scenario | None = None, *, room: Room | None = None, idle: int | None = None
    ) -> None:
        self.clock = HandTime()
        header = Header(scenario="s", digest="0", seed=0, backend="real")
        self.log = EventLog(header)
        scenario = Scenario() if scenario is None else scenario
        self.desk = Desk(Provider(scenario), self.clock, self.log, waits=LoopWaits(), keep_records=False)
        self.server = ServerConnection(
            self.desk,
            HostTable().route_here,
            "",
            wake=lambda: None,
            room=room,
            idle=idle,
        )
        self.got = b""

    def send(self, data: bytes) -> Peer:
        self.server.receive(data)
        self.settle()
        return self

    def settle(self) -> None:
        """Take all that there is, as often as there is something new."""
        before = -1
        while len(self.got) != before:
            before = len(self.got)
            self.clock.go(self.clock.now())
            while data := self.server.take(65536):
                self.got += data
            self.server.handed_over()

    @property
    def replies(self) -> list[tuple[int, bytes]]:
        """Status and body of each reply so far."""
        client, found = h11.Connection(h11.CLIENT), list[tuple[int, bytes]]()
        client.receive_data(self.got)
        if self.server.ended:
            client.receive_data(b"")
        while True:
            client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            client.send(h11.EndOfMessage())
            status, body = None, b""
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                    return found
            assert status is not None
            found.append((status, body))
            if client.our_state is not h11.DONE or client.their_state is not h11.DONE:
                return found
            client.start_next_cycle()

    @property
    def statuses(self) -> list[int]:
        return [status for status, _ in self.replies]


# -- requests as they should be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        *(WHOLE, b"\r\n" + IN_CHUNKS),
        *(request.replace(b"\r\n", UPGRADE, 1) for request in (WHOLE, IN_CHUNKS)),
    ],
)
def test_a_request_is_answered_however_it_is_cut(request_bytes: bytes) -> None:
    """Whole or byte by byte, with a length or in chunks, with or without the offer of HTTP/2."""
    whole = Peer().send(request_bytes)
    dribbled = Peer()
    for at in range(len(request_bytes)):
        dribbled.send(request_bytes[at : at + 1])
    assert whole.statuses == dribbled.statuses == [200]
    assert whole.got == dribbled.got
    assert b"[wt:hi]" in whole.got
    assert [event.kind for event in whole.log] == ["arrived", "answered", "delivered"]
    assert whole.clock.timers == dribbled.clock.timers == 0


def test_requests_sent_ahead_are_answered_in_turn() -> None:
    """Ten on one connection, good and bad, each reach the client; then the connection is still open."""
    peer = Peer().send((WHOLE + b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n") * 5)
    assert peer.statuses == [200, 404] * 5
    assert [event.status for event in peer.log.of("delivered")] == [200] * 5
    assert not peer.server.ended


def test_any_number_of_requests_may_offer_another_protocol() -> None:
    """A thousand that come at once are answered, as if they had not offered it."""
    offer = b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    assert Peer().send(offer * 1100).got.count(b"HTTP/1.1 404 ") == 1100


def test_a_client_may_ask_again_before_the_server_knows_that_it_was_served() -> None:
    """A reply that was taken counts as delivered, also if the next request comes before that is told."""
    peer = Peer()
    for _ in range(2):
        peer.server.receive(WHOLE)
        peer.clock.go(0)
        peer.server.take(65536)
    peer.server.handed_over()
    assert [event.kind for event in peer.log] == [*["arrived", "answered"] * 2, *["delivered"] * 2]
    assert not peer.desk._open


def test_no_more_than_a_little_is_taken_ahead() -> None:
    """While a reply is due the connection is full, until the reply was taken."""
    slow = scenario_from_dict({"latency": {"first_token": "1s"}}, name="slow", source="test")
    peer = Peer(slow).send(WHOLE)
    assert not peer.server.full
    peer.send(WHOLE * (MAX_AHEAD // len(WHOLE) + 1))
    assert peer.server.full
    for second in range(1, 1000):
        peer.clock.go(second * SECOND)
        peer.settle()
    assert not peer.server.full
    assert len(peer.log.of("delivered")) == MAX_AHEAD // len(WHOLE) + 2


def test_a_client_that_expects_a_continue_gets_one() -> None:
    """100 comes before the body, not after a body that is there already."""
    head = CHAT + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    asked = Peer().send(head)
    assert asked.got == b"HTTP/1.1 100 Continue\r\n\r\n"
    asked.send(BODY[:9]).send(BODY[9:])
    assert asked.statuses == [200]
    assert asked.got.count(b"100 Continue") == 1
    assert asked.send(head).got.count(b"100 Continue") == 2
    assert b"100 Continue" not in Peer().send(head + BODY).got


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"DELETE", b"PATCH"])
def test_other_methods_are_answered(method: bytes) -> None:
    """In the dialect, with 404 or 405, and HEAD with a head only; the connection stays open."""
    peer = Peer().send(method + b" /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n")
    assert peer.got.startswith(b"HTTP/1.1 405 ")
    assert peer.got.endswith(b"\r\n\r\n") is (method == b"HEAD")
    assert not peer.server.ended


def test_the_host_of_an_absolute_target_counts() -> None:
    """As a proxy is asked: the dialect is that of the host in the target."""
    target = b"POST http://api.anthropic.com/v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    assert b"not_found_error" in Peer().send(target).got


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_client_that_asks_for_the_end_gets_it(version: bytes) -> None:
    """`Connection: close` and HTTP/1.0 end the connection after the reply, which says so."""
    request = WHOLE.replace(b"1.1", version).replace(b"host: x", b"host: x\r\nconnection: close")
    peer = Peer().send(request)
    assert peer.server.ended
    assert not peer.server.refused
    assert b"connection: close" in peer.got


def test_a_stream_to_an_old_client_ends_with_the_connection() -> None:
    """HTTP/1.0 knows no chunks."""
    streamed = BODY[:-1] + b',"stream":true}'
    request = CHAT.replace(b"1.1", b"1.0") + b"content-length: %d\r\n\r\n" % len(streamed) + streamed
    peer = Peer().send(request)
    assert b"transfer-encoding" not in peer.got
    assert peer.got.endswith(b"data: [DONE]\n\n")
    assert peer.server.ended


# -- requests as they should not be --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"hello\r\n\r\n", 400),
        (b"FROB / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 501),
        (b"GET /\r\n\r\n", 505),
        (WHOLE.replace(b"\r\n", b"\n"), 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\ry: z\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (CHAT + b"content-length: -1\r\n\r\n", 400),
        (CHAT + b"content-length: 1_0\r\n\r\n", 400),
        (CHAT + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400),
        (CHAT + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (CHAT + b"transfer-encoding: gzip\r\n\r\n", 501),
        (CHAT + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (CHAT + b"transfer-encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
        (CHAT + b"expect: cake\r\n\r\n", 417),
        (CHAT + b"content-length: 99999999999\r\n\r\n", 413),
        (CHAT + b"content-length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (CHAT + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % (1 << 64), 400),
        (b"GET /" + b"a" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * MAX_FIELDS + b"\r\n", 431),
        (CHAT + b"transfer-encoding: chunked\r\n\r\n0\r\n" + (b"a: " + b"b" * 4000 + b"\r\n") * 18, 431),
    ],
)
def test_what_is_no_request_is_reported_and_ends_the_connection(request_bytes: bytes, status: int) -> None:
    """A clear 4xx or 5xx in plain text, the end of the connection, nothing in the log, no timer left."""
    peer = Peer().send(request_bytes)
    ((got, body),) = peer.replies
    assert got == status
    assert body.endswith(b"\n")
    assert peer.server.ended
    assert peer.server.refused
    assert list(peer.log) == []
    assert peer.clock.timers == 0
    peer.send(WHOLE)
    assert len(peer.replies) == 1


@pytest.mark.parametrize("begun", [b"", b"transfer-encoding: chunked\r\n\r\n", b"x-long: "])
def test_what_never_ends_is_cut_off_at_the_limit(begun: bytes) -> None:
    """A name, a value or the size of a chunk may come in many parts, but not for ever."""
    peer = Peer().send(CHAT + begun)
    for _ in range(MAX_HEAD // 4096):
        peer.send(b"0" * 4096)
    assert not peer.server.ended
    assert peer.send(b"0" * 4097).statuses == [431]


def test_a_flood_is_not_buffered_beyond_the_limits() -> None:
    """A body of 100 MB without a length is cut off at the limit, and forgotten."""
    peer = Peer().send(CHAT + b"transfer-encoding: chunked\r\n\r\n")
    part = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    sent = 0
    while not peer.server.ended:
        peer.send(part)
        sent += 1
    assert sent == (MAX_BODY >> 20) + 1
    assert peer.statuses == [413]


def large(size: int) -> tuple[bytes, bytes]:
    """A question with a body of so many bytes: its head, and its body."""
    body = BODY.replace(b"hi", b"x" * (size - len(BODY) + 2))
    return CHAT + b"content-length: %d\r\n\r\n" % size, body


def test_large_bodies_share_what_room_there_is() -> None:
    """A client for whose body there is none gets 503, small ones are answered, and room comes back."""
    room = Room(3 * LARGE)
    first, second, third = (Peer(room=room) for _ in range(3))
    head, body = large(2 * LARGE)
    first.send(head).send(body[:-1])
    assert room.left == LARGE + 1
    second.send(head).send(body[: LARGE + 2])
    assert second.statuses == [503]
    assert b"send fewer at once" in second.replies[0][1]
    assert room.left == LARGE + 1
    assert third.send(WHOLE).statuses == [200]
    assert first.send(body[-1:]).statuses == [200]
    assert room.left == room.size
    assert first.send(head + body).send(head + body).statuses == [200] * 3


def test_a_body_takes_room_until_it_is_answered_or_its_client_is_gone() -> None:
    """Also while the answer is slow, and as long as the body is not whole."""
    slow = scenario_from_dict({"latency": {"first_token": "1h"}}, name="slow", source="test")
    room = Room(4 * LARGE)
    asking, leaving, sending = (Peer(slow, room=room) for _ in range(3))
    head, body = large(LARGE + 1)
    for peer in (asking, leaving):
        peer.send(head + body)
    sending.send(head + body[:-1]).send(body[-1:] + head + body)
    assert room.left == LARGE - 3
    leaving.server.hang_up()
    sending.server.close()
    assert room.left == 3 * LARGE - 1
    asking.clock.go(3600 * SECOND)
    asking.settle()
    assert asking.statuses == [200]
    assert room.left == room.size


def test_a_slow_client_gets_408_in_the_runs_own_time() -> None:
    """A request must be whole a minute after its first byte, however many bytes drip in."""
    peer = Peer()
    peer.clock.go(500 * SECOND)
    assert not peer.server.ended
    for at in range(70):
        peer.clock.go(500 * SECOND + at * SECOND)
        peer.send(WHOLE[at : at + 1])
    assert peer.clock.now() >= 500 * SECOND + PATIENCE
    assert peer.statuses == [408]
    assert peer.server.ended


def test_a_slow_answer_is_not_a_slow_client() -> None:
    """The limit is for requests: an answer may take an hour."""
    slow = scenario_from_dict({"latency": {"first_token": "1h"}}, name="slow", source="test")
    peer = Peer(slow).send(WHOLE)
    peer.clock.go(3600 * SECOND)
    peer.settle()
    assert peer.statuses == [200]


def test_a_connection_is_dropped_when_nothing_happens_on_it() -> None:
    """Without a byte, or after its last answer was taken; each request begins the time once more."""
    silent = Peer(idle=IDLE)
    silent.clock.go(IDLE - 1)
    assert not silent.server.ended
    silent.clock.go(IDLE)
    assert silent.server.ended
    assert silent.clock.timers == 0

    peer = Peer(idle=IDLE)
    for _ in range(3):
        peer.clock.go(peer.clock.now() + IDLE - SECOND)
        peer.send(WHOLE)
    assert len(peer.replies) == 3
    peer.clock.go(peer.clock.now() + IDLE - SECOND)
    assert not peer.server.ended
    peer.clock.go(peer.clock.now() + 2 * SECOND)
    assert peer.server.ended


def test_a_client_that_takes_nothing_is_dropped() -> None:
    """What was to be sent is dropped with its connection."""
    peer = Peer(idle=IDLE)
    peer.server.receive(WHOLE)
    peer.clock.go(SECOND)
    assert peer.server.pending
    peer.clock.go(2 * IDLE)
    assert peer.server.ended
    assert not peer.server.to_take
    assert peer.clock.timers == 0


def test_an_answer_that_is_due_is_waited_for() -> None:
    """However long the provider takes; a request that is half sent has its own bound."""
    slow = scenario_from_dict({"latency": {"first_token": "10m"}}, name="slow", source="test")
    peer = Peer(slow, idle=IDLE).send(WHOLE)
    peer.clock.go(599 * SECOND)
    assert not peer.server.ended
    peer.clock.go(601 * SECOND)
    peer.settle()
    assert [status for status, _ in peer.replies] == [200]


def test_keys_are_in_no_log() -> None:
    """Whatever a request carries, its key does not come back, nor is it logged."""
    peer = Peer().send(WHOLE).send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: sk-secret\r\n\r\n")
    assert len(peer.replies) == 2
    assert b"sk-secret" not in peer.log.to_ndjson() + peer.got


# -- hostile bytes -------------------------------------------------------------------------------------

PIECES = (
    *(WHOLE, IN_CHUNKS, CHAT, BODY, b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b" ", b"0\r\n\r\n"),
    *(b"GET / HTTP/1.1\r\n", b"host: x\r\n", b"HTTP/1.0", b"POST ", b"HEAD ", b"http://api.openai.com/"),
    *(b"content-length: ", b"57", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"\x00"),
    *(b"expect: 100-continue\r\n", b"a" * 300, b"\xff\xfe", b";", b"\t", b"{}", b"OPTIONS *", b"ffffffff"),
)
fragments = st.sampled_from(PIECES)
streams = st.lists(st.one_of(fragments, fragments, st.binary(max_size=12)), max_size=24).map(b"".join)


@given(data=streams, cuts=st.lists(st.integers(0, 2000), max_size=6))
@example(data=WHOLE * 3, cuts=[1, 70, 71])
@example(data=CHAT + b"host: x\r\n" + WHOLE, cuts=[88])
@settings(max_examples=n_of(150, 100_000))
def test_any_bytes_get_replies_or_the_end(data: bytes, cuts: list[int]) -> None:
    """No bytes raise; replies are HTTP however the bytes are cut; the handler lets go of everything."""
    whole, cut = Peer().send(data), Peer()
    edges = [0, *sorted(edge for edge in cuts if edge < len(data)), len(data)]
    for start, end in pairwise(edges):
        cut.send(data[start:end])
    assert whole.got.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"") == cut.got.replace(
        b"HTTP/1.1 100 Continue\r\n\r\n", b""
    )
    for peer in (whole, cut):
        assert not peer.got or peer.got.startswith(b"HTTP/1.1 ")
        peer.clock.go(peer.clock.now() + 2 * PATIENCE)
        peer.settle()
        peer.server.hang_up()
        assert peer.clock.timers == 0
        assert peer.desk.in_flight == 0
        assert not peer.desk._open


@given(data=streams)
@settings(max_examples=n_of(100, 20_000))
def test_what_is_taken_is_a_request_to_another_parser(data: bytes) -> None:
    """The first request that is taken is one to h11, with the same method, target and body."""
    from wavetank.seams.request_reader import BadHttp, RequestReader

    reader = RequestReader()
    reader.feed(data)
    try:
        taken = reader.next()
    except BadHttp:
        return
    if taken is None or taken[0].target != taken[0].target.strip():
        return
    head, body = taken
    other = h11.Connection(h11.SERVER)
    other.receive_data(data.lstrip(b"\r\n"))
    request, other_body = other.next_event(), b""
    assert isinstance(request, h11.Request)
    assert request.method.decode() == head.method
    assert request.target.decode("latin-1").endswith(head.target.lstrip("/"))
    while not isinstance(event := other.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        other_body += event.data
    assert other_body == body
