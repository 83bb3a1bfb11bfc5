"""Checks of a program's own: what a callable makes of the event log."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Container
from dataclasses import replace
from typing import Any

from ..events import EventLog
from .verdict import Verdict


def judged_by(
    check: Callable[[EventLog], Any], log: EventLog, *, beside: Container[str], past_errors: bool = False
) -> Verdict:
    """The verdict of a callable, under a name that no verdict `beside` it has.

    It is the name in the verdict, or else that of the function. `past_errors`: where it raises, or returns
    no verdict, the verdict says so, and that the check has not judged.

    Raises:
        TypeError: it returned no verdict, or one whose `passed` is something else than `True`, `False`
            or `None`; names the callable and its place, as a note on an error of its own does.
    """
    __tracebackhide__ = True
    try:
        verdict = _verdict_of(check, log)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # `pytest.fail` and `sys.exit` raise no Exception
        if not past_errors:
            raise
        verdict = Verdict("", None, f"it raised {type(error).__name__}: {error}")
    name = verdict.name or _called(check)
    names = (name, *(f"{name} ({number})" for number in range(2, 100)))
    return replace(verdict, name=next(each for each in names if each not in beside))


def _verdict_of(check: Callable[[EventLog], Any], log: EventLog) -> Verdict:
    __tracebackhide__ = True
    try:
        verdict: Verdict = check(log)
    except Exception as error:
        error.add_note(f"raised by the check {_called(check)!r}{_place(check)}, which gets the event log")
        raise
    if (wrong := _what_is_wrong(verdict)) is not None:
        raise TypeError(
            f"the check {_called(check)!r}{_place(check)} returned {wrong}: return "
            'wavetank.Verdict("its name", passed, "what was found"), where passed is True, False or None'
        )
    return verdict


def _what_is_wrong(verdict: object) -> str | None:
    if not isinstance(verdict, Verdict):
        if inspect.iscoroutine(verdict):
            verdict.close()
        return _shown(verdict)
    # Something merely true or false, such as a number, would be judged as neither.
    if not (verdict.passed is None or isinstance(verdict.passed, bool)):
        return f"a verdict with passed={verdict.passed!r}"
    return None


def _called(check: Callable[..., Any]) -> str:
    return str(getattr(check, "__name__", type(check).__name__))


def _place(check: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(check), "__code__", None)
    return "" if code is None else f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


def _shown(value: object) -> str:
    return (
        "a coroutine"
        if inspect.iscoroutine(value)
        else "None"
        if value is None
        else f"a {type(value).__name__}"
    )
