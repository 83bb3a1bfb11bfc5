"""One session of pytest, in a process of its own, and what its lanes write down meanwhile."""

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

from .orders import LOG, ORDERS, STOP, VARIABLE, Fact, Orders
from .state import Words

_POSIX: Final = os.name == "posix"
_PLUGIN: Final = "wavetank.campaign.lane"


def command(tests: Sequence[str], words: Words, *, processes: int, cache: Path, collect: bool) -> list[str]:
    """The call of pytest; what stands in the user's `addopts` and would split or end a campaign is undone."""
    made = [
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
        made += ["-n", str(processes), "--dist", "load", "--maxschedchunk", "1"] if processes else ["-n", "0"]
    made += [f"--llm-scenario={name}" for name in words.scenario]
    for name, value in (("policy", words.policy), ("level", words.level), ("seed", words.seed)):
        made += [f"--llm-{name}={value}"] if value is not None else []
    made += ["--collect-only", "-q"] if collect else []
    return [*made, *tests]


@final
class Session:
    """A running pytest: `facts` gives what is new, `wait` a moment's rest, `stop` asks the lanes to end."""

    def __init__(self, folder: Path, orders: Orders, call: Sequence[str]) -> None:
        folder.mkdir()
        self._folder = folder
        self._read: dict[Path, int] = {}
        (folder / ORDERS).write_bytes(msgspec.json.encode(orders))
        # pytest-timeout would end a lane; a campaign has its own limits.
        environment = {**os.environ, VARIABLE: str(folder / ORDERS), "PYTEST_TIMEOUT": "0"}
        with (folder / LOG).open("wb") as log:
            # Its own session: Ctrl-C in the terminal reaches the driver alone, which asks the lanes to end.
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
        """Pytest's exit status; `None` if it still runs after so many real seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def facts(self) -> Iterator[Fact]:
        """What the lanes have told since this was asked last."""
        for file in sorted(self._folder.glob("facts-*.ndjson")):
            with file.open("rb") as lines:
                lines.seek(self._read.get(file, 0))
                whole, newline, _ = lines.read().rpartition(b"\n")
            self._read[file] = self._read.get(file, 0) + len(whole) + len(newline)
            for line in whole.splitlines():
                yield msgspec.json.decode(line, type=Fact)

    def stop(self) -> None:
        """Ask every lane to end after the run it is at."""
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
    def said(self) -> str:
        """What pytest has printed."""
        return (self._folder / LOG).read_text("utf-8", errors="replace")
