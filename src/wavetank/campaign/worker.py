"""The pytest plugin of a campaign: each explored test is searched by several workers at the same time.

A worker is a copy of the test that runs in one of the processes of pytest-xdist and searches some shards
of the schedules. It writes its messages to a file.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import msgspec
import pytest

from ..clock import SECOND, real_now
from ..pytest_plugin import SEARCH
from ..pytest_plugin.annotations import error_line
from ..pytest_plugin.explored_tests import SEARCHER
from ..pytest_plugin.options import SEARCHES
from ..pytest_plugin.search_results import RESULTS
from ..report.files import page_of
from ..scenario import Scenario
from ..tank.runs.trial_runs import Trial
from ..tank.search.search import Result, search
from ..tank.tank import Tank
from .coverage import ChoicePoints, DistinctCount, schedule_digest
from .protocol import (
    STOP,
    VARIABLE,
    Collected,
    Message,
    Progress,
    SearchEnd,
    SessionPlan,
    WorkerFinished,
    WorkerStarted,
    stop_file,
)

CHUNK: Final = 20_000
"""Schedules of one search: a search remembers every schedule it has made, which takes memory."""

WHOLE: Final = ("exhaustive", "fifo")
"""Policies without random choices: their schedules are not split, the first worker makes all of them."""

_REPORT_EVERY: Final = 3 * SECOND // 10
"""Real time between two messages of a worker: the display moves, and writing costs next to nothing."""

_CHANNEL: Final[pytest.StashKey[WorkerChannel]] = pytest.StashKey()
_NOT_REPORTED: Final = "wavetank campaign: "
"""How the reason begins where a worker skips its test because it has nothing to do."""


@final
class WorkerChannel:
    """The plan of the session, and the file to which this process writes its messages."""

    def __init__(self, path: Path) -> None:
        self.plan = msgspec.json.decode(path.read_bytes(), type=SessionPlan)
        self.folder = path.parent
        self._file = self.folder / f"messages-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.ndjson"

    def send(self, message: Message) -> None:
        """Append a whole line to the file: the driver reads it while it is written."""
        with self._file.open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(message) + b"\n")

    def must_stop(self, test: str) -> bool:
        """Whether the search of a test must end: time is up, it has failed elsewhere, the driver is gone."""
        deadline = self.plan.deadline
        if deadline is not None and real_now() >= deadline:
            return True
        if (self.folder / STOP).exists() or stop_file(self.folder, test).exists():
            return True
        return os.name == "posix" and not _alive(self.plan.driver)


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
    config.stash[_CHANNEL] = WorkerChannel(Path(os.environ[VARIABLE]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    channel = config.stash[_CHANNEL]
    explored = [item for item in items if isinstance(item, pytest.Function) and SEARCH in item.fixturenames]
    if not channel.plan.tests:
        others = [item.nodeid for item in items if item not in explored]
        channel.send(Collected(str(config.rootpath), [item.nodeid for item in explored], others))
    wanted = [item for item in explored if item.nodeid in channel.plan.tests]
    out = [item for item in items if item not in wanted]
    if out:
        config.hook.pytest_deselected(items=out)
    items[:] = [worker for item in wanted for worker in _workers_of(item, channel)]


def _workers_of(item: pytest.Function, channel: WorkerChannel) -> list[pytest.Function]:
    """The test as many times as it is searched at the same time."""
    workers = [item, *(_copy_of(item) for _ in range(1, channel.plan.workers))]
    for number, worker in enumerate(workers):
        searcher: Callable[..., Result[Any]] = Searcher(channel, worker.nodeid, number)
        worker.stash[SEARCHER] = searcher
    return workers


def _copy_of(item: pytest.Function) -> pytest.Function:
    """The same test under the same id, because the line that repeats a failure names that id."""
    copy: pytest.Function = type(item).from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        originalname=item.originalname,
    )
    copy.own_markers[:] = item.own_markers
    copy.keywords.update(item.keywords)
    return copy


# -- one worker ----------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.stash[_CHANNEL].must_stop(item.nodeid):
        pytest.skip(_NOT_REPORTED + "the test has been stopped")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that the plugin has added its facts to the report
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    channel = item.config.stash[_CHANNEL]
    if report.failed:
        stop_file(channel.folder, item.nodeid).touch()
        channel.send(_end_by_failure(item, report))
    elif report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if _NOT_REPORTED not in reason:
            channel.send(SearchEnd(item.nodeid, skipped=reason.removeprefix("Skipped: ")))
    return report


def _end_by_failure(item: pytest.Item, report: pytest.TestReport) -> SearchEnd:
    text, annotation = report.longreprtext, error_line(report, item.config.rootpath)
    results = [made.result for made in item.stash.get(RESULTS, [])]
    failures = [result.failure for result in results if result.failure is not None]
    if not failures:
        return SearchEnd(item.nodeid, broken=text, annotation=annotation)
    return SearchEnd(
        item.nodeid,
        failure=text,
        kind=failures[0].kind or "",
        token=failures[0].schedule,
        annotation=annotation,
        timeline=page_of(log) if (log := vars(report).get(SEARCHES, {}).get("report")) else "",
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A worker process that died is reported by pytest-xdist only, in the process that leads the others."""
    if report.when not in ("setup", "call", "teardown"):
        channel = WorkerChannel(Path(os.environ[VARIABLE]))
        channel.send(SearchEnd(report.nodeid, broken=report.longreprtext))


@final
class Searcher:
    """Replaces `wavetank.search` in one worker: it makes the worker's part of the schedules."""

    def __init__(self, channel: WorkerChannel, test: str, number: int) -> None:
        self._channel = channel
        self._test = test
        self._number = number

    def __call__(
        self, main: Callable[[Tank], Awaitable[Any]], scenario: Scenario, **wanted: Any
    ) -> Result[Any]:
        """Search as `wanted`, except for the schedules and seconds, which the plan decides."""
        session = self._channel.plan
        whole = str(wanted.get("policy", "")).partition(":")[0] in WHOLE
        plan, workers = session.tests[self._test], 1 if whole else session.workers
        if self._number >= min(workers, plan.left):
            pytest.skip(_NOT_REPORTED + "nothing to do for this worker")
        left = plan.target if whole else plan.left // workers + (self._number < plan.left % workers)
        wanted.update(main=main, scenario=scenario)
        self._channel.send(WorkerStarted(self._test, scenario.name))
        try:
            return self._search(left, plan.shard + self._number, wanted, whole=whole)
        finally:
            self._channel.send(WorkerFinished(self._test))

    def _search(self, left: int, shard: int, wanted: dict[str, Any], *, whole: bool) -> Result[Any]:
        """Search shard after shard; the result of the last one."""
        workers = self._channel.plan.workers
        reporter = _Reporter(self._channel, self._test, restarted=whole)
        while True:
            schedules = left if whole else min(left, CHUNK)
            wanted.update(schedules=schedules, seconds=None, shard=shard)
            with reporter.for_shard(shard):
                result: Result[Any] = search(watch=reporter.add_run, **wanted)
            left, shard = left - result.schedules, shard + workers
            if result.failure is None and result.schedules < schedules and not reporter.stopped:
                reason = result.proved or "the policy has no other schedule"
                self._channel.send(SearchEnd(self._test, exhausted=reason))
            elif result.failure is None and left and not reporter.stopped:
                continue
            return result


@final
class _Reporter:
    """Reports the progress of a worker, and finds out at the same time whether it has to stop."""

    def __init__(self, channel: WorkerChannel, test: str, *, restarted: bool) -> None:
        self._channel = channel
        self._test = test
        self._restarted = restarted
        self._distinct = DistinctCount()
        self._points = ChoicePoints()
        self._shard = 0
        self._runs = 0
        self._new: list[int] = []
        now, slice_ = real_now(), channel.plan.slice
        self._next = now + _REPORT_EVERY
        self._until = None if slice_ is None else now + int(slice_ * SECOND)
        self.stopped = False

    @contextmanager
    def for_shard(self, shard: int) -> Iterator[None]:
        """Count the runs of a shard; what is left to report is sent at its end."""
        self._shard = shard
        try:
            yield
        finally:
            self._send_progress()

    def add_run(self, trial: Trial) -> bool:
        """Add one run; whether the worker has to stop."""
        record = trial.record
        assert record is not None
        self._runs += 1
        digest = schedule_digest(record, trial.level)
        if self._distinct.add(digest):
            self._new.append(digest)
        self._points.add_run(record)
        now = real_now()
        if now >= self._next:
            self._next = now + _REPORT_EVERY
            self._send_progress()
            self.stopped = self._channel.must_stop(self._test)
        if self._until is not None and now >= self._until:
            self.stopped = True
        return self.stopped

    def _send_progress(self) -> None:
        if self._runs:
            changes = self._points.take_changes()
            self._channel.send(
                Progress(self._test, self._shard, self._runs, self._new, changes, restarted=self._restarted)
            )
        self._runs, self._new, self._restarted = 0, [], False
