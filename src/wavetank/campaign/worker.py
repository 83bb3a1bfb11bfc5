"""The pytest plugin of a campaign: it makes the schedules of each explored test that it is ordered to make.

It waits for an order before each test, and between two orders of one test inside it, so that fixtures are
made once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
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
from ..scenario import Scenario, digest
from ..sim.fingerprint import fingerprint
from ..sim.policies import policy_class
from ..tank.runs.run_options import SearchOptions
from ..tank.search.made_schedule import Made
from ..tank.search.search import Earlier, Result, ScheduleSearch, search
from ..tank.tank import Tank
from .coverage import ChoicePoints, DistinctCount, schedule_digest
from .protocol import (
    VARIABLE,
    Collected,
    Message,
    Order,
    RangeMade,
    Running,
    SearchEnd,
    Stop,
    TestOver,
)

_REPORT_EVERY: Final = 3 * SECOND // 10
"""Real time between two messages: the display moves, and writing costs next to nothing."""
_PATIENCE: Final = 60.0
"""Real seconds without an order after which a session ends: a driver that is gone cannot end it elsewhere."""

_CHANNEL: Final[pytest.StashKey[Channel]] = pytest.StashKey()
_FOUND: Final[pytest.StashKey[tuple[list[str], list[str]]]] = pytest.StashKey()
_NOT_REPORTED: Final = "wavetank campaign: "
"""How the reason begins where a test is skipped because there is nothing to do."""


@final
class Channel:
    """The connection to the driver: orders come, and messages go."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._order: Order | None = None
        self._open = True
        self.begun = ""
        """The test that is under way."""

    def send(self, message: Message) -> None:
        """Send a message, unless the driver is gone."""
        try:
            self._connection.send_bytes(msgspec.json.encode(message))
        except OSError:
            self._open = False

    def order_for(self, test: str) -> Order | None:
        """Wait for the next order: it, if it is one of this test; `None` if it is not, or none will come."""
        while self._open and self._order is None:
            message = self._received(_PATIENCE)
            if isinstance(message, Order):
                self._order = message
            elif message is None:
                self._open = False
        order = self._order
        if order is None or order.test != test:
            return None
        self.begun = test
        return order

    def take(self) -> None:
        """The order is under way, and another one may come."""
        self._order = None

    def over(self, test: str) -> None:
        """Report that a test is over, unless nothing was ordered of it; one that broke took no order."""
        if self.begun == test:
            self.begun = ""
            if self._order is not None and self._order.test == test:
                self._order = None
            self.send(TestOver(test))

    def must_stop(self) -> bool:
        """Whether the driver asks the search to end, or is gone."""
        return not self._open or isinstance(self._received(0.0), Stop) or not self._open

    def _received(self, seconds: float) -> Order | Stop | None:
        try:
            if not self._connection.poll(seconds):
                return None
            return msgspec.json.decode(self._connection.recv_bytes(), type=Order | Stop)
        except (EOFError, OSError):
            self._open = False
            return None


# -- which tests ---------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    descriptor = int(os.environ.pop(VARIABLE))
    os.set_inheritable(descriptor, False)
    config.stash[_CHANNEL] = Channel(Connection(descriptor))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    channel = config.stash[_CHANNEL]
    explored = [item for item in items if isinstance(item, pytest.Function) and SEARCH in item.fixturenames]
    others = [item for item in items if item not in explored]
    config.stash[_FOUND] = [item.nodeid for item in explored], [item.nodeid for item in others]
    if others:
        config.hook.pytest_deselected(items=others)
    for item in explored:
        searcher: Callable[..., Result[Any]] = Searcher(channel, item.nodeid)
        item.stash[SEARCHER] = searcher
    items[:] = explored


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """All is collected; with errors pytest ends now, and its exit status says so."""
    config = session.config
    if not session.testsfailed or config.option.continue_on_collection_errors:
        explored, others = config.stash[_FOUND]
        config.stash[_CHANNEL].send(Collected(str(config.rootpath), explored, others))


# -- one test ------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.stash[_CHANNEL].order_for(item.nodeid) is None:
        pytest.skip(_NOT_REPORTED + "nothing is ordered of this test")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    handled = yield
    item.config.stash[_CHANNEL].over(item.nodeid)
    return handled


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
    """Replaces `wavetank.search` in a campaign: it makes the schedules that are ordered."""

    def __init__(self, channel: Channel, test: str) -> None:
        self._channel = channel
        self._test = test
        self._searches = 0

    def __call__(
        self,
        main: Callable[[Tank], Any],
        scenario: Scenario,
        *,
        replay: Callable[[str], str],
        **wanted: Any,
    ) -> Result[Any]:
        """Search as `wanted`, except for the schedules, seconds and processes, which the orders decide.

        Orders are for the first search of a test; a later one is made when that is over, as it would be
        without a campaign.
        """
        self._searches += 1
        if self._searches > 1:
            return search(main, scenario, replay=replay, **wanted)
        while (order := self._channel.order_for(self._test)) is not None:
            self._channel.take()
            making = _RangeSearch(self._channel, order, main, scenario, wanted)
            result = making.result(replay)
            if result is not None:
                return result
        pytest.skip(_NOT_REPORTED + "nothing else is ordered of this test")


@final
class _RangeSearch:
    """Makes what one order says, and reports it."""

    def __init__(
        self,
        channel: Channel,
        order: Order,
        main: Callable[[Tank], Any],
        scenario: Scenario,
        wanted: dict[str, Any],
    ) -> None:
        self._samples = policy_class(wanted.get("policy", "portfolio")).SAMPLES
        self._channel = channel
        self._order = order
        self._main = main
        self._scenario = scenario
        self._options = SearchOptions(
            **{**wanted, "schedules": order.until, "seconds": None, "jobs": order.jobs}
        )
        self._distinct = DistinctCount()
        self._new: list[int] = []
        self._points = ChoicePoints()
        self._runs = 0
        self._failed = ""
        self._began = real_now()
        self._next = self._began + _REPORT_EVERY
        self._stopped = False

    def result(self, replay: Callable[[str], str]) -> Result[Any] | None:
        """Make it; what the search came to if the order concludes."""
        order = self._order
        if not self._samples and not order.concludes:
            self._report(None)
            return None
        searching = ScheduleSearch.of_program(
            self._main,
            self._scenario,
            self._options,
            replay=replay,
            watch=self._add,
            earlier=Earlier(order.first, order.longest, order.unmet),
        )
        raised = True
        try:
            searching.until_failure()
            raised = False
        finally:
            self._report(searching, raised=raised)
        if not order.concludes:
            return None
        result = searching.result()
        spent = result.schedules < order.until
        if spent and result.failure is None and not self._samples and not self._stopped:
            reason = result.proved or "the policy has no other schedule"
            self._channel.send(SearchEnd(order.test, exhausted=reason))
        return result

    def _add(self, made: Made) -> bool:
        """Add one schedule; whether the search has to stop."""
        if made.failed:
            self._failed = made.failed
        else:
            self._runs += 1
        if made.record is not None:
            digest = schedule_digest(made.record, made.level)
            if self._distinct.add(digest):
                self._new.append(digest)
            self._points.add_run(made.record)
        now = real_now()
        if now >= self._next:
            self._next = now + _REPORT_EVERY
            self._channel.send(Running(self._runs))
            self._stopped = self._channel.must_stop()
        seconds = self._order.seconds
        if seconds is not None and now - self._began >= int(seconds * SECOND):
            self._stopped = True
        return self._stopped

    def _report(self, searching: ScheduleSearch | None, *, raised: bool = False) -> None:
        identity = f"{digest(self._scenario)}-{fingerprint(self._main):04x}"
        made = RangeMade(
            runs=self._runs,
            failed=self._failed,
            schedules=self._new,
            points=self._points.points,
            scenario=self._scenario.name,
            identity=identity,
            samples=self._samples,
            raised=raised,
            seconds=(real_now() - self._began) / SECOND,
        )
        if searching is not None:
            made = msgspec.structs.replace(
                made, longest=searching.longest, learnt=searching.learnt, unmet=searching.unmet
            )
        self._channel.send(made)
