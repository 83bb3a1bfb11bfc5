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
from dataclasses import replace
from typing import Any, BinaryIO, Final

from ..errors.classify import classify
from ..main_guard import refusal
from .call_outcomes import Failed

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

Outcome = bytes | Failed
"""The pickled value, or a failure, which has text and numbers only and can always be pickled."""


def serve(calls: int, outcomes: int) -> None:
    """Answer calls until the pipe ends, which it does with the process at its other end."""
    with os.fdopen(calls, "rb") as source, os.fdopen(outcomes, "wb") as sink:
        if greeting := _read(source):
            _send(sink, _prepare(greeting))
        while call := _read(source):
            _send(sink, attempt(call))


def _prepare(greeting: bytes) -> Outcome:
    """Become like the parent; its main module may have done more than it should when it was imported."""
    try:
        _be_like_the_parent(pickle.loads(greeting))
    except BaseException as error:
        return failed(refusal() or error)
    refused = refusal()
    return pickle.dumps(None) if refused is None else failed(refused)


def attempt(call: bytes) -> Outcome:
    """Make one call; whatever becomes of it comes back as data.

    `SystemExit` and exceptions or values that cannot be pickled are failures like others.
    """
    try:
        function, arguments = pickle.loads(call)
        value = function(*arguments)
    except BaseException as error:
        return failed(error)
    try:
        return pickle.dumps(value)
    except BaseException as error:
        return replace(failed(error), kind="terminal", reason=UNSENDABLE, closes=False)


def failed(error: BaseException) -> Failed:
    """What is worth knowing of an exception, and can always be pickled."""
    try:
        trace = "".join(traceback.format_exception(error))
        return Failed.of(classify(error), type=type(error).__name__, text=str(error), traceback=trace)
    except BaseException as unreadable:
        # The class of an exception may raise whenever one of its attributes is read.
        reason = f"an exception that cannot be read, {type(unreadable).__name__}"
        return Failed("terminal", reason, type=type(error).__name__)


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
