"""Give every `asyncio.Runner` of a test a simulated loop: anyio, pytest-asyncio and `asyncio.run` use it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any, final

from ..sim.asyncio_loop import SimulatedLoop
from ..sim.errors import RealLoop
from ..sim.refused_io import LEAVE_OUT
from .attributes import replaced
from .imports import on_import


@contextmanager
def runners_on(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
    *,
    where: Callable[[], bool],
    real_loops_too: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Let new runners, and `asyncio.new_event_loop`, take their loop from `make_loop`.

    The loop keeps the task factory that the loop of a runner's own factory has, such as that of
    eager tasks. `where` says whether the calling thread is one whose runners are meant. A loop
    of another clock is not let run there: it would be real time in silence. `real_loops_too` says
    that it may all the same.
    """
    original, new_event_loop = asyncio.Runner.__init__, asyncio.new_event_loop

    def __init__(self: asyncio.Runner, *, debug: bool | None = None, loop_factory: Any = None) -> None:
        if loop_factory is not None and where():
            original(self, debug=debug, loop_factory=_in_place_of(loop_factory, make_loop))
        else:
            original(self, debug=debug, loop_factory=loop_factory)

    def ours_or_stock() -> asyncio.AbstractEventLoop:
        return make_loop() if where() else new_event_loop()

    run_forever = asyncio.BaseEventLoop.run_forever

    def guarded(self: asyncio.BaseEventLoop) -> None:
        if where() and not isinstance(self, SimulatedLoop) and not real_loops_too():
            raise RealLoop(_refused(type(self).__name__))
        if isinstance(self, SimulatedLoop) and self.scheduler.on_main_thread():
            self.scheduler.engine = self
        run_forever(self)

    policy = (
        getattr(asyncio.events, "BaseDefaultEventLoopPolicy", None)
        or vars(asyncio.events)["_BaseDefaultEventLoopPolicy"]
    )
    new_loop_of_policy = policy.new_event_loop

    def ours_or_the_policy_s(self: Any) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = make_loop() if where() else new_loop_of_policy(self)
        return loop

    with (
        replaced(sys, "set_asyncgen_hooks", _no_compiled_loop(lambda: where() and not real_loops_too())),
        replaced(policy, "new_event_loop", ours_or_the_policy_s),
        on_import(("uvloop",), partial(_no_uvloop, stack := ExitStack(), make_loop, where)),
        stack,
        replaced(asyncio.Runner, "__init__", __init__),
        replaced(asyncio, "new_event_loop", ours_or_stock),
        replaced(asyncio.events, "new_event_loop", ours_or_stock),
        replaced(asyncio.BaseEventLoop, "run_forever", guarded),
    ):
        yield


def _no_compiled_loop(refuses: Callable[[], bool]) -> Callable[..., None]:
    """What stands in for `sys.set_asyncgen_hooks`: a compiled loop passes methods of its own as it starts.

    Such a loop, uvloop's for example, calls nothing else of Python that could be replaced.
    """
    original = sys.set_asyncgen_hooks

    def set_asyncgen_hooks(*args: Any, **options: Any) -> None:
        owners = (type(getattr(hook, "__self__", None)) for hook in (*args, *options.values()))
        loops = [kind for kind in owners if issubclass(kind, asyncio.AbstractEventLoop)]
        if any(not issubclass(kind, asyncio.BaseEventLoop) for kind in loops) and refuses():
            raise RealLoop(_refused("compiled event loop, such as uvloop's,"))
        original(*args, **options)

    return set_asyncgen_hooks


def _refused(kind: str) -> str:
    return (
        f"a {kind} with the machine's clock was to run in virtual time: it was made before this test, or by "
        "hand. Make the loop inside the test; let the test's event loop and its async fixtures have function "
        f"scope; or {LEAVE_OUT}"
    )


MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def _no_uvloop(stack: ExitStack, make_loop: MakeLoop, where: Callable[[], bool], module: ModuleType) -> None:
    """Let `uvloop.Loop`, which all its ways to start a loop make, be a loop of the run."""
    real = module.Loop

    class Kind(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, (real, SimulatedLoop))

        def __call__(cls, *args: Any, **options: Any) -> Any:
            return make_loop() if where() else real(*args, **options)

    stack.enter_context(replaced(module, "Loop", Kind("Loop", (), {})))


@final
class OwnCurrentLoop:
    """What `asyncio.get_event_loop()` gives a run outside of tasks, kept while its world is left."""

    __slots__ = ("_local",)

    def __init__(self) -> None:
        self._local: Any = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Put the run's state in place of that of the process's event loop policy."""
        name = "_get_event_loop_policy" if sys.version_info >= (3, 14) else "get_event_loop_policy"
        policy: Any = vars(asyncio.events)[name]()
        shared = vars(policy).get("_local")
        if shared is None:
            yield
            return
        policy._local = self._local or type(shared)()
        try:
            yield
        finally:
            self._local, policy._local = policy._local, shared


def _in_place_of(factory: MakeLoop, make_loop: MakeLoop) -> MakeLoop:
    def made() -> asyncio.AbstractEventLoop:
        theirs = factory()
        if isinstance(theirs, SimulatedLoop):
            return theirs
        ours = make_loop()
        ours.set_task_factory(theirs.get_task_factory())
        theirs.close()
        return ours

    return made
