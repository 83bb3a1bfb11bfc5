"""The checks: each judges one property on the event log alone.

`DEFAULT` never fails a correct client; `STRICT` is every check but `exercised`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final

from ..events import EventLog
from ..shown import shortened
from . import (
    exactly_once,
    exercised,
    in_flight_limit,
    liveness,
    loop_responsive,
    no_herd,
    no_storm,
    order,
    permits_returned,
    retry_after,
    right_answer,
    shared_pause,
    starvation,
)
from .verdict import Verdict

__all__ = ["CHECKS", "DEFAULT", "STRICT", "UnknownCheck", "Verdict", "judge", "named"]

CHECKS: Final[dict[str, Callable[[EventLog], Verdict]]] = {
    check.NAME: check.judge
    for check in (
        liveness,
        exactly_once,
        right_answer,
        retry_after,
        shared_pause,
        no_storm,
        no_herd,
        in_flight_limit,
        permits_returned,
        loop_responsive,
        starvation,
        order,
        exercised,
    )
}
DEFAULT: Final = ("liveness", "exactly_once", "right_answer")
STRICT: Final = tuple(name for name in CHECKS if name != exercised.NAME)


class UnknownCheck(ValueError):
    """A name that is no check; the text has the nearest ones."""


def named(checks: str | Iterable[str]) -> tuple[str, ...]:
    """The check names meant by `"default"`, `"strict"`, one name (or several with commas), or names.

    Raises:
        UnknownCheck: there is no check of that name.
    """
    if isinstance(checks, str):
        checks = [part.strip() for part in checks.split(",") if part.strip()]
    found: dict[str, None] = {}
    for name in checks:
        found.update(dict.fromkeys(_set_or_name(name)))
    return tuple(name for name in CHECKS if name in found)


def _set_or_name(name: str) -> tuple[str, ...]:
    sets = {"default": DEFAULT, "strict": STRICT}
    if name in sets:
        return sets[name]
    if name in CHECKS:
        return (name,)
    near = difflib.get_close_matches(name, [*CHECKS, *sets], n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    known = ", ".join((*CHECKS, *sets))
    raise UnknownCheck(f"there is no check {shortened(repr(name))}{meant} There are: {known}")


def judge(log: EventLog, checks: str | Iterable[str] = "default") -> dict[str, Verdict]:
    """Judge the log by these checks, in the catalogue's order."""
    return {name: CHECKS[name](log) for name in named(checks)}
