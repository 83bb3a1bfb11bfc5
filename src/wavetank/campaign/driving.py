"""Drives a campaign: session after session of pytest until a limit, Ctrl-C or nothing left to search."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final, final

from ..clock import real_now
from ..pytest_plugin.annotations import on_github
from . import state, telling
from .asking import Asked, Refused, explored, scenario_names
from .display import Display, Figures, display_on
from .orders import UNLIMITED, Collected, Ended, Order, Orders, Progress
from .session import Session, command
from .state import FILE, FOLDER, Course, StateError

_POLL: Final = 0.1
_SAVE_EVERY: Final = 2_000_000_000
_GRACE: Final = 60.0
"""Real seconds in which lanes that were asked to end may shrink what they have found."""
_SHORT_GRACE: Final = 15.0
"""The same after Ctrl-C."""
_FIRST_SLICE: Final = 5.0
_LEAST: Final = 1.0
"""Real seconds below which another session is not worth its start."""
_PYTEST: Final = range(6)
"""The exit statuses of pytest, and those of them after which a campaign goes on."""
_FINE: Final = (0, 1, 5)


def explore(asked: Asked, show: Callable[[dict[str, Any]], object] | None = None) -> int:
    """Make a campaign and report it on the standard output; 1 if a test failed, else 0.

    With `show` it gets the report as plain values, and the progress goes to the standard error.

    Raises:
        Refused: there is no such test, none is explored, or the kept state does not fit.
    """
    folder = Path(mkdtemp(prefix="wavetank-"))
    try:
        with _Interrupts() as interrupts:
            return Campaign(asked, folder, interrupts, show).run()
    except StateError as error:
        raise Refused(str(error)) from None
    finally:
        rmtree(folder, ignore_errors=True)


@final
class _Interrupts:
    """Counts Ctrl-C, which must not hit in the middle of a sum."""

    def __init__(self) -> None:
        self.many = 0

    def __enter__(self) -> _Interrupts:
        def note(*_: object) -> None:
            self.many += 1

        self._before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


@final
class Campaign:
    """One campaign under way; `folder` is for what lives no longer than it."""

    def __init__(
        self,
        asked: Asked,
        folder: Path,
        interrupts: _Interrupts,
        show: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        self._asked = asked
        self._show = show
        self._folder = folder
        self._interrupts = interrupts
        self._sessions = count()
        self._courses: dict[str, Course] = {}
        self._others: dict[str, state.Kept] = {}
        self._path = Path()
        self._runs = 0
        self._began: int | None = None
        """When the first lane told something: what pytest needs to start is no time of the search."""
        self._saved = real_now()

    def run(self) -> int:
        """Collect, search, keep and tell."""
        collected = self._collected()
        self._path = (self._asked.folder or Path(collected.rootdir, FOLDER)) / FILE
        self._open(explored(collected, self._asked.tests))
        if self._interrupts.many:
            return 0
        self._save()
        with _closing(display_on(None if self._show is None else sys.stderr)) as display:
            self._search(display)
        self._save()
        return self._tell()

    def _collected(self) -> Collected:
        with self._session(Orders(lanes=1, driver=os.getpid()), processes=0, collect=True) as session:
            while (status := session.wait(_POLL)) is None and not self._interrupts.many:
                pass
            facts = [fact for fact in session.facts() if isinstance(fact, Collected)]
            if facts and (status is None or status in _FINE):
                return facts[0]
            if self._interrupts.many:
                return Collected("", [], [])
            raise Refused(f"pytest cannot collect {' '.join(self._asked.tests)}:\n{_end_of(session.said)}")

    def _session(self, orders: Orders, *, processes: int, collect: bool = False) -> Session:
        number = next(self._sessions)
        call = command(
            self._asked.tests,
            self._asked.words,
            processes=processes,
            cache=self._folder / "cache",
            collect=collect,
        )
        return Session(self._folder / f"session-{number}", orders, call)

    # -- what is kept -------------------------------------------------------------------------

    def _open(self, tests: list[str]) -> None:
        """Begin each test anew, or where the kept state left it."""
        kept = state.read(self._path)
        words = self._asked.words
        if self._asked.resume and not kept:
            raise Refused(f"there is nothing to resume: {self._path} does not exist. Leave --resume out")
        for test in tests:
            found = kept.pop(test, None)
            if found is None or not self._asked.resume:
                found = state.Kept(words)
            elif found.words != words:
                raise Refused(
                    f"{test} was searched with {found.words}, and is to go on with {words}: "
                    "give the same words, or leave --resume out to begin anew"
                )
            self._courses[test] = Course(test, found)
        self._others = kept

    def _save(self) -> None:
        self._saved = real_now()
        tests = {test: course.kept for test, course in self._courses.items()}
        state.write(self._path, {**self._others, **tests})

    # -- searching ----------------------------------------------------------------------------

    def _search(self, display: Display) -> None:
        for number in count():
            left = self._seconds_left
            orders = self._orders(number, left)
            if not orders.tests or self._interrupts.many or (number and left is not None and left < _LEAST):
                return
            before = self._runs
            self._one_session(orders, display)
            if self._runs == before:
                return

    @property
    def _elapsed(self) -> float:
        return 0.0 if self._began is None else (real_now() - self._began) / 1e9

    @property
    def _seconds_left(self) -> float | None:
        return None if self._asked.seconds is None else self._asked.seconds - self._elapsed

    def _orders(self, number: int, left: float | None) -> Orders:
        """Everything that is left; under a limit of time in growing slices, so that each test has a turn."""
        target = UNLIMITED if self._asked.schedules is None else self._asked.schedules
        tests = {
            test: Order(course.next, target - course.schedules, target)
            for test, course in self._courses.items()
            if course.ended is None and course.schedules < target
        }
        piece = None if left is None else left / max(len(tests), 1)
        if piece is not None and len(tests) > 1:
            piece = min(piece, _FIRST_SLICE * 4**number)
        return Orders(
            lanes=max(self._asked.processes, 1),
            driver=os.getpid(),
            deadline=None if left is None or not number else real_now() + int(left * 1e9),
            slice=piece,
            tests=tests,
        )

    def _one_session(self, orders: Orders, display: Display) -> None:
        with self._session(orders, processes=self._asked.processes) as session:
            asked_to_end: int | None = None
            while True:
                status = session.wait(_POLL)
                self._take(session, display)
                if status is not None:
                    break
                if asked_to_end is None and self._must_end:
                    session.stop()
                    asked_to_end = real_now()
                    if self._interrupts.many:
                        display.say("stopping; once more Ctrl-C ends it at once")
                elif asked_to_end is not None and self._too_late(asked_to_end):
                    session.kill()
                    self._take(session, display)
                    if self._interrupts.many < 2:
                        self._lost(
                            "a run, or the shrinking of a failure, did not end in time: is it blocked?"
                        )
                    return
            if status not in _PYTEST:
                self._lost(f"its process ended with status {status}")
            elif status not in _FINE:
                self._save()
                raise Refused(f"pytest ended with status {status}:\n{_end_of(session.said)}")

    @property
    def _must_end(self) -> bool:
        left = self._seconds_left
        return self._interrupts.many > 0 or (left is not None and left < 0)

    def _too_late(self, asked_to_end: int) -> bool:
        grace = _SHORT_GRACE if self._interrupts.many else _GRACE
        return self._interrupts.many > 1 or (real_now() - asked_to_end) / 1e9 > grace

    def _lost(self, why: str) -> None:
        for course in self._courses.values():
            course.lost(why)

    def _take(self, session: Session, display: Display) -> None:
        """Add up what the lanes have told, show it, and keep it every now and then."""
        for fact in session.facts():
            if isinstance(fact, Collected):
                continue
            if self._began is None:
                self._began = real_now()
            if isinstance(fact, Progress):
                self._runs += fact.runs
            course = self._courses[fact.test]
            failed = course.failed
            course.take(fact)
            if isinstance(fact, Ended) and course.failed and not failed:
                what = fact.kind or "it fails"
                display.say(f"{fact.test}: {what} after {course.schedules} schedules")
        display.show(self._figures())
        if real_now() - self._saved > _SAVE_EVERY:
            self._save()

    def _figures(self) -> Figures:
        courses = [*self._courses.values()]
        target, seconds = self._asked.schedules, self._asked.seconds
        done = 0.0 if seconds is None else self._elapsed / seconds
        if target is not None:
            parts = [1.0 if each.ended is not None else min(each.schedules / target, 1.0) for each in courses]
            done = max(done, sum(parts) / len(parts))
        words = telling.figures(courses, target=target, runs=self._runs, seconds=self._elapsed)
        return Figures(done, words)

    # -- the end ------------------------------------------------------------------------------

    def _tell(self) -> int:
        courses = [*self._courses.values()]
        asked = scenario_names(self._asked.words)
        again = self._again if any(course.ended is None for course in courses) else None
        figures: dict[str, Any] = {
            "runs": self._runs,
            "seconds": self._elapsed,
            "processes": self._asked.processes,
        }
        if self._show is not None:
            self._show(telling.values(courses, asked, again=again, **figures))
        else:
            print(*telling.failures(courses), *telling.summary(courses, asked, **figures), sep="\n")
            if again is not None:
                print(f"to go on: {again}")
        if on_github():
            for line in telling.github_lines(courses):
                print(line, file=sys.stdout if self._show is None else sys.stderr)
        return int(any(course.failed for course in courses))

    @property
    def _again(self) -> str:
        """The command that goes on; with a new target where the old one was reached."""
        words = self._asked.words
        again = ["wavetank", "explore", *self._asked.tests, "--resume", "-n", str(self._asked.processes)]
        target = self._asked.schedules
        if target is not None:
            reached = all(each.ended or each.schedules >= target for each in self._courses.values())
            again += ["--schedules", str(2 * target if reached else target)]
        if self._asked.seconds is not None:
            again += ["--seconds", f"{self._asked.seconds:g}"]
        for name in ("policy", "level", "seed"):
            if (value := getattr(words, name)) is not None:
                again += [f"--{name}", str(value)]
        for name in words.scenario:
            again += ["--scenario", name]
        if self._asked.folder is not None:
            again += ["--state", str(self._asked.folder)]
        return shlex.join(again)


@contextmanager
def _closing(display: Display) -> Iterator[Display]:
    try:
        yield display
    finally:
        display.close()
        sys.stdout.flush()


def _end_of(said: str) -> str:
    """What of pytest's output tells the reason: its errors, else its last lines."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "wavetank"))]
    return "\n".join(errors or lines[-30:])
