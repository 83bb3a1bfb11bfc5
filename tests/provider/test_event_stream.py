"""The event stream encoding of AWS, judged by botocore, and what faults make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from wavetank.provider.event_stream import (
    first_message,
    is_event_stream,
    last_message,
    message,
    with_half_payload,
)
from wavetank.provider.faults import apply_fault
from wavetank.provider.http import Frame
from wavetank.provider.model import NO_LIMITS, Reply, Success
from wavetank.scenario import Fault, FaultKind


def read(data: bytes) -> list[Any]:
    """The messages that botocore reads, which checks lengths and checksums."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    found = list(buffer)
    assert not buffer._data
    return found


@given(st.text(max_size=30), st.binary(max_size=300))
def test_botocore_reads_what_is_written(name: str, payload: bytes) -> None:
    """Headers and payload are as they were."""
    (found,) = read(message("event", name, payload))
    assert found.headers == {
        ":event-type": name,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert found.payload == payload


def test_messages_are_told_apart() -> None:
    """The first and the last of several, which have nothing between them."""
    each = [message("event", "chunk", json.dumps({"n": n}).encode()) for n in range(3)]
    assert (first_message(b"".join(each)), last_message(b"".join(each))) == (each[0], each[2])
    assert last_message(each[0]) == each[0]
    assert is_event_stream(each[0])
    assert not any(map(is_event_stream, (b"", b"data: {}\n\n", b"\0", bytes(16))))


def test_half_a_payload_is_in_a_whole_message() -> None:
    """So a client fails at the JSON, and goes on with the next message."""
    (found,) = read(with_half_payload(message("event", "chunk", b'{"a":1}')))
    assert found.payload == b'{"a'


def part(kind: FaultKind, data: bytes, index: int) -> bytes:
    """What a fault after the first token makes of a part of a stream of three tokens."""
    reply = Reply(1, Success(None, 0, NO_LIMITS), index, 5, 0)  # type: ignore[arg-type]
    return apply_fault(Fault(kind=kind, after_chunks=1), Frame(data=data), reply, b"").data


@pytest.mark.parametrize(
    ("kind", "index", "names"),
    [
        ("malformed-chunk", 2, ["a", "b"]),
        ("duplicate-event", 2, ["a", "a", "b"]),
        ("missing-end", 4, ["a"]),
    ],
)
def test_faults_spoil_whole_messages(kind: FaultKind, index: int, names: list[str]) -> None:
    """What is left are messages with right checksums, also where a byte of one is a line break."""
    data = message("event", "a", b'{"text":"\n\n"}') + message("event", "b", b"{}")
    assert [found.headers[":event-type"] for found in read(part(kind, data, index))] == (
        names if kind != "malformed-chunk" else ["a"]
    )
