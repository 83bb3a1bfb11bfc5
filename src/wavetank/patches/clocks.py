"""Give a run the process's clocks: `time`, `datetime`, and names imported from `time` before.

Only threads of the run see virtual time; every other thread keeps the real one. CPU time
(`process_time`, `thread_time`), `time.clock_gettime` of a monotonic clock and what a C extension
reads by itself stay real, and so do clocks that were bound before as a default argument or kept
in a container.
"""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ..clock import EPOCH_NS, after_delay
from ..sim.busy_loops import read_by_program
from ..sim.processes import current_process
from ..sim.scheduler import Scheduler
from .alarms import ALARMS, virtual_alarms
from .hash_order import AS_COMPLETED
from .imported_names import ImportedNames

_real_monotonic = time.monotonic
_real_monotonic_ns = time.monotonic_ns
_real_perf_counter = time.perf_counter
_real_perf_counter_ns = time.perf_counter_ns
_real_sleep = time.sleep

LONGEST_SLEEP: Final = 9_000_000_000
"""Seconds: below what an integer of 64 bits holds in nanoseconds, where `time.sleep` raises; 285 years."""

_runs: Final[list[Scheduler]] = []


def _run_here() -> Scheduler | None:
    run = _runs[-1] if _runs else None
    return run if run is not None and run.is_mine() else None


def monotonic() -> float:
    run = _run_here()
    return _real_monotonic() if run is None else read_by_program(run).seconds()


def monotonic_ns() -> int:
    run = _run_here()
    return _real_monotonic_ns() if run is None else read_by_program(run).now()


def perf_counter() -> float:
    run = _run_here()
    return _real_perf_counter() if run is None else read_by_program(run).seconds()


def perf_counter_ns() -> int:
    run = _run_here()
    return _real_perf_counter_ns() if run is None else read_by_program(run).now()


def sleep(seconds: float, /) -> None:
    run = _run_here()
    if run is None:
        return _real_sleep(seconds)
    if not isinstance(seconds, float | int):
        seconds = operator.index(seconds)
    if not 0 <= seconds <= LONGEST_SLEEP:
        return _real_sleep(seconds)  # raises, in CPython's own words
    return run.sleep(after_delay(seconds))


_NAMES: Final = ImportedNames(
    (
        (_real_monotonic, monotonic),
        (_real_monotonic_ns, monotonic_ns),
        (_real_perf_counter, perf_counter),
        (_real_perf_counter_ns, perf_counter_ns),
        (_real_sleep, sleep),
        *ALARMS,
        AS_COMPLETED,
    )
)


@contextmanager
def borrowed_clocks(run: Scheduler) -> Iterator[None]:
    """Put the run's time in place of the machine's until the block ends; blocks may nest."""
    import time_machine  # noqa: F401 - before the names in modules are looked for

    if not _runs:
        _NAMES.put_in()
    _runs.append(run)
    try:
        with virtual_alarms(run), _wall_clock():
            yield
    finally:
        _runs.remove(run)
        if not _runs:
            _NAMES.take_out()


@contextmanager
def _wall_clock() -> Iterator[None]:
    """Let time-machine hand out the run's `time.time()` and `datetime`, also to names imported before.

    A test that has set them by time-machine or freezegun keeps them as it has set them.
    """
    import time_machine

    travellers: list[Any] = vars(time_machine)["traveller_stack"]
    if _is_set_already(travellers):
        yield
        return
    travel = time_machine.travel(0, tick=False)
    traveller = travel.start()
    traveller.time_ns = _wall_clock_ns  # type: ignore[method-assign]
    try:
        yield
    finally:
        if traveller in travellers:  # a fixture of the test may have set another date on top of it
            travellers.remove(traveller)
            travellers.append(traveller)
            travel.stop()


def _is_set_already(travellers: Sequence[Any]) -> bool:
    freezegun = sys.modules.get("freezegun.api")
    if freezegun is not None and vars(freezegun).get("freeze_factories"):
        return True
    return bool(travellers) and vars(travellers[-1]).get("time_ns") is not _wall_clock_ns


def _wall_clock_ns() -> int:
    run = _run_here()
    if run is None or run.paced:
        return int(sys.modules["_time_machine"].original_time_ns())
    process = current_process.get()
    ahead = 0 if process is None else process.clock_offset
    return EPOCH_NS + read_by_program(run).now() - run.began + ahead
