"""The program of the process that `forked` has its processes forked from.

It loads what most of them need, and has no thread. For each request it forks twice: the first child starts
the second, which is the process that was asked for, and reports its number and how it ended.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import inspect
import json
import os
import pkgutil
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

import forked  # type: ignore[import-not-found]

LOADED = ("anyio._backends._asyncio", "anyio._backends._trio", "httpx", "httpx2", "openai", "anthropic")
# A program, and what pytest has to load itself as a plugin.
NOT_LOADED = (".__main__", "campaign.worker")
PAUSE = 0.5
"""Seconds between two looks at whether the process has ended that this one is not to outlive."""


def load() -> None:
    """What pytest with its plugins loads, by pytest itself: it rewrites the asserts of plugins."""
    import pytest

    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        options = ["-p", "wavetank", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin"]
        pytest.main([*options, f"--rootdir={folder}", folder])
    import wavetank

    for name in (*LOADED, *(module.name for module in pkgutil.walk_packages(wavetank.__path__, "wavetank."))):
        if not name.endswith(NOT_LOADED):
            import_module(name)
    # The first failure that pytest shows in a process has it look up the file of each module.
    inspect.getmodule(load.__code__, "<none>")
    gc.collect()
    gc.freeze()


def serve(listener: socket.socket, until: int) -> dict[str, Any]:
    """Return only in the processes that were asked for, with what they are to do."""
    while True:
        while not select.select([listener], [], [], PAUSE)[0]:
            if has_ended(until):  # and leaves the folder of the socket to this process
                shutil.rmtree(os.path.dirname(address), ignore_errors=True)
                os._exit(0)
        connection, _ = listener.accept()
        header, files, *_ = socket.recv_fds(connection, forked.LENGTH.size, 64)
        if not os.fork():
            listener.close()
            (length,) = forked.LENGTH.unpack(header)
            request: dict[str, Any] = json.loads(connection.recv(length, socket.MSG_WAITALL))
            become_watched(connection, files)
            put(files, request.pop("files"))
            return request
        connection.close()
        for file in files:
            os.close(file)
        forget_the_ended()


def has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def forget_the_ended() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def become_watched(connection: socket.socket, files: list[int]) -> None:
    """Return in the process that was asked for; this one reports of it and ends."""
    if number := os.fork():
        for file in files:
            os.close(file)
        connection.sendall(forked.STATUS.pack(number, 0))
        status = forked.STATUS.pack(*os.waitpid(number, 0))
        with suppress(BrokenPipeError):  # the process that asked for it has ended
            connection.sendall(status)
        os._exit(0)
    connection.close()


def put(files: list[int], numbers: list[int]) -> None:
    """Give the files the numbers that they have in the process that sent them."""
    above = max((*numbers, *files)) + 1
    for file, number in zip(
        [fcntl.fcntl(file, fcntl.F_DUPFD, above) for file in files], numbers, strict=True
    ):
        if number in files:
            files.remove(number)
        os.dup2(file, number)
        os.close(file)
    for file in files:
        os.close(file)


def become(words: list[str], cwd: str, environment: dict[str, str], *, own_session: bool) -> None:
    """Do what an interpreter does that is started with these words."""
    if own_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.environ[forked.ADDRESS] = address
    subprocess.Popen = forked.ForkedWorkers  # type: ignore[misc]
    safe_path = words[0] == "-P"
    kind, *rest = words[safe_path or words == forked.WORKER :]
    if kind[:2] in ("-m", "-c") and kind[2:]:
        kind, rest = kind[:2], [kind[2:], *rest]
    folder = {"-m": cwd, "-c": ""}.get(kind, os.path.dirname(os.path.abspath(kind)))
    sys.path[:0] = [*[folder][safe_path:], *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        # Without a file, so that the workers of `multiprocessing` do not import this one.
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


def end(status: object) -> NoReturn:
    """End as the interpreter does, but leave it to the system to free what was loaded, which takes long."""
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    address, until = sys.argv[1:]
    load()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("ready", flush=True)
        asked = serve(listening, int(until))
    try:
        become(**asked)
    except SystemExit as ended:
        end(ended.code)
    end(None)
