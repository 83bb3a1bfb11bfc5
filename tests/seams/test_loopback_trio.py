"""One connection of the trio server, over a stream whose every step the test decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from wavetank.clock import MILLISECOND, Duration
from wavetank.scenario import DurationRange, Latency, Scenario
from wavetank.seams.http1 import MAX_AHEAD
from wavetank.seams.loopback import connections
from wavetank.seams.loopback_trio import _converse
from wavetank.tank.serving import Serving

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
ASKED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
WHOLE = ASKED + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


class Wire(ByteStream):
    """A client that sends its parts, each as soon as it has a reply to the one before."""

    def __init__(self, *parts: bytes, hangs_up: bool = False) -> None:
        self._parts = list(parts)
        self._hangs_up = hangs_up
        self._replied = anyio.Event()
        self._replied.set()
        self._closed = anyio.Event()
        self.got = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:  # noqa: ARG002
        await self._replied.wait()
        if self._parts:
            if len(self._parts) > 1 or self._hangs_up:
                self._replied = anyio.Event()
            return self._parts.pop(0)
        if self._hangs_up:
            raise anyio.EndOfStream
        await self._closed.wait()
        raise anyio.ClosedResourceError

    async def send(self, item: bytes) -> None:
        self.got += item
        self._replied.set()
        for _ in range(9):  # the client is quicker than the sender
            await checkpoint()

    async def send_eof(self) -> None:
        self._hangs_up = True
        self._closed.set()

    async def aclose(self) -> None:
        self._closed.set()

    @property
    def extra_attributes(self) -> Mapping[Any, Any]:
        return {}


async def converse(wire: Wire, scenario: Scenario | None = None) -> list[str]:
    """The kinds of the events, once the connection's tasks have all ended."""
    with Serving(scenario or Scenario(), seed=0, backend="trio") as serving:
        with anyio.fail_after(20):
            await _converse(serving.desk, connections(serving.desk, None), wire)
        return [event.kind for event in serving.journal.so_far()()]


@pytest.mark.parametrize("hangs_up", [False, True], ids=["close", "hang-up"])
def test_a_reply_is_told_to_have_arrived_before_what_the_client_does_next(hangs_up: bool) -> None:
    """A client that answers, or hangs up, while the send has not yet returned has its reply all the same."""
    last = WHOLE if hangs_up else WHOLE.replace(b"host: x", b"host: x\r\nconnection: close")
    wire = Wire(WHOLE, last, hangs_up=hangs_up)
    assert anyio.run(converse, wire, backend="trio") == ["arrived", "answered", "delivered"] * 2
    assert wire.got.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "request_bytes", [b"hello\r\n\r\n", ASKED.replace(b"\r\n", b"\r\nconnection: close\r\n")]
)
def test_a_connection_that_the_server_ends_leaves_no_task(request_bytes: bytes) -> None:
    """After a refusal, and after a reply that is the last."""
    wire = Wire(request_bytes + b"\r\n")
    anyio.run(converse, wire, backend="trio")
    assert wire.got.startswith(b"HTTP/1.1 4")


def test_requests_far_ahead_of_a_slow_answer_are_all_answered() -> None:
    """The reader that waits for room takes no wake-up from the writer."""
    soon = Duration(20 * MILLISECOND)
    slow = Scenario(latency=Latency(first_token=DurationRange(soon, soon)))
    large = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b"x" * MAX_AHEAD)
    ahead = ASKED + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(large) + large
    wire = Wire(WHOLE + ahead)
    kinds = anyio.run(converse, wire, slow, backend="trio")
    assert kinds == ["arrived", "answered", "delivered"] * 2
