"""A script without `if __name__ == "__main__":` is refused at once, in one error that names the fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wavetank.processor.main_guard import MissingMainGuard, main_file, refusal, refuse_in_import_of_main

WORK = """
def f(item):
    return item.prompt.upper()
"""
SCRIPT = """
import multiprocessing, sys
import anyio
from work import f
from wavetank.processor import LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.processes import MissingMainGuard, ProcessStrategy
{before}
async def call(item):
    with open("called", "a") as file:
        file.write("called ")
async def main():
    async with ParallelBatchProcessor({call}, workers=4) as processor:
        for number in range(8):
            await processor.add_work(LLMWorkItem(str(number), "wave"))
        batch = await processor.process_all()
        print(batch.succeeded, "succeeded")
        return batch
"""
ONE_CALL = "anyio.run(main, backend={backend!r})\n"
GUARDED = 'if __name__ == "__main__": ' + ONE_CALL
CAUGHT = """
try:
    anyio.run(main, backend={backend!r})
except Exception as error:
    print(type(error).__name__, "caught")
"""
START = "if __name__ == '__main__': multiprocessing.set_start_method({method!r})"
FIRST_ANOTHER_BATCH = """
async def first():
    async with ParallelBatchProcessor(call) as processor:
        await processor.add_work(LLMWorkItem("a", "wave"))
        await processor.process_all()
anyio.run(first)
"""


def run(folder: Path, text: str, *words: str, backend: str = "asyncio") -> subprocess.CompletedProcess[str]:
    """Run a script beside a module with the function that its workers call."""
    (folder / "work.py").write_text(WORK)
    (folder / "script.py").write_text(text.replace("{backend!r}", repr(backend)))
    return subprocess.run(
        [sys.executable, *(words or [str(folder / "script.py")])],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def script(end: str, *, before: str = "", call: str = "ProcessStrategy(f)") -> str:
    return SCRIPT.format(before=before, call=call) + end


@pytest.mark.parametrize(("backend", "method"), [("asyncio", "spawn"), ("trio", "forkserver")])
def test_a_script_without_a_guard_is_refused_in_words(tmp_path: Path, backend: str, method: str) -> None:
    """One error, in the parent, that names file and fix; a worker prints nothing."""
    end = run(tmp_path, script(ONE_CALL, before=START.format(method=method)), backend=backend)
    assert end.returncode == 1
    assert end.stdout == ""
    assert end.stderr.count("Traceback") == 1
    said = end.stderr[end.stderr.index("MissingMainGuard: ") :]
    assert f"{tmp_path / 'script.py'} starts process_all() whenever it is imported" in said
    assert 'if __name__ == "__main__":\n        anyio.run(main)' in said


def test_a_script_with_a_guard_is_not_refused(tmp_path: Path) -> None:
    """Also where the guard and the call are on one line, and the script is run as a module."""
    end = run(tmp_path, script(GUARDED), "-m", "script")
    assert (end.returncode, end.stdout, end.stderr) == (0, "8 succeeded\n", "")


def test_a_script_that_catches_the_error_gets_it_in_the_parent_all_the_same(tmp_path: Path) -> None:
    """What a worker caught does not make it one that can work."""
    end = run(tmp_path, script(CAUGHT))
    assert end.returncode == 0
    # Once by the one worker, whose output goes to the standard error; once by the parent.
    caught = "MissingMainGuard caught\n"
    assert (end.stderr.count(caught), end.stdout) == (1, caught)


def test_no_other_batch_of_the_script_is_run_again(tmp_path: Path) -> None:
    """A batch before the one with processes asks its provider once."""
    text = script(FIRST_ANOTHER_BATCH + ONE_CALL)
    end = run(tmp_path, text)
    assert "MissingMainGuard: " in end.stderr
    assert (tmp_path / "called").read_text() == "called "


def test_a_script_that_cannot_be_imported_is_refused_too(tmp_path: Path) -> None:
    """With the error that its import raises, and not as the death of one worker after the other."""
    broken = 'if __name__ != "__main__": raise LookupError("no such name")\n' + GUARDED
    end = run(tmp_path, script(broken))
    assert f"cannot import {tmp_path / 'script.py'}: LookupError: no such name" in end.stderr


def test_children_of_multiprocessing_do_not_run_the_batch_again_either(tmp_path: Path) -> None:
    """A pool of the script's own, behind its call: each child refuses the batch, with the same words."""
    text = script(
        "import asyncio\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn'))\n"
        "async def call(prompt):\n"
        "    return await asyncio.get_running_loop().run_in_executor(pool, str.upper, prompt)\n"
        "anyio.run(main)\n",
        call="call, max_attempts=1",
    )
    end = run(tmp_path, text)
    assert end.stdout == "0 succeeded\n"
    assert f"MissingMainGuard: {tmp_path / 'script.py'} starts process_all()" in end.stderr


def test_outside_of_such_an_import_nothing_is_refused() -> None:
    """The mark is multiprocessing's own, and is gone when the import is over."""
    from multiprocessing import process

    refuse_in_import_of_main("a batch")
    assert refusal() is None
    assert main_file()
    current = process.current_process()
    current._inheriting = True  # type: ignore[attr-defined]
    try:
        with pytest.raises(MissingMainGuard, match="starts a batch whenever it is imported"):
            refuse_in_import_of_main("a batch")
        assert isinstance(refusal(), MissingMainGuard)
    finally:
        del current._inheriting  # type: ignore[attr-defined]
        from wavetank.processor import main_guard

        main_guard._refused.clear()
