"""Is the work done in the time that was declared?"""

from __future__ import annotations

from typing import Final

from ..clock import format_duration
from ..events import EventLog
from .disturbances import disturbed, explored_stalls
from .history import dated
from .verdict import Verdict

NAME: Final = "within"


def judge(log: EventLog) -> Verdict:
    """Fails when the last outcome comes later after the first submission than `within`, or not at all.

    Runs in which the explorer stalled or interrupted the program are not judged.
    """
    allowed = log.header.expects.get(NAME)
    if allowed is None:
        return Verdict(NAME, None, 'no time was declared: tank.expect(within="10m")')
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    if explored_stalls(log):
        return Verdict(NAME, None, "the explorer let time pass inside the program")
    submitted = log.of("submitted")
    if not submitted:
        return Verdict(NAME, None, "no item was submitted")
    results = log.of("completed", "failed", "cancelled")
    done = {event.item for event in results}
    still_open = dict.fromkeys(event.item for event in submitted if event.item not in done)
    limit = format_duration(int(allowed))
    if still_open:
        names = ", ".join(repr(item) for item in list(still_open)[:10])
        return Verdict(NAME, False, f"{len(still_open)} item(s) came to no outcome within {limit}", (names,))
    took = results[-1].at - submitted[0].at
    if took > allowed:
        summary = f"the work took {format_duration(took)} (declared: at most {limit})"
        evidence = (dated(submitted[0], named=True), dated(results[-1], named=True))
        return Verdict(NAME, False, summary, evidence)
    return Verdict(NAME, True, f"the work took {format_duration(took)} (declared: at most {limit})")
