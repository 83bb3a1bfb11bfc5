"""Work in processes of its own: what it raises, returns or breaks comes back as data."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, final, overload

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from .failure import Failure, FailureKind
from .main_guard import MissingMainGuard, main_file, refuse_in_import_of_main
from .process_group import LAST_MOMENT_SECONDS, end_group
from .work import CallResult, LLMCallStrategy, LLMWorkItem
from .worker_process import BOOT, LENGTH

__all__ = ["Done", "Failed", "MissingMainGuard", "ProcessPool", "ProcessStrategy", "WorkError", "WorkerDied"]

T = TypeVar("T")

MAX_RETRIES: Final = 3


@final
@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A call that returned."""

    value: T


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """A call that did not return a value: what `classify` made of it in the worker, as text and numbers.

    `died` says that its worker ended without an answer: killed, out of memory, `os._exit`.
    `closes`, `source` and `resets` are those of `Failure`.
    """

    kind: FailureKind
    reason: str
    retry_after_seconds: float | None = None
    type: str = ""
    text: str = ""
    traceback: str = ""
    died: bool = False
    closes: bool = False
    source: str | None = None
    resets: datetime | None = None

    def __str__(self) -> str:
        said = f"{self.type}: {self.text}" if self.text else self.type
        return said or self.reason


@final
class WorkError(Exception):
    """The error of a call in another process; `failure` is what `classify` says of it, as it did there."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(str(failed))
        self.failed = failed
        self.failure = Failure(
            failed.kind,
            self,
            failed.reason,
            failed.retry_after_seconds,
            closes=failed.closes,
            source=failed.source,
            resets=failed.resets,
        )


@final
class WorkerDied(ChildProcessError):
    """The worker process of a call ended without an answer; another try runs on a fresh one.

    Its `failure` is none of the errors that the processor's `max_attempts` counts.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.failure = Failure("transient", self, reason, counts=False, worker_died=True)


@final
class ProcessPool:
    """Worker processes that are started when they are needed, used again, and replaced when they die.

    Each call has a worker to itself: a worker that dies takes one call with it. A cancelled
    call kills its worker, and what that has started. What a function prints goes to the
    standard error. Use it with `async with`; leaving ends the workers.

    They are processes of our own and not those of `anyio.to_process`, which talk over the
    standard output: there a program that the function starts can break in.

    In wavetank's virtual time processes are refused: there is nobody to wait for them.
    """

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._open = False

    def __repr__(self) -> str:
        return f"<ProcessPool {'open' if self._open else 'closed'}, {len(self._idle)} idle>"

    async def __aenter__(self) -> ProcessPool:
        """Open the pool, and start its first worker to see that workers can be started.

        Raises:
            MissingMainGuard: the script would start its work again in each worker.
            RuntimeError: its main module cannot be imported in a worker.
        """
        refuse_in_import_of_main("a ProcessPool")
        # A system that has no process to spare now may have one later.
        with suppress(OSError):
            worker = await _Worker.start()
            if await self._is_ready(worker):
                self._idle.append(worker)
        self._open = True
        return self

    async def _is_ready(self, worker: _Worker) -> bool:
        """Whether a worker became like this process; one that was killed says nothing about the next."""
        try:
            answer = await worker.greet()
        except BaseException:
            await worker.end()
            raise
        if answer is not None and answer[0] == "value":
            return True
        ended = await worker.end(dying=answer is None)
        if answer is None and "exit code" not in ended:
            return False
        if answer is not None and answer[1]["type"] == MissingMainGuard.__name__:
            raise MissingMainGuard(answer[1]["text"])
        why = f"it {ended}" if answer is None else f"{answer[1]['type']}: {answer[1]['text']}"
        raise RuntimeError(
            f"a worker process cannot import {main_file()}: {why}; it has to be importable without its work, "
            'which belongs under `if __name__ == "__main__":`'
        )

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the idle workers; a second time does nothing."""
        self._open = False
        while self._idle:
            await self._idle.pop().end(dying=True)

    async def run(self, function: Callable[..., T], *arguments: Any) -> Done[T] | Failed:
        """Call a function in a worker; it must be importable there, its arguments and value picklable.

        Nothing but a cancellation is raised: every failure is a `Failed`, also one that
        cannot be pickled, `SystemExit`, and the death of the worker.

        Raises:
            RuntimeError: the pool is not open.
        """
        if not self._open:
            raise RuntimeError("the pool is not open; use it inside `async with ProcessPool() as pool:`")
        try:
            call = pickle.dumps((function, arguments))
        except Exception as error:
            return _here(error, "cannot be sent to a worker; give a function of a module and plain arguments")
        try:
            worker = self._idle.pop() if self._idle else await _Worker.start()
        except OSError as error:
            return Failed("transient", "no worker could be started", None, type(error).__name__, str(error))
        answer = await self._ask(worker, call)
        return answer if isinstance(answer, Failed) else _received(answer)

    async def _ask(self, worker: _Worker, call: bytes) -> Any:
        try:
            answer = await worker.ask(call)
        except BaseException:
            await worker.end()
            raise
        if answer is None:
            return Failed("transient", f"its worker {await worker.end(dying=True)}", died=True)
        if self._open:
            self._idle.append(worker)
        else:
            await worker.end()
        return answer


@final
class _Worker:
    """One process and the pipes to it."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._calls = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)
        self._greeted = False

    @classmethod
    async def start(cls) -> _Worker:
        """Start a process in a group of its own: Ctrl-C is the parent's to hear."""
        return cls(
            await anyio.open_process(
                [sys.executable, "-c", BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        )

    async def greet(self) -> Any:
        """Send what makes it like this process; the outcome, or `None` if the process is dead."""
        self._greeted = True
        return await self._outcome_of(pickle.dumps(_preparation()))

    async def ask(self, call: bytes) -> Any:
        """Send a call and wait for its outcome; `None` if the process is dead."""
        if not self._greeted:
            greeting = await self.greet()
            if greeting is None or greeting[0] != "value":
                return greeting
        return await self._outcome_of(call)

    async def _outcome_of(self, message: bytes) -> Any:
        answer = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, OSError):
                answer = await self._answer_to(message)
            group.cancel_scope.cancel()
        return None if answer is None else pickle.loads(answer)

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """Know of a death that the pipe does not tell: what the process forked may hold it open."""
        await self._process.wait()
        # An answer may be on its way.
        scope.deadline = anyio.current_time() + LAST_MOMENT_SECONDS

    async def _answer_to(self, message: bytes) -> bytes:
        await self._send(message)
        (length,) = LENGTH.unpack(await self._answers.receive_exactly(LENGTH.size))
        return await self._answers.receive_exactly(length)

    async def end(self, *, dying: bool = False) -> str:
        """End the process and what it has started, and say in words how it ended."""
        with anyio.CancelScope(shield=True):
            await self._calls.aclose()
        await end_group(self._process, dying=dying)
        return _ended(self._process.returncode)

    async def _send(self, data: bytes) -> None:
        await self._calls.send(LENGTH.pack(len(data)) + data)


@final
class ProcessStrategy(LLMCallStrategy[T]):
    """Runs a plain function in worker processes, one call for each item.

    A worker that dies costs one attempt of one item. The item goes on with a fresh worker,
    `max_retries` times at most, so one that kills every worker fails alone. Deaths are not
    among the errors that the processor's `max_attempts` counts.

    Args:
        function: takes the `LLMWorkItem`; found by name in a worker, so it must be a
            module's own.
        max_retries: how often an item may go on after its worker died.

    Raises:
        ValueError: `max_retries` is below 0.
    """

    # Without the first, a type checker finds no T for a function that always returns a CallResult.
    @overload
    def __init__(
        self, function: Callable[[LLMWorkItem[Any]], CallResult[T]], *, max_retries: int = ...
    ) -> None: ...
    @overload
    def __init__(self, function: Callable[[LLMWorkItem[Any]], T], *, max_retries: int = ...) -> None: ...
    def __init__(
        self,
        function: Callable[[LLMWorkItem[Any]], T | CallResult[T]],
        *,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        if max_retries < 0:
            raise ValueError(f"max_retries must be at least 0, not {max_retries!r}")
        self._function = function
        self._max_retries = max_retries
        self._deaths: dict[str, int] = {}
        self._pool = ProcessPool()

    def __repr__(self) -> str:
        return f"<ProcessStrategy {self._function!r} on {self._pool}>"

    async def prepare(self) -> None:
        """Open the pool; its other workers start with the first items.

        Raises:
            MissingMainGuard: the script would start its work again in each worker.
            RuntimeError: its main module cannot be imported in a worker.
        """
        await self._pool.__aenter__()

    async def cleanup(self) -> None:
        """End the workers."""
        await self._pool.aclose()

    async def execute(self, item: LLMWorkItem[Any]) -> T | CallResult[T]:
        """Call the function in a worker.

        Raises:
            WorkError: it failed.
            WorkerDied: its worker died, not too often.
        """
        outcome = await self._pool.run(self._function, replace(item, strategy=None))
        if isinstance(outcome, Failed):
            raise self._error(item, outcome)
        self._deaths.pop(item.id, None)
        return outcome.value

    def _error(self, item: LLMWorkItem[Any], failed: Failed) -> Exception:
        if not failed.died:
            return WorkError(failed)
        deaths = self._deaths[item.id] = self._deaths.get(item.id, 0) + 1
        if deaths <= self._max_retries:
            return WorkerDied(failed.reason)
        del self._deaths[item.id]
        reason = f"{failed.reason}, {deaths} times; it is not tried on another"
        return WorkError(Failed("terminal", reason, died=True))


def _received(outcome: tuple[str, Any]) -> Done[Any] | Failed:
    what, content = outcome
    if what == "failure":
        return Failed(
            content["kind"],
            content["reason"],
            content["retry_after"],
            content["type"],
            content["text"],
            content["traceback"],
            closes=content["closes"],
            source=content["source"],
            resets=content["resets"],
        )
    try:
        return Done(pickle.loads(content))
    except Exception as error:
        return _here(error, "its value cannot be read here; return plain data")


def _here(error: Exception, what: str) -> Failed:
    """A failure on this side of the pipe."""
    return Failed("terminal", what, None, type(error).__name__, f"{error}: it {what}")


def _preparation() -> dict[str, Any]:
    """What multiprocessing tells its own spawned processes, but for the key to their connections."""
    from multiprocessing import spawn

    data = spawn.get_preparation_data("wavetank-worker")
    data.pop("authkey", None)
    return data


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
