"""Runs a campaign: hands out schedules of one test after another until a limit, Ctrl-C or none is left."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from itertools import count
from pathlib import Path
from typing import Any, Final, final

from msgspec import structs

from ..clock import SECOND, real_now
from ..engines import Engine, EngineError, engine_of, engine_on, raised_by
from ..progress import Display, display_on
from ..pytest_plugin.annotations import on_github
from ..tank.kept_folder import FOLDER
from ..tank.runs.divergence import passes_here
from ..text import json_document
from . import campaign_report as report
from . import state
from .campaign_options import CampaignError, CampaignOptions, explored, scenario_names
from .comparison import compared, read_report
from .comparison import lines as comparison_lines
from .handout import Handout
from .protocol import Collected, Order, Outcome, SearchEnd
from .pytest_session import SessionRefused
from .sessions import HERE, make_range, program_here
from .state import FILE, SearchedTest, StateError

_POLL: Final = 0.1
"""Real seconds between two looks at what is made: often enough for a display that moves."""
_SAVE_EVERY: Final = 2 * SECOND
"""Real time between two writes of the state: what a campaign loses at most when it is killed."""
_GRACE: Final = 60.0
"""Real seconds in which what was to end by now may shrink a failure: some need half a minute."""
_SHORT_GRACE: Final = 15.0
"""The same after Ctrl-C: a user is waiting."""
_FIRST_SLICE: Final = 5.0
"""Real seconds that each of several tests gets in the first round, so that none waits for long."""
_SLICE_GROWTH: Final = 4
"""How much longer the slices of the next round are: few rounds, as each has to start pytest."""
_SHORTEST_ROUND: Final = 1.0
"""Real seconds below which no other round is begun: pytest needs about as long to start."""
_UNLIMITED: Final = 1 << 62
"""A number of schedules that no campaign reaches; it fits into the 64-bit integers of JSON readers."""


def explore(options: CampaignOptions, show: Callable[[dict[str, Any]], object] | None = None) -> int:
    """Run a campaign and report it on the standard output; 1 if a test failed, else 0.

    `show` is called with the report as plain values instead, and the progress goes to the standard error.

    Raises:
        CampaignError: there is no such test, none is explored, the saved state does not fit, or the engine
            does not answer or differs.
    """
    elsewhere = nullcontext() if options.engine is None else engine_on(options.engine)
    try:
        with _Interrupts() as interrupts, elsewhere as engine:
            return Campaign(options, engine, interrupts, show).run()
    except (StateError, EngineError) as error:
        raise CampaignError(str(error)) from None


@final
class _Interrupts:
    """Counts Ctrl-C, which must not interrupt the driver while it adds up."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> _Interrupts:
        def note(*_: object) -> None:
            self.count += 1

        self._before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


@final
class _TooLate(Exception):
    """What was to end did not end in time, or the user does not wait for it."""


@final
class Campaign:
    """A campaign that is running: here, or on an engine."""

    def __init__(
        self,
        options: CampaignOptions,
        engine: Engine | None,
        interrupts: _Interrupts,
        show: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        self._options = options
        self._show = show
        self._interrupts = interrupts
        self._threads = ThreadPoolExecutor(max(options.processes, 1))
        """Each waits for a pytest session."""
        self._here = engine_of(self._threads, max(options.processes, 1))
        self._engine = engine or self._here
        self._earlier = None if options.compare is None else read_report(options.compare)
        timelines = options.timelines
        self._program = program_here(
            tuple(options.tests),
            overrides=options.overrides,
            timelines=None if timelines is None else str(timelines),
        )
        self._tests: dict[str, SearchedTest] = {}
        self._others: dict[str, state.SavedTest] = {}
        self._identities: dict[str, str] = {}
        self._path = Path()
        self._running = 0
        """Runs of an order that is under way."""
        self._began = real_now()
        """When the tests were there: the start of pytest does not count as time of the search."""
        self._saved = real_now()
        self._asked_to_end: int | None = None

    def run(self) -> int:
        """Collect, search, save and report."""
        try:
            collected = self._collect()
            self._path = (self._options.folder or Path(collected.rootdir, FOLDER)) / FILE
            self._open(explored(collected, self._options.tests))
            if self._interrupts.count:
                return 0
            self._save()
            try:
                with closing(display_on(None if self._show is None else sys.stderr)) as display:
                    self._search(display)
            finally:
                sys.stdout.flush()
                self._save()
            return self._report()
        finally:
            HERE.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _collect(self) -> Collected:
        collecting = self._threads.submit(HERE.collect, self._program)
        while not collecting.done() and not self._interrupts.count:
            wait([collecting], _POLL)
        if self._interrupts.count:
            HERE.kill()
            return Collected("", [], [])
        try:
            self._began = real_now()
            return collecting.result()
        except SessionRefused as error:
            raise CampaignError(f"pytest cannot collect {' '.join(self._options.tests)}:\n{error}") from None

    # -- the saved state ----------------------------------------------------------------------

    def _open(self, tests: list[str]) -> None:
        """Begin each test from the start, or where the saved state ends."""
        saved = state.read(self._path)
        overrides = self._options.overrides
        if self._options.resume and not saved:
            raise CampaignError(
                f"there is nothing to resume: {self._path} does not exist. Leave --resume out"
            )
        for test in tests:
            found = saved.pop(test, None)
            if found is None or not self._options.resume:
                found = state.SavedTest(overrides)
            elif found.overrides != overrides:
                raise CampaignError(
                    f"{test} was searched with {found.overrides}, and is to go on with {overrides}: "
                    "give the same options, or leave --resume out to start again"
                )
            self._tests[test] = SearchedTest(test, found)
        self._others = saved

    def _save(self) -> None:
        self._saved = real_now()
        tests = {name: test.saved for name, test in self._tests.items()}
        state.write(self._path, {**self._others, **tests})

    # -- searching ----------------------------------------------------------------------------

    def _search(self, display: Display) -> None:
        try:
            for number in count():
                left = self._seconds_left
                tests = [test for test in self._tests.values() if self._is_open(test)]
                too_short = number and left is not None and left < _SHORTEST_ROUND
                if not tests or self._must_end or too_short:
                    break
                for place, test in enumerate(tests):
                    self._search_one(test, self._slice(number, len(tests) - place), display)
            self._conclude_all(display)
        except _TooLate:
            HERE.kill()

    @property
    def _runs(self) -> int:
        """Schedules that were made in this campaign, and count."""
        return self._running + sum(test.schedules - test.resumed for test in self._tests.values())

    @property
    def _target(self) -> int:
        return _UNLIMITED if self._options.schedules is None else self._options.schedules

    def _is_open(self, test: SearchedTest) -> bool:
        return test.end is None and not test.over and test.schedules < self._target

    @property
    def _elapsed(self) -> float:
        return (real_now() - self._began) / SECOND

    @property
    def _seconds_left(self) -> float | None:
        return None if self._options.seconds is None else max(self._options.seconds - self._elapsed, 0.0)

    @property
    def _must_end(self) -> bool:
        return self._interrupts.count > 0 or self._seconds_left == 0.0

    def _slice(self, number: int, tests: int) -> float | None:
        """Real seconds for the next of so many tests: in growing slices, so that each has its turn."""
        left = self._seconds_left
        if left is None:
            return None
        share = left / tests
        return min(share, _FIRST_SLICE * _SLICE_GROWTH**number) if tests > 1 or number else share

    def _search_one(self, test: SearchedTest, slice_: float | None, display: Display) -> None:
        """Search a test until it fails, ends, has all its schedules, or its slice of the time is over."""
        handout = Handout(test, self._target)
        until = None if slice_ is None else real_now() + int(slice_ * SECOND)
        orders: dict[Future[Outcome], Order] = {}
        while not handout.over and not test.alone:
            left = None if until is None else (until - real_now()) / SECOND
            if not self._must_end and (left is None or left > 0):
                self._hand_out(handout, orders, left)
            if not orders:
                break
            for future in self._wait(orders, display):
                order = orders.pop(future)
                handout.take(order, self._outcome(order, future))
            self._tick(display)
        for future in orders:
            future.cancel()
        if handout.failing is not None and not self._interrupts.count:
            self._conclude_failing(test, handout.failing, display)
        elif test.alone and not self._must_end:
            whole = Order(test.test, 0, self._target, seconds=slice_, jobs=self._here.slots(), concludes=True)
            self._make_here(test, whole, display)

    def _hand_out(self, handout: Handout, orders: dict[Future[Outcome], Order], left: float | None) -> None:
        """Give every worker something to do."""
        # What a test is here, its first schedules show; workers elsewhere are compared with that.
        known = handout.test.test in self._identities
        engine = self._engine if known else self._here
        while len(orders) < engine.slots() and (order := handout.next(engine.slots(), left)):
            program = self._program
            if engine is not self._here:
                program = structs.replace(program, timelines=None)
            orders[engine.submit(make_range, program, order)] = order
            if not known:
                return

    def _wait(self, orders: dict[Future[Outcome], Order], display: Display) -> set[Future[Outcome]]:
        """Wait until an order is made, or a moment.

        Raises:
            _TooLate: one does not end, though it was to.
        """
        if self._must_end and self._asked_to_end is None:
            self._asked_to_end = real_now()
            if self._interrupts.count:
                display.say("stopping; once more Ctrl-C ends it at once")
            HERE.stop()
        done, _ = wait(orders, _POLL, FIRST_COMPLETED)
        if not done and self._asked_to_end is not None:
            grace = _SHORT_GRACE if self._interrupts.count else _GRACE
            if self._interrupts.count > 1 or (real_now() - self._asked_to_end) / SECOND > grace:
                if self._interrupts.count < 2:
                    why = "a run, or the shrinking of a failure, did not end in time: is it blocked?"
                    for test in {order.test for order in orders.values()}:
                        self._tests[test].take_end(SearchEnd(test, broken=why))
                raise _TooLate
        return done

    def _outcome(self, order: Order, future: Future[Outcome]) -> Outcome:
        """What became of an order, if it was made of the same program and scenario as here.

        Raises:
            CampaignError: it was not, or no session could start.
            EngineError: the engine has lost it.
        """
        try:
            outcome = future.result()
        except Exception as error:
            raise raised_by(self._engine, error) from None
        if outcome.refused:
            where = f" ({outcome.worker})" if self._engine is not self._here else ""
            raise CampaignError(outcome.refused + where)
        identity = outcome.made.identity
        if identity and identity != self._identities.setdefault(order.test, identity):
            raise CampaignError(
                f"{order.test}: the program or the scenario on {outcome.worker} is another one than here: "
                "give the workers the same files"
            )
        for end in outcome.ends:
            if end.test != order.test:
                self._tests[end.test].take_end(end)
        return outcome

    # -- the last order of a test ---------------------------------------------------------------

    def _conclude_failing(self, test: SearchedTest, failing: Outcome, display: Display) -> None:
        """Make the failing schedule here, wherever it was found, and shrink it."""
        number = test.schedules
        last = Order(
            test.test,
            number,
            number + 1,
            test.longest_at(number),
            test.unmet,
            concludes=True,
        )
        outcome = self._make_here(test, last, display)
        if test.end is None and not outcome.made.failed:
            error = passes_here(number, f"{failing.made.failed} ({failing.worker})")
            test.take_end(SearchEnd(test.test, broken=str(error)))

    def _conclude_all(self, display: Display) -> None:
        """Let each test go on with a result without a failure: some things are judged of all runs."""
        for test in self._tests.values():
            done = test.end is None and not test.over and not test.alone and test.schedules
            if done and not self._interrupts.count:
                order = Order(test.test, test.schedules, test.schedules, unmet=test.unmet, concludes=True)
                self._make_here(test, order, display)

    def _make_here(self, test: SearchedTest, order: Order, display: Display) -> Outcome:
        """Make an order that concludes the search of a test."""

        def watch(runs: int) -> None:
            self._running = runs

        failed = test.failed
        orders = {self._threads.submit(HERE.make, self._program, order, watch): order}
        while not (done := self._wait(orders, display)):
            self._tick(display)
        outcome = self._outcome(order, done.pop())
        self._running = 0
        test.take(outcome.made)
        test.schedules += bool(outcome.made.failed)
        for end in outcome.ends:
            if end.test == test.test:
                test.take_end(end)
        if outcome.lost:
            test.take_end(SearchEnd(test.test, broken=outcome.lost))
        test.over = True
        if test.failed and not failed and test.end is not None:
            what = test.end.kind or "it fails"
            display.say(f"{test.test}: {what} after {test.schedules} schedules")
        return outcome

    def _tick(self, display: Display) -> None:
        self._show_progress(display)
        if real_now() - self._saved > _SAVE_EVERY:
            self._save()

    def _show_progress(self, display: Display) -> None:
        tests = [*self._tests.values()]
        target, seconds = self._options.schedules, self._options.seconds
        done = 0.0 if seconds is None else self._elapsed / seconds
        if target is not None:
            parts = [1.0 if test.end is not None else min(test.schedules / target, 1.0) for test in tests]
            done = max(done, sum(parts) / len(parts))
        text = report.progress_text(tests, target=target, runs=self._runs, seconds=self._elapsed)
        display.show(done, text)

    # -- the end ------------------------------------------------------------------------------

    def _report(self) -> int:
        tests = [*self._tests.values()]
        scenarios = scenario_names(self._options.overrides)
        resume = self._resume_command if any(test.end is None for test in tests) else None
        totals = report.Totals(self._runs, self._elapsed, self._engine.slots(), self._options.engine)
        values = report.values(tests, scenarios, totals, resume=resume)
        rows = None if self._earlier is None else compared(self._earlier, values["tests"])
        if rows is not None:
            values["compared"] = {"file": str(self._options.compare), "tests": rows}
        files = self._write_files(values)
        if self._show is not None:
            self._show(values)
        else:
            print(*report.failures(tests), *report.summary(tests, scenarios, totals), sep="\n")
            if rows is not None and self._options.compare is not None:
                print(*comparison_lines(rows, self._options.compare), sep="\n")
            if resume is not None:
                print(f"to go on: {resume}")
            for kind, file in files:
                print(f"{kind}: {file}")
        if on_github():
            for line in report.github_lines(tests):
                print(line, file=sys.stdout if self._show is None else sys.stderr)
        return int(any(test.failed for test in tests))

    def _write_files(self, values: dict[str, Any]) -> list[tuple[str, Path]]:
        """Write the files that were asked for; their kinds and paths.

        Raises:
            CampaignError: one cannot be written.
        """
        from .campaign_page import campaign_page
        from .junit import junit

        options = self._options
        wanted: list[tuple[str, Path | None, Callable[[Path], bytes]]] = [
            ("page", options.page, lambda page: campaign_page(values, page.resolve())),
            ("JSON", options.json, lambda _: json_document(values)),
            ("JUnit", options.junit, lambda _: junit(values)),
        ]
        written = [(kind, path, write) for kind, path, write in wanted if path is not None]
        for _, path, write in written:
            try:
                path.write_bytes(write(path))
            except OSError as error:
                raise CampaignError(f"{path} cannot be written: {error.strerror}") from None
        return [(kind, path) for kind, path, _ in written]

    @property
    def _resume_command(self) -> str:
        """The command that continues; with a new target where the old one was reached."""
        options = self._options
        words = ["wavetank", "explore", *options.tests, "--resume", "-n", str(options.processes)]
        target = options.schedules
        if target is not None:
            reached = all(test.end or test.schedules >= target for test in self._tests.values())
            words += ["--schedules", str(2 * target if reached else target)]
        if options.seconds is not None:
            words += ["--seconds", f"{options.seconds:g}"]
        for name, value in options.overrides.pairs():
            words += [f"--{name}", value]
        if options.folder is not None:
            words += ["--state", str(options.folder)]
        files = (("html", options.page), ("json", options.json), ("junit", options.junit))
        for name, file in (*files, ("on", options.engine), ("compare", options.compare)):
            if file is not None:
                words += [f"--{name}", str(file)]
        return shlex.join(words)
