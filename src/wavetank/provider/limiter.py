"""Limits: token buckets, caps on concurrency, and the penalty for going over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, final

from ..clock import MINUTE, SECOND
from ..scenario import Limits
from .model import BucketState, LimitState

_SWEEP_FROM: Final = 1024

LimitReason = Literal["requests", "tokens", "concurrent", "penalty"]


@final
class Bucket:
    """A token bucket in exact integers: what it holds is counted in units times nanoseconds per minute."""

    __slots__ = ("_at", "_capacity", "_level", "_limit")

    def __init__(self, limit: int, burst: int, now: int) -> None:
        self._limit = limit
        self._capacity = max(MINUTE, limit * burst)
        self._level = self._capacity
        self._at = now

    def wait(self, cost: int, now: int) -> int:
        """Nanoseconds until a request of that cost would pass; one dearer than the burst needs it full."""
        self._refill(now)
        short = min(cost * MINUTE, self._capacity) - self._level
        return max(0, _divided_up(short, self._limit))

    def spend(self, cost: int) -> None:
        self._level -= cost * MINUTE

    def state(self, now: int) -> BucketState:
        self._refill(now)
        full_in = _divided_up(self._capacity - self._level, self._limit)
        return BucketState(self._limit, max(0, self._level // MINUTE), full_in)

    def full(self, now: int) -> bool:
        self._refill(now)
        return self._level == self._capacity

    def _refill(self, now: int) -> None:
        if now > self._at:
            self._level = min(self._capacity, self._level + self._limit * (now - self._at))
            self._at = now


def _divided_up(amount: int, by: int) -> int:
    return -(-amount // by)


@final
@dataclass(slots=True)
class _Account:
    """What one scope value has spent."""

    requests: Bucket | None
    tokens: Bucket | None
    penalty_until: int = 0

    def idle(self, now: int) -> bool:
        buckets = (self.requests, self.tokens)
        return now >= self.penalty_until and all(b is None or b.full(now) for b in buckets)


@final
@dataclass(frozen=True, slots=True)
class Over:
    """A limit that a request runs into, and nanoseconds until it would pass (`None`: never)."""

    reason: LimitReason
    wait: int | None


@final
class Limiter:
    """All limits of a scenario; each scope value has budgets of its own."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._accounts: dict[str, _Account] = {}
        self._in_flight: dict[str, int] = {}
        self._sweep_at = _SWEEP_FROM

    def enter(self, scope: str) -> None:
        """A request is in flight."""
        self._in_flight[scope] = self._in_flight.get(scope, 0) + 1

    def leave(self, scope: str) -> None:
        """A request is no longer in flight."""
        rest = self._in_flight[scope] - 1
        if rest:
            self._in_flight[scope] = rest
        else:
            del self._in_flight[scope]

    def admit(self, scope: str, cost: int, now: int) -> Over | None:
        """Spend the budgets for a request of `cost` tokens, or say which limit it runs into."""
        penalty = self._penalty_rest(scope, now)
        if penalty > 0:
            return Over("penalty", penalty)
        over = self._crowded(scope) or self._short(scope, cost, now)
        if over is None:
            self._spend(scope, cost, now)
        elif over.wait is not None:
            self._punish(scope, now)
        return over

    def state(self, scope: str, now: int) -> LimitState:
        """What the limit headers tell at this instant."""
        account = self._accounts.get(scope) or self._fresh(now)
        return LimitState(
            account.requests.state(now) if account.requests else None,
            account.tokens.state(now) if account.tokens else None,
        )

    def _penalty_rest(self, scope: str, now: int) -> int:
        account = self._accounts.get(scope)
        return account.penalty_until - now if account else 0

    def _crowded(self, scope: str) -> Over | None:
        cap = self._limits.concurrent
        if cap is not None and self._in_flight.get(scope, 0) >= cap:
            return Over("concurrent", SECOND)
        return None

    def _short(self, scope: str, cost: int, now: int) -> Over | None:
        per_minute = self._limits.tokens_per_minute
        if per_minute is not None and cost > per_minute:
            return Over("tokens", None)
        account = self._accounts.get(scope) or self._fresh(now)
        requests = account.requests.wait(1, now) if account.requests else 0
        tokens = account.tokens.wait(cost, now) if account.tokens else 0
        wait = max(requests, tokens)
        return Over("requests" if requests == wait else "tokens", wait) if wait else None

    def _spend(self, scope: str, cost: int, now: int) -> None:
        account = self._account(scope, now)
        if account.requests:
            account.requests.spend(1)
        if account.tokens:
            account.tokens.spend(cost)

    def _punish(self, scope: str, now: int) -> None:
        """Going over a limit opens the penalty; a request too large for any budget does not."""
        if self._limits.penalty is not None:
            self._account(scope, now).penalty_until = now + self._limits.penalty

    def _fresh(self, now: int) -> _Account:
        limits = self._limits
        return _Account(
            Bucket(limits.requests_per_minute, limits.burst, now) if limits.requests_per_minute else None,
            Bucket(limits.tokens_per_minute, limits.burst, now) if limits.tokens_per_minute else None,
        )

    def _account(self, scope: str, now: int) -> _Account:
        account = self._accounts.get(scope)
        if account is None:
            self._sweep(now)
            account = self._accounts[scope] = self._fresh(now)
        return account

    def _sweep(self, now: int) -> None:
        """Forget scope values with full buckets: a fresh account is the same."""
        if len(self._accounts) < self._sweep_at:
            return
        self._accounts = {name: a for name, a in self._accounts.items() if not a.idle(now)}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._accounts))
