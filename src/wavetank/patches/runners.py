"""Give every `asyncio.Runner` of a test a simulated loop: anyio, pytest-asyncio and `asyncio.run` use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..sim.asyncio_loop import SimulatedLoop
from ..sim.errors import RealLoop
from .attributes import replaced


@contextmanager
def runners_on(
    make_loop: Callable[[], asyncio.AbstractEventLoop], *, where: Callable[[], bool]
) -> Iterator[None]:
    """Let new runners take their loop from `make_loop`, whatever factory they ask for.

    `where` tells whether the calling thread is one whose runners are meant. A loop of another
    clock is not let run there: it would be real time in silence.
    """
    original = asyncio.Runner.__init__

    def __init__(self: asyncio.Runner, *, debug: bool | None = None, loop_factory: Any = None) -> None:
        original(self, debug=debug, loop_factory=make_loop if where() else loop_factory)

    run_forever = asyncio.BaseEventLoop.run_forever

    def guarded(self: asyncio.BaseEventLoop) -> None:
        if where() and not isinstance(self, SimulatedLoop):
            raise RealLoop(
                f"a {type(self).__name__} with the machine's clock was to run in virtual time: it was "
                "made before this test, or by hand. Let the test's event loop and its async fixtures have "
                'function scope, or give the test real time with @pytest.mark.llm_clock("real")'
            )
        run_forever(self)

    with (
        replaced(asyncio.Runner, "__init__", __init__),
        replaced(asyncio.BaseEventLoop, "run_forever", guarded),
    ):
        yield
