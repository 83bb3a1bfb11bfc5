"""Strategies for the behaviour of a provider: latencies, waves, faults, and scenarios of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from hypothesis import strategies as st

from ..clock import Duration
from ..scenario import (
    DELAYS,
    OUTAGES,
    DurationRange,
    Fault,
    FaultKind,
    Latency,
    Limits,
    RetryAfter,
    Scenario,
    Wave,
    load_scenario,
)
from .defaults import given_or
from .ticks import TICK, ticks

NAME: Final = "drawn"
"""The name of scenarios that are drawn."""
# Those of providers for rate limits and overload, the most frequent first: Hypothesis shrinks to it.
_STATUSES: Final = (429, 529, 503)
_FORMS: Final = ("seconds", "ms", "body", "http-date")
# All requests, and shares that leave some of two to four workers alone.
_SHARES: Final = (1.0, 0.5, 0.25)
# The second time shows state that the first has left behind, the third that of two.
_MOST_TIMES: Final = 3
# Where nothing is refused, few programs fail: so about one scenario in so many has no wave.
_SELDOM: Final = 15
# Hypothesis shrinks to the first kind: no byte of an answer is the simplest to read in a report.
# What gives no answer is left out: it hangs every client that has no timeout.
_SIMPLEST_FIRST: Final = (
    "reset",
    *(kind for kind in get_args(FaultKind) if kind not in ("reset", "no-answer", "connect-timeout")),
)


@st.composite
def latencies(draw: st.DrawFn, *, tick: float = TICK, most: float = 0.4, spread: float = 0.0) -> Latency:
    """How long answers and refusals take: whole ticks up to `most` seconds, the shortest first.

    An answer may begin immediately; a refusal takes at least a tick. With a `spread` the latency of an
    answer is a range up to so many seconds wide: the seed picks from it, or a search chooses.
    """
    first = draw(ticks(tick, most=most))
    wide = draw(ticks(tick, most=spread)) if spread else Duration(0)
    refusal = draw(ticks(tick, least=1, most=max(most, tick)))
    return Latency(
        first_token=DurationRange(first, Duration(first + wide)), refusal=DurationRange(refusal, refusal)
    )


def waves(
    *,
    tick: float = TICK,
    latest: float = 1.0,
    longest: float = 1.0,
    statuses: Sequence[int] = _STATUSES,
    shares: Sequence[float] = _SHARES,
    most_times: int = _MOST_TIMES,
    barriers: bool = True,
    most_in_flight: int = 6,
) -> st.SearchStrategy[Wave]:
    """Stretches of refusals that begin by `latest` and last up to `longest` seconds, and barriers.

    They shrink to a 429 for all requests, from the start and for one tick. No wave is endless, so a
    client that retries for long enough always gets its answer. A stretch comes up to `most_times`
    times and meets one of the `shares` of the requests; a barrier waits for up to `most_in_flight`.
    """
    how = _refusals(tick=tick, longest=longest, statuses=tuple(statuses))
    stretches = _stretches(how, tick, latest, longest, tuple(shares), most_times)
    if not barriers:
        return stretches
    return stretches | _barriers(how, tick, longest, tuple(shares), most_in_flight, most_times)


_How = st.SearchStrategy[dict[str, Any]]


@st.composite
def _stretches(
    draw: st.DrawFn,
    how: _How,
    tick: float,
    latest: float,
    longest: float,
    shares: tuple[float, ...],
    most_times: int,
) -> Wave:
    lasts = draw(ticks(tick, least=1, most=longest))
    times = draw(st.integers(1, most_times))
    return Wave(
        at=draw(ticks(tick, most=latest)),
        lasts=lasts,
        every=Duration(lasts + draw(ticks(tick, least=1, most=longest))) if times > 1 else None,
        times=times if times > 1 else None,
        share=draw(st.sampled_from(shares)),
        **draw(how),
    )


@st.composite
def _barriers(
    draw: st.DrawFn,
    how: _How,
    tick: float,
    longest: float,
    shares: tuple[float, ...],
    most_in_flight: int,
    most_times: int,
) -> Wave:
    times = draw(st.integers(1, most_times))
    return Wave(
        when_in_flight=draw(st.integers(min(2, most_in_flight), most_in_flight)),
        patience=draw(ticks(tick, least=1, most=longest)),
        times=times if times > 1 else None,
        # As many draws as for a stretch: Hypothesis takes the shorter list of draws for the simpler one.
        share=draw(st.sampled_from(shares)),
        **draw(how),
    )


def _refusals(*, tick: float, longest: float, statuses: tuple[int, ...]) -> _How:
    """Status and Retry-After of a wave's refusals."""
    stated: st.SearchStrategy[RetryAfter] = st.builds(
        RetryAfter, form=st.sampled_from(_FORMS), value=ticks(tick, least=1, most=longest)
    )
    retry_after = st.none() | st.just(RetryAfter(form="none")) | stated
    # A wave that names no status is a 429, too, and is shorter to read.
    named = [None if status == 429 else status for status in statuses]
    return st.fixed_dictionaries({"status": st.sampled_from(named), "retry_after": retry_after})


@st.composite
def faults(
    draw: st.DrawFn,
    *,
    tick: float = TICK,
    latest: float = 1.0,
    longest: float = 1.0,
    kinds: Sequence[FaultKind] = _SIMPLEST_FIRST,
) -> Fault:
    """A fault of one to three answers; it shrinks to the first of the `kinds`, from the start.

    By default these are all kinds but `no-answer` and `connect-timeout`; see also `outages`.
    """
    kind = draw(st.sampled_from(tuple(kinds)))
    more: dict[str, Any] = {}
    if kind in DELAYS:
        more["lasts"] = draw(ticks(tick, least=1, most=longest))
    at = draw(ticks(tick, most=latest))
    after_chunks = 1 + draw(st.integers(0, 2))
    times = draw(st.integers(1, _MOST_TIMES))
    return Fault(kind=kind, at=at, after_chunks=after_chunks, times=times if times > 1 else None, **more)


@st.composite
def outages(
    draw: st.DrawFn,
    *,
    tick: float = TICK,
    latest: float = 1.0,
    longest: float = 1.0,
    kinds: Sequence[FaultKind] = OUTAGES,
    most_times: int = _MOST_TIMES,
) -> Fault:
    """A stretch in which the provider cannot be reached.

    It begins by `latest`, lasts up to `longest` seconds and comes up to `most_times` times. By default
    connections are refused, or requests get no answer, so that a client needs a timeout. It shrinks to
    the first of the `kinds`, from the start and for one tick. For worlds with outages write
    `scenarios(faults=outages())`.
    """
    lasts = draw(ticks(tick, least=1, most=longest))
    times = draw(st.integers(1, most_times))
    return Fault(
        kind=draw(st.sampled_from(tuple(kinds))),
        at=draw(ticks(tick, most=latest)),
        lasts=lasts,
        every=Duration(lasts + draw(ticks(tick, least=1, most=longest))) if times > 1 else None,
        times=times if times > 1 else None,
    )


@st.composite
def scenarios(
    draw: st.DrawFn,
    *,
    latencies: st.SearchStrategy[Latency] | None = None,
    waves: st.SearchStrategy[Wave] | None = None,
    faults: st.SearchStrategy[Fault] | None = None,
    limits: st.SearchStrategy[Limits] | None = None,
    max_waves: int = 3,
    max_faults: int = 2,
) -> Scenario:
    """A scenario that passes the rules of a scenario file; it shrinks to one without waves and faults.

    What is not given comes from the strategy of that name; without `limits` there are none.
    """
    scenario = Scenario(
        name=NAME,
        latency=draw(given_or(latencies, _latencies)),
        limits=draw(given_or(limits, _no_limits)),
        wave=tuple(draw(_mostly_some(given_or(waves, _waves), max_waves))),
        fault=tuple(draw(st.lists(given_or(faults, _faults), max_size=max_faults))),
    )
    return load_scenario(scenario)


# The arguments of `scenarios` have the names of the strategies.
_latencies, _waves, _faults = latencies, waves, faults


def _no_limits() -> st.SearchStrategy[Limits]:
    return st.just(Limits())


@st.composite
def _mostly_some(draw: st.DrawFn, each: st.SearchStrategy[Any], most: int) -> list[Any]:
    """A list that is seldom empty, and shrinks to that."""
    if not most or not draw(st.integers(0, _SELDOM)):
        return []
    return draw(st.lists(each, min_size=1, max_size=most))
