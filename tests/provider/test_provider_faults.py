"""One test for each kind of fault: what it makes of a stream and of an answer in one part."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from wavetank.clock import SECOND, Duration
from wavetank.provider.content import Block, Content
from wavetank.provider.faults import FAULTS, apply_fault, damage_of, delay_of
from wavetank.provider.http import Frame, Head
from wavetank.provider.model import LimitState, Reply, Success
from wavetank.provider.provider import Provider
from wavetank.scenario import DELAYS, Fault, FaultKind, Scenario

HEAD = Head(200, (("content-type", "application/json"), ("date", "today")))
BODY = b'{"text":"one two three"}'
EVENTS = (b'data: {"n":0}\n\n', b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', b'data: {"n":3}\n\n')
END = b'data: {"n":4}\n\ndata: [DONE]\n\n'
ERROR = b'data: {"error":1}\n\n'
LINES = (b'{"n":0}\n', b'{"n":1}\n', b'{"n":2}\n', b'{"done":true}\n')
BROKEN = Frame(abort=True)


def fault(kind: FaultKind, **fields: Any) -> Fault:
    """A fault after one chunk."""
    return Fault(kind=kind, **fields)


def reply(index: int, count: int) -> Reply:
    """A part of some answer."""
    return Reply(
        1, Success(Content((Block("text", ("a", "b", "c")),), "stop", 3), 1, LimitState()), index, count, 0
    )


def streamed(kind: FaultKind, parts: tuple[bytes, ...] = (*EVENTS, END), **fields: Any) -> list[Frame]:
    """A stream as a fault leaves it."""
    count = len(parts)
    frames = [Frame(head=None if n else HEAD, data=part, end=n == count - 1) for n, part in enumerate(parts)]
    return [
        apply_fault(fault(kind, **fields), frame, reply(n, count), ERROR) for n, frame in enumerate(frames)
    ]


def plain(kind: FaultKind) -> Frame:
    """An answer in one part as a fault leaves it."""
    return apply_fault(fault(kind), Frame(head=HEAD, data=BODY, end=True), reply(0, 1), ERROR)


def sent(frames: list[Frame]) -> bytes:
    """The bytes sent up to the end of the stream, or up to where the connection breaks."""
    data = b""
    for frame in frames:
        data += frame.data
        if frame.abort or frame.end:
            break
    return data


def delays(kind: FaultKind, count: int = 5, after: int = 1) -> list[int]:
    """How many seconds later each part of an answer is sent."""
    late = fault(kind, lasts=Duration(10 * SECOND), after_chunks=after)
    return [delay_of(late, index, count) // SECOND for index in range(count)]


def test_every_kind_has_an_effect() -> None:
    """Every kind of fault has an effect, and those that only delay the answer are the DELAYS of scenarios."""
    assert sorted(FAULTS) == sorted(get_args(FaultKind))
    assert sorted(kind for kind in FAULTS if damage_of(fault(kind)) == "none") == sorted(DELAYS)
    for kind, effect in FAULTS.items():
        assert (effect.delay is not None) is (kind in DELAYS)


def test_connection_refused() -> None:
    """It meets connections, by number, and no answer."""
    provider = Provider(
        Scenario(fault=(fault("stall"), fault("connection-refused", at=Duration(5), times=2)))
    )
    assert [provider.refuse_connection(now) for now in (0, 5, 6, 7)] == [None, 1, 1, None]
    shared = Scenario(fault=(fault("connection-refused", times=1000, share=0.5),))
    one, other = ([Provider(shared, seed=seed).refuse_connection(0) for _ in range(2)] for seed in (3, 3))
    assert one == other
    provider = Provider(shared, seed=3)
    met = [provider.refuse_connection(0) for _ in range(100)]
    assert 30 < met.count(0) < 70


def test_reset() -> None:
    """Not a byte of an answer."""
    assert streamed("reset") == [BROKEN] * 5
    assert plain("reset") == BROKEN


def test_reset_after_headers() -> None:
    """A head that promises a body, and nothing after it."""
    first, *rest = streamed("reset-after-headers")
    assert (first, rest) == (Frame(head=HEAD, abort=True), [BROKEN] * 4)
    found = plain("reset-after-headers")
    assert found == Frame(head=Head(200, HEAD.headers, len(BODY)), abort=True)


@pytest.mark.parametrize(("after", "whole"), [(0, 1), (1, 2), (3, 4), (99, 4)])
def test_cut_mid_stream(after: int, whole: int) -> None:
    """The bytes before the cut are sent, and the end never comes."""
    frames = streamed("cut-mid-stream", after_chunks=after)
    assert sent(frames) == b"".join(EVENTS[:whole])
    assert not any(frame.end for frame in frames)
    found = plain("cut-mid-stream")
    assert (found.data, found.abort) == (BODY[: len(BODY) // 2], True)
    assert found.head == Head(200, HEAD.headers, len(BODY))


def test_stall() -> None:
    """Silence after the first chunks; an answer in one part is late as a whole."""
    assert delays("stall") == [0, 0, 10, 10, 10]
    assert delays("stall", after=0) == [0, 10, 10, 10, 10]
    assert delays("stall", count=1) == [10]
    assert streamed("stall") == streamed("slow-trickle")


def test_stall_before_headers() -> None:
    """Silence before anything, the headers included."""
    assert delays("stall-before-headers") == [10] * 5
    assert delays("stall-before-headers", count=1) == [10]
    assert sent(streamed("stall-before-headers")) == b"".join((*EVENTS, END))


def test_slow_trickle() -> None:
    """The parts are spread evenly, and the last one comes at the end of the time."""
    assert delays("slow-trickle") == [2, 4, 6, 8, 10]
    assert delays("slow-trickle", count=1) == [10]


def test_malformed_chunk() -> None:
    """One event is torn and the others are whole."""
    frames = streamed("malformed-chunk")
    assert [frame.data for frame in frames] == [*EVENTS[:2], b'data: {"n\n\n', EVENTS[3], END]
    assert plain("malformed-chunk").data == BODY[: len(BODY) // 2]
    assert [f.data for f in streamed("malformed-chunk", LINES)][2] == b'{"n\n'


def test_truncated_json() -> None:
    """The stream is torn and properly ended at its last part."""
    frames = streamed("truncated-json")
    assert sent(frames) == b"".join(EVENTS[:2]) + b'data: {"n'
    assert (frames[-1].end, any(frame.abort for frame in frames)) == (True, False)
    assert (plain("truncated-json").data, plain("truncated-json").end) == (BODY[: len(BODY) // 2], True)


def test_missing_end() -> None:
    """All but the last event, and a clean end."""
    frames = streamed("missing-end")
    assert sent(frames) == b"".join(EVENTS) + b'data: {"n":4}\n\n'
    assert frames[-1].end
    assert sent(streamed("missing-end", LINES)) == b"".join(LINES[:3])
    crlf = tuple(part.replace(b"\n\n", b"\r\n\r\n") for part in (*EVENTS, END))
    assert sent(streamed("missing-end", crlf)).endswith(b'data: {"n":4}\r\n\r\n')
    assert sent(streamed("missing-end", (b"a", b"b", b"c"))) == b"ab"
    assert plain("missing-end").data == BODY[:-1]


def test_duplicate_event() -> None:
    """One event comes twice, the first one of a part that has several."""
    assert sent(streamed("duplicate-event")) == b"".join((*EVENTS[:3], EVENTS[2], EVENTS[3], END))
    assert sent(streamed("duplicate-event", after_chunks=99)).count(b'"n":4') == 2
    assert plain("duplicate-event").data == BODY * 2


def test_error_in_stream() -> None:
    """The provider's error event is the last thing, and the stream ends."""
    frames = streamed("error-in-stream")
    assert sent(frames) == b"".join(EVENTS[:2]) + ERROR
    assert frames[-1].end
    assert plain("error-in-stream") == Frame(head=HEAD, data=ERROR, end=True)


def test_empty_body() -> None:
    """A head, no bytes, a clean end."""
    assert (sent(streamed("empty-body")), streamed("empty-body")[-1].end) == (b"", True)
    assert plain("empty-body") == Frame(head=HEAD, end=True)


def test_html_body() -> None:
    """A gateway's status, page and headers in place of the provider's."""
    frames = [*streamed("html-body"), plain("html-body")]
    heads = [frame.head for frame in frames if frame.head is not None]
    assert heads == [Head(502, (("content-type", "text/html"), ("date", "today")))] * 2
    assert sent(frames[:5]) == frames[5].data
    assert frames[5].data.startswith(b"<html>")


def test_length_too_long() -> None:
    """All bytes are sent, more are announced, and the connection ends."""
    for frames in (streamed("length-too-long"), [plain("length-too-long")]):
        assert frames[0].head is not None
        assert frames[0].head.length is not None
        assert frames[0].head.length > len(sent(frames)) >= len(BODY)
        assert ([frame.abort for frame in frames].index(True), frames[-1].end) == (len(frames) - 1, False)


def test_length_too_short() -> None:
    """As many bytes are sent as announced, which are not all, and the connection ends."""
    for frames in (streamed("length-too-short"), [plain("length-too-short")]):
        first, *rest = frames
        assert first.head is not None
        assert (first.head.length, first.abort, first.end) == (len(first.data), True, False)
        assert 0 < len(first.data) < len(EVENTS[0]) or first.data == BODY[: len(BODY) // 2]
        assert all(frame == BROKEN for frame in rest)
