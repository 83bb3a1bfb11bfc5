"""Do the program's own invariants hold after every step?"""

from __future__ import annotations

from typing import Final

from ..clock import format_duration
from ..events import Event, EventLog
from .history import dated
from .verdict import Verdict

NAME: Final = "always"
_BEFORE: Final = 5


def judge(log: EventLog) -> Verdict:
    """Fails when something that `tank.always` was given did not hold after some step."""
    count = log.header.expects.get(NAME)
    if count is None:
        return Verdict(NAME, None, "nothing was declared: tank.always(lambda: …)")
    violated = log.of("violated")
    if not violated:
        return Verdict(NAME, True, f"{count} invariant(s) held after every step")
    first = violated[0]
    place = list(log).index(first)
    before = log[max(place - _BEFORE, 0) : place]
    evidence = (
        *(_sentence(event) for event in violated),
        *(("what happened before:",) if before else ()),
        *(f"  {dated(event, named=True)}" for event in before),
    )
    return Verdict(NAME, False, _sentence(first), evidence)


def _sentence(event: Event) -> str:
    whose = f"after a step of {event.task!r}" if event.task is not None else "when it was declared"
    where = f" ({event.file}:{event.line})" if event.file is not None else ""
    return f"{event.reason!r} did not hold at {format_duration(event.at)}, {whose}{where}: {event.error}"
