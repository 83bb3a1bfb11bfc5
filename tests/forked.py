"""Python processes that start at once: forked from one that has loaded what most of them need.

To load pytest, trio, the package and an SDK takes one to two seconds in each new interpreter, and the tests
start hundreds. A process from here is one of its own in every other respect: its memory, signals, files,
environment and exit are its own. What cannot be had this way (an own hash seed, options like `-X`, another
program) starts as usual. A test about the start itself, such as which modules are loaded, does without.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import Popen  # `subprocess.Popen` may be the class of this file
from typing import Any, Final

import pytest

SERVER: Final = Path(__file__).with_name("fork_server.py")
LENGTH: Final = struct.Struct("!q")
"""Comes before a request, with its files."""
STATUS: Final = struct.Struct("!ii")
"""The number of a process and its status as `os.waitpid` returns it; the first message has no status yet."""

ADDRESS: Final = "WAVETANK_FORK_SERVER"
"""Has the socket of the server in the environment of the processes that were forked from it."""
WORKER: Final = ["-u", "-c", "import sys;exec(eval(sys.stdin.readline()))"]
"""How xdist starts a worker."""
AT_START: Final = {
    name: os.environ.get(name)
    for name in ("PYTHONHASHSEED", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONUTF8", "PYTHONWARNINGS")
}
"""What an interpreter reads only when it starts, and what the one reads that others are forked from."""


@functools.cache
def server() -> str:
    """The socket of the process that all others of this session are forked from.

    The workers of xdist share it, since to load what it forks takes three seconds: it ends when the process
    ends that has started them, or this one.
    """
    if address := os.environ.get(ADDRESS):
        return address
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if session is None:
        return started(Path(tempfile.mkdtemp(prefix="fork-")), os.getpid())
    folder = Path(tempfile.gettempdir(), f"fork-{session[:12]}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return started(folder, os.getppid())


def started(folder: Path, until: int) -> str:
    """The socket in this folder of a process that is started if there is none; it outlives no `until`."""
    address = folder / "socket"
    if not address.exists():
        process = Popen(
            [sys.executable, str(SERVER), str(address), str(until)],
            cwd=SERVER.parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdout.close()
        process.returncode = 0  # it is not waited for
    return str(address)


def measured() -> bool:
    """Whether the coverage of this process is measured; in a forked one it could not be."""
    return "coverage" in sys.modules


class ForkedPython(Popen[Any]):
    """`subprocess.Popen`, which forks a Python where it can instead of starting one."""

    _reports: socket.socket | None = None

    @staticmethod
    def can_be_forked(command: Any, environment: Mapping[str, str] | None) -> bool:
        """Whether this is Python with `-m`, `-c` or a script, perhaps after `-P`, started as this one was."""
        if not isinstance(command, (list, tuple)) or len(command) < 2 or command[0] != sys.executable:
            return False
        if measured():
            return False
        word = os.fspath(command[1])
        if word.startswith("-") and word[:2] not in ("-m", "-c", "-P"):
            return False
        given = os.environ if environment is None else environment
        return all(given.get(name) == value for name, value in AT_START.items())

    def _execute_child(
        self, args: Sequence[Any], executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any,
        cwd: Any, env: Mapping[str, str] | None, startupinfo: Any, creationflags: Any, shell: Any,
        p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int, errread: int, errwrite: int,
        restore_signals: Any, gid: Any, gids: Any, uid: Any, umask: Any, start_new_session: bool, *rest: Any,
    ) -> None:  # fmt: skip
        if (
            not self.can_be_forked(args, env)
            or preexec_fn
            or shell
            or executable not in (None, sys.executable)
        ):
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags,
                shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals, gid, gids,
                uid, umask, start_new_session, *rest,
            )  # fmt: skip
            return
        standard = [given if given != -1 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "words": [os.fspath(word) for word in args[1:]],
            "cwd": os.fspath(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "files": [0, 1, 2, *pass_fds],
            "own_session": start_new_session,
        }
        message = json.dumps(request).encode()
        self._reports = socket.socket(socket.AF_UNIX)
        self._reports.connect(server())
        socket.send_fds(self._reports, [LENGTH.pack(len(message))], [*standard, *pass_fds])
        self._reports.sendall(message)
        self.pid, _ = self._report()
        self._child_created = True
        for child, parent in ((p2cread, p2cwrite), (c2pwrite, c2pread), (errwrite, errread)):
            if -1 not in (child, parent):
                os.close(child)

    def _report(self) -> tuple[int, int]:
        assert self._reports is not None
        data = self._reports.recv(STATUS.size, socket.MSG_WAITALL)
        assert len(data) == STATUS.size, "the process that others are forked from has ended"
        number, status = STATUS.unpack(data)
        return number, status

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """What `os.waitpid` returns, for a process that is the child of another one."""
        if self._reports is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        if wait_flags & os.WNOHANG and not select.select([self._reports], [], [], 0)[0]:
            return 0, 0
        result = self._report()
        self._reports.close()
        return result

    def _internal_poll(self, *rest: Any, **more: Any) -> int | None:
        """What `poll` returns."""
        if self._reports is None:
            return super()._internal_poll(*rest, **more)  # type: ignore[misc, no-any-return]
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            try:
                if self.returncode is None:
                    number, status = self._try_wait(os.WNOHANG)
                    if number == self.pid:
                        self.returncode = os.waitstatus_to_exitcode(status)
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


class ForkedWorkers(ForkedPython):
    """In a pytest that was forked the workers of xdist are forked too, and nothing else."""

    @staticmethod
    def can_be_forked(command: Any, environment: Mapping[str, str] | None) -> bool:
        """Whether this is how xdist starts a worker, on this machine."""
        return environment is None and isinstance(command, list) and command == [sys.executable, *WORKER]


@pytest.fixture(autouse=True)
def fork_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test, or the package in it, starts with `subprocess` is forked: for folders that import this."""
    monkeypatch.setattr(subprocess, "Popen", ForkedPython)
