"""What a run decides, as values, and the log that hands them to observers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, final

DecisionKind = Literal[
    "refused", "paused", "resumed", "cut", "grown", "closed", "retried", "recovered", "done", "stopped"
]

logger: Final = logging.getLogger("wavetank.processor")

_LOG_LEVELS: Final = {
    "paused": logging.INFO,
    "resumed": logging.INFO,
    "closed": logging.WARNING,
    "stopped": logging.WARNING,
}


@final
@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that a run decided, or learnt from an answer.

    An observer gets `at` and `until` in seconds since the run began. `scope` names the gate. The kinds,
    and the other fields of each:

    - `refused`: `item`, `reason`
    - `paused`: `until`; `reason` if the provider is away
    - `resumed`
    - `closed`: `reason`: why nothing more is sent in the scope
    - `cut`, `grown`: `rate`: requests in a second from now on
    - `retried`: `item`, `reason`; `until`: when its own backoff ends
    - `recovered`: the same, after the worker or pool that had its request died
    - `done`: `item`; `reason` if it failed
    - `stopped`: `reason`; `scope` if the provider is away or refuses the key
    """

    kind: DecisionKind
    at: float
    scope: str = ""
    item: str | None = None
    reason: str | None = None
    until: float | None = None
    rate: float | None = None

    def __str__(self) -> str:
        words = [f"{self.at:.3f} s", self.kind, self.scope]
        if self.item is not None:
            words.append(f"item {self.item!r}")
        if self.rate is not None:
            words.append(f"to {self.rate:.3g} requests/s")
        if self.until is not None:
            words.append(f"until {self.until:.3f} s")
        if self.reason is not None:
            words.append(f"({self.reason})")
        return " ".join(word for word in words if word)

    def since(self, began: float) -> Decision:
        """The decision with its instants counted from another one."""
        until = None if self.until is None else self.until - began
        return replace(self, at=self.at - began, until=until)


Observer = Callable[[Decision], object]

pause_observers: Final[list[Observer]] = []
"""Called with each pause and each end of one, in every run of this process.

They serve tools that have no access to the processor, such as the tank."""

_PAUSE_KINDS: Final = ("paused", "resumed")


@final
class DecisionLog:
    """Hands each decision to the observer and to Python's log; an observer that raises stops nothing.

    Args:
        observer: called with each decision.
        began: when the run began, in seconds of anyio's clock.
    """

    def __init__(self, observer: Observer | None, began: float) -> None:
        self._observer = observer
        self._began = began

    @property
    def wants_details(self) -> bool:
        """Whether the decision on each single item is read by anything; if not, it need not be made."""
        return self._observer is not None or logger.isEnabledFor(logging.DEBUG)

    def record(self, decision: Decision) -> None:
        """Hand on a decision whose instants are those of anyio's clock."""
        level = _LOG_LEVELS.get(decision.kind, logging.DEBUG)
        tools = pause_observers if decision.kind in _PAUSE_KINDS else ()
        if self._observer is None and not tools and not logger.isEnabledFor(level):
            return
        decision = decision.since(self._began)
        logger.log(level, "%s", decision)
        for tool in tuple(tools):
            tool(decision)
        if self._observer is not None:
            self._notify(self._observer, decision)

    def _notify(self, observer: Observer, decision: Decision) -> None:
        try:
            observer(decision)
        except Exception:
            logger.exception("the observer raised at %s; the run continues", decision)
