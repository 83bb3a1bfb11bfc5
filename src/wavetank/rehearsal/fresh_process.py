"""A process of its own for each run of a program."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, final

from ..provider.vendor_registry import cards
from .job import ANSWER, JOB, Answer, Job
from .sandbox import copy_working_directory, place_in

_CHILD: Final = "wavetank.rehearsal.child"
_PROCESS: Final = "process"
"""The file with the id of the process, in the folder of a run."""


_TERMINATED: Final = 128 + signal.SIGTERM
"""The exit status of what `SIGTERM` has ended, as shells have it."""


class ProcessDied(Exception):
    """The process of the program ended without an answer; the text says how."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the files of runs; what a search left behind in it is ended and removed."""
    with tempfile.TemporaryDirectory(prefix="wavetank-", ignore_cleanup_errors=True) as folder:
        terminated = signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
        try:
            yield Path(folder)
        finally:
            signal.signal(signal.SIGTERM, terminated)
            for left in Path(folder).glob(f"*/{_PROCESS}"):
                with suppress(ProcessLookupError):
                    os.kill(int(left.read_text("ascii")), signal.SIGKILL)


def standard_input(scratch: Path) -> Path | None:
    """A copy of the standard input, if that is a file: each of several runs reads it from its beginning."""
    if sys.stdin is None or not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        return None
    copy = scratch / "stdin"
    with copy.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return copy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FreshProcess:
    """Makes a run in a process of its own, with dummy keys, and lets it inherit the standard streams.

    `scratch` is a folder for the files of the runs. `sandbox` is the working directory of the program. With
    `apart`, that is a copy that is made for each run, and what the program prints is dropped; `stdin` is
    then a file for its input.
    """

    scratch: Path
    sandbox: Path | None = None
    apart: bool = False
    stdin: Path | None = None

    def __call__(self, job: Job) -> Answer:
        """Make the run.

        Raises:
            ProcessDied: the process ended itself.
            SandboxError: the copy cannot be made.
        """
        with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as folder:
            sandbox = self.sandbox
            if self.apart:
                sandbox = Path(folder) / Path.cwd().name
                copy_working_directory(sandbox)
            (Path(folder) / JOB).write_bytes(pickle.dumps(_in(sandbox, job)))
            status = self._run(folder, sandbox)
            answer = Path(folder) / ANSWER
            if not answer.exists():
                raise ProcessDied(_how(status))
            found: Answer = pickle.loads(answer.read_bytes())
            if self.apart:
                found.end.value.written = ()  # in the copy, which is removed
            return found

    def _run(self, folder: str, sandbox: Path | None) -> int:
        with _opened(self.stdin, self.apart) as stdin:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _CHILD, folder],
                cwd=sandbox,
                env=environment(os.environ),
                stdin=stdin,
                stdout=subprocess.DEVNULL if self.apart else None,
                stderr=subprocess.DEVNULL if self.apart else None,
            )
            (Path(folder) / _PROCESS).write_text(str(process.pid), "ascii")
            return _ended(process, patient=not self.apart)


def _in(sandbox: Path | None, job: Job) -> Job:
    """The job for a program that runs in the sandbox, where the copy of its script is."""
    program = job.rehearsal.program
    if program.kind != "script":
        return job
    name = program.name if sandbox is None else place_in(sandbox, program.name)
    return replace(job, rehearsal=replace(job.rehearsal, program=replace(program, name=name)))


@contextmanager
def _opened(stdin: Path | None, apart: bool) -> Iterator[IO[bytes] | int | None]:
    if stdin is not None:
        with stdin.open("rb") as file:
            yield file
    else:
        yield subprocess.DEVNULL if apart else None


def _ended(process: subprocess.Popen[bytes], *, patient: bool) -> int:
    """Wait for the end of the process; Ctrl-C, which it gets as well, ends it with a report."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        if not patient:
            process.kill()
            process.wait()
            raise
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise


def _how(status: int) -> str:
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return (
        f"the process of the program ended {how} before its end could be noted, so nothing can be judged; "
        "look above for what it printed last"
    )


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the program: no real key of a provider is in it, and sets have one order."""
    ours = dict(given)
    for card in cards():
        for name in (*card.key_variables, *card.key_aliases):
            if name in ours:
                ours[name] = card.dummy_key
    if ours.get("PYTHONHASHSEED", "random") == "random":
        ours["PYTHONHASHSEED"] = "0"
    return ours
