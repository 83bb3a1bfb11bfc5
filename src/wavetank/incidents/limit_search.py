"""Which limit would have refused the same requests: kinds of windows are tried, and sizes bounded.

A request that was let in needs a budget of at least what was used with it; one that was refused, a
smaller one. So each kind of window has a smallest and a largest size that fit all requests, and none
fits where the first is above the second. A limit has to fit without an exception.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, NamedTuple, final

from ..clock import EPOCH_NS, HOUR, MINUTE, SECOND, Duration
from ..provider.meters import Bucket, Calendar, Meter, Sliding
from ..scenario import Limits, ScopeKind, WindowKind
from .exchange import Exchange, usual_tokens
from .rounding import round_count, round_time

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens"]

_PERIODS: Final = (MINUTE, SECOND, HOUR)
_BURSTS: Final = (SECOND, MINUTE, 10 * SECOND, 5 * SECOND, 30 * SECOND, 2 * SECOND)
"""What buckets are tried with: the default of a scenario, a whole minute, and round numbers between."""

_LARGEST: Final = 10**9
_FEWEST_TURNS: Final = 2
"""Refusals have to begin so often after requests that were let in: one time proves no number."""

_LOOSEST: Final = 2
"""The largest size that fits is at most so many times the smallest; else too little is known of it."""

_TRIED: Final = (300, 3_000, 20_000)
"""How many requests sizes are bounded by, in turn; what is found then has to fit all requests."""

_KNOWN_COSTS: Final = 0.9
"""The part of the requests let in whose tokens have to be known to look for a limit of tokens."""

_FITTING_WAITS: Final = 0.5
"""The part of the Retry-Afters stated that a limit has to explain, to within a second."""


_GUESSED: Final = "a refused request is taken to have wanted as many tokens as the median request"


class Observed(NamedTuple):
    """One request: when, what it cost, whether it was let in, and the wait that its refusal stated."""

    at: int
    cost: int
    admitted: bool
    wait: int | None


@final
@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """A limit, and why: between which sizes it lies, and what it explains.

    `refusals` are the places of the refused requests among all. `ahead` is how far the provider's clock has
    to be ahead for its windows to begin when they did.
    """

    limits: Limits
    unit: Unit
    size: int
    low: int
    high: int
    refusals: frozenset[int]
    ahead: int = 0
    fitting_waits: int = 0
    waits: int = 0
    assumed: str = ""


@final
@dataclass(frozen=True, slots=True)
class _Window:
    kind: WindowKind
    period: int = MINUTE
    burst: int = SECOND
    count_refused: bool = False
    ahead: int = 0

    def meter(self, size: int) -> Meter:
        match self.kind:
            case "calendar":
                return Calendar(size, self.period, EPOCH_NS + self.ahead, 0)
            case "sliding":
                return Sliding(size, self.period)
        return Bucket(size, self.burst, 0, period=self.period)

    def limits(self, unit: Unit, size: int, scope: ScopeKind) -> Limits:
        """The table of a scenario that has this window."""
        by_minute = self.period == MINUTE
        values: dict[str, object] = {f"{unit}_per_minute" if by_minute else unit: size}
        if not by_minute:
            values["per"] = Duration(self.period)
        if self.kind == "bucket":
            values["burst"] = Duration(self.burst)
        return Limits(
            **values,  # type: ignore[arg-type]
            window=self.kind,
            count_refused=self.count_refused,
            scope=None if scope == "account" else scope,
        )


def learned_limits(exchanges: Sequence[Exchange], start: int | None) -> list[LearnedLimit]:
    """The limits that explain refusals, at most one for each reason that the log gives.

    Args:
        exchanges: all requests in the order of time.
        start: the Unix time of the instant 0, if it is known.
    """
    found = []
    for refusals in _by_reason(exchanges):
        limit = _search(exchanges, refusals, start)
        if limit is not None:
            found.append(limit)
    ahead = {each.ahead for each in found if each.ahead}
    return found if len(ahead) < 2 else []


def _by_reason(exchanges: Sequence[Exchange]) -> Iterator[frozenset[int]]:
    """The places of refusals that one limit may explain; event logs say which reason each has."""
    groups: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for place, each in enumerate(exchanges):
        if each.refused and each.status == 429 and each.error is None and each.reason in ("", "requests"):
            groups[each.reason, each.scope].add(place)
    return (frozenset(each) for each in groups.values())


def _search(
    exchanges: Sequence[Exchange], refusals: frozenset[int], start: int | None
) -> LearnedLimit | None:
    first = exchanges[min(refusals)]
    scopes = _scopes(exchanges, first)
    for unit in _units(exchanges, first):
        best: LearnedLimit | None = None
        for scope in scopes:
            groups = _observed(exchanges, refusals, unit, scope)
            if not first.reason and _turns(groups) < _FEWEST_TURNS:
                continue
            for window in _windows(groups, start):
                found = _fit(groups, window, unit, scope, refusals, _header(exchanges))
                if found is not None and (best is None or _score(found) > _score(best)):
                    best = found
        if best is not None and (first.reason or _score(best) >= _FITTING_WAITS):
            guessed = any(_cost(exchanges[place], unit) is None for place in refusals)
            return replace(best, assumed=_GUESSED) if guessed else best
    return None


def _scopes(exchanges: Sequence[Exchange], first: Exchange) -> tuple[ScopeKind, ...]:
    if first.reason:
        return ({"key": "key", "model": "model"}.get(first.scope, "account"),)  # type: ignore[return-value]
    several = len({each.model for each in exchanges}) > 1
    return ("account", "model") if several else ("account",)


def _units(exchanges: Sequence[Exchange], first: Exchange) -> tuple[Unit, ...]:
    """An event log names the kind of the budget, and does not say what a request reserved of tokens."""
    if first.reason:
        return ("requests",)
    served = [each for each in exchanges if each.served]
    known = sum(each.tokens is not None for each in served)
    if not served or known < _KNOWN_COSTS * len(served):
        return ("requests",)
    split = any(each.completion_tokens is not None for each in served)
    return ("requests", "tokens", "input_tokens", "output_tokens") if split else ("requests", "tokens")


def _observed(
    exchanges: Sequence[Exchange], refusals: frozenset[int], unit: Unit, scope: ScopeKind
) -> list[list[Observed]]:
    prompt, answer = usual_tokens(exchanges)
    guess = {"requests": 1, "input_tokens": prompt, "output_tokens": answer}.get(unit, prompt + answer)
    groups: defaultdict[str, list[Observed]] = defaultdict(list)
    for place, each in enumerate(exchanges):
        if each.served or place in refusals:
            group = each.key if scope == "key" else each.model if scope == "model" else ""
            cost = _cost(each, unit)
            wait = None if each.retry_after is None else each.retry_after + (each.lasted or 0)
            groups[group].append(Observed(each.at, guess if cost is None else cost, each.served, wait))
    return list(groups.values())


def _cost(exchange: Exchange, unit: Unit) -> int | None:
    """What a request cost; `None` if the log does not say."""
    match unit:
        case "tokens":
            return exchange.tokens or None
        case "input_tokens":
            return exchange.prompt_tokens or None
        case "output_tokens":
            return exchange.completion_tokens or None
    return 1


def _turns(groups: Iterable[Sequence[Observed]]) -> int:
    """How often a refusal follows a request that was let in."""
    return sum(
        left.admitted and not right.admitted for group in groups for left, right in itertools.pairwise(group)
    )


def _windows(groups: Sequence[Sequence[Observed]], start: int | None) -> Iterator[_Window]:
    """What is tried, what is most usual first: of two that explain as much, the first is taken."""
    for burst in _BURSTS:
        yield _Window("bucket", burst=burst)
    for period in _PERIODS:
        yield _Window("sliding", period)
    for period in _PERIODS:
        ahead = _ahead(groups, period, start)
        if ahead is not None:
            yield _Window("calendar", period, ahead=ahead)
    for period in _PERIODS:
        yield _Window("sliding", period, count_refused=True)
    for burst in _BURSTS:
        yield _Window("bucket", burst=burst, count_refused=True)


def _ahead(groups: Sequence[Sequence[Observed]], period: int, start: int | None) -> int | None:
    """How far windows of the clock have begun at the instant 0: by the date, else by what refusals state."""
    if start is not None:
        return start % period
    ends = [each.at + each.wait for group in groups for each in group if not each.admitted and each.wait]
    if not ends:
        return None
    first = ends[0]
    # All ends in the same window as the first, each rounded up by less than a second.
    same = [end - period * round((end - first) / period) for end in ends]
    low, high = max(same) - SECOND + 1, min(same)
    return -round_time(max(low, 0), high) % period if max(low, 0) <= high else None


def _header(exchanges: Sequence[Exchange]) -> int | None:
    counts = Counter(each.limit for each in exchanges if each.limit)
    return counts.most_common(1)[0][0] if counts else None


def _fit(
    groups: Sequence[Sequence[Observed]],
    window: _Window,
    unit: Unit,
    scope: ScopeKind,
    refusals: frozenset[int],
    header: int | None,
) -> LearnedLimit | None:
    low, high = 1, _LARGEST
    for group in groups:
        least, most = _bounds(group, window)
        low, high = max(low, least), min(high, most)
        if low > high:
            return None
    if high > _LOOSEST * low + 1:
        return None
    stated = unit == "requests" and header is not None and low <= header <= high
    size = header if stated and header is not None else round_count(low, high)
    fitting = waits = 0
    for group in groups:
        judged = _judge(group, window.meter(size), count_refused=window.count_refused)
        if judged is None:
            return None
        fitting, waits = fitting + judged[0], waits + judged[1]
    limits = window.limits(unit, size, scope)
    assumed = "as a header stated" if stated else ""
    return LearnedLimit(limits, unit, size, low, high, refusals, window.ahead, fitting, waits, assumed)


def _score(found: LearnedLimit) -> float:
    """The part of the waits stated that it explains; without any, all that fit are alike."""
    return found.fitting_waits / found.waits if found.waits else 1.0


def _judge(group: Sequence[Observed], meter: Meter, *, count_refused: bool) -> tuple[int, int] | None:
    """How many of the waits stated a meter explains, and of how many; `None` if it decides otherwise."""
    fitting = waits = 0
    for each in group:
        wait = meter.wait(each.cost, each.at)
        if each.admitted != (wait == 0):
            return None
        if each.admitted:
            meter.spend(each.cost, each.at)
            continue
        if count_refused:
            meter.count_refused(each.cost, each.at)
            wait = meter.wait(each.cost, each.at)
        if each.wait is not None:
            waits += 1
            fitting += abs(each.wait - wait) <= SECOND
    return fitting, waits


# -- between which sizes it lies -------------------------------------------------------------


def _bounds(group: Sequence[Observed], window: _Window) -> tuple[int, int]:
    """The smallest and the largest size that fit a group; none does where the first is above the second.

    Few requests are enough to see that most windows do not fit.
    """
    bounds = _bucket_bounds if window.kind == "bucket" else _window_bounds
    found = (1, _LARGEST)
    for count in _TRIED:
        found = bounds(group[:count], window)
        if found[0] > found[1] or count >= len(group):
            break
    return found


def _window_bounds(group: Sequence[Observed], window: _Window) -> tuple[int, int]:
    used = _sliding_use if window.kind == "sliding" else _calendar_use
    low, high = 1, _LARGEST
    for each, with_it in zip(group, used(group, window), strict=True):
        if each.admitted:
            low = max(low, with_it)
        else:
            high = min(high, with_it - 1)
    return low, high


def _sliding_use(group: Sequence[Observed], window: _Window) -> Iterator[int]:
    """What is used in the window that ends with each request, that request included."""
    recent: deque[tuple[int, int]] = deque()
    used = 0
    for each in group:
        while recent and recent[0][0] + window.period <= each.at:
            used -= recent.popleft()[1]
        yield used + each.cost
        if each.admitted or window.count_refused:
            recent.append((each.at, each.cost))
            used += each.cost


def _calendar_use(group: Sequence[Observed], window: _Window) -> Iterator[int]:
    number, used = -1, 0
    for each in group:
        current = (each.at + EPOCH_NS + window.ahead) // window.period
        if current != number:
            number, used = current, 0
        yield used + each.cost
        if each.admitted:
            used += each.cost


def _bucket_bounds(group: Sequence[Observed], window: _Window) -> tuple[int, int]:
    """By halving: a larger bucket lets in all that a smaller one does."""
    sizes = range(1, _LARGEST)
    low = 1 + bisect_left(sizes, True, key=partial(_lets_in, group, window))
    if low >= _LARGEST or not _refuses(group, window, low):
        return low, 0
    return low, bisect_left(sizes, True, key=lambda size: not _refuses(group, window, size))


def _lets_in(group: Sequence[Observed], window: _Window, size: int) -> bool:
    """Whether none that was admitted lacks something, if the bucket had decided as the log says."""
    meter, count_refused = window.meter(size), window.count_refused
    for each in group:
        if each.admitted:
            if meter.wait(each.cost, each.at) > 0:
                return False
            meter.spend(each.cost, each.at)
        elif count_refused:
            meter.count_refused(each.cost, each.at)
    return True


def _refuses(group: Sequence[Observed], window: _Window, size: int) -> bool:
    """Whether each that was refused lacks something, if the bucket had decided as the log says."""
    meter, count_refused = window.meter(size), window.count_refused
    for each in group:
        short = meter.wait(each.cost, each.at) > 0
        if each.admitted:
            meter.spend(each.cost, each.at)
        elif not short:
            return False
        elif count_refused:
            meter.count_refused(each.cost, each.at)
    return True
