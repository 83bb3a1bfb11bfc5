"""Let what waits for a real process keep the machine's time, so that its timeouts are true.

The modules of the standard library that wait for a process or a pipe measure the wait by a clock. The
clock of a run would stand still meanwhile, or jump where they sleep between two looks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from .attributes import replaced
from .imports import on_import

_MODULES: Final = (
    "subprocess",
    "multiprocessing.connection",
    "multiprocessing.managers",
    "multiprocessing.queues",
    "multiprocessing.synchronize",
)
_REAL: Final = SimpleNamespace(
    **{name: getattr(time, name) for name in ("monotonic", "perf_counter", "sleep", "time")}
)
"""As much of `time` as they use, with the functions that were there before any run."""


@contextmanager
def processes_in_real_time() -> Iterator[None]:
    """Give these modules the machine's clock and `sleep` until the block ends."""
    with ExitStack() as stack:
        stack.enter_context(on_import(_MODULES, partial(_real_time_in, stack)))
        yield


def _real_time_in(stack: ExitStack, module: ModuleType) -> None:
    names: dict[str, Any] = {"time": _REAL, "_time": _REAL.monotonic}
    for name in names.keys() & vars(module).keys():
        stack.enter_context(replaced(module, name, names[name]))
