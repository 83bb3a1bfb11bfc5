"""Let `trio.run`, anyio's guest runs on trio, and trio's worker threads live in a run's time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import trio
from outcome import Error, Outcome, capture
from trio import _subprocess, _threads
from trio._core import _run as core

from ..sim.errors import RunStopped
from ..sim.private_names import require
from ..sim.refused_io import refusal
from ..sim.scheduler import Scheduler
from ..sim.trio_deadlines import tasks_cut
from ..sim.trio_parts import creation_order
from ..sim.trio_run import SUPPORTED, PassDriver, TrioEngine
from .attributes import replaced
from .trio_sleep import sleeps_take_time

require(
    _threads,
    "start_thread_soon",
    "_send_message_to_trio",
    of=f"trio {trio.__version__}",
    supported=SUPPORTED,
)
require(_subprocess, "_open_process", of=f"trio {trio.__version__}", supported=SUPPORTED)

Begin = Callable[[Sequence[Any], bool], TrioEngine]


@contextmanager
def trio_under(scheduler: Scheduler, started: Callable[[TrioEngine], object]) -> Iterator[None]:
    """Every run of trio that the run's threads start is in virtual time; `started` is given its engine.

    `trio.run` is met in its set-up, so that references to it made before are met as well.
    """

    def begin(instruments: Sequence[Any], strict_exception_groups: bool) -> TrioEngine:
        engine = scheduler.engine = TrioEngine(
            scheduler, instruments=instruments, strict_exception_groups=strict_exception_groups
        )
        started(engine)
        if scheduler.plain:
            engine.let_deadlines_pass()
        return engine

    with ExitStack() as stack:
        stack.enter_context(replaced(core, "setup_runner", _setup(core.setup_runner, scheduler, begin)))
        stack.enter_context(replaced(core, "unrolled_run", _kept(core.unrolled_run, scheduler)))
        guest = _guest_run(trio.lowlevel.start_guest_run, scheduler, begin)
        stack.enter_context(replaced(trio.lowlevel, "start_guest_run", guest))
        stack.enter_context(
            replaced(core.CancelStatus, "recalculate", _noted(core.CancelStatus.recalculate, scheduler))
        )
        stack.enter_context(sleeps_take_time(scheduler))
        stack.enter_context(creation_order())
        stack.enter_context(trio_threads(scheduler))
        yield


@contextmanager
def trio_threads(scheduler: Scheduler) -> Iterator[None]:
    """Let `trio.to_thread` start threads of the run instead of using trio's cache of real ones.

    Subprocesses, which trio waits for in such a thread, are refused.
    """
    original = _threads.start_thread_soon

    def start_thread_soon(
        fn: Callable[[], Any], deliver: Callable[[Outcome[Any]], object], name: str | None = None
    ) -> None:
        if not scheduler.is_mine():
            return original(fn, deliver, name)
        thread = threading.Thread(target=lambda: deliver(capture(fn)), daemon=True)
        if name is not None:
            thread.name = name
        return thread.start()

    with (
        replaced(_threads, "start_thread_soon", start_thread_soon),
        replaced(_threads, "_send_message_to_trio", _answered_in_turn(_threads._send_message_to_trio)),
        replaced(_subprocess, "_open_process", _refused_here(_subprocess._open_process, scheduler)),
        replaced(trio.lowlevel, "open_process", _refused_here(trio.lowlevel.open_process, scheduler)),
    ):
        yield


def _refused_here(open_process: Callable[..., Any], scheduler: Scheduler) -> Callable[..., Any]:
    """Refuse the run's subprocesses before they start, since virtual time cannot wait for them."""
    refused = refusal("trio.lowlevel.open_process")

    def refused_here(*args: Any, **options: Any) -> Any:
        return refused() if scheduler.is_virtual_here() else open_process(*args, **options)

    return refused_here


def _answered_in_turn(send: Callable[..., Any]) -> Callable[..., Any]:
    """Let a thread that calls back into trio wait on a queue of the run; trio made its kind at import."""

    def send_message_to_trio(trio_token: Any, message: Any) -> Any:
        object.__setattr__(message, "queue", queue.SimpleQueue())
        return send(trio_token, message)

    return send_message_to_trio


def _setup(original: Callable[..., Any], scheduler: Scheduler, begin: Begin) -> Callable[..., Any]:
    def setup_runner(
        clock: object, instruments: Sequence[Any], restrict_keyboard_interrupt: bool, strict: bool
    ) -> Any:
        if not scheduler.is_mine():
            return original(clock, instruments, restrict_keyboard_interrupt, strict)
        if trio.lowlevel.in_trio_run():
            raise RuntimeError("Attempted to call run() from inside a run()")
        return begin(instruments, strict).runner

    return setup_runner


def _kept(original: Callable[..., Any], scheduler: Scheduler) -> Callable[..., Any]:
    """Keep hold of trio's run loop, so that one that never ends can be closed with its test."""

    def unrolled_run(runner: Any, *args: Any, **options: Any) -> Any:
        loop = original(runner, *args, **options)
        engine = scheduler.engine
        if isinstance(engine, TrioEngine) and engine.runner is runner:
            engine.run = loop
        return loop

    return unrolled_run


def _noted(original: Callable[..., None], scheduler: Scheduler) -> Callable[..., None]:
    """Let the scheduler know of each task that is cancelled by more than the end of its own sleep."""

    def recalculate(status: Any) -> None:
        original(status)
        if status.effectively_cancelled and scheduler.is_mine():
            for task in tasks_cut(status):
                scheduler.cancelled(task)

    return recalculate


def _close_stream_of(done_callback: Callable[..., object]) -> None:
    """anyio's test runner drops its stream when its run is over; it counts on having closed it before."""
    stream = getattr(getattr(done_callback, "__self__", None), "_send_stream", None)
    if stream is not None:
        stream.close()


def _guest_run(original: Callable[..., Any], scheduler: Scheduler, begin: Begin) -> Callable[..., Any]:
    def start_guest_run(
        async_fn: Callable[..., Any],
        *args: Any,
        run_sync_soon_threadsafe: Callable[[Callable[[], object]], object],
        done_callback: Callable[[Outcome[Any]], object],
        instruments: Sequence[Any] = (),
        strict_exception_groups: bool = True,
        **options: Any,
    ) -> None:
        if not scheduler.is_mine():
            original(
                async_fn,
                *args,
                run_sync_soon_threadsafe=run_sync_soon_threadsafe,
                done_callback=done_callback,
                instruments=instruments,
                strict_exception_groups=strict_exception_groups,
                **options,
            )
            return
        engine = begin(instruments, strict_exception_groups)
        passes = PassDriver(engine, async_fn, args)

        def tick() -> None:
            try:
                more = passes.go()
            except RunStopped as reason:
                engine.dispose()
                _close_stream_of(done_callback)
                done_callback(Error(reason))
                raise
            if more:
                run_sync_soon_threadsafe(tick)
            else:
                done_callback(engine.runner.main_task_outcome)

        while engine.runner.system_nursery is None:
            passes.go()
        run_sync_soon_threadsafe(tick)

    return start_guest_run
