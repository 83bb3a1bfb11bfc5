"""Worker processes that take one call each, and are replaced when they die."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from ..main_guard import MissingMainGuard, main_file, refuse_in_import_of_main
from .call_outcomes import Done, Failed
from .process_group import LAST_MOMENT_SECONDS, end_group
from .worker_process import BOOT, LENGTH, Outcome

T = TypeVar("T")


@final
class ProcessPool:
    """Worker processes that are started when needed, used again, and replaced when they die.

    Each worker has one call at a time, so a worker that dies takes one call with it. A
    cancelled call kills its worker and all processes that it started. What a function prints
    goes to the standard error. Use the pool with `async with`, whose end ends the workers.

    It does not use `anyio.to_process`, whose workers answer over the standard output, where a
    program that the function starts can interfere.

    In wavetank's virtual time processes are refused, because their real time cannot be waited for.
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
            RuntimeError: the main module cannot be imported in a worker.
        """
        refuse_in_import_of_main("a ProcessPool")
        # If the system cannot start a process now, it may do so later.
        with suppress(OSError):
            worker = await _Worker.start()
            if await self._is_ready(worker):
                self._idle.append(worker)
        self._open = True
        return self

    async def _is_ready(self, worker: _Worker) -> bool:
        """Whether a worker is prepared; one that was killed says nothing about the next."""
        try:
            answer = await worker.prepare()
        except BaseException:
            await worker.end()
            raise
        if isinstance(answer, bytes):
            return True
        ended = await worker.end(already_ending=answer is None)
        if answer is None and "exit code" not in ended:
            return False
        if answer is not None and answer.type == MissingMainGuard.__name__:
            raise MissingMainGuard(answer.text)
        why = f"it {ended}" if answer is None else f"{answer.type}: {answer.text}"
        raise RuntimeError(
            f"a worker process cannot import {main_file()}: {why}; it has to be importable without its work, "
            'which belongs under `if __name__ == "__main__":`'
        )

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the idle workers; a second call does nothing."""
        self._open = False
        while self._idle:
            await self._idle.pop().end(already_ending=True)

    async def run(self, function: Callable[..., T], *arguments: Any) -> Done[T] | Failed:
        """Call a function in a worker; it must be importable there, its arguments and value picklable.

        Only a cancellation is raised. Every failure is a `Failed`, also an exception that
        cannot be pickled, `SystemExit`, and the death of the worker.

        Raises:
            RuntimeError: the pool is not open.
        """
        if not self._open:
            raise RuntimeError("the pool is not open; use it inside `async with ProcessPool() as pool:`")
        try:
            call = pickle.dumps((function, arguments))
        except Exception as error:
            return _failed_here(
                error, "cannot be sent to a worker; give a function of a module and plain arguments"
            )
        try:
            worker = self._idle.pop() if self._idle else await _Worker.start()
        except OSError as error:
            return Failed("transient", "no worker could be started", None, type(error).__name__, str(error))
        answer = await self._ask(worker, call)
        if isinstance(answer, Failed):
            return answer
        try:
            return Done(pickle.loads(answer))
        except Exception as error:
            return _failed_here(error, "its value cannot be read here; return plain data")

    async def _ask(self, worker: _Worker, call: bytes) -> Outcome:
        try:
            answer = await worker.ask(call)
        except BaseException:
            await worker.end()
            raise
        if answer is None:
            return Failed("transient", f"its worker {await worker.end(already_ending=True)}", died=True)
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
        self._prepared = False

    @classmethod
    async def start(cls) -> _Worker:
        """Start a process in its own group, so that Ctrl-C reaches only the parent."""
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

    async def prepare(self) -> Outcome | None:
        """Send the preparation data of this process; return the outcome, or `None` if the worker is dead."""
        self._prepared = True
        return await self._outcome_of(pickle.dumps(_preparation()))

    async def ask(self, call: bytes) -> Outcome | None:
        """Send a call and return its outcome, or `None` if the worker is dead."""
        if not self._prepared:
            prepared = await self.prepare()
            if not isinstance(prepared, bytes):
                return prepared
        return await self._outcome_of(call)

    async def _outcome_of(self, message: bytes) -> Outcome | None:
        answer = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, OSError):
                answer = await self._answer_to(message)
            group.cancel_scope.cancel()
        if answer is None:
            return None
        outcome: Outcome = pickle.loads(answer)
        return outcome

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """Notice a death also if a process that the worker forked keeps the pipe open."""
        await self._process.wait()
        # An answer may be on its way.
        scope.deadline = anyio.current_time() + LAST_MOMENT_SECONDS

    async def _answer_to(self, message: bytes) -> bytes:
        await self._calls.send(LENGTH.pack(len(message)) + message)
        (length,) = LENGTH.unpack(await self._answers.receive_exactly(LENGTH.size))
        return await self._answers.receive_exactly(length)

    async def end(self, *, already_ending: bool = False) -> str:
        """End the process and all that it started, and say in words how it ended."""
        with anyio.CancelScope(shield=True):
            await self._calls.aclose()
        await end_group(self._process, already_ending=already_ending)
        return _how_it_ended(self._process.returncode)


def _failed_here(error: Exception, what: str) -> Failed:
    """A failure in this process."""
    return Failed("terminal", what, None, type(error).__name__, f"{error}: it {what}")


def _preparation() -> dict[str, Any]:
    """The data that multiprocessing sends to its own spawned processes, without the secret `authkey`."""
    from multiprocessing import spawn

    data = spawn.get_preparation_data("wavetank-worker")
    data.pop("authkey", None)
    return data


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
