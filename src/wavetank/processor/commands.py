"""A strategy that runs a command-line agent for each item and reads what it prints and writes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, final

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from .errors.agent_output import AgentFailed, classify_output, classify_result, states_end
from .errors.request_failure import Failure
from .items import LLMCallStrategy, LLMWorkItem
from .processes.call_outcomes import Failed, WorkError
from .processes.process_group import LAST_MOMENT_SECONDS, end_group
from .processes.result_files import ResultFiles, filled
from .wall_clock import wall_seconds

__all__ = ["CommandStrategy"]


@final
class CommandStrategy(LLMCallStrategy[str]):
    """Runs a command for each item; the value is the command's standard output.

    A call failed if the exit code, the output or the result file says so. A rate limit and its
    reset are recognized by the messages of the agents. When an item is cancelled, its command
    is killed with all processes that it started. Processes that a command leaves running when
    it ends are not waited for.

    >>> CommandStrategy(["claude", "-p", "{prompt}"], result_file="runs/{id}.json")
    <CommandStrategy claude>

    Args:
        command: the program and its arguments; `{prompt}` and `{id}` in them are replaced.
            Without `{prompt}` the prompt is the standard input.
        cwd: the folder it runs in.
        env: its environment; by default that of this process.
        result_file: where it writes how it ended, as a path or a pattern such as
            `results/{id}/**/result.json`. Files that this attempt wrote are read, the newest
            first. Without `{id}` in it, items that run side by side share their files.
        tz: the time zone of clock times that it prints without one; by default the machine's.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        result_file: str | None = None,
        tz: tzinfo | None = None,
    ) -> None:
        if not command:
            raise ValueError("the command is empty; give a program and its arguments")
        self._command = tuple(command)
        self._cwd = cwd
        self._env = env
        self._result_file = result_file
        self._tz = tz
        self._prompt_is_input = not any("{prompt}" in part for part in self._command)

    def __repr__(self) -> str:
        return f"<CommandStrategy {self._command[0]}>"

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        """Run the command once.

        Raises:
            WorkError: the command failed, or could not be run.
        """
        files = await self._files(item)
        code, stdout, stderr = await self._run(item)
        failure = await anyio.to_thread.run_sync(self._classify, files, code, stdout, stderr)
        if failure is not None:
            raise WorkError(Failed.of(failure, type="AgentFailed", text=str(failure.error)))
        return stdout

    async def _files(self, item: LLMWorkItem[Any]) -> ResultFiles | None:
        if self._result_file is None:
            return None
        return await anyio.to_thread.run_sync(ResultFiles, self._result_file, self._cwd, item)

    async def _run(self, item: LLMWorkItem[Any]) -> tuple[int, str, str]:
        arguments = [filled(part, item) for part in self._command]
        try:
            # A cancellation during the start would leave the process running.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._cwd,
                    env=self._env,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            reason = f"cannot run {arguments[0]!r}: {error}; install it, or give its path"
            raise WorkError(Failed("terminal", reason)) from error
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = bytearray(), bytearray()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_read_into, process.stdout, out)
                group.start_soon(_read_into, process.stderr, err)
                group.start_soon(_write_input, process.stdin, item.prompt if self._prompt_is_input else "")
                code = await process.wait()
                # Processes that it leaves running may keep the pipes open for any time.
                group.cancel_scope.deadline = anyio.current_time() + LAST_MOMENT_SECONDS
        finally:
            if process.returncode is None:
                await end_group(process)
            await process.aclose()
        return code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def _classify(self, files: ResultFiles | None, code: int, stdout: str, stderr: str) -> Failure | None:
        now = wall_seconds()
        tz = self._tz or datetime.fromtimestamp(now).astimezone().tzinfo
        assert tz is not None
        found = classify_output(code, stdout, stderr, now=now, tz=tz)
        if files is not None and (found is None or found.kind == "transient"):
            found = _failure_in_files(files.written(), now, tz) or found
        if found is None and code:
            return Failure("transient", AgentFailed(code, stdout, stderr), f"exit code {code}")
        return found


def _failure_in_files(files: Sequence[Path], now: float, tz: tzinfo) -> Failure | None:
    """The failure in the newest file that says how a run ended, or else in one that cannot be read."""
    unreadable = None
    for path in files:
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            continue
        failure = classify_result(text, now=now, tz=tz)
        if failure is not None:
            failure = replace(failure, source=f"result file {path}, {failure.source or 'unreadable'}")
        if states_end(text):
            return failure
        unreadable = unreadable or failure
    return unreadable


async def _read_into(stream: ByteReceiveStream, into: bytearray) -> None:
    async for chunk in stream:
        into += chunk


async def _write_input(stream: ByteSendStream, text: str) -> None:
    try:
        async with stream:
            await stream.send(text.encode())
    except (anyio.BrokenResourceError, OSError):
        # The command ended without reading all of its input.
        return
