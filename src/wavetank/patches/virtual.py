"""Everything a virtual run borrows from the process, taken and given back together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..sim.scheduler import Scheduler
from .certificates import certificates_unread
from .clocks import borrowed_clocks
from .foreign_clients import no_foreign_clients
from .garbage import collector_at_rest
from .hash_order import creation_order
from .imported_names import one_look
from .lock_recording import holdings_noted
from .pipes import pipes_under
from .pools import pools_under
from .real_processes import processes_in_real_time
from .sockets import no_network
from .threads import threads_under


@contextmanager
def virtual_process(scheduler: Scheduler, *, collect: bool = False) -> Iterator[None]:
    """Clocks, sockets, threads, hash order, garbage and certificates are the run's until the block ends.

    With `collect` the garbage collector is not touched: the caller lets it rest in each phase of a run.
    """
    looks = ExitStack()
    with looks, ExitStack() as stack:
        looks.enter_context(one_look())
        stack.enter_context(certificates_unread(scheduler.is_mine))
        if not collect:
            stack.enter_context(collector_at_rest())
        stack.enter_context(borrowed_clocks(scheduler))
        stack.enter_context(processes_in_real_time())
        stack.enter_context(no_network(scheduler.is_virtual_here))
        stack.enter_context(no_foreign_clients(scheduler))
        stack.enter_context(threads_under(scheduler))
        stack.enter_context(pipes_under(scheduler))
        stack.enter_context(pools_under(scheduler))
        stack.enter_context(creation_order(scheduler))
        stack.enter_context(holdings_noted(scheduler))
        looks.close()
        stack.callback(lambda: looks.enter_context(one_look()))  # called first when all is given back
        yield
