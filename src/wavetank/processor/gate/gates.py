"""The gates of a run: one for each scope, found by its key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, final

import anyio

from ..decisions import Decision, DecisionLog
from ..errors.request_failure import Failure
from ..items import LLMCallStrategy, LLMWorkItem
from ..limits import Limits
from ..store import RunRecord, Store
from ..wall_clock import wall_seconds
from .delays import RateLimitStrategy
from .gate import Gate
from .learner import unknown

ONE_SCOPE: Final = "account"
"""The scope of all items where none is named: limits are those of the account."""
LIMIT_IN_ANSWER: Final = "a spent limit", "headers of an answer"
"""Reason and source of a pause that no refusal began."""


@final
class Gates:
    """A gate for each scope that a strategy or the option `scope` names; without them one gate for all.

    Scopes with equal keys are the same scope, whichever strategy has the key.

    Args:
        scope: the key of an item's scope, such as its model; `None`: all items share one.
        delays: the length of pauses.
        limits_of: the known limits of a scope.
        store: keeps pauses and, if it is a `RunRecord`, limits.
        decisions: receives what the gates decide.
        left: how many requests are still to be sent, of all scopes together; by default unknown.
        gate: makes a gate.
    """

    def __init__(
        self,
        *,
        scope: Callable[[LLMWorkItem[Any]], Hashable] | None,
        delays: RateLimitStrategy,
        limits_of: Callable[[Hashable], Limits | None],
        store: Store | None,
        decisions: DecisionLog,
        left: Callable[[], float] = unknown,
        gate: Callable[..., Gate] = Gate,
    ) -> None:
        self._left = left
        self._new_gate = gate
        self._scope = scope
        self._delays = delays
        self._limits_of = limits_of
        self._store = store
        self._run_record = store if isinstance(store, RunRecord) else None
        self._decisions = decisions
        self._gates: dict[Hashable, Gate] = {}
        self._new_pauses: list[tuple[str, float, int]] = []
        self._new_limits: list[tuple[str, str, str]] = []
        self._held_until: Mapping[str, float] = {}
        self._current_refusal: tuple[str, str] | None = None
        self._closed = False
        self._fallbacks: dict[int, str] = {}
        self.has_several_scopes = scope is not None
        """Whether there may be more than one scope."""

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def note_strategies(self, strategies: Iterable[LLMCallStrategy[Any]]) -> None:
        """Take note of strategies that will be used: one that names a scope has a gate of its own."""
        if not self.has_several_scopes:
            self.has_several_scopes = any(_scope_of(strategy) is not None for strategy in strategies)

    def note_fallbacks(self, strategies: Sequence[LLMCallStrategy[Any]]) -> None:
        """Give each fallback a scope of its own, `fallback 1` and so on, unless it names one."""
        for number, strategy in enumerate(strategies, start=1):
            self._fallbacks[id(strategy)] = f"fallback {number}"
            self.has_several_scopes = True

    def of(self, item: LLMWorkItem[Any], strategy: LLMCallStrategy[Any]) -> Gate:
        """The gate for an item: that of its strategy's scope, or else that of its own scope."""
        key = _scope_of(strategy)
        if key is None:
            key = self._fallbacks.get(id(strategy))
        if key is None:
            key = ONE_SCOPE if self._scope is None else self._scope(item)
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = self._make_gate(key)
        return gate

    def hold(self, until: Mapping[str, float]) -> None:
        """Let nothing of a scope start before an instant, in seconds since 1970, known from earlier runs."""
        self._held_until = until

    def retune(self, limits_of: Callable[[Hashable], Limits | None]) -> None:
        """Use other limits from now on; a gate whose limits are the same goes on as it is."""
        earlier, self._limits_of = self._limits_of, limits_of
        for key, gate in self._gates.items():
            if limits_of(key) != earlier(key):
                gate.retune(limits_of(key))

    def close(self) -> None:
        """Close all gates, also those still to be made; tasks that wait at a gate get `GateClosed`."""
        self._closed = True
        for gate in self._gates.values():
            gate.close()

    def set_refusal(self, failure: Failure | None) -> None:
        """Set the refusal that a gate is about to get: it is the cause of a pause that begins then."""
        self._current_refusal = None
        if failure is not None:
            self._current_refusal = (
                failure.reason,
                failure.source or f"exception {type(failure.error).__name__}",
            )

    async def store_new_pauses(self) -> None:
        """Give the store the limits and the pauses since the last call."""
        limits, self._new_limits = self._new_limits, []
        if self._run_record is not None:
            for limit in limits:
                await self._run_record.limited(*limit)
        pauses, self._new_pauses = self._new_pauses, []
        if self._store is not None:
            for scope, until, count in pauses:
                await self._store.paused(scope, until, count)

    def _make_gate(self, key: Hashable) -> Gate:
        scope = str(key)
        gate = self._new_gate(delays=self._delays, limits=self._limits_of(key), name=scope, left=self._left)
        if scope in self._held_until:
            now = anyio.current_time()
            gate.hold(now + self._held_until[scope] - wall_seconds())
            if gate.pauses:
                # It is not given to the store, which knows it from the earlier run.
                self._decisions.record(Decision("paused", now, scope, until=gate.deadline))
        earlier = gate.pauses
        gate.observer = lambda decision: self._on_decision(decision, gate.pauses - earlier)
        if self._closed:
            gate.close()
        return gate

    def _on_decision(self, decision: Decision, pauses: int) -> None:
        if decision.kind == "paused" and decision.reason is not None:
            # An outage: the provider has stated no wait, so a run that resumes asks at once.
            self._decisions.record(decision)
            return
        if decision.kind in ("paused", "closed"):
            self._new_limits.append((decision.scope, *(self._current_refusal or LIMIT_IN_ANSWER)))
        if decision.kind == "paused" and decision.until is not None and self._store is not None:
            until = wall_seconds() + decision.until - decision.at
            self._new_pauses.append((decision.scope, until, pauses))
        self._decisions.record(decision)


def _scope_of(strategy: LLMCallStrategy[Any]) -> Hashable | None:
    return getattr(strategy, "scope", None)
