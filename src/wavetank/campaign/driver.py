"""Runs a campaign: one pytest session after another until a limit, Ctrl-C or no schedule left."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final, final

from ..clock import SECOND, real_now
from ..progress import Display, display_on
from ..pytest_plugin.annotations import on_github
from ..tank.kept_folder import FOLDER
from . import campaign_report as report
from . import state
from .campaign_options import CampaignError, CampaignOptions, explored
from .protocol import UNLIMITED, Collected, Progress, SearchEnd, SearchPlan, SessionPlan
from .pytest_session import Session, command
from .state import FILE, SearchedTest, StateError

_POLL: Final = 0.1
"""Real seconds between two looks at the messages: often enough for a display that moves."""
_SAVE_EVERY: Final = 2 * SECOND
"""Real time between two writes of the state: what a campaign loses at most when it is killed."""
_GRACE: Final = 60.0
"""Real seconds in which a session that was asked to end may shrink a failure: some need half a minute."""
_SHORT_GRACE: Final = 15.0
"""The same after Ctrl-C: a user is waiting."""
_FIRST_SLICE: Final = 5.0
"""Real seconds that each of several tests gets in the first session, so that none waits for long."""
_SLICE_GROWTH: Final = 4
"""How much longer the slices of the next session are: few sessions, as each has to start pytest."""
_SHORTEST_SESSION: Final = 1.0
"""Real seconds below which no other session is started: pytest needs about as long to start."""
_EXIT_STATUSES: Final = range(6)
"""The exit statuses of pytest (`pytest.ExitCode`); any other one is that of a process that was ended."""
_CONTINUE: Final = (0, 1, 5)
"""Those after which a campaign continues: passed, failed, no tests collected."""


def explore(options: CampaignOptions, show: Callable[[dict[str, Any]], object] | None = None) -> int:
    """Run a campaign and report it on the standard output; 1 if a test failed, else 0.

    `show` is called with the report as plain values instead, and the progress goes to the standard error.

    Raises:
        CampaignError: there is no such test, none is explored, or the saved state does not fit.
    """
    folder = Path(mkdtemp(prefix="wavetank-"))
    try:
        with _Interrupts() as interrupts:
            return Campaign(options, folder, interrupts, show).run()
    except StateError as error:
        raise CampaignError(str(error)) from None
    finally:
        rmtree(folder, ignore_errors=True)


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
class Campaign:
    """A campaign that is running; `folder` is for files that are not kept."""

    def __init__(
        self,
        options: CampaignOptions,
        folder: Path,
        interrupts: _Interrupts,
        show: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        self._options = options
        self._show = show
        self._folder = folder
        self._interrupts = interrupts
        self._sessions = count()
        self._tests: dict[str, SearchedTest] = {}
        self._others: dict[str, state.SavedTest] = {}
        self._path = Path()
        self._runs = 0
        self._began: int | None = None
        """When the first message came: the start of pytest does not count as time of the search."""
        self._saved = real_now()

    def run(self) -> int:
        """Collect, search, save and report."""
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

    def _collect(self) -> Collected:
        with self._session(SessionPlan(jobs=1, driver=os.getpid()), collect=True) as session:
            while (status := session.wait(_POLL)) is None and not self._interrupts.count:
                pass
            found = [message for message in session.messages() if isinstance(message, Collected)]
            if found and (status is None or status in _CONTINUE):
                return found[0]
            if self._interrupts.count:
                return Collected("", [], [])
            reason = _reason_in(session.output)
            raise CampaignError(f"pytest cannot collect {' '.join(self._options.tests)}:\n{reason}")

    def _session(self, plan: SessionPlan, *, collect: bool = False) -> Session:
        number = next(self._sessions)
        call = command(
            self._options.tests,
            self._options.overrides,
            cache=self._folder / "cache",
            collect=collect,
            timelines=self._options.timelines,
        )
        return Session(self._folder / f"session-{number}", plan, call)

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
        for number in count():
            left = self._seconds_left
            plan = self._plan(number, left)
            too_short = number and left is not None and left < _SHORTEST_SESSION
            if not plan.tests or self._interrupts.count or too_short:
                return
            before = self._runs
            self._run_session(plan, display)
            if self._runs == before:
                return

    @property
    def _elapsed(self) -> float:
        return 0.0 if self._began is None else (real_now() - self._began) / SECOND

    @property
    def _seconds_left(self) -> float | None:
        return None if self._options.seconds is None else self._options.seconds - self._elapsed

    def _plan(self, number: int, left: float | None) -> SessionPlan:
        """Everything that is left; with a limit of time in growing slices, so that each test has its turn."""
        target = UNLIMITED if self._options.schedules is None else self._options.schedules
        tests = {
            name: SearchPlan(test.schedules, target, test.longest)
            for name, test in self._tests.items()
            if test.end is None and test.schedules < target
        }
        slice_ = None if left is None else left / max(len(tests), 1)
        if slice_ is not None and len(tests) > 1:
            slice_ = min(slice_, _FIRST_SLICE * _SLICE_GROWTH**number)
        return SessionPlan(
            jobs=max(self._options.processes, 1),
            driver=os.getpid(),
            deadline=None if left is None or not number else real_now() + int(left * SECOND),
            slice=slice_,
            tests=tests,
        )

    def _run_session(self, plan: SessionPlan, display: Display) -> None:
        with self._session(plan) as session:
            asked_to_end: int | None = None
            while True:
                status = session.wait(_POLL)
                self._take_messages(session, display)
                if status is not None:
                    break
                if asked_to_end is None and self._must_end:
                    session.stop()
                    asked_to_end = real_now()
                    if self._interrupts.count:
                        display.say("stopping; once more Ctrl-C ends it at once")
                elif asked_to_end is not None and self._too_late(asked_to_end):
                    session.kill()
                    self._take_messages(session, display)
                    if self._interrupts.count < 2:
                        self._lost(
                            "a run, or the shrinking of a failure, did not end in time: is it blocked?"
                        )
                    return
            if status not in _EXIT_STATUSES:
                self._lost(f"its process ended with status {status}")
            elif status not in _CONTINUE:
                self._save()
                raise CampaignError(f"pytest ended with status {status}:\n{_reason_in(session.output)}")

    @property
    def _must_end(self) -> bool:
        left = self._seconds_left
        return self._interrupts.count > 0 or (left is not None and left < 0)

    def _too_late(self, asked_to_end: int) -> bool:
        grace = _SHORT_GRACE if self._interrupts.count else _GRACE
        return self._interrupts.count > 1 or (real_now() - asked_to_end) / SECOND > grace

    def _lost(self, why: str) -> None:
        for test in self._tests.values():
            test.lost(why)

    def _take_messages(self, session: Session, display: Display) -> None:
        """Add up what the session reports, show it, and save it every two seconds."""
        for message in session.messages():
            if isinstance(message, Collected):
                continue
            if self._began is None:
                self._began = real_now()
            if isinstance(message, Progress):
                self._runs += message.runs
            test = self._tests[message.test]
            failed = test.failed
            test.take(message)
            if isinstance(message, SearchEnd) and test.failed and not failed:
                what = message.kind or "it fails"
                display.say(f"{message.test}: {what} after {test.schedules} schedules")
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
        scenarios = self._options.overrides.scenario_names()
        resume = self._resume_command if any(test.end is None for test in tests) else None
        totals: dict[str, Any] = {
            "runs": self._runs,
            "seconds": self._elapsed,
            "processes": self._options.processes,
        }
        values = report.values(tests, scenarios, resume=resume, **totals)
        if self._options.page is not None:
            self._write_page(self._options.page, values)
        if self._show is not None:
            self._show(values)
        else:
            print(*report.failures(tests), *report.summary(tests, scenarios, **totals), sep="\n")
            if resume is not None:
                print(f"to go on: {resume}")
            if self._options.page is not None:
                print(f"page: {self._options.page}")
        if on_github():
            for line in report.github_lines(tests):
                print(line, file=sys.stdout if self._show is None else sys.stderr)
        return int(any(test.failed for test in tests))

    def _write_page(self, page: Path, values: dict[str, Any]) -> None:
        from .campaign_page import campaign_page

        try:
            page.write_bytes(campaign_page(values, page.resolve()))
        except OSError as error:
            raise CampaignError(f"{page} cannot be written: {error.strerror}") from None

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
        if options.page is not None:
            words += ["--html", str(options.page)]
        return shlex.join(words)


def _reason_in(output: str) -> str:
    """The lines of pytest's output that give the reason: its errors, else its last lines."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "wavetank"))]
    return "\n".join(errors or lines[-30:])
