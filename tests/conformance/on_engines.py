"""A pytest plugin that runs somebody else's tests in virtual time, each in a run of its own.

`--order` names a level, or `stock` for the engines as they are; `--seed` is the first seed and
`--seeds` how many orders each test is run in. What came out is written to `--outcomes` as JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, final

import pytest

from wavetank.clock import after_delay
from wavetank.patches.anyio_runner import OwnRunner
from wavetank.patches.attributes import replaced
from wavetank.patches.runners import runners_on
from wavetank.patches.trio_hooks import trio_under
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_loop import SimulatedLoop
from wavetank.sim.choices import Chooser, Fifo, Level
from wavetank.sim.dice import dice
from wavetank.sim.policies.random import Uniform
from wavetank.sim.policies.random_choosers import ALWAYS, DeviationRates
from wavetank.sim.run_threads import Engine
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers

TAIL: Final = 100_000
DAY: Final = 86_400_000_000_000


@final
class Run:
    """One test in one order: its scheduler, its loops and runs of trio."""

    def __init__(self, chooser: Chooser, level: Level) -> None:
        timers = Timers(limit=DAY)
        self.scheduler = Scheduler(timers)
        self.scheduler.renew(timers, chooser=chooser, level=level)
        self.engines: list[Engine] = []

    def new_loop(self) -> SimulatedLoop:
        """A loop of this run."""
        loop = SimulatedLoop(self.scheduler)
        self.engines.append(loop)
        return loop

    @property
    def _new_test_loop(self) -> Any:
        """Where asyncio's tests take their loop from: a generator moves its time, ours moves by itself."""

        def new_test_loop(case: Any, _: object = None) -> SimulatedLoop:
            loop = self.new_loop()
            vars(loop)["advance_time"] = lambda seconds: self.scheduler.timers.advance(
                self.scheduler.timers.now() + after_delay(seconds)
            )
            case.set_event_loop(loop)
            return loop

        return new_test_loop

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Whatever makes a loop or a run of trio inside gets one of ours."""
        with ExitStack() as stack:
            stack.enter_context(virtual_process(self.scheduler))
            stack.enter_context(runners_on(self.new_loop, where=self.scheduler.is_mine))
            stack.enter_context(trio_under(self.scheduler, self.engines.append))
            stack.enter_context(OwnRunner().lent())
            stock = sys.modules.get("test.test_asyncio.utils")
            if stock is not None:
                stack.enter_context(replaced(stock.TestCase, "new_test_loop", self._new_test_loop))
            gather = sys.modules.get("test.test_asyncio.test_tasks") or sys.modules.get("test_tasks")
            if gather is not None:
                stack.enter_context(replaced(gather.GatherTestsBase, "_run_loop", _run_to_rest))
            yield
            self.scheduler.in_order()
            self.scheduler.close()
            for engine in self.engines:
                engine.dispose()


def _run_to_rest(_: object, loop: SimulatedLoop) -> None:
    """What asyncio's tests do while the private queue of their loop holds something."""
    while loop.pending():
        loop.call_soon(loop.stop)
        loop.run_forever()


@final
class OnEngines:
    """Runs each test in its orders and keeps the outcomes."""

    def __init__(self, config: pytest.Config) -> None:
        self.order: str = config.getoption("--order")
        self.seeds = range(
            config.getoption("--seed"), config.getoption("--seed") + config.getoption("--seeds")
        )
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.why: dict[str, str] = {}
        self.path: Path | None = config.getoption("--outcomes")

    def chooser(self, name: str, seed: int) -> Chooser:
        """Uniform dice, keyed by the test; stock order needs none."""
        if self.order == "fifo-instant":
            return Fifo()
        return Uniform(dice(seed, name), DeviationRates(stalls=ALWAYS), tail=TAIL)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        from _pytest.runner import runtestprotocol

        if self.order == "stock":
            return None
        for seed in self.seeds:
            if seed != self.seeds[0]:
                item._initrequest()  # type: ignore[attr-defined]
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            run = Run(self.chooser(item.nodeid, seed), Level.parse(self.order))
            with run.lent():
                runtestprotocol(item, nextitem=nextitem if seed == self.seeds[-1] else None, log=True)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid][report.outcome] += 1
            if report.failed:
                self.why.setdefault(report.nodeid, str(report.longrepr)[-3000:])

    def pytest_sessionfinish(self) -> None:
        if self.path is not None:
            found: dict[str, Any] = {"outcomes": self.outcomes, "why": self.why}
            self.path.write_text(json.dumps(found, indent=1) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("engines")
    group.addoption("--order", default="fifo-instant")
    group.addoption("--seed", type=int, default=0)
    group.addoption("--seeds", type=int, default=1)
    group.addoption("--outcomes", type=Path, default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(OnEngines(config), "on-engines")
