"""The pytest plugin of a campaign: it splits each explored test into lanes that search side by side.

It runs in the processes that pytest starts, and writes what it sees into files of its own.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import msgspec
import pytest

from ..clock import real_now
from ..pytest_plugin import SEARCH
from ..pytest_plugin.annotations import error_line
from ..pytest_plugin.exploring import SEARCHER
from ..pytest_plugin.searched import RESULTS
from ..scenario import Scenario
from ..tank.search import Result, search
from ..tank.tank import Tank
from ..tank.trials import Trial
from .orders import STOP, VARIABLE, Collected, Ended, Fact, Orders, Progress, Shift, marker
from .tally import Seen, Sketch, course_of

CHUNK: Final = 20_000
"""So many schedules a lane searches in one go: a search remembers each of its courses."""

WHOLE: Final = ("exhaustive", "fifo")
"""Policies that throw no dice: their schedules are not split, the first lane makes them all."""

_NEWS_EVERY: Final = 300_000_000
_LANE: Final[pytest.StashKey[int]] = pytest.StashKey()
_OFFICE: Final[pytest.StashKey[Office]] = pytest.StashKey()
_QUIETLY: Final = "wavetank campaign: "


@final
class Office:
    """The orders, and the file of this process for what it has to tell."""

    def __init__(self, path: Path) -> None:
        self.orders = msgspec.json.decode(path.read_bytes(), type=Orders)
        self.folder = path.parent
        self._file = self.folder / f"facts-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.ndjson"

    def tell(self, fact: Fact) -> None:
        """Add a line to the file, whole, so that the driver may read while it is written."""
        with self._file.open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(fact) + b"\n")

    def over(self, test: str) -> bool:
        """Whether a test has to stop: all is over, it has failed elsewhere, or nobody waits for it."""
        deadline = self.orders.deadline
        if deadline is not None and real_now() >= deadline:
            return True
        if (self.folder / STOP).exists() or marker(self.folder, test).exists():
            return True
        return os.name == "posix" and not _alive(self.orders.driver)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# -- which tests ---------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OFFICE] = Office(Path(os.environ[VARIABLE]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    office = config.stash[_OFFICE]
    explored = [item for item in items if isinstance(item, pytest.Function) and SEARCH in item.fixturenames]
    if not office.orders.tests:
        others = [item.nodeid for item in items if item not in explored]
        office.tell(Collected(str(config.rootpath), [item.nodeid for item in explored], others))
    wanted = [item for item in explored if item.nodeid in office.orders.tests]
    out = [item for item in items if item not in wanted]
    if out:
        config.hook.pytest_deselected(items=out)
    items[:] = [lane for item in wanted for lane in _lanes(item, office)]


def _lanes(item: pytest.Function, office: Office) -> list[pytest.Function]:
    """The test as often as it is to be searched side by side."""
    lanes = [item, *(_twin(item) for _ in range(1, office.orders.lanes))]
    for number, lane in enumerate(lanes):
        lane.stash[_LANE] = number
        searcher: Callable[..., Result[Any]] = Searcher(office, lane.nodeid, number)
        lane.stash[SEARCHER] = searcher
    return lanes


def _twin(item: pytest.Function) -> pytest.Function:
    """The same test once more, under the same id: a failure is repeated by the id of the test."""
    twin: pytest.Function = type(item).from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        originalname=item.originalname,
    )
    twin.own_markers[:] = item.own_markers
    twin.keywords.update(item.keywords)
    return twin


# -- one lane ------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.stash[_OFFICE].over(item.nodeid):
        pytest.skip(_QUIETLY + "the test has been stopped")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that the plugin has added its facts to the report
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    office = item.config.stash[_OFFICE]
    if report.failed:
        marker(office.folder, item.nodeid).touch()
        office.tell(_failed(item, report))
    elif report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if _QUIETLY not in reason:
            office.tell(Ended(item.nodeid, skipped=reason.removeprefix("Skipped: ")))
    return report


def _failed(item: pytest.Item, report: pytest.TestReport) -> Ended:
    text, annotation = report.longreprtext, error_line(report, item.config.rootpath)
    results = [made.result for made in item.stash.get(RESULTS, [])]
    failures = [result.failure for result in results if result.failure is not None]
    if not failures:
        return Ended(item.nodeid, broken=text, annotation=annotation)
    return Ended(
        item.nodeid,
        failure=text,
        kind=failures[0].kind or "",
        token=failures[0].schedule,
        annotation=annotation,
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A worker process that died is told by pytest-xdist alone, in the process that leads the others."""
    if report.when not in ("setup", "call", "teardown"):
        Office(Path(os.environ[VARIABLE])).tell(Ended(report.nodeid, broken=report.longreprtext))


@final
class Searcher:
    """Stands in for `wavetank.search` in one lane: its part of the schedules, until it is to stop."""

    def __init__(self, office: Office, test: str, number: int) -> None:
        self._office = office
        self._test = test
        self._number = number

    def __call__(
        self, main: Callable[[Tank], Awaitable[Any]], scenario: Scenario, **wanted: Any
    ) -> Result[Any]:
        """Search as `wanted`, but for the schedules and seconds, which the campaign knows better."""
        orders = self._office.orders
        whole = str(wanted.get("policy", "")).partition(":")[0] in WHOLE
        order, lanes = orders.tests[self._test], 1 if whole else orders.lanes
        if self._number >= min(lanes, order.left):
            pytest.skip(_QUIETLY + "nothing to do for this lane")
        left = order.target if whole else order.left // lanes + (self._number < order.left % lanes)
        wanted.update(main=main, scenario=scenario)
        self._office.tell(Shift(self._test, begins=True, scenario=scenario.name))
        try:
            return self._searched(left, order.shard + self._number, wanted, whole=whole)
        finally:
            self._office.tell(Shift(self._test, begins=False))

    def _searched(self, left: int, shard: int, wanted: dict[str, Any], *, whole: bool) -> Result[Any]:
        """Search shard after shard; the result of the last one."""
        lanes = self._office.orders.lanes
        log = _Log(self._office, self._test, anew=whole)
        while True:
            asked = left if whole else min(left, CHUNK)
            wanted.update(schedules=asked, seconds=None, shard=shard)
            with log.of(shard):
                result: Result[Any] = search(watch=log.saw, **wanted)
            left, shard = left - result.schedules, shard + lanes
            if result.failure is None and result.schedules < asked and not log.stopped:
                self._spent(result)
            elif result.failure is None and left and not log.stopped:
                continue
            return result

    def _spent(self, result: Result[Any]) -> None:
        what = result.proved or "the policy has no other schedule"
        self._office.tell(Ended(self._test, spent=what))


@final
class _Log:
    """What a lane sees, told every now and then; the same moment decides whether it goes on."""

    def __init__(self, office: Office, test: str, *, anew: bool) -> None:
        self._office = office
        self._test = test
        self._anew = anew
        self._sketch = Sketch()
        self._seen = Seen()
        self._shard = 0
        self._runs = 0
        self._courses: list[int] = []
        now, slice_ = real_now(), office.orders.slice
        self._next = now + _NEWS_EVERY
        self._until = None if slice_ is None else now + int(slice_ * 1e9)
        self.stopped = False

    @contextmanager
    def of(self, shard: int) -> Iterator[None]:
        """Note the runs of a shard, and tell of them at its end at the latest."""
        self._shard = shard
        try:
            yield
        finally:
            self._tell()

    def saw(self, trial: Trial) -> bool:
        """Take in one run; whether the lane has to stop."""
        record = trial.record
        assert record is not None
        self._runs += 1
        course = course_of(record, trial.level)
        if self._sketch.add(course):
            self._courses.append(course)
        self._seen.note(record)
        now = real_now()
        if now >= self._next:
            self._next = now + _NEWS_EVERY
            self._tell()
            self.stopped = self._office.over(self._test)
        if self._until is not None and now >= self._until:
            self.stopped = True
        return self.stopped

    def _tell(self) -> None:
        if self._runs:
            news = self._seen.news()
            self._office.tell(
                Progress(self._test, self._shard, self._runs, self._courses, news, anew=self._anew)
            )
        self._runs, self._courses, self._anew = 0, [], False
