"""The pauses of a reference processor, in the event log of the tank it runs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Final

from ..clock import after_delay
from ..patches.imports import on_import
from ..seams.desk import Desk

if TYPE_CHECKING:
    from ..processor.decisions import Decision

# Looked for by its name: a run without the processor must not pay for its import.
_DECISIONS_MODULE: Final = f"{__name__.partition('.')[0]}.processor.decisions"


@contextmanager
def pauses_logged(desk: Callable[[], Desk | None]) -> Iterator[None]:
    """Log the pauses of every processor until the block ends, where `desk` says; `None`: nowhere."""

    def log(decision: Decision) -> None:
        here = desk()
        if here is None:
            return
        if decision.kind == "resumed" or decision.until is None:
            here.note("resumed", scope=decision.scope)
        else:
            until = here.clock.now() + after_delay(decision.until - decision.at)
            here.note("paused", scope=decision.scope, until=until)

    with ExitStack() as stack:
        stack.enter_context(on_import((_DECISIONS_MODULE,), partial(_listen, stack, log)))
        yield


def _listen(stack: ExitStack, log: Callable[[Decision], object], decisions: ModuleType) -> None:
    decisions.pause_observers.append(log)
    stack.callback(decisions.pause_observers.remove, log)
