"""Worker processes: every failure comes back as data, and a death costs one attempt of one item."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

from wavetank.processor import (
    CallResult,
    LLMWorkItem,
    ParallelBatchProcessor,
    TokenUsage,
    classify,
)
from wavetank.processor.processes import (
    Done,
    Failed,
    ProcessPool,
    ProcessStrategy,
    WorkerDied,
    WorkError,
    process_pool,
)
from wavetank.processor.processes.worker_process import attempt, failed

from ...depth import DEEP, in_turn

pytestmark = pytest.mark.anyio


class Unpicklable(Exception):
    """Holds what no pickle can."""

    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.secret = lambda: None


class Unreadable(Exception):
    """Fails to say what it is."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Limited(Exception):
    """A rate limit as a client raises it, with an argument that pickling would lose."""

    def __init__(self, *, wait: float) -> None:
        super().__init__("slow down")
        self.status_code = 429
        self.retry_after = wait


def misbehave(how: str) -> Any:
    """Do one of the things that break ordinary pools."""
    if how == "print":
        print("to nobody")
        subprocess.run(["echo", "into the pipe"], check=True)
        return sys.stdin.read()
    if how in ("exit", "kill"):
        os._exit(7) if how == "exit" else os.kill(os.getpid(), signal.SIGKILL)
    if how == "fork":
        os.kill(os.getpid(), signal.SIGKILL) if os.fork() else time.sleep(60)
    ways: dict[str, Callable[[], Any]] = {
        "value": lambda: {"pid": os.getpid()},
        "unpicklable value": lambda: lambda: None,
        "unpicklable": lambda: _raise(Unpicklable()),
        "unreadable": lambda: _raise(Unreadable()),
        "limited": lambda: _raise(Limited(wait=7.0)),
        "lost": lambda: _raise(ConnectionResetError("gone")),
        "SystemExit": lambda: sys.exit(4),
    }
    return ways[how]()


def _raise(error: BaseException) -> NoReturn:
    raise error


FAILURES = {
    "unpicklable value": ("terminal", "its value cannot be pickled; return plain data"),
    "unpicklable": ("terminal", "Unpicklable: cannot travel"),
    "unreadable": ("terminal", "Unreadable"),
    "limited": ("rate-limited", "Limited: slow down"),
    "lost": ("transient", "ConnectionResetError: gone"),
    "SystemExit": ("terminal", "SystemExit: 4"),
}


async def test_every_failure_comes_back_as_data() -> None:
    """One worker meets them all, dies of none, and nothing that is printed comes between."""
    async with ProcessPool() as pool:
        first = await pool.run(misbehave, "value")
        assert isinstance(first, Done)
        assert first.value["pid"] != os.getpid()
        for how, (kind, said) in FAILURES.items():
            failed = await pool.run(misbehave, how)
            assert isinstance(failed, Failed), how
            assert failed.kind == kind, how
            assert said in f"{failed}, {failed.reason}", how
            assert not failed.died
        assert await pool.run(misbehave, "print") == Done("")
        assert await pool.run(misbehave, "value") == first
        unsendable = await pool.run(lambda: None)
        assert isinstance(unsendable, Failed)
        assert "cannot be sent to a worker" in str(unsendable)
        assert "1 idle" in repr(pool)
    await pool.aclose()
    with pytest.raises(RuntimeError, match="not open"):
        await pool.run(misbehave, "value")


DEATHS = {
    "exit": "its worker ended with exit code 7",
    "kill": "its worker was killed by SIGKILL",
    "fork": "its worker was killed by SIGKILL",
}
ON_ASYNCIO = ("exit", "fork")
ON_TRIO = ("kill",)


async def test_a_worker_that_dies_takes_one_call_with_it(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death is data that says how it ended; calls beside it and after it have workers.

    It is noticed also where a process that the worker forked holds its pipes, which is killed.
    """
    monkeypatch.setattr(process_pool, "LAST_MOMENT_SECONDS", 0.05)
    deaths = tuple(DEATHS) if DEEP else ON_ASYNCIO if anyio_backend_name == "asyncio" else ON_TRIO
    async with ProcessPool() as pool:
        outcomes: dict[str, object] = {}

        async def ask(how: str) -> None:
            outcomes[how] = await pool.run(misbehave, how)

        with anyio.fail_after(600):
            async with anyio.create_task_group() as group:
                for how in (*deaths, "value"):
                    group.start_soon(ask, how)
        for how in deaths:
            assert outcomes[how] == Failed("transient", DEATHS[how], died=True)
        assert isinstance(outcomes["value"], Done)
        assert await pool.run(misbehave, "value") == outcomes["value"]


def linger(path: str) -> None:
    """Start a process that outlives a careless kill, and wait."""
    child = subprocess.Popen(["sleep", "60"])
    Path(path).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)


def alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_cancelled_call_leaves_no_process(tmp_path: Path) -> None:
    """Cancelling a call kills its worker and what that has started."""
    path = tmp_path / "pids"
    async with ProcessPool() as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(pool.run, linger, str(path))
            with anyio.fail_after(600):
                while not path.exists() or len(path.read_text().split()) < 2:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        with anyio.fail_after(600):
            while any(alive(int(pid)) for pid in path.read_text().split()):
                await anyio.sleep(0.01)
        assert "0 idle" in repr(pool)


def test_a_copy_of_the_package_does_not_use_the_original(tmp_path: Path) -> None:
    """Under another name its workers work, too, and never meet the original."""
    shutil.copytree(Path(process_pool.__file__).parents[1], tmp_path / "hull")
    script = """
import anyio, sys
from hull.processes import Done, ProcessPool
async def main():
    async with ProcessPool() as pool:
        return await pool.run(eval, "'wavetank' in __import__('sys').modules")
assert anyio.run(main) == Done(False)
assert "wavetank" not in sys.modules
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def work(item: LLMWorkItem[Any]) -> CallResult[str]:
    """Answer; `deadly` items kill their worker until a file is there, `poison` items always."""
    mark = Path(str(item.data)) / item.id
    if item.prompt == "poison" or (item.prompt == "deadly" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if item.prompt == "limited" and not mark.exists():
        mark.touch()
        raise Limited(wait=0.01)
    return CallResult(item.id.upper(), TokenUsage(1, 2))


@pytest.mark.parametrize("anyio_backend", in_turn(1, ["asyncio", "trio"]))
async def test_a_death_costs_one_attempt_of_one_item(tmp_path: Path) -> None:
    """Items whose worker died are tried on new workers; only an item that kills them all fails."""
    strategy = ProcessStrategy(work, max_retries=1)
    # Deaths have their own budget; other errors are not tried again here.
    async with ParallelBatchProcessor(strategy, workers=2, max_attempts=1) as processor:
        for id, prompt in (("a", "fine"), ("b", "deadly"), ("c", "poison"), ("d", "limited")):
            await processor.add_work(LLMWorkItem(id, prompt, str(tmp_path)))
        batch = await processor.process_all()
    a, b, c, d = batch.results
    assert (a.value, a.attempts, a.usage.total) == ("A", 1, 3)
    assert (b.value, b.attempts) == ("B", 2)
    assert c.attempts == 2
    assert "was killed by SIGKILL, 2 times" in str(c.error)
    assert (d.value, d.attempts) == ("D", 2)
    assert batch.refusals == 1
    # Of b's worker and of the first that c killed; only d's refusal is a retry.
    assert (batch.recoveries, batch.retries) == (2, 1)
    assert "2 new tries after a worker or a pool died" in str(batch)
    assert "work" in repr(strategy)
    with pytest.raises(ValueError, match="max_retries must be at least 0, not -1"):
        ProcessStrategy(work, max_retries=-1)


def test_a_failure_is_judged_here_as_it_was_there() -> None:
    """`classify` returns for the error of a call what it returned for the original in the worker."""
    for kind, wait in (
        ("rate-limited", 7.0),
        ("rate-limited", None),
        ("transient", None),
        ("terminal", None),
    ):
        closes = kind == "terminal"
        outcome = Failed(kind, "why", wait, "Some", "text", closes=closes)  # type: ignore[arg-type]
        judged = classify(ProcessStrategy(work)._error(LLMWorkItem("a", ""), outcome))
        assert (judged.kind, judged.reason, judged.retry_after_seconds) == (kind, "why", wait)
        assert judged.closes == closes
    died = classify(WorkerDied("its worker ended"))
    assert (died.kind, died.counts) == ("transient", False)
    spent = Limited(wait=1.0)
    spent.status_code = 402
    assert failed(spent).closes
    assert isinstance(pickle.loads(pickle.dumps(failed(Unreadable()))), Failed)


def test_a_call_in_this_process_is_data_too() -> None:
    """The wrapper around a call raises nothing, whatever the call does."""
    value = attempt(pickle.dumps((misbehave, ("value",))))
    assert isinstance(value, bytes)
    assert pickle.loads(value) == {"pid": os.getpid()}
    for how, (kind, _) in FAILURES.items():
        failure = attempt(pickle.dumps((misbehave, (how,))))
        assert isinstance(failure, Failed)
        assert failure.kind == kind
    assert isinstance(attempt(b"no pickle"), Failed)
    assert issubclass(WorkError, Exception)
