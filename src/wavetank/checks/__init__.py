"""The checks: each judges one property, using only the event log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..events import EventLog
from . import answer_function, permits_returned
from .causes import causes
from .check_selection import (
    BY_EXPECTATION,
    CHECKS,
    DEFAULT,
    SILENT,
    STRICT,
    Check,
    Checks,
    UnknownCheck,
    added_check,
    named,
)
from .user_checks import judged_by
from .verdict import Verdict

__all__ = [
    "CHECKS",
    "DEFAULT",
    "SILENT",
    "STRICT",
    "Check",
    "Checks",
    "UnknownCheck",
    "Verdict",
    "judge",
    "named",
]


def judge(log: EventLog, checks: Checks = "default", *, past_errors: bool = False) -> dict[str, Verdict]:
    """Judge the log by these checks, in the order of `named`; the first that fails also has the causes.

    The default checks, and sets that contain them, also judge whatever else was declared and, in a program
    that was interrupted, the counts that were watched. A function
    `fake_llm.answer` that failed is always a failure.

    `past_errors`: a check of one's own that raises, or returns no verdict, has not judged, and the others
    are asked all the same.

    Raises:
        TypeError: a callable returned no verdict.
        UnknownCheck: there is no check of that name.
    """
    __tracebackhide__ = True
    verdicts: dict[str, Verdict] = {}
    chosen = named(checks)
    for check in chosen:
        verdict = _verdict(check, log, verdicts, past_errors=past_errors)
        verdicts[verdict.name] = verdict
    if {*DEFAULT} <= {*chosen}:
        for judged in (each for name, each in BY_EXPECTATION.items() if name in log.header.expects):
            verdict = judged(log)
            verdicts.setdefault(verdict.name, verdict)
        if log.of("interrupted") and log.end is not None and log.end.watched:
            verdicts.setdefault(permits_returned.NAME, permits_returned.judge(log))
    if (failed := answer_function.judge(log)).passed is False:
        verdicts = {failed.name: failed, **verdicts}
    for name, verdict in verdicts.items():
        if verdict.passed is False:
            verdicts[name] = replace(verdict, evidence=(*verdict.evidence, *causes(log)))
            break
    return verdicts


def _verdict(check: Check, log: EventLog, beside: Mapping[str, Verdict], *, past_errors: bool) -> Verdict:
    __tracebackhide__ = True
    if isinstance(check, str) and check in CHECKS:
        return CHECKS[check](log)
    own = added_check(check) if isinstance(check, str) else check
    verdict = judged_by(own, log, beside=beside, past_errors=past_errors)
    # A check of a package is under the name that it was asked for by, whatever its own verdict is called.
    return replace(verdict, name=check) if isinstance(check, str) else verdict
