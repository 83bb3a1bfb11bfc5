"""What a run lets be seen of itself: each decision as an event, a log record and a count."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
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
    """One thing that a run decided or was told.

    `at` and `until` are in seconds since the run began, `scope` is what the gate is for.

    | kind | the other fields |
    |---|---|
    | `refused` | `item`, `reason` |
    | `paused` | `until` |
    | `resumed` | |
    | `closed` | `reason`: why nothing more is sent in the scope |
    | `cut`, `grown` | `rate`: requests in a second from now on |
    | `retried` | `item`, `reason`; `until`: when its own backoff ends |
    | `recovered` | the same, after the worker or pool that had its request died |
    | `done` | `item`; `reason` if it failed |
    | `stopped` | `reason` |
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


Observer = Callable[[Decision], object]

pause_observers: Final[list[Observer]] = []
"""Called with each pause and its end, of every run of this process: for tools that see no processor made."""

_PAUSE_KINDS: Final = ("paused", "resumed")


@final
class DecisionLog:
    """Tells the observer and the log of each decision; an observer that raises stops nothing."""

    def __init__(self, observer: Observer | None, began: float) -> None:
        self._observer = observer
        self._began = began

    @property
    def wants_details(self) -> bool:
        """Whether anybody looks at the small things; they are many, so they are not made for nobody."""
        return self._observer is not None or logger.isEnabledFor(logging.DEBUG)

    def record(
        self,
        kind: DecisionKind,
        at: float,
        scope: str = "",
        *,
        item: str | None = None,
        reason: str | None = None,
        until: float | None = None,
        rate: float | None = None,
    ) -> None:
        """Tell of a decision; instants are those of anyio's clock."""
        level = _LOG_LEVELS.get(kind, logging.DEBUG)
        watched = pause_observers if kind in _PAUSE_KINDS else ()
        if self._observer is None and not watched and not logger.isEnabledFor(level):
            return
        end = None if until is None else until - self._began
        decision = Decision(kind, at - self._began, scope, item, reason, end, rate)
        logger.log(level, "%s", decision)
        for watcher in tuple(watched):
            watcher(decision)
        if self._observer is not None:
            self._notify(self._observer, decision)

    def _notify(self, observer: Observer, decision: Decision) -> None:
        try:
            observer(decision)
        except Exception:
            logger.exception("the observer raised at %s; the run goes on", decision)
