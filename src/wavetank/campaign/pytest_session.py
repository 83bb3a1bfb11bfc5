"""One session of pytest in a process of its own, and its messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, final

import msgspec

from .campaign_options import SearchOverrides
from .protocol import LOG, MESSAGES, PLAN, STOP, VARIABLE, Message, SessionPlan

_POSIX: Final = os.name == "posix"
_PLUGIN: Final = "wavetank.campaign.worker"


def command(
    tests: Sequence[str],
    overrides: SearchOverrides,
    *,
    cache: Path,
    collect: bool,
    timelines: Path | None = None,
) -> list[str]:
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
    words += [f"--llm-{name}={value}" for name, value in overrides.pairs()]
    if timelines is not None:
        words += ["--llm-report=retain-on-failure", f"--llm-report-dir={timelines}"]
        words += ["--llm-report-files=html"]
    words += ["--collect-only", "-q"] if collect else []
    return [*words, *tests]


@final
class Session:
    """A running pytest."""

    def __init__(self, folder: Path, plan: SessionPlan, call: Sequence[str]) -> None:
        folder.mkdir()
        self._folder = folder
        self._read = 0
        (folder / PLAN).write_bytes(msgspec.json.encode(plan))
        # pytest-timeout would end a search; a campaign has its own limits.
        environment = {**os.environ, VARIABLE: str(folder / PLAN), "PYTEST_TIMEOUT": "0"}
        with (folder / LOG).open("wb") as log:
            # A session of its own: Ctrl-C in the terminal reaches only the driver, which stops the session.
            self._process = subprocess.Popen(
                call,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=_POSIX,
            )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()

    def wait(self, seconds: float) -> int | None:
        """Wait so many real seconds for the end of pytest: its exit status, `None` if it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def messages(self) -> Iterator[Message]:
        """Its messages since the last call."""
        file = self._folder / MESSAGES
        if not file.exists():
            return
        with file.open("rb") as lines:
            lines.seek(self._read)
            whole, newline, _ = lines.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.splitlines():
            yield msgspec.json.decode(line, type=Message)

    def stop(self) -> None:
        """Ask it to end after the current run."""
        (self._folder / STOP).touch()

    def kill(self) -> None:
        """End pytest and the processes it has started."""
        if _POSIX:
            import signal

            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    @property
    def output(self) -> str:
        """What pytest has printed."""
        return (self._folder / LOG).read_text("utf-8", errors="replace")
