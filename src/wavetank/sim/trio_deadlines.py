"""The deadlines of trio's cancel scopes, and which of them are no more than the end of a sleep."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from types import CoroutineType
from typing import Any, Final, final

import trio
from trio import _timeouts

from ..clock import SECOND, at_instant
from .deadlines import OwnDeadline, Place, place_in
from .primitive_facts import tasks_under
from .private_names import require
from .timers import Timers

require(
    _timeouts,
    "sleep_until",
    "sleep_forever",
    of=f"trio {trio.__version__}",
    supported="install a version of trio that wavetank supports (0.30 to 0.35)",
)

_SLEEP_UNTIL: Final = _timeouts.sleep_until.__code__


def is_asleep(task: Any) -> bool:
    """Whether a suspended task is in `trio.sleep`, `sleep_until` or what stands on them.

    Its innermost cancel scope is then the one with which trio ends the sleep.
    """
    outer, middle, inner = None, None, task.coro
    while isinstance(inner, CoroutineType) and isinstance(inner.cr_await, CoroutineType):
        outer, middle, inner = middle, inner, inner.cr_await
    return isinstance(outer, CoroutineType) and outer.cr_code is _SLEEP_UNTIL


def tasks_cut(status: Any) -> list[Any]:
    """The tasks that are cancelled with a scope, by the status of that: none if it only ends a sleep."""
    if not status.effectively_cancelled or (status._tasks and all(map(is_asleep, status._tasks))):
        return []
    return list(tasks_under(status))


@final
class TrioDeadlines:
    """Those of one run of trio."""

    def __init__(self, runner: Any, timers: Timers) -> None:
        self._runner = runner
        self._timers = timers
        self._own = OwnDeadline()
        self._sleeps: dict[Any, bool] = {}
        """By the scope whether it is that of a sleep."""

    @property
    def known(self) -> Sized:
        return self._runner.deadlines._heap  # type: ignore[no-any-return]

    def may_pass(self, beyond: int) -> bool:
        return next(self._beyond(beyond), None) is not None

    def ahead(self, beyond: int) -> list[int]:
        return sorted({*self._beyond(beyond)})

    def postpone(self, length: int) -> None:
        spared = self._spared()
        if spared is not None:
            spared.deadline += length / SECOND

    def _beyond(self, beyond: int) -> Iterator[int]:
        after, spared = beyond / SECOND, self._spared()
        before = None if spared is None else spared._registered_deadline
        for deadline, _, scope in self._runner.deadlines._heap:
            if deadline <= after or deadline != scope._registered_deadline or self._is_sleep(scope):
                continue
            if before is None or deadline < before:
                yield at_instant(deadline)

    def _is_sleep(self, scope: Any) -> bool:
        known = self._sleeps.get(scope)
        if known is None:
            tasks = list(scope._cancel_status._tasks)
            known = len(tasks) == 1 and tasks[0].coro.cr_suspended and is_asleep(tasks[0])
            self._sleeps[scope] = known
        return known

    def _spared(self) -> Any | None:
        """The scope of the test's own deadline: the outermost that `main` is in, if it is that."""
        main = self._runner.main_task
        status, outermost = None if main is None else main._cancel_status, None
        while status is not None:
            scope = status._scope
            if scope is not None and scope._registered_deadline < float("inf") and not self._is_sleep(scope):
                outermost = scope
            status = status._parent
        if outermost is None or not self._own.is_of_the_test(outermost, self._place_of_main):
            return None
        return outermost

    def _place_of_main(self) -> Place:
        return place_in(self._runner.main_task.coro)
