"""A world: a scenario and a workload, in which a few schedules are searched."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar, final

import msgspec
from hypothesis import currently_in_test_context, event, note, settings, target
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from ..clock import SECOND, real_now
from ..scenario import Scenario, catalogue, load_scenario, scenario_from_dict, wave_status, written
from ..tank.runs.external_schedule import ExternalSchedule
from ..tank.runs.finished_run import Run
from ..tank.runs.run_options import SearchOptions, checked_backend
from ..tank.runs.simulate import simulate
from ..tank.search.made_schedule import Made
from ..tank.search.search import Result, ScheduleSearch
from ..tank.tank import Tank
from ..tank.workload import Workload
from ..text import counted
from .defaults import given_or
from .scenarios import NAME, scenarios
from .workloads import workloads

T = TypeVar("T")

SCHEDULES: Final = 20
"""Schedules of one world: with fewer, Hypothesis does not shrink to the smallest world; with more it takes
longer."""

_warm: Final[dict[str, None]] = {}


@final
@dataclass(frozen=True, slots=True, init=False, repr=False)
class World:
    """A scenario, a workload, the provider's seed and the backend; prints as a call that makes it.

    Args:
        scenario: a catalogue name, a path to a TOML file, a `Scenario`, or a table as in such a file.
        workload: what the program finds as `tank.workload`.
        seed: from 0.
        backend: `asyncio` or `trio`.

    Raises:
        ScenarioError: the scenario cannot be found or read.
        ValueError: there is no such backend.
    """

    scenario: Scenario
    workload: Workload
    seed: int
    backend: str

    def __init__(
        self,
        scenario: str | os.PathLike[str] | Scenario | Mapping[str, object],
        workload: Workload,
        *,
        seed: int = 0,
        backend: str = "asyncio",
    ) -> None:
        values = (_loaded(scenario), workload, seed, checked_backend(backend))
        for name, value in zip(("scenario", "workload", "seed", "backend"), values, strict=True):
            object.__setattr__(self, name, value)

    def run(
        self,
        main: Callable[[Tank], Awaitable[T]],
        *,
        schedules: int = SCHEDULES,
        schedule: str | ExternalSchedule | None = None,
        **options: Any,
    ) -> Result[T]:
        """Search a few schedules of `main(tank)` in this world, and raise the failure, shrunk.

        Within `@given` the search stops at the first failure of each example; the one that Hypothesis
        reports is repeated and shrunk, and its workload with it. `schedule` makes one run instead:
        a token, or what `schedules()` draws. `options` are those of `wavetank.search`.

        Raises:
            CheckFailed: a check failed.
            Diverged: a failing schedule does not repeat.
            BaseException: `main` raised it.
        """
        __tracebackhide__ = True
        if schedule is not None:
            return self._one(main, schedule, options)
        observed = _Observations(self)
        line = options.pop("replay", None) or (lambda token: self._line(main, token))
        given = {"seed": self.seed, "backend": self.backend, **options}
        wanted = SearchOptions(workload=self.workload, schedules=schedules, **given)
        searching = ScheduleSearch.of_program(main, self.scenario, wanted, watch=observed, replay=line)
        began = real_now()
        with _untraced():
            failed = searching.until_failure()
        observed.report()
        _explain_deadline(searching.made, real_now() - began)
        report = _Report(searching)
        if failed is not None and currently_in_test_context():
            # Hypothesis prints notes only for the example that it reports.
            note(report)
            if not report.computed:
                failed.run.check()
        return report.checked()

    def _one(
        self, main: Callable[[Tank], Awaitable[T]], schedule: str | ExternalSchedule, options: dict[str, Any]
    ) -> Result[T]:
        __tracebackhide__ = True
        run = simulate(
            main,
            self.scenario,
            schedule=schedule,
            workload=self.workload,
            **{"seed": self.seed, "backend": self.backend, **options},
        )
        result = Result.of_one(run, self._line(main, run.schedule))
        if result.failure is not None and not isinstance(schedule, str):
            result = replace(result, failure=replace(result.failure, found=run.found))
        result.check()
        return result

    def _line(self, main: object, token: str) -> str:
        return f"{self!r}.run({_name(main)}, schedule={token!r})"

    def __repr__(self) -> str:
        scenario: object = written(self.scenario)
        if self.scenario.name in catalogue() and self.scenario == load_scenario(self.scenario.name):
            scenario = self.scenario.name
        seed = f", seed={self.seed}" if self.seed else ""
        backend = f", backend={self.backend!r}" if self.backend != "asyncio" else ""
        return f"World({scenario!r}, {self.workload!r}{seed}{backend})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Let pretty printers, that of Hypothesis among them, print the call."""
        printer.text(repr(self))


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    scenarios: st.SearchStrategy[Scenario] | None = None,
    workloads: st.SearchStrategy[Workload] | None = None,
    seeds: st.SearchStrategy[int] | None = None,
    backends: st.SearchStrategy[str] | None = None,
) -> World:
    """Worlds in which a program can be run; they shrink to one worker, one item and no wave.

    What is not given comes from the strategy of that name. `seeds` are those of the provider's
    picks, 0 to 255 by default; `backends` is only `asyncio` by default.

    Raises:
        TypeError: one of them is no strategy.
    """
    parts = {"scenarios": scenarios, "workloads": workloads, "seeds": seeds, "backends": backends}
    for name, part in parts.items():
        if not isinstance(part, st.SearchStrategy | None):
            raise TypeError(f"{name}={part!r} is no strategy: write {name}=hypothesis.strategies.just(…)")
    world = World(
        draw(given_or(scenarios, _scenarios)),
        draw(given_or(workloads, _workloads)),
        seed=draw(st.integers(0, 255) if seeds is None else seeds),
        backend="asyncio" if backends is None else draw(backends),
    )
    _warm_up(world.backend)
    return world


# The arguments of `worlds` have the names of the strategies.
_scenarios, _workloads = scenarios, workloads


@final
class _Observations:
    """What happened in the runs of one world: Hypothesis uses it to look for worlds with more of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._most = {"refusals": 0.0, "wasted answers": 0.0, "longest stall in seconds": 0.0}

    def __call__(self, made: Made) -> None:
        if made.trial is None:  # another process has made it
            return
        log = made.trial.log
        delivered = {each.request for each in log.of("delivered")}
        stalls = [each.at - each.since for each in log.of("stalled") if each.since is not None]
        values = (
            len(log.of("refused")),
            sum(each.request not in delivered for each in log.of("answered") if each.fault is None),
            max(stalls, default=0) / SECOND,
        )
        for name, value in zip(self._most, values, strict=True):
            self._most[name] = max(self._most[name], value)

    def report(self) -> None:
        """Report it to Hypothesis, inside a test of Hypothesis only."""
        if not currently_in_test_context():
            return
        for wave in self._world.scenario.wave:
            event(f"wave: {wave_status(wave)} {'stretch' if wave.when_in_flight is None else 'barrier'}")
        if not self._world.scenario.wave:
            event("wave: none")
        # A label may be used once in an example, and a test may run more than one world.
        with suppress(InvalidArgument):
            for name, value in self._most.items():
                target(value, label=name)


@final
class _Report:
    """The result of a search, computed when it is first needed; prints as the line that repeats it."""

    def __init__(self, searching: ScheduleSearch) -> None:
        self._searching = searching
        self._result: Result[Any] | None = None

    @property
    def computed(self) -> bool:
        """Whether the result is computed."""
        return self._result is not None

    def checked(self) -> Result[Any]:
        """The result, unless it is a failure, which is raised."""
        __tracebackhide__ = True
        result = self._compute()
        failure, failed = result.failure, self._searching.failed
        if failure is not None and failed is not None:
            # The first error, not a later one like it: Hypothesis distinguishes errors by their lines.
            replace(failure, error=failed.run.error).check()
        result.check()
        return result

    def _compute(self) -> Result[Any]:
        if self._result is None:
            self._result = self._searching.result()
        return self._result

    def __repr__(self) -> str:
        failure: Run[Any] | None = self._compute().failure
        return "" if failure is None else f"to repeat it: {failure.replay}"


def _explain_deadline(made: int, lasted: int) -> None:
    """Say beside an example that Hypothesis calls too slow what took the time, and what to write."""
    deadline: timedelta | None = settings.default.deadline if settings.default is not None else None
    if not currently_in_test_context() or deadline is None or lasted < deadline.total_seconds() * SECOND:
        return
    note(
        f"{counted(made, 'schedule')} of this world took {lasted / SECOND:.2f} s of real time, and the "
        f"deadline of an example is {deadline.total_seconds():g} s: write @settings(deadline=None)"
    )


@contextmanager
def _untraced() -> Iterator[None]:
    """Without the tracer by which Hypothesis explains failures on Python 3.11: it slows a run fivefold."""
    tracer = sys.gettrace()
    ours = tracer is None or not str(getattr(tracer, "__module__", "")).startswith("hypothesis.")
    if not ours:
        sys.settrace(None)
    try:
        yield
    finally:
        if not ours:
            sys.settrace(tracer)


def _loaded(scenario: str | os.PathLike[str] | Scenario | Mapping[str, object]) -> Scenario:
    if isinstance(scenario, Mapping):
        return scenario_from_dict(dict(scenario), name=NAME, source="World")
    loaded = load_scenario(scenario)
    if isinstance(scenario, str) and scenario in catalogue():
        return loaded
    if loaded.name in catalogue() and loaded == load_scenario(loaded.name):
        return loaded
    # Only its table is printed, so its name would be lost.
    return msgspec.structs.replace(loaded, name=NAME)


def _name(main: object) -> str:
    """The program as the reader would write it."""
    name = str(getattr(main, "__qualname__", "main")).rpartition("<locals>.")[2]
    owner = getattr(main, "__self__", None)
    return name if owner is None else f"{type(owner).__name__}().{name.rpartition('.')[2]}"


def _warm_up(backend: str) -> None:
    """Make the first run, which imports modules, while a value is drawn: no deadline counts then."""
    if backend not in _warm:
        _warm[backend] = None
        simulate(_nothing, backend=backend)


async def _nothing(_: Tank) -> None:
    """A program that does nothing."""
