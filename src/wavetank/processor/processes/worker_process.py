"""The code of a worker process: it reads calls, makes them, and writes their outcomes.

A call and its outcome are pickles with their length before them, on the pipes that the
process was started with. What the called function prints goes to the standard error, so
that it cannot get between them.
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
"""The program of a worker; it moves the pipes away before anything is imported.

The module is imported by its present name, since the package may have been copied."""

UNSENDABLE: Final = "its value cannot be pickled; return plain data"

Outcome = bytes | Failed
"""The pickled value, or a failure, which has text and numbers only and can always be pickled."""


def serve(calls: int, outcomes: int) -> None:
    """Answer calls until the pipe ends, as it does when the parent ends."""
    with os.fdopen(calls, "rb") as source, os.fdopen(outcomes, "wb") as sink:
        if preparation := _read(source):
            _send(sink, _prepare(preparation))
        while call := _read(source):
            _send(sink, attempt(call))


def _prepare(preparation: bytes) -> Outcome:
    """Prepare this process; the import of the main module may have started the script's work again."""
    try:
        _load_parent_modules(pickle.loads(preparation))
    except BaseException as error:
        return failed(refusal() or error)
    refused = refusal()
    return pickle.dumps(None) if refused is None else failed(refused)


def attempt(call: bytes) -> Outcome:
    """Make one call and return its outcome as data.

    `SystemExit` and exceptions or values that cannot be pickled are failures, too.
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
    """The facts about an exception, in a form that can always be pickled."""
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


def _load_parent_modules(data: dict[str, Any]) -> None:
    """Load the parent's import path and main module, so that its functions are found."""
    from multiprocessing import process, spawn

    current: Any = process.current_process()
    current._inheriting = True
    try:
        spawn.prepare(data)
    finally:
        del current._inheriting
    # The import of the main module may have changed the handler.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - it stays open as long as the process lives.
