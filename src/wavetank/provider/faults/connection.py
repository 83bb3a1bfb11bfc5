"""Faults of the connection: it is refused, it is silent, or it breaks before a byte of the answer."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ...scenario import FaultKind
from ..http import Frame
from .effect import BROKEN, FaultEffect, Position


def _reset(_frame: Frame, _position: Position) -> Frame:
    """The connection breaks before a byte of the answer; the client cannot know if the request was served."""
    return BROKEN


def _closed(_frame: Frame, _position: Position) -> Frame:
    """The connection ends properly, without a byte of the answer."""
    return Frame(end=True, abort=True)


def _reset_after_headers(frame: Frame, position: Position) -> Frame:
    """The client gets status 200 and all headers; the connection breaks before a byte of the body."""
    if frame.head is None:
        return BROKEN
    head = replace(frame.head, length=len(frame.data)) if position.whole else frame.head
    return Frame(head=head, abort=True)


CONNECTION_FAULTS: Final[dict[FaultKind, FaultEffect]] = {
    # The client cannot connect: nothing is sent, and no request arrives. The port of a loopback server
    # is open: there the connection ends as soon as it is made. A client that keeps its connections open
    # meets only a fault that lasts: in that time a request over such a connection is reset.
    "connection-refused": FaultEffect(damage="lost", change=_reset),
    # A connection that is made already goes on: these hit the steps before it, and no request.
    "dns-failure": FaultEffect(damage="lost"),
    "connect-timeout": FaultEffect(damage="lost"),
    "bad-certificate": FaultEffect(damage="lost"),
    # The client gets no byte, ever: only its own timeout ends the request.
    "no-answer": FaultEffect(damage="lost"),
    "reset": FaultEffect(damage="lost", change=_reset),
    "closed": FaultEffect(damage="lost", change=_closed),
    "reset-after-headers": FaultEffect(damage="lost", change=_reset_after_headers),
}
"""The effects by kind."""
