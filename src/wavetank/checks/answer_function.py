"""Did the test's own function answer each request that it was asked for?"""

from __future__ import annotations

from typing import Final

from ..clock import format_duration
from ..events import Event, EventLog
from .verdict import Verdict

NAME: Final = "answer_function"
_LISTED: Final = 10


def judge(log: EventLog) -> Verdict:
    """Fails when `fake_llm.answer` raised an error of its own, or returned what is no answer."""
    failed = log.of("answer-failed")
    if not failed:
        return Verdict(NAME, None, "no function of the test's own failed")
    more = f", and {len(failed) - 1} more time(s)" if len(failed) > 1 else ""
    evidence = tuple(
        f"at {format_duration(event.at)}, request {event.request} of item {event.item!r}: {_what(event)}"
        for event in failed[:_LISTED]
    )
    return Verdict(NAME, False, f"fake_llm.answer: {_what(failed[0])}{more}", evidence)


def _what(event: Event) -> str:
    return f"{event.error}" + ("" if event.file is None else f" ({event.file}:{event.line})")
