"""One session of pytest in a process of its own, and the connection to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import IO, Final, final

import msgspec

from .protocol import (
    VARIABLE,
    Collected,
    Message,
    Order,
    Outcome,
    Program,
    RangeMade,
    Running,
    SearchEnd,
    Stop,
    TestOver,
)

_PLUGIN: Final = "wavetank.campaign.worker"
_END: Final = 10.0
"""Real seconds in which a session that has nothing to do may end by itself: its fixtures are torn down."""
_CONTINUE: Final = (0, 1, 5)
"""Exit statuses of pytest after which nothing is wrong: passed, failed, no tests collected."""
_EXIT_STATUSES: Final = range(6)
"""All of pytest (`pytest.ExitCode`); any other one is that of a process that was ended."""


def command(program: Program, cache: Path) -> list[str]:
    """The call of pytest; it overrides options in the user's `addopts` that would end or split a campaign."""
    words = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-p",
        _PLUGIN,
        "-o",
        f"cache_dir={cache}",
        "--maxfail=0",
        "--tb=short",
    ]
    if find_spec("xdist") is not None:
        words += ["-n", "0"]
    words += [f"--llm-{name}={value}" for name, value in program.overrides.pairs()]
    if program.timelines is not None:
        words += ["--llm-report=retain-on-failure", f"--llm-report-dir={program.timelines}"]
        words += ["--llm-report-files=html"]
    return [*words, *program.tests]


class SessionRefused(Exception):
    """Pytest ended before it could make anything; the text is its reason."""


@final
class Session:
    """A running pytest that collects its tests, and then makes what it is ordered, test by test."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._folder = Path(mkdtemp(prefix="wavetank-"))
        self._log: IO[bytes] = (self._folder / "pytest.log").open("w+b")
        self._connection, theirs = Pipe()
        with theirs:
            self._process = self._start(theirs)
        self._place = 0
        """Of the first test that it can still make: it goes through them once."""
        self.collected = Collected("", [], [])

    def collect(self) -> Collected:
        """Wait for the tests that it has found.

        Raises:
            SessionRefused: it cannot collect them.
        """
        first = self._receive()
        if not isinstance(first, Collected):
            status = self._process.wait()
            raise SessionRefused(f"pytest ended with status {status}:\n{_reason_in(self._output)}")
        self.collected = first
        return first

    def _start(self, theirs: Connection) -> subprocess.Popen[bytes]:
        # pytest-timeout would end a search; a campaign has its own limits.
        environment = {**os.environ, VARIABLE: str(theirs.fileno()), "PYTEST_TIMEOUT": "0"}
        return subprocess.Popen(
            command(self.program, self._folder / "cache"),
            cwd=self.program.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(theirs.fileno(),),
            # A session of its own: Ctrl-C in the terminal reaches only the driver, which stops the session.
            start_new_session=True,
        )

    def can_make(self, test: str) -> bool:
        """Whether it lives, and has not gone past this test."""
        return self._process.poll() is None and test in self.collected.tests[self._place :]

    def make(self, order: Order, worker: str, watch: Callable[[int], object]) -> Outcome:
        """Make what is ordered; `watch` is called with how many runs there are so far."""
        made, over = RangeMade(), False
        ends: list[SearchEnd] = []
        self._place = self.collected.tests.index(order.test)
        self._send(order)
        while not over and (message := self._receive()) is not None:
            match message:
                case Running():
                    watch(message.runs)
                case RangeMade():
                    made = message
                    if not order.concludes and not made.raised:
                        return Outcome(worker, made, ends=tuple(ends))
                case SearchEnd():
                    ends.append(message)
                case TestOver():
                    over = message.test == order.test
        self._place += over
        return Outcome(worker, made, over, tuple(ends), lost="" if over else self._how_it_ended())

    def _how_it_ended(self) -> str:
        status = self._process.wait()
        if status in _CONTINUE or status not in _EXIT_STATUSES:
            return f"its process ended with status {status}"
        return f"pytest ended with status {status}:\n{_reason_in(self._output)}"

    def stop(self) -> None:
        """Ask it to end after the current run what it makes."""
        self._send(Stop())

    def kill(self) -> None:
        """End pytest and the processes it has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end, and remove its files."""
        self._connection.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._log.close()
        rmtree(self._folder, ignore_errors=True)

    def _send(self, message: Order | Stop) -> None:
        try:
            self._connection.send_bytes(msgspec.json.encode(message))
        except OSError:
            return  # it is gone, which the next `_receive` says

    def _receive(self) -> Message | None:
        try:
            return msgspec.json.decode(self._connection.recv_bytes(), type=Message)
        except (EOFError, OSError):
            return None

    @property
    def _output(self) -> str:
        """What pytest has printed."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", errors="replace")


def _reason_in(output: str) -> str:
    """The lines of pytest's output that give the reason: its errors, else its last lines."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "wavetank"))]
    return "\n".join(errors or lines[-30:])
