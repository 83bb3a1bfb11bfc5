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
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_run import run_trio

Noted = list[Any]
Program = Callable[[Noted], Coroutine[Any, Any, Any]]


class Chosen:
    """Runs `program(noted)` on `backend` as `chooser` and `level` will have it."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.end: Ended
        self.record: Recorder | None = None
        self._scheduler: Scheduler | None = None

    @contextmanager
    def borrowed(self) -> Iterator[Scheduler]:
        """Take what runs need of the process once for all in the block: that lasts longer than they do."""
        scheduler = Scheduler(Timers())
        with virtual_process(scheduler), trio_threads(scheduler):
            self._scheduler = scheduler
            try:
                yield scheduler
            finally:
                self._scheduler = None

    def __call__(self, program: Program, chooser: Chooser | None = None, level: Level | str = "any") -> Noted:
        noted: Noted = []
        self.record = None if chooser is None else Recorder(chooser)
        wanted = level if isinstance(level, Level) else Level.parse(level)
        engine = run_asyncio if self.backend == "asyncio" else run_trio
        with self.borrowed() if self._scheduler is None else nullcontext(self._scheduler) as scheduler:
            scheduler.renew(Timers(), chooser=self.record, level=wanted)
            try:
                self.end = engine(
                    lambda: program(noted), scheduler, started=lambda _: None, ended=lambda _: None
                )
            finally:
                scheduler.close()
        return noted


@pytest.fixture
def soon_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that will not end are dropped after a tenth of the steps that they otherwise have for it."""
    monkeypatch.setattr("wavetank.sim.trio_run._STEPS_TO_UNWIND", 1_000)


@pytest.fixture(params=["asyncio", "trio"])
def chosen(request: pytest.FixtureRequest) -> Iterator[Chosen]:
    chosen = Chosen(request.param)
    with chosen.borrowed():
        yield chosen


@pytest.fixture
def chosen_on_asyncio() -> Iterator[Chosen]:
    chosen = Chosen("asyncio")
    with chosen.borrowed():
        yield chosen
