"""What all faults have in common: where they strike, what they change, how long they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final

from msgspec.structs import replace

from ...scenario import Fault
from ..http import Frame

Damage = Literal["none", "lost", "unreadable", "error"]
"""What becomes of an answer, whatever the wire: it is only late; the connection breaks before it is
whole; it cannot be read; the provider says in its midst that something is wrong."""

GONE: Final = Frame(abort=True)
"""A broken connection."""


@final
@dataclass(frozen=True, slots=True)
class Spot:
    """Where in its answer a part stands.

    `index` counts the parts of a stream from its opening, 0, and `count` is how many there are;
    an answer in one part is not streamed. `hit` is the part after which, in a stream, the fault
    strikes. `error` is the dialect's own error, as an event of a stream or as a body.
    """

    index: int
    count: int
    hit: int
    error: bytes = b""

    @property
    def whole(self) -> bool:
        """Whether the answer is one part."""
        return self.count == 1

    @property
    def last(self) -> bool:
        """Whether this is the last part."""
        return self.index == self.count - 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One kind of fault.

    `change` makes of a frame what is sent in its place. An exchange still ends with its last part,
    except where the connection breaks. `delay` is how many nanoseconds later a part is sent.
    `keeps_text`: the text of an answer comes unaltered all the same.
    """

    damage: Damage
    change: Callable[[Frame, Spot], Frame] | None = None
    delay: Callable[[Fault, Spot], int] | None = None
    keeps_text: bool = False


def halved(frame: Frame) -> Frame:
    """A frame with the first half of its bytes."""
    return replace(frame, data=frame.data[: len(frame.data) // 2])


def first_event(data: bytes) -> tuple[bytes, bytes]:
    """The first event of some and the empty line that ends it; a line, where events are lines."""
    for gap in (b"\r\n\r\n", b"\n\n", b"\n"):
        event, found, _ = data.partition(gap)
        if found:
            return event, gap
    return data, b""


def torn(data: bytes) -> tuple[bytes, bytes]:
    """The first event of some with half of its JSON, and what ends it."""
    event, gap = first_event(data)
    start = max(0, event.find(b"{"))
    return event[: start + (len(event) - start) // 2], gap
