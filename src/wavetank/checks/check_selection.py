"""Which checks there are, which of them are in a set, and what the names given for `checks` mean.

`DEFAULT` never fails a correct client that keeps what it declared; `STRICT` is every check but
`exercised`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from ..events import EventLog
from ..extensions import ExtensionError, Extensions
from ..shown import shortened
from ..text import did_you_mean
from . import (
    always,
    answered,
    exactly_once,
    exercised,
    hosts,
    in_flight_limit,
    liveness,
    loop_responsive,
    no_herd,
    no_storm,
    order,
    outcomes,
    permits_returned,
    request_rate,
    retry_after,
    right_answer,
    shared_pause,
    starvation,
    within,
)
from .verdict import Verdict

Check = str | Callable[[EventLog], Verdict]
"""A check of the catalogue or of an installed package by its name, or one of a program's own."""

Checks = Check | Iterable[Check]
"""What may be given for `checks`: a name, names with commas, a callable, or several of them."""

CHECKS: Final[dict[str, Callable[[EventLog], Verdict]]] = {
    check.NAME: check.judge
    for check in (
        liveness,
        exactly_once,
        right_answer,
        answered,
        hosts,
        retry_after,
        shared_pause,
        no_storm,
        no_herd,
        in_flight_limit,
        permits_returned,
        loop_responsive,
        starvation,
        order,
        outcomes,
        within,
        request_rate,
        always,
        exercised,
    )
}
DECLARED: Final = (outcomes.NAME, within.NAME, request_rate.NAME, always.NAME)
"""Checks that judge nothing but what was declared."""

SILENT: Final = (hosts.NAME, *DECLARED)
"""Checks that do not judge most runs, where there is nothing to say of that."""

BY_EXPECTATION: Final[dict[str, Callable[[EventLog], Verdict]]] = {
    in_flight_limit.EXPECTATION: in_flight_limit.judge,
    no_herd.EXPECTATION: no_herd.judge,
    order.NAME: order.judge,
    starvation.NAME: starvation.judge,
    no_storm.EXPECTATION: no_storm.judge_each_item,
}
"""What else the default checks judge where it was declared: an expectation that nothing judges would
look as if it had been met."""

DEFAULT: Final = ("liveness", "exactly_once", "right_answer", "answered", hosts.NAME, *DECLARED)
STRICT: Final = tuple(name for name in CHECKS if name != exercised.NAME)
_SETS: Final = {"default": DEFAULT, "strict": STRICT}

ADDED: Final = Extensions("wavetank.checks", "check", lambda: (*CHECKS, *_SETS))
"""The checks that installed packages add. None is in a set: a test does not depend on what is installed."""


class UnknownCheck(ValueError):
    """What is given names no check, or names checks in a way that has no meaning; the text says the fix."""


def named(checks: Checks) -> tuple[Check, ...]:
    """The checks meant: names in the catalogue's order, each once, then those of packages by their names,
    then callables as they were given.

    `"default"` and `"strict"` are sets. `"+name"` adds a check and `"-name"` takes one out; they
    change the set that stands before them, else the default one.

    Raises:
        UnknownCheck: there is no check of that name, it is of a package and cannot be used, or names with a
            sign stand beside names without one.
    """
    if isinstance(checks, str) or callable(checks) or not isinstance(checks, Iterable):
        checks = [checks]
    given = list(checks)
    words = [word.strip() for each in given if isinstance(each, str) for word in each.split(",")]
    own = dict.fromkeys(_callable(each) for each in given if not isinstance(each, str))
    if words and not any(words):
        raise UnknownCheck(f"no check is named. There are: {', '.join((*CHECKS, *_SETS))}")
    words = [word for word in words if word]
    changes = [word for word in words if word[0] in "+-"]
    _unmixed(words, changes)
    names = set(DEFAULT if len(changes) == len(words) and changes else ())
    for word in words:
        meant = _set_or_name(word[1:].strip() if word in changes else word)
        names = names - {*meant} if word[0] == "-" else names | {*meant}
    return (*(name for name in CHECKS if name in names), *sorted(names.difference(CHECKS)), *own)


def added_check(name: str) -> Callable[[EventLog], Verdict]:
    """A check of an installed package.

    Raises:
        ExtensionError: it cannot be used.
    """
    wanted = "a function that takes the event log and returns a wavetank.Verdict"
    return cast(Callable[[EventLog], Verdict], ADDED.load(name, callable, wanted))


def _unmixed(words: Sequence[str], changes: Sequence[str]) -> None:
    """See that names with a sign stand alone, or after one set that they change."""
    plain = [word for word in words if word not in changes]
    if changes and plain and (plain != words[:1] or plain[0] not in _SETS):
        name = next((word for word in plain if word not in _SETS), plain[0])
        raise UnknownCheck(
            f"{name!r} has no sign and {changes[0]!r} has one: write '+{name}' to change the default checks, "
            f"or {changes[0][1:]!r} to name all checks yourself"
        )


def _callable(check: object) -> Callable[[EventLog], Verdict]:
    if not callable(check):
        raise UnknownCheck(
            f"{check!r} is no check: give the name of one, or a callable that takes the event log and "
            f"returns a wavetank.Verdict. There are: {', '.join(CHECKS)}, default, strict"
        )
    return check


def _set_or_name(name: str) -> Sequence[str]:
    if name in _SETS:
        return _SETS[name]
    if name in CHECKS:
        return (name,)
    try:
        added = ADDED.names()
        if name in added:
            added_check(name)
            return (name,)
    except ExtensionError as error:
        raise UnknownCheck(str(error)) from None
    known = (*CHECKS, *_SETS, *added)
    meant = did_you_mean(name, known, start="; ") or "."
    raise UnknownCheck(f"there is no check {shortened(repr(name))}{meant} There are: {', '.join(known)}")
