"""A world whose program is run by somebody else's runner: a pytest test."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal, final

from ..checks import SILENT, Checks, answer_function, hosts, judge, named
from ..checks.also_seen import also_seen
from ..checks.history import unmatched
from ..checks.liveness import NAME as LIVENESS
from ..checks.outcomes import outcomes
from ..checks.traced import traced
from ..checks.verdict import Verdict, failed_of
from ..clock import format_duration, real_now
from ..events import EventLog
from ..patches.anyio_runner import OwnRunner
from ..patches.garbage import collect_young
from ..patches.randomness import Chance
from ..scenario import Scenario, load_scenario
from ..sim.ended import Ended, stopped
from ..sim.main_thread_watch import watched
from ..sim.origin import Place
from ..sim.token import Schedule
from .assembly import checked_seed
from .expectations import Value
from .failure import CheckFailed, UnmatchedLedger
from .fake_llm import FakeLLM
from .notes import beginning_of, noted
from .real_world import RealWorld
from .runs.plain_values import failed_checks, log_values, place_of_failure
from .shared_process import SharedProcess
from .virtual_world import VirtualWorld

ClockMode = Literal["virtual", "real"]


@final
class Hosted:
    """One test's world: lent to the test's phases, closed and judged when the test is over.

    Args:
        scenario: how the provider behaves.
        seed: the seed of its keyed picks.
        replay: the command that repeats the test, but for the token.
        process: what the tests of the session share; without it the test shares with none.
        clock: whether time is `virtual` or `real`.
        max_virtual_seconds: the budget of virtual time; `None` for the default.
        max_cpu_seconds: the CPU time the test may use without an outcome; `None` for the default.
        expects: what is given to `tank.expect` before the test begins.
        asked: whether the test asked for the fake. In real time, one that did not may reach every
            host that the fake does not answer for.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        replay: str,
        process: SharedProcess | None = None,
        clock: ClockMode = "virtual",
        asked: bool = True,
        max_virtual_seconds: float | None = None,
        max_cpu_seconds: float | None = None,
        expects: Mapping[str, Value] | None = None,
    ) -> None:
        checked_seed(seed)
        self.asked = asked
        self._alone = process is None
        self._process = process = process or SharedProcess()
        self.virtual = (
            None
            if clock == "real"
            else VirtualWorld(
                scenario,
                seed=seed,
                backend="hosted",
                scheduler=process.scheduler,
                max_virtual_seconds=max_virtual_seconds,
                max_cpu_seconds=max_cpu_seconds,
            )
        )
        process.scheduler.resting = True
        self._world = self.virtual or RealWorld(scenario, seed=seed, reaches_others=not asked)
        self.tank = self._world.parts.tank
        self.tank.expect(**(expects or {}))
        if not asked:
            self.tank.events.header.expects[hosts.ASKED] = 0
        self.judge_at_end: Checks | None = None
        self.schedule = (
            Schedule("hosted", seed, self.tank.events.header.digest).token() if clock == "virtual" else None
        )
        """The token that repeats the test; in real time there is none."""
        self._replay = replay if self.schedule is None else f"{replay} --llm-replay={self.schedule}"
        self._real_ns = 0
        self._logs = [self.tank.events]
        self._closed = False
        self._entered = 0
        self._chance = Chance(seed)
        self._runner = OwnRunner()
        self._lent: ExitStack | None = None
        self._dice: ExitStack | None = None
        self._fresh: ExitStack = ExitStack()

    # -- the test's phases ----------------------------------------------------------------

    @contextmanager
    def phase(self) -> Iterator[None]:
        """What is done inside happens in the world's time."""
        try:
            self._enter()
            with nullcontext() if self.virtual is None else watched(self.virtual.scheduler):
                yield
        finally:
            self.leave()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """What is done inside a phase, but here, happens in real time: a fixture of wider scope is made."""
        was_entered = self._lent is not None
        self.leave()
        self._give_dice_back()
        try:
            with self.beside():
                yield
        finally:
            if was_entered:
                self._enter()

    def beside(self) -> AbstractContextManager[None]:
        """What is done inside is for tests to come as well, once the test has left."""
        return self._process.left_alone() if self.virtual is None else self._process.beside()

    def _enter(self) -> None:
        self._entered = real_now()
        self._lent = ExitStack()
        if self.virtual is not None:
            self._lent.enter_context(self._process.in_test(self.virtual))
        else:
            self._lent.enter_context(self._process.left_alone())
            self._lent.enter_context(self._world.borrowed())
        self._lent.enter_context(self._runner.lent())
        if self._dice is None:
            # For the whole test: to put the generator's state in and out takes long.
            self._dice = ExitStack()
            self._dice.enter_context(self._chance.lent())

    def leave(self) -> None:
        """Give the process back what the world borrowed; harmless when it has."""
        if self._lent is not None:
            lent, self._lent = self._lent, None
            lent.close()
            if self._alone:
                self._process.give_back()
            self._real_ns += real_now() - self._entered

    def _give_dice_back(self) -> None:
        if self._dice is not None:
            dice, self._dice = self._dice, None
            dice.close()

    def leave_to_wider_fixtures(self) -> None:
        """The test is over, and fixtures that outlived it may come to their end in the same phase."""
        self.leave()
        self._give_dice_back()
        if self._process.scheduler.holds_something():
            self._lent = ExitStack()
            self._lent.enter_context(self._process.beside())

    # -- the end --------------------------------------------------------------------------

    def over(self, error: BaseException | None) -> None:
        """The test function came to its end, or was stopped by its engine."""
        steps = 0 if self.virtual is None else self.virtual.steps
        reason = None if self.virtual is None else self.virtual.scheduler.stopped_by
        if reason is not None:
            end = stopped(reason, steps)
        elif error is None:
            end = Ended(how="returned", steps=steps)
        else:
            end = Ended(how="raised", error=error, steps=steps)
        self._world.parts.ended(end)

    @property
    def hung(self) -> bool:
        """Whether the engine stopped the test because it could not go on."""
        return self.virtual is not None and self.virtual.scheduler.stopped_by is not None

    @property
    def concerned(self) -> bool:
        """Whether the test asked for the fake or sent it a request."""
        return self.asked or bool(self.tank.fake_llm.requests)

    @property
    def untouched(self) -> bool:
        """Whether the test neither asked for the fake nor did anything that its log or summary shows."""
        return not (self.asked or any(self._logs))

    def close(self) -> None:
        """Let go of whatever the test left running; harmless when that is done."""
        self._fresh.close()
        if not self._closed:
            self._closed = True
            self._world.close()
            if self.virtual is not None and (self.virtual.engines or self.concerned):
                collect_young()

    # -- more fakes -----------------------------------------------------------------------

    def fresh_fake(
        self, scenario: str | os.PathLike[str] | Scenario | None = None, seed: int | None = None
    ) -> FakeLLM:
        """A fake of its own, installed in place of the one made before; its time starts now."""
        header = self.tank.events.header
        parts = self._world.another(
            self.tank.scenario if scenario is None else load_scenario(scenario),
            seed=header.seed if seed is None else seed,
        )
        self._logs.append(parts.log)
        for log in self._logs:
            log.header.expects[hosts.ASKED] = 0  # it is enough that one of them is reached
        parts.log.header.unknown_hosts.extend(header.unknown_hosts)
        self._fresh.close()
        self._fresh = ExitStack()
        self._fresh.enter_context(parts.tank.fake_llm.installed())
        return parts.tank.fake_llm

    def warn(self) -> None:
        """Warn of a ledger that no request matches."""
        if warning := unmatched(self.tank.events):
            warnings.warn(warning, UnmatchedLedger, stacklevel=2)

    def raise_failure(self) -> None:
        """Raise what failed, if the test is to be judged.

        Raises:
            CheckFailed: with the evidence and the line that repeats the test.
        """
        __tracebackhide__ = True
        verdicts = self.verdicts().values()
        if failed := failed_of(verdicts):
            happened = beginning_of(self.tank.events, verdicts)
            raise CheckFailed(failed, replay=self._replay, happened=happened) from None

    def verdicts(self, *, past_errors: bool = False) -> dict[str, Verdict]:
        """A hang, refused hosts and a failed `fake_llm.answer` are always judged; the rest when asked for.

        What the test has judged itself is not judged again. `past_errors`: see `judge`.
        """
        __tracebackhide__ = True
        checks = self.judge_at_end
        if checks is None or self.tank.fake_llm.checked:
            verdicts = judge(self.tank.events, (LIVENESS, hosts.NAME))
        else:
            own = (*named(checks), *self.tank.fake_llm.own_checks)
            verdicts = judge(self.tank.events, own, past_errors=past_errors)
        fresh = self._logs[1:]
        failed = failed_of((*map(answer_function.judge, fresh), *map(hosts.judge, fresh)))
        return verdicts | {verdict.name: verdict for verdict in failed[:1]}

    # -- the report ---------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Numbers for the summary: plain values that travel between processes."""
        log = self.tank.events
        delivered = {event.request for event in log.of("delivered")}
        answered = [event.request for event in log.of("answered") if event.fault is None]
        records = self.tank.fake_llm.requests
        exercised = judge(log, "exercised")["exercised"] if self.asked else None
        return {
            **log_values(log),
            "schedule": self.schedule,
            "replay": self._replay,
            "requests": len(records),
            "unanswered": sum(record.status is None for record in records),
            "wasted": sum(request not in delivered for request in answered),
            "time_ns": log.end.at if log.end is not None else 0,
            "virtual": self.virtual is not None,
            "real_ns": self._real_ns,
            "not_met": exercised.summary if exercised is not None and exercised.passed is False else "",
            "asked": self.asked,
            "unserved": [
                f"{event.target} of {event.host}" for log in self._logs for event in hosts.unserved(log)
            ],
            "seen": also_seen(log, self._judged_by()),
            "unknown_hosts": [*dict.fromkeys(host for log in self._logs for host in hosts.unexpected(log))],
        }

    def _judged_by(self) -> set[str]:
        """The names of the checks that judge the test."""
        at_end = () if self.judge_at_end is None else named(self.judge_at_end)
        return {*self.tank.fake_llm.judged, *(check for check in at_end if isinstance(check, str))}

    def judged(self, error: BaseException | None) -> dict[str, Verdict]:
        """The verdicts of the checks that judge the test, and of the default ones, too, if it failed.

        An error that a check raises has failed the test already, or the test failed by another one.
        """
        own = {**self.tank.fake_llm.judged, **self.verdicts(past_errors=True)}
        if error is None:
            return own
        said = {verdict.name: verdict for verdict in failed_checks(error)}
        return judge(self.tank.events, "default") | own | said

    def noted(self, title: str, error: BaseException | None) -> EventLog:
        """The log with notes on the test, now that it is over."""
        return noted(self.tank.events, self.judged(error).values(), title=title, replay=self._replay)

    def place_of(self, error: BaseException) -> Place | None:
        """The line of the program to look at, now that the test has failed."""
        return place_of_failure(self.tank.events, failed_checks(error), error)

    def story(self) -> str:
        """A section for the report of a failed test: the numbers, the verdicts, the line to repeat it."""
        facts, log = self.facts(), self.tank.events
        time = f"{format_duration(facts['time_ns'])} of {'virtual' if facts['virtual'] else 'real'} time"
        lines = [f"items: {outcomes(log)}"] if log.of("submitted") else []
        lines += [
            str(verdict)
            for name, verdict in judge(log, "default").items()
            if verdict.passed is False or (verdict.passed is None and name not in SILENT)
        ]
        warning = unmatched(log)
        if warning and not any(warning in each for each in lines):
            lines.append(warning)
        return "\n".join(
            (
                f"scenario {facts['scenario']}, seed {log.header.seed}: {facts['requests']} requests, "
                f"{facts['refused']} refused, {time}",
                *lines,
                *(() if self.hung else traced(log)),
                f"to repeat it: {self._replay}",
            )
        )
