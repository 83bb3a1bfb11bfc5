"""Limits: budgets by the minute, the day or another window, caps on concurrency, growth, penalties.

A request's longest answer is reserved when it arrives, and what it did not use comes back when it
is finished. So OpenAI counts (its guide on rate limits: the larger of `max_tokens` and the estimate
of the request), and so do those that reserve and reconcile, such as Amazon Bedrock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, final

from msgspec import structs

from ..clock import DAY, EPOCH_NS, MINUTE, SECOND, format_duration
from ..scenario import Limits, RefusalError, RetryAfter, Scenario, limits_scope
from .matching import fits, scope_of
from .meters import Bucket, Calendar, Growth, Meter, Sliding
from .model import ACCOUNT, NO_LIMITS, BucketState, LimitReason, LimitState
from .request import Request

_SWEEP_FROM: Final = 1024
_PLAIN: Final = RetryAfter(form="seconds")

# What a request costs of each kind of budget, as places in a tuple.
_REQUESTS, _INPUT, _OUTPUT, _TOTAL = range(4)
_Amounts = tuple[int, int, int, int]

_QUOTAS: Final[tuple[LimitReason, ...]] = ("requests-per-day", "tokens-per-day")
_HEADERS: Final[dict[LimitReason, str]] = {
    "requests": "requests",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
    "tokens": "tokens",
    "requests-per-day": "requests_per_day",
    "tokens-per-day": "tokens_per_day",
}


@final
@dataclass(frozen=True, slots=True)
class Over:
    """A limit that a request runs into.

    `wait` is how many nanoseconds until it would pass, `None` for never; `penalty` how long
    everything of the scope is refused from now on; `rule` how to state it.
    """

    reason: LimitReason
    error: RefusalError
    scope: str
    wait: int | None
    penalty: int
    rule: RetryAfter


@final
@dataclass(frozen=True, slots=True)
class Stay:
    """What a request that was let in holds until it is finished."""

    places: _Places
    reserved: int
    at: int


_Places = tuple[tuple["_Table", str], ...]

_FREE: Final = Stay((), 0, 0)


@final
@dataclass(frozen=True, slots=True)
class _Gauge:
    """One kind of budget of a table: which part of a cost it counts, its size, and a new meter.

    `name` is what reports call it: `tokens`, or `requests per 10s`.
    """

    reason: LimitReason
    name: str
    unit: int
    size: int | None
    fresh: Callable[[int], Meter]


@final
@dataclass(slots=True)
class _Budget:
    """What one scope value has spent; a meter for each gauge of the table."""

    meters: tuple[Meter, ...]
    penalty_until: int = 0

    def idle(self, now: int) -> bool:
        return now >= self.penalty_until and all(meter.idle(now) for meter in self.meters)


@final
class Limiter:
    """All limits of a scenario; each scope value has budgets of its own.

    Args:
        scenario: whose tables of limits hold, all of them.
        epoch_ns: the Unix time of the instant 0, by which days and other windows are counted.
    """

    def __init__(self, scenario: Scenario, *, epoch_ns: int = EPOCH_NS) -> None:
        tables = (_Table(limits, epoch_ns) for limits in (scenario.limits, *scenario.limit))
        self._tables = tuple(table for table in tables if table.limits_anything)
        self.counts_refused = any(table.limits.count_refused for table in self._tables)
        """Whether any budget counts requests that are refused."""

    def admit(self, request: Request, output: int, now: int) -> Stay | Over:
        """Spend the budgets for a request that may answer with `output` tokens, or say what it runs into."""
        if not self._tables:
            return _FREE
        places = self._places(request)
        amounts = (1, request.prompt_tokens, output, request.prompt_tokens + output)
        over = _refused(places, amounts, now)
        if over is not None:
            return self._counted(over, places, amounts, now) if self.counts_refused else over
        for table, scope in places:
            table.enter(scope, amounts, now)
        return Stay(places, output, now)

    def count_refused(self, request: Request, now: int) -> None:
        """A request is refused by something else than a limit."""
        for table, scope in self._places(request):
            table.count_refused(scope, now)

    @staticmethod
    def _counted(over: Over, places: _Places, amounts: _Amounts, now: int) -> Over:
        """Count a refused request, which may make the next one wait for longer."""
        for table, scope in places:
            table.count_refused(scope, now)
        if over.wait is None:
            return over
        waits = (max(table.waits(scope, amounts, now), default=0) for table, scope in places)
        return replace(over, wait=max(over.wait, *waits))

    def leave(self, stay: Stay, output: int) -> None:
        """A request is finished, and its answer had `output` tokens."""
        for table, scope in stay.places:
            table.leave(scope, max(0, stay.reserved - output), stay.at)

    def state(self, request: Request, now: int) -> LimitState:
        """What the limit headers state: of each kind of budget the one with the least left."""
        if not self._tables:
            return NO_LIMITS
        stated: dict[str, BucketState] = {}
        left: dict[str, int] = {}
        for table, scope in self._places(request):
            whose = "" if scope == ACCOUNT else f" of {scope}"
            for gauge, state in table.states(scope, now):
                name, called = _HEADERS[gauge.reason], gauge.name + whose
                left[called] = min(left.get(called, state.remaining), state.remaining)
                other = stated.get(name)
                if other is None or (state.remaining, -state.reset) < (other.remaining, -other.reset):
                    stated[name] = state
        return LimitState(**stated, at=now, left=left)

    def _places(self, request: Request) -> _Places:
        return tuple(
            (table, scope_of(table.scope, table.limits.match, request))
            for table in self._tables
            if fits(table.limits.match, request)
        )


def _refused(places: _Places, amounts: _Amounts, now: int) -> Over | None:
    """What refuses a request: a penalty first, then a cap, then the budget that keeps it longest."""
    for find in (_Table.punished, _Table.crowded, _Table.too_large):
        for table, scope in places:
            over = find(table, scope, amounts, now)
            if over is not None:
                return over
    found = [over for table, scope in places if (over := table.short(scope, amounts, now)) is not None]
    return max(found, key=lambda over: over.wait or 0, default=None)


@final
class _Table:
    """One table of limits, and what each scope value has spent of it."""

    def __init__(self, limits: Limits, epoch_ns: int) -> None:
        self.limits = limits
        self.scope = limits_scope(limits)
        self._gauges = tuple(_gauges(limits, epoch_ns))
        self._budgets: dict[str, _Budget] = {}
        self._in_flight: dict[str, int] = {}
        self._sweep_at = _SWEEP_FROM

    @property
    def limits_anything(self) -> bool:
        return bool(self._gauges) or self.limits.concurrent is not None

    def enter(self, scope: str, amounts: _Amounts, now: int) -> None:
        """A request is in flight and spends its budgets."""
        if self.limits.concurrent is not None:
            self._in_flight[scope] = self._in_flight.get(scope, 0) + 1
        for gauge, meter in zip(self._gauges, self._budget(scope, now).meters, strict=True):
            meter.spend(amounts[gauge.unit], now)

    def count_refused(self, scope: str, now: int) -> None:
        """A request is refused: it counts as one, and no tokens, if the table says so."""
        if self.limits.count_refused:
            for gauge, meter in zip(self._gauges, self._budget(scope, now).meters, strict=True):
                if gauge.unit == _REQUESTS:
                    meter.count_refused(1, now)

    def leave(self, scope: str, spare: int, at: int) -> None:
        """A request that was let in at the instant `at` is finished; `spare` tokens were not used."""
        if self.limits.concurrent is not None:
            self._in_flight[scope] -= 1
            if not self._in_flight[scope]:
                del self._in_flight[scope]
        budget = self._budgets.get(scope)
        if spare and budget is not None:
            for gauge, meter in zip(self._gauges, budget.meters, strict=True):
                if gauge.unit in (_OUTPUT, _TOTAL):
                    meter.refund(spare, at)

    def states(self, scope: str, now: int) -> Iterator[tuple[_Gauge, BucketState]]:
        """The budgets that headers state."""
        budget = self._budgets.get(scope) or self._fresh(now)
        for gauge, meter in zip(self._gauges, budget.meters, strict=True):
            state = meter.state(now)
            if state is not None:
                if self.limits.reset is not None:
                    state = structs.replace(state, reset=int(self.limits.reset))
                yield gauge, state

    # -- what it refuses ---------------------------------------------------------------------

    def punished(self, scope: str, _amounts: _Amounts, now: int) -> Over | None:
        """The penalty is under way."""
        budget = self._budgets.get(scope)
        if budget is None or budget.penalty_until <= now:
            return None
        return self._over("penalty", scope, budget.penalty_until - now)

    def crowded(self, scope: str, _amounts: _Amounts, now: int) -> Over | None:
        """As many as may be are in flight."""
        cap = self.limits.concurrent
        if cap is None or self._in_flight.get(scope, 0) < cap:
            return None
        return self._over("concurrent", scope, SECOND, penalty=self._punish(scope, now))

    def too_large(self, scope: str, amounts: _Amounts, _now: int) -> Over | None:
        """The request is dearer than a whole budget."""
        for gauge in self._gauges:
            if gauge.size is not None and amounts[gauge.unit] > gauge.size:
                return self._over(gauge.reason, scope, None, error="too-large")
        return None

    def short(self, scope: str, amounts: _Amounts, now: int) -> Over | None:
        """Too little is left; the budget that keeps the request longest, the first of equals."""
        waits = self.waits(scope, amounts, now)
        longest = max(waits, default=0)
        if not longest:
            return None
        reason = self._gauges[waits.index(longest)].reason
        if reason in _QUOTAS:
            return self._over(reason, scope, longest, error="quota")
        error: RefusalError = "ramp" if reason == "ramp" else "rate-limit"
        return self._over(reason, scope, longest, error=error, penalty=self._punish(scope, now))

    def waits(self, scope: str, amounts: _Amounts, now: int) -> list[int]:
        """How long each budget would have the request wait."""
        budget = self._budgets.get(scope) or self._fresh(now)
        return [
            meter.wait(amounts[gauge.unit], now)
            for gauge, meter in zip(self._gauges, budget.meters, strict=True)
        ]

    def _over(
        self,
        reason: LimitReason,
        scope: str,
        wait: int | None,
        *,
        error: RefusalError = "rate-limit",
        penalty: int = 0,
    ) -> Over:
        return Over(reason, error, scope, wait, penalty, self.limits.retry_after or _PLAIN)

    def _punish(self, scope: str, now: int) -> int:
        """Going over a limit opens the penalty; its length."""
        if self.limits.penalty is None:
            return 0
        self._budget(scope, now).penalty_until = now + self.limits.penalty
        return self.limits.penalty

    # -- scope values ------------------------------------------------------------------------

    def _fresh(self, now: int) -> _Budget:
        return _Budget(tuple(gauge.fresh(now) for gauge in self._gauges))

    def _budget(self, scope: str, now: int) -> _Budget:
        budget = self._budgets.get(scope)
        if budget is None:
            self._sweep(now)
            budget = self._budgets[scope] = self._fresh(now)
        return budget

    def _sweep(self, now: int) -> None:
        """Forget scope values that have spent nothing of late: a fresh budget is the same."""
        if len(self._budgets) < self._sweep_at:
            return
        self._budgets = {name: budget for name, budget in self._budgets.items() if not budget.idle(now)}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._budgets))


def _gauges(limits: Limits, epoch_ns: int) -> Iterator[_Gauge]:
    in_windows: tuple[tuple[LimitReason, int, int | None, int | None], ...] = (
        ("requests", _REQUESTS, limits.requests_per_minute, limits.requests),
        ("input-tokens", _INPUT, limits.input_tokens_per_minute, limits.input_tokens),
        ("output-tokens", _OUTPUT, limits.output_tokens_per_minute, limits.output_tokens),
        ("tokens", _TOTAL, limits.tokens_per_minute, limits.tokens),
    )
    by_day: tuple[tuple[LimitReason, int, int | None], ...] = (
        ("requests-per-day", _REQUESTS, limits.requests_per_day),
        ("tokens-per-day", _TOTAL, limits.tokens_per_day),
    )
    for reason, unit, per_minute, per_window in in_windows:
        for size, period in ((per_minute, MINUTE), (per_window, int(limits.per or MINUTE))):
            if size is not None:
                name = reason if period == MINUTE else f"{reason} per {format_duration(period)}"
                yield _Gauge(reason, name, unit, size, _window(size, period, epoch_ns, limits))
    for reason, unit, size in by_day:
        if size is not None:
            yield _Gauge(reason, reason, unit, size, _day(size, epoch_ns - limits.day_begins, limits))
    if limits.ramp is not None:
        for unit, free in ((_REQUESTS, limits.ramp.requests), (_TOTAL, limits.ramp.tokens)):
            if free is not None:
                yield _Gauge("ramp", "ramp", unit, None, _growth(free, limits))


def _window(size: int, period: int, epoch_ns: int, limits: Limits) -> Callable[[int], Meter]:
    if limits.window == "calendar":
        return lambda now: Calendar(size, period, epoch_ns, now)
    if limits.window == "sliding":
        return lambda _: Sliding(size, period)
    return lambda now: Bucket(size, min(limits.burst, period), now, period=period)


def _day(size: int, shift: int, limits: Limits) -> Callable[[int], Meter]:
    if limits.day == "rolling":
        return lambda now: Bucket(size, DAY, now, period=DAY)
    return lambda now: Calendar(size, DAY, shift, now)


def _growth(free: int, limits: Limits) -> Callable[[int], Meter]:
    ramp = limits.ramp
    assert ramp is not None
    return lambda now: Growth(free, ramp, now)
