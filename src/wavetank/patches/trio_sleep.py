"""Let `trio.sleep` take a nanosecond at least, where in floats the end of a delay equals now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio
from trio import _timeouts

from ..clock import SECOND
from ..sim.private_names import require
from ..sim.scheduler import Scheduler
from ..sim.trio_run import SUPPORTED
from .attributes import replaced

require(_timeouts, "sleep_until", of=f"trio {trio.__version__}", supported=SUPPORTED)


@contextmanager
def sleeps_take_time(scheduler: Scheduler) -> Iterator[None]:
    """Meet `trio.sleep` where it hands a positive delay on: no other code looks for `sleep_until` there."""
    original = _timeouts.sleep_until

    def sleep_until(deadline: float) -> Any:
        if scheduler.is_mine():
            now = trio.current_time()
            deadline = now + 1 / SECOND if deadline <= now else deadline
        return original(deadline)

    with replaced(_timeouts, "sleep_until", sleep_until):
        yield
