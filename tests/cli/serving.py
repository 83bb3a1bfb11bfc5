"""`wavetank serve` in a process of its own, for the tests that are its clients."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(
    *arguments: str, scheme: str = "http", files: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server and its address; with `files` it has room for so many files."""
    command = [sys.executable, "-m", "wavetank", "serve", *arguments, "--port", "0"]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(rf"{scheme}://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address is not None
            yield address.group(), process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], by: signal.Signals = signal.SIGINT, *, status: int = 0) -> str:
    """What a server says when a signal ends it, and with which exit status."""
    process.send_signal(by)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == status
    return said
