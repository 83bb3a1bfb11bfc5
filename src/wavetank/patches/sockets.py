"""Keep a run in virtual time off the real network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..sim.errors import RealInputOutput
from ..sim.refused import LEAVE_OUT
from .attributes import replaced


@contextmanager
def no_network(is_mine: Callable[[], bool]) -> Iterator[None]:
    """Refuse connections and look-ups of the run's threads; `is_mine` tells whose thread calls."""
    with ExitStack() as stack:
        for owner, name in (
            (socket.socket, "connect"),
            (socket.socket, "connect_ex"),
            (socket.socket, "accept"),
            (socket.socket, "sendto"),
            (socket, "getaddrinfo"),
            (socket, "gethostbyname"),
            (socket, "gethostbyname_ex"),
            (socket, "gethostbyaddr"),
            (socket, "getnameinfo"),
        ):
            stack.enter_context(replaced(owner, name, _guarded(getattr(owner, name), name, is_mine)))
        yield


def _guarded(original: Callable[..., Any], name: str, is_mine: Callable[[], bool]) -> Callable[..., Any]:
    def guarded(*args: Any, **options: Any) -> Any:
        if is_mine():
            where = (
                args[-1] if isinstance(args[0], socket.socket) else ":".join(str(part) for part in args[:2])
            )
            raise RealInputOutput(
                f"the program wants to reach {where} over the real network, and virtual time cannot wait "
                f"for that. Use a client whose HTTP library meets the fake, or {LEAVE_OUT}"
            )
        return original(*args, **options)

    return guarded
