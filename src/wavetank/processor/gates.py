"""The gates of a run: one for each scope, found by its key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Final, final

import anyio

from .decisions import DecisionLog
from .failure import Failure
from .gate import Gate
from .options import Options
from .retry_after import wall_seconds
from .store import RunRecord
from .work import LLMCallStrategy, LLMWorkItem

ONE_SCOPE: Final = "account"
LIMIT_IN_ANSWER: Final = "a spent limit", "headers of an answer"


@final
class Gates:
    """A gate for each scope that a strategy or `scope` names; without them one gate for all.

    A scope is known by its key, which is the account, the key or the model of a request,
    and never by which object carries it.
    """

    def __init__(self, options: Options, decisions: DecisionLog) -> None:
        self._options = options
        self._decisions = decisions
        self._gates: dict[Hashable, Gate] = {}
        self._new_pauses: list[tuple[str, float, int]] = []
        self._held_until: Mapping[str, float] = {}
        self._new_limits: list[tuple[str, str, str]] = []
        self._current_refusal: tuple[str, str] | None = None
        self._run_record = options.store if isinstance(options.store, RunRecord) else None
        self._closed = False
        self.has_several_scopes = options.scope is not None
        """Whether there may be more than one scope."""

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def note_strategies(self, strategies: Iterable[LLMCallStrategy[Any]]) -> None:
        """Know of strategies that will be used: one that names a scope has a gate beside the others'."""
        if not self.has_several_scopes:
            self.has_several_scopes = any(_scope_of(strategy) is not None for strategy in strategies)

    def of(self, item: LLMWorkItem[Any], strategy: LLMCallStrategy[Any]) -> Gate:
        """The gate for an item: that of its strategy's scope, if it names one, else that of its own."""
        key = _scope_of(strategy)
        if key is None:
            key = ONE_SCOPE if self._options.scope is None else self._options.scope(item)
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = self._make_gate(key)
        return gate

    def hold(self, until: Mapping[str, float]) -> None:
        """Let nothing of a scope start before an instant in seconds since 1970; earlier runs were told."""
        self._held_until = until

    def close(self) -> None:
        """Let nothing start any more, in scopes that are yet to come either, and release who waits."""
        self._closed = True
        for gate in self._gates.values():
            gate.close()

    def set_refusal(self, failure: Failure | None) -> None:
        """Note the refusal that a gate is about to hear of: a pause that it begins is for it."""
        self._current_refusal = None
        if failure is not None:
            self._current_refusal = (
                failure.reason,
                failure.source or f"exception {type(failure.error).__name__}",
            )

    async def store_new_pauses(self) -> None:
        """Let the store know of the limits and the pauses since the last call."""
        limits, self._new_limits = self._new_limits, []
        if self._run_record is not None:
            for limit in limits:
                await self._run_record.limited(*limit)
        pauses, self._new_pauses = self._new_pauses, []
        if self._options.store is not None:
            for scope, until, count in pauses:
                await self._options.store.paused(scope, until, count)

    def _make_gate(self, key: Hashable) -> Gate:
        scope = str(key)
        gate = Gate(delays=self._options.rule, limits=self._options.limits_of(key), name=scope)
        if scope in self._held_until:
            now = anyio.current_time()
            gate.hold(now + self._held_until[scope] - wall_seconds())
            if gate.pauses:
                # The store has it: it is the one that told.
                self._decisions.record("paused", now, scope, until=gate.deadline)
        held = gate.pauses
        gate.tell = lambda what, one, other: self._on_gate_change(scope, gate, held, what, one, other)
        if self._closed:
            gate.close()
        return gate

    def _on_gate_change(self, scope: str, gate: Gate, held: int, what: str, one: float, other: float) -> None:
        now = anyio.current_time()
        if what in ("paused", "closed"):
            self._new_limits.append((scope, *(self._current_refusal or LIMIT_IN_ANSWER)))
        if what == "paused":
            if self._options.store is not None:
                self._new_pauses.append((scope, wall_seconds() + one - now, gate.pauses - held))
            self._decisions.record("paused", now, scope, until=one)
        elif what == "resumed":
            self._decisions.record("resumed", now, scope)
        elif what == "closed":
            self._decisions.record("closed", now, scope, reason=gate.closed_because)
        else:
            self._decisions.record("cut" if what == "cut" else "grown", now, scope, rate=other)


def _scope_of(strategy: LLMCallStrategy[Any]) -> Hashable | None:
    return getattr(strategy, "scope", None)
