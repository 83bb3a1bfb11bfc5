"""What the tests of chosen orders share: one run of a program under a chooser."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from wavetank.patches.trio_hooks import trio_threads
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.choices import Chooser, Level, Recorder
from wavetank.sim.ended import Ended
from wavetank.sim.host import Host
from wavetank.sim.timers import Timeline
from wavetank.sim.trio_run import run_trio

Noted = list[Any]
Program = Callable[[Noted], Coroutine[Any, Any, Any]]


class Chosen:
    """Runs `program(noted)` on `backend` as `chooser` and `level` will have it."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.end: Ended
        self.record: Recorder | None = None
        self._host: Host | None = None

    @contextmanager
    def borrowed(self) -> Iterator[Host]:
        """Take what runs need of the process once for all in the block: that lasts longer than they do."""
        host = Host(Timeline())
        with virtual_process(host), trio_threads(host):
            self._host = host
            try:
                yield host
            finally:
                self._host = None

    def __call__(self, program: Program, chooser: Chooser | None = None, level: Level | str = "any") -> Noted:
        noted: Noted = []
        self.record = None if chooser is None else Recorder(chooser)
        wanted = level if isinstance(level, Level) else Level.parse(level)
        engine = run_asyncio if self.backend == "asyncio" else run_trio
        with self.borrowed() if self._host is None else nullcontext(self._host) as host:
            host.renew(Timeline(), chooser=self.record, level=wanted)
            try:
                self.end = engine(lambda: program(noted), host, started=lambda _: None, ended=lambda _: None)
            finally:
                host.close()
        return noted


@pytest.fixture(params=["asyncio", "trio"])
def chosen(request: pytest.FixtureRequest) -> Chosen:
    return Chosen(request.param)


@pytest.fixture
def chosen_on_asyncio() -> Chosen:
    return Chosen("asyncio")
