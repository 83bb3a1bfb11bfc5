"""The inside of a worker process: calls in, outcomes out, and nothing that escapes.

A call and its outcome are pickles with their length before them, on the pipes that the
process was started with. What the called function prints goes to the standard error, so
that it cannot come between.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import traceback
from typing import Any, BinaryIO, Final

from .classify import classify
from .main_guard import refusal

LENGTH: Final = struct.Struct(">Q")

BOOT: Final = f"""\
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
calls, outcomes = os.dup(0), os.dup(1)
null = os.open(os.devnull, os.O_RDWR)
os.dup2(null, 0)
os.dup2(2, 1)
from {__name__} import serve
serve(calls, outcomes)
"""
"""What the interpreter of a worker runs; the pipes are out of reach before anything is imported.

It finds this module under the name that it has here: the package may have been copied."""

UNSENDABLE: Final = "its value cannot be pickled; return plain data"

Outcome = tuple[str, Any]
"""`("value", pickle)` or `("failure", facts)`, the facts being text and numbers alone."""


def serve(calls: int, outcomes: int) -> None:
    """Answer calls until the pipe ends, which it does with the process at its other end."""
    with os.fdopen(calls, "rb") as source, os.fdopen(outcomes, "wb") as sink:
        if greeting := _read(source):
            _send(sink, _greeted(greeting))
        while call := _read(source):
            _send(sink, attempt(call))


def _greeted(greeting: bytes) -> Outcome:
    """Become like the parent; its main module may have done more than it should when it was imported."""
    try:
        _be_like_the_parent(pickle.loads(greeting))
    except BaseException as error:
        return "failure", facts_of(refusal() or error)
    refused = refusal()
    return ("value", pickle.dumps(None)) if refused is None else ("failure", facts_of(refused))


def attempt(call: bytes) -> Outcome:
    """Make one call; whatever becomes of it comes back as data.

    `SystemExit` and exceptions or values that cannot be pickled are failures like others.
    """
    try:
        function, arguments = pickle.loads(call)
        value = function(*arguments)
    except BaseException as error:
        return "failure", facts_of(error)
    try:
        return "value", pickle.dumps(value)
    except BaseException as error:
        return "failure", facts_of(error) | {"kind": "terminal", "reason": UNSENDABLE, "closes": False}


def facts_of(error: BaseException) -> dict[str, Any]:
    """What is worth knowing of an exception, and can always be pickled."""
    try:
        failure = classify(error)
        return {
            "kind": failure.kind,
            "reason": str(failure.reason),
            "retry_after": failure.retry_after_seconds,
            "closes": failure.closes,
            "source": failure.source,
            "resets": failure.resets,
            "type": type(error).__name__,
            "text": str(error),
            "traceback": "".join(traceback.format_exception(error)),
        }
    except BaseException as trouble:
        # Its own class may raise whatever is asked of it.
        return {
            "kind": "terminal",
            "reason": f"an exception that cannot be read, {type(trouble).__name__}",
            "retry_after": None,
            "closes": False,
            "source": None,
            "resets": None,
            "type": type(error).__name__,
            "text": "",
            "traceback": "",
        }


def _send(sink: BinaryIO, outcome: Outcome) -> None:
    data = pickle.dumps(outcome)
    sink.write(LENGTH.pack(len(data)) + data)
    sink.flush()


def _read(source: BinaryIO) -> bytes:
    """The next message, or nothing at the end of the pipe."""
    head = source.read(LENGTH.size)
    return source.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def _be_like_the_parent(data: dict[str, Any]) -> None:
    """Take over the parent's import path and main module, so that its functions are found."""
    from multiprocessing import process, spawn

    current: Any = process.current_process()
    current._inheriting = True
    try:
        spawn.prepare(data)
    finally:
        del current._inheriting
    # `prepare` may have imported what sets it again.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - it stays open as long as the process lives.
