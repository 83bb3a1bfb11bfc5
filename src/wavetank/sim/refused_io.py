"""What an event loop in virtual time refuses: real sockets, pipes, subprocesses and signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, final

from .errors import RealInputOutput

REAL_INPUT_OUTPUT: Final = (
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "create_datagram_endpoint",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "subprocess_exec",
    "subprocess_shell",
    "sendfile",
    "sock_accept",
    "sock_recvfrom",
    "sock_sendfile",
    "sock_sendto",
)
"""The methods of an asyncio loop that always want real input or output."""


@final
class WayOut:
    """What to do about a program that cannot have virtual time; who runs it may set another text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


LEAVE_OUT: Final = WayOut(
    "leave the test out with @pytest.mark.llm_off or the ini option llm_autouse, or give it real time with "
    '@pytest.mark.llm_clock("real")'
)
"""How a test that cannot have virtual time gets what it needs."""

_SHARED: Final = (
    "() wants real input or output, and this event loop has none, not even in real time: tests in virtual "
    "time share it. Give the test or fixture an event loop of its own, as pytest-asyncio does with "
    'loop_scope="function", or leave out all tests that share the loop, with @pytest.mark.llm_off or the ini '
    "option llm_autouse"
)

SIGNALS: Final = ("add_signal_handler", "remove_signal_handler")
"""The methods of an asyncio loop for signals, which are `NotImplementedError` on some systems."""


def refusal_of(called: str) -> str:
    """What to say of a call that wants real input or output, and what to do about it."""
    fix = (
        "let the test put a function or a thread in the place of the process"
        if "process" in called.lower()
        else "let the client meet the fake through an HTTP library that wavetank patches"
    )
    return (
        f"{called}() wants real input or output, and virtual time cannot wait for that: {fix}, or {LEAVE_OUT}"
    )


def refusal(name: str) -> Callable[..., NoReturn]:
    """In the place of a method of the loop, or of a call with a dotted name: it raises `RealInputOutput`."""
    called = name if "." in name else f"loop.{name}"

    def refused(*args: Any, **options: object) -> NoReturn:
        if name in SIGNALS:
            raise NotImplementedError(
                f"{called}(): a loop in virtual time takes no signals; catch this error, as programs do "
                "that run on Windows too, or leave the handler out of the test"
            )
        scheduler = getattr(args[0], "scheduler", None) if args else None
        in_real_time = scheduler is not None and scheduler.paced
        raise RealInputOutput(f"{called}{_SHARED}" if in_real_time else refusal_of(called))

    refused.__name__ = name.rpartition(".")[2]
    return refused


def _no_selector(_: object) -> NoReturn:
    raise AttributeError(
        "an event loop in virtual time has no _selector, for it waits for nothing real; leave out what looks "
        f"at it, or {LEAVE_OUT}"
    )


NO_SELECTOR: Final = property(_no_selector)
"""In the place of the attribute that asyncio's own loops have, and some libraries look at."""
