"""What a scenario means where it is silent, and when its waves run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeVar

from ..clock import DAY, HOUR, MINUTE, SECOND
from ..fault_kinds import DELAYS
from .model import (
    Batch,
    Fault,
    Limits,
    Match,
    RefusalError,
    RetryAfter,
    RetryAfterForm,
    Scenario,
    ScopeKind,
    Wave,
)

_Part = TypeVar("_Part", Wave, Fault)

BARRIER_RETRY_AFTER: Final = SECOND
"""A barrier has no end that could be stated; this is the shortest whole second."""

DELAY: Final = MINUTE
"""How long a fault delays an answer if the scenario does not say: many clients wait less, some more."""

LONGEST_BATCH: Final = 48 * HOUR
"""The longest time after which a batch expires by itself: Gemini's; others give it 24 hours."""

_ERRORS: Final[dict[int, RefusalError]] = {
    402: "billing",
    408: "timeout",
    409: "conflict",
    413: "too-large",
    429: "rate-limit",
    503: "overloaded",
    529: "overloaded",
}
_STATUSES: Final[dict[RefusalError, int]] = {
    "overloaded": 503,
    "server": 500,
    "timeout": 408,
    "conflict": 409,
}
REFUSAL_STATUSES: Final = range(400, 600)
"""What a refusal may have as its status."""

VARIED: Final[tuple[RefusalError, ...]] = (
    "billing",
    "quota",
    "overloaded",
    "timeout",
    "conflict",
    "too-large",
)
"""Errors that have another status with some providers."""

_NARROWEST_FIRST: Final[tuple[ScopeKind, ...]] = ("item", "key", "model", "host")
_WHOLE_SECONDS: Final[tuple[RetryAfterForm, ...]] = ("seconds", "http-date")
# No waiting helps with the first two, and a throttle states no time.
_TIMELESS: Final[tuple[RefusalError, ...]] = ("too-large", "billing", "throttle")

_KEPT: Final = 256
"""Results that are remembered: a search asks about the same scenario in every run. More than a test has."""

# So many windows that follow each other without a gap count as endless: the check must end.
_LONGEST_CHAIN: Final = 10_000


def wave_scope(wave: Wave) -> ScopeKind:
    """What a wave's refusals are about: its `scope`, or the narrowest field that it matches."""
    if wave.scope is not None:
        return wave.scope
    if wave.share < 1:
        return "item"
    return next((kind for kind in _NARROWEST_FIRST if getattr(wave.match, kind) != "*"), "account")


def limits_scope(limits: Limits) -> ScopeKind:
    """What has a budget of its own: the `scope` of a table of limits, or each host that it matches."""
    return limits.scope or ("account" if limits.match.host == "*" else "host")


def wave_retry_after(wave: Wave) -> RetryAfter:
    """How a wave's refusals state when to come back: as written, else by the status and the error."""
    if wave.retry_after is not None:
        return wave.retry_after
    tells = wave_status(wave) == 429 and refusal_error(wave) not in _TIMELESS
    return RetryAfter(form="seconds" if tells else "none")


def refusal_error(wave: Wave) -> RefusalError:
    """What a wave's refusals say is wrong: as written, else by the status."""
    if wave.error is not None:
        return wave.error
    status = wave_status(wave)
    return _ERRORS.get(status, "server" if status >= 500 else "rate-limit")


def wave_status(wave: Wave) -> int:
    """The status of a wave's refusals with most providers: as written, else by the error."""
    if wave.status is not None:
        return wave.status
    return 429 if wave.error is None else usual_status(wave.error)


def usual_status(error: RefusalError) -> int:
    """The status that an error has with most providers."""
    return _STATUSES.get(error, 429)


def fault_delay(fault: Fault) -> int:
    """How long a fault that only delays an answer does so: as written, else a minute."""
    return DELAY if fault.lasts is None else int(fault.lasts)


def has_window(part: Wave | Fault) -> bool:
    """Whether it runs by time: a barrier does not, nor does a fault of a number of answers."""
    return part.lasts is not None and not (isinstance(part, Fault) and part.kind in DELAYS)


def window_at(part: Wave | Fault, instant: int) -> tuple[int, int, int] | None:
    """The occurrence that holds an instant: its number from 0, its start and its end.

    The start belongs to the window and the end does not. `None` between occurrences, and
    where there is no window (`has_window`).
    """
    if part.lasts is None or instant < part.at or not has_window(part):
        return None
    number = (instant - part.at) // part.every if part.every is not None else 0
    if part.times is not None and number >= part.times:
        return None
    start = part.at + number * (part.every or 0)
    end = start + part.lasts
    return (number, start, end) if instant < end else None


def waves_and_faults(scenario: Scenario) -> tuple[Wave | Fault, ...]:
    """All that begins and ends in a scenario, waves first."""
    return (*scenario.wave, *scenario.fault)


def last_instant(scenario: Scenario) -> int:
    """The end of the last finite wave or fault, or the start of one that has no end of its own.

    What comes again for ever counts once.
    """
    return max([0, *(_last_end(part) for part in waves_and_faults(scenario))])


def longest_retry_after(scenario: Scenario) -> int:
    """The longest Retry-After, in nanoseconds, that waves, penalties, days and ramps can state."""
    limits = (scenario.limits, *scenario.limit)
    return max(
        [
            0,
            *_stated_by_waves(scenario),
            *(wait for each in limits for wait in _stated_by_limits(each)),
        ]
    )


@lru_cache(maxsize=_KEPT)
def quiet_instant(scenario: Scenario) -> int:
    """The instant from which on no refusal keeps a client waiting: all is over, and so is its Retry-After.

    A client that takes a date by its own clock waits longer by what the provider's clock is ahead.
    """
    return last_instant(scenario) + longest_retry_after(scenario) + max(0, scenario.clock.skew)


def longest_batch(scenario: Scenario) -> int:
    """How long a batch may take, in nanoseconds, where the scenario says anything of batches; else 0.

    The vendors' own batches last for a few minutes by default, which fit into the budget of any run.
    """
    rules = scenario.batch
    if rules == Batch():
        return 0
    expires = LONGEST_BATCH if rules.expires is None else int(rules.expires)
    late = any(fault.kind == "expires" for fault in rules.fault)
    work = expires if late else min(rules.validating.high + rules.processing.high, expires)
    return work + rules.finalizing.high + rules.cancelling.high


@lru_cache(maxsize=_KEPT)
def lets_through(scenario: Scenario) -> bool:
    """Whether any request can ever be served: false when waves and faults without end leave no gap."""
    walls = [part for part in waves_and_faults(scenario) if _meets_all_for_ever(part)]
    instant = start = max([0, *(int(wall.at) for wall in walls)])
    hyperperiod = math.lcm(*(int(wall.every or 1) for wall in walls))
    for _ in range(_LONGEST_CHAIN):
        ends = [window[2] for wall in walls if (window := window_at(wall, instant))]
        if not ends:
            return True
        instant = max(ends)
        if instant >= start + hyperperiod:
            break
    return False


@lru_cache(maxsize=_KEPT)
def who_may_meet_all(scenario: Scenario) -> tuple[bool, ...]:
    """Of each wave, then of each fault, whether `may_meet_all`."""
    return tuple(may_meet_all(part) for part in waves_and_faults(scenario))


def may_meet_all(part: Wave | Fault) -> bool:
    """Whether a part with a `share` stays the same kind of trouble if it meets every request in its time.

    It does if it is short, with as long a pause behind it, or meets a number of requests. A background of
    errors in one request of ten that lasts would become an outage, which many correct programs give up in.
    """
    if not has_window(part):
        return isinstance(part, Wave) or part.times is not None
    lasts = part.lasts or 0
    return lasts <= MINUTE and (part.every is None or part.times == 1 or part.every >= 2 * lasts)


def _meets_all_for_ever(part: Wave | Fault) -> bool:
    endless = part.every is not None and part.times is None
    staggered = isinstance(part, Wave) and part.stagger is not None
    return endless and part.share >= 1 and not staggered and part.match == Match()


def _last_end(part: Wave | Fault) -> int:
    if part.lasts is None or not has_window(part):
        return int(part.at)
    repeats = (part.times or 1) - 1
    return part.at + repeats * (part.every or 0) + part.lasts


def _stated_by_waves(scenario: Scenario) -> Iterator[int]:
    for wave in scenario.wave:
        stated = wave_retry_after(wave)
        if stated.form == "none":
            continue
        length = stated.value if stated.value is not None else wave.lasts or BARRIER_RETRY_AFTER
        rounded = stated.form == "http-date" or (stated.value is None and stated.form in _WHOLE_SECONDS)
        yield _in_whole_seconds(length) if rounded else int(length)


def _stated_by_limits(limits: Limits) -> Iterator[int]:
    """What a table of limits can state, but for its minutes: those are shorter than any budget of time."""
    if limits.retry_after is not None and limits.retry_after.value is not None:
        yield _in_whole_seconds(limits.retry_after.value)
        return
    yield _in_whole_seconds(limits.penalty or 0)
    yield _in_whole_seconds(limits.per or 0)
    if limits.requests_per_day is not None or limits.tokens_per_day is not None:
        yield DAY
    if limits.ramp is not None:
        yield _in_whole_seconds(limits.ramp.window)


def _in_whole_seconds(ns: int) -> int:
    return -(-ns // SECOND) * SECOND
