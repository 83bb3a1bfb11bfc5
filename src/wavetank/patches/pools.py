"""Give a run its own workers for thread pools that were made before it.

The workers of such a pool are threads outside the run: they would work in real time while
virtual time goes on. So what the run submits goes to a pool of the same size and name whose
workers take turns like all threads of the run.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from ..sim.host import Host
from .attributes import replaced

_RealQueue: Final = queue.SimpleQueue


@contextmanager
def pools_under(host: Host) -> Iterator[None]:
    """Let the run's threads submit to pools from before the run."""
    submit_to_it = ThreadPoolExecutor.submit
    own: dict[ThreadPoolExecutor, ThreadPoolExecutor] = {}

    def submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **options: Any
    ) -> Future[Any]:
        pool = self
        if (
            host.is_mine()
            and isinstance(vars(self)["_work_queue"], _RealQueue)
            and not vars(self)["_shutdown"]
        ):
            pool = own.get(self) or own.setdefault(self, _like(self))
        return submit_to_it(pool, fn, *args, **options)

    with replaced(ThreadPoolExecutor, "submit", submit):
        yield


def _like(pool: ThreadPoolExecutor) -> ThreadPoolExecutor:
    made = vars(pool)
    return ThreadPoolExecutor(
        made["_max_workers"],
        made["_thread_name_prefix"],
        made.get("_initializer"),
        made.get("_initargs", ()),
    )
