"""The pytest plugin of a campaign: each explored test is searched from where the campaign has come to.

What is made is written to a file as messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
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
from ..sim.policies import policy_class
from ..tank.runs.run_options import SearchOptions
from ..tank.search.made_schedule import Made
from ..tank.search.search import Result, ScheduleSearch
from ..tank.tank import Tank
from .coverage import ChoicePoints, DistinctCount, schedule_digest
from .protocol import (
    MESSAGES,
    STOP,
    VARIABLE,
    Collected,
    Message,
    Progress,
    SearchEnd,
    SearchPaused,
    SearchStarted,
    SessionPlan,
)

CHUNK: Final = 20_000
"""Schedules of one search: a search remembers every schedule that it has made, which takes memory."""

_REPORT_EVERY: Final = 3 * SECOND // 10
"""Real time between two messages: the display moves, and writing costs next to nothing."""

_CHANNEL: Final[pytest.StashKey[Channel]] = pytest.StashKey()
_NOT_REPORTED: Final = "wavetank campaign: "
"""How the reason begins where a test is skipped because there is nothing to do."""


@final
class Channel:
    """The plan of the session, and the file to which its messages go."""

    def __init__(self, path: Path) -> None:
        self.plan = msgspec.json.decode(path.read_bytes(), type=SessionPlan)
        self._folder = path.parent

    def send(self, message: Message) -> None:
        """Append a whole line to the file: the driver reads it while it is written."""
        with (self._folder / MESSAGES).open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(message) + b"\n")

    def must_stop(self) -> bool:
        """Whether the session must end: time is up, or the driver asks for it or is gone."""
        deadline = self.plan.deadline
        if (deadline is not None and real_now() >= deadline) or (self._folder / STOP).exists():
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
    config.stash[_CHANNEL] = Channel(Path(os.environ[VARIABLE]))


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
    for item in wanted:
        searcher: Callable[..., Result[Any]] = Searcher(channel, item.nodeid)
        item.stash[SEARCHER] = searcher
    items[:] = wanted


# -- one test ------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.stash[_CHANNEL].must_stop():
        pytest.skip(_NOT_REPORTED + "the campaign has been stopped")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that the plugin has added its facts to the report
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    channel = item.config.stash[_CHANNEL]
    if report.failed:
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


@final
class Searcher:
    """Replaces `wavetank.search` in a campaign: it makes the schedules that the plan names."""

    def __init__(self, channel: Channel, test: str) -> None:
        self._channel = channel
        self._test = test

    def __call__(
        self,
        main: Callable[[Tank], Any],
        scenario: Scenario,
        *,
        replay: Callable[[str], str],
        **wanted: Any,
    ) -> Result[Any]:
        """Search as `wanted`, except for the schedules, seconds and processes, which the plan decides."""
        one_process = ""
        self._channel.send(SearchStarted(self._test, scenario.name))
        try:
            result = self._search(main, scenario, replay, wanted)
            one_process = result.one_process
        finally:
            self._channel.send(SearchPaused(self._test, one_process))
        return result

    def _search(
        self,
        main: Callable[[Tank], Any],
        scenario: Scenario,
        replay: Callable[[str], str],
        wanted: dict[str, Any],
    ) -> Result[Any]:
        """Search chunk after chunk; the result of the last one. What cannot be resumed is one chunk."""
        plan, jobs = self._channel.plan.tests[self._test], self._channel.plan.jobs
        resumes = policy_class(wanted.get("policy", "portfolio")).SAMPLES
        first = plan.first if resumes else 0
        reporter = _Reporter(self._channel, self._test, plan.longest, restarted=not resumes)
        while True:
            schedules = min(plan.target - first, CHUNK) if resumes else plan.target
            options = SearchOptions(**{**wanted, "schedules": schedules, "seconds": None, "jobs": jobs})
            searching: ScheduleSearch = ScheduleSearch.of_program(
                main,
                scenario,
                options,
                replay=replay,
                watch=lambda made: reporter.add(made, searching.longest),  # noqa: B023
                first=first,
                longest=reporter.longest,
            )
            try:
                searching.until_failure()
            finally:
                reporter.send()
            result, first = searching.result(), first + searching.made
            if result.failure is None and result.schedules < schedules and not reporter.stopped:
                reason = result.proved or "the policy has no other schedule"
                self._channel.send(SearchEnd(self._test, exhausted=reason))
            elif result.failure is None and first < plan.target and not reporter.stopped:
                continue
            return result


@final
class _Reporter:
    """Reports the progress of a search, and finds out at the same time whether it has to stop."""

    def __init__(self, channel: Channel, test: str, longest: tuple[int, int], *, restarted: bool) -> None:
        self._channel = channel
        self._test = test
        self._restarted = restarted
        self._distinct = DistinctCount()
        self._points = ChoicePoints()
        self._runs = 0
        self._new: list[int] = []
        now, slice_ = real_now(), channel.plan.slice
        self._next = now + _REPORT_EVERY
        self._until = None if slice_ is None else now + int(slice_ * SECOND)
        self.longest = longest
        self.stopped = False

    def add(self, made: Made, longest: tuple[int, int]) -> bool:
        """Add one schedule; whether the search has to stop."""
        self._runs += 1
        self.longest = longest
        record = made.record
        if record is not None:
            digest = schedule_digest(record, made.level)
            if self._distinct.add(digest):
                self._new.append(digest)
            self._points.add_run(record)
        now = real_now()
        if now >= self._next:
            self._next = now + _REPORT_EVERY
            self.send()
            self.stopped = self._channel.must_stop()
        if self._until is not None and now >= self._until:
            self.stopped = True
        return self.stopped

    def send(self) -> None:
        """Report what was made since the last message."""
        if self._runs:
            points = self._points.take_changes()
            self._channel.send(
                Progress(self._test, self._runs, self.longest, self._new, points, restarted=self._restarted)
            )
        self._runs, self._new, self._restarted = 0, [], False
