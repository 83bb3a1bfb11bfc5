"""What all kinds of faults have in common: an effect on the frames of an answer, and when they are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final

from msgspec.structs import replace

from ...scenario import Fault
from ..event_stream import first_message, is_event_stream, with_half_payload
from ..http import Frame

Damage = Literal["none", "lost", "unreadable", "error"]
"""What a client without HTTP gets in place of the answer: the answer itself, but late; a broken
connection; an answer it cannot read; an error of the provider in the middle of the answer."""

BROKEN: Final = Frame(abort=True)
"""The connection breaks, and no byte is sent."""


@final
@dataclass(frozen=True, slots=True)
class Position:
    """Which part of an answer a frame carries, and where the fault begins.

    `index` counts the parts of a stream from its opening, 0, and `count` is how many there are;
    an answer in one part is not streamed. The parts of a stream after part `last_good` are those
    that a fault changes. `error` is the dialect's own error, as an event of a stream or as a body.
    """

    index: int
    count: int
    last_good: int
    error: bytes = b""

    @property
    def whole(self) -> bool:
        """Whether the answer is one part."""
        return self.count == 1

    @property
    def last(self) -> bool:
        """Whether this is the last part."""
        return self.index == self.count - 1

    @property
    def first_bad(self) -> bool:
        """Whether this is the first part that the fault changes."""
        return self.index == self.last_good + 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEffect:
    """What one kind of fault does.

    `change` returns the frame that is sent in place of the right one. An exchange still ends with its
    last part, except where the connection breaks. `delay` is how many nanoseconds later a part is sent.
    `keeps_text`: the client still gets the text of the answer unaltered.
    """

    damage: Damage
    change: Callable[[Frame, Position], Frame] | None = None
    delay: Callable[[Fault, Position], int] | None = None
    keeps_text: bool = False


def first_half(frame: Frame) -> Frame:
    """A frame with the first half of its bytes."""
    return replace(frame, data=frame.data[: len(frame.data) // 2])


def first_event(data: bytes) -> tuple[bytes, bytes]:
    """The first event in `data` and the empty line after it; in newline-delimited JSON, the first line.

    The messages of AWS's encoding have nothing between them.
    """
    if is_event_stream(data):
        return first_message(data), b""
    for gap in (b"\r\n\r\n", b"\n\n", b"\n"):
        event, found, _ = data.partition(gap)
        if found:
            return event, gap
    return data, b""


def half_event(data: bytes) -> tuple[bytes, bytes]:
    """The first event in `data`, cut in the middle of its JSON, and what ends the event."""
    event, gap = first_event(data)
    if is_event_stream(event):
        return with_half_payload(event), gap
    start = max(0, event.find(b"{"))
    return event[: start + (len(event) - start) // 2], gap
