"""Searches from a test: what the command line, the decorator and the ini file ask for, put together."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, final

import pytest

from ..scenario import Scenario
from ..sim.fingerprint import is_coroutine_function
from ..sim.origin import set_project
from ..sim.token import THREADS, Schedule, TokenError
from ..tank.expectations import Value
from ..tank.failure import Diverged
from ..tank.runs.finished_run import Run
from ..tank.runs.run_options import DEFAULT_SCHEDULES, ONLY_FOR_SEARCHES, SearchOptions
from ..tank.runs.simulate import simulate
from ..tank.search.explore import BACKEND, MARK, Explored
from ..tank.search.kept_schedule import belongs, failing_again, within
from ..tank.search.search import Result, search
from ..tank.tank import Tank
from . import fresh_process as fresh
from . import options, per_test
from .kept_failures import KeptFailures
from .search_jobs import AUTO, jobs_for
from .search_results import RESULTS, Made
from .search_settings import NAMES, setting_for
from .under_way import watched

SEARCHER: Final[pytest.StashKey[Callable[..., Result[Any]]]] = pytest.StashKey()
"""Set on a test whose searches are made by something else than `wavetank.search`: a campaign."""

_ENGINES: Final = ("wavetank", "asyncio", "anyio", "trio", "outcome")
_RUNNER: Final = ("_pytest", "pluggy")


_NOT_RUN: Final[Result[Any]] = Result(
    failure=None,
    schedules=0,
    distinct=0,
    after=0,
    shrinking=0,
    choices={},
    seconds=0.0,
    proved=None,
    unmet="",
)
"""What a search came to that the token to repeat was not meant for."""


@final
class Search:
    """What the fixture `llm_search` gives: `search(main, **options)` as the command line wants it."""

    def __init__(self, item: pytest.Function) -> None:
        set_project(item.config.rootpath)
        self._item = item
        self._made = item.stash.setdefault(RESULTS, [])
        self._number = 0
        """How many searches this test has begun."""
        self._fixed = 0
        """How many failures that were kept pass now, of the last search."""

    def __call__(self, main: Callable[[Tank], Any], **given: Any) -> Result[Any]:
        """Search schedules of `main(tank)`, or repeat the one that `--llm-replay` names.

        `given` are arguments of `wavetank.search`; a word on the command line overrides them.
        """
        explored: Explored | None = getattr(self._item.function, MARK, None)
        by_decorator = explored.options if explored is not None else {}
        wanted = {**per_test.interruption_of(self._item), **by_decorator, **given}
        name, scenario = self._scenario(wanted.pop("scenario", explored and explored.scenario))
        for option in NAMES:
            value = setting_for(self._item.config, option, given=option in wanted)
            if value is not None:
                wanted[option] = value
        if self._item.get_closest_marker("llm_checks") is not None:
            wanted["checks"] = per_test.checks_of(self._item)
        for budget, seconds in (
            ("max_virtual_seconds", per_test.max_virtual_seconds_of(self._item)),
            ("max_cpu_seconds", options.max_cpu_seconds(self._item.config)),
        ):
            on_line = self._item.config.getoption(f"--llm-{budget.replace('_', '-')}") is not None
            if seconds is not None and (on_line or budget not in wanted):
                wanted[budget] = seconds
        expects = per_test.expectations_of(self._item)
        main = _expecting(main, expects) if expects else main
        backend = wanted.get("backend", "asyncio")
        token = options.given(self._item.config, "replay")
        seed = _seed_of(token) if token else wanted.get("seed", 0)
        self._number += 1
        self._fixed = 0
        result = self._result(main, scenario, wanted, per_test.replay_command(self._item, name))
        if explored is not None and fresh.wanted() and not token:
            result = self._made_sure(result, name)
        self._made.append(
            Made(
                result=result,
                scenario=scenario.name,
                seed=seed,
                backend=result.backend or backend,
                kept=self._kept(name, scenario),
                fixed=self._fixed,
            )
        )
        return result

    def _kept(self, name: str | None, scenario: Scenario) -> str:
        """The scenario of the test's own, if it is none of those that the command line names."""
        asked: list[str] = self._item.config.getoption("--llm-scenario") or []
        own = name is None or self._item.get_closest_marker("llm_scenario") is not None
        others = asked and "all" not in asked and own
        names = [options.load(self._item.config, each).name for each in asked] if others else [scenario.name]
        return "" if scenario.name in names else scenario.name

    def _result(
        self, main: Callable[[Tank], Any], scenario: Scenario, wanted: dict[str, Any], command: str
    ) -> Result[Any]:
        token = options.given(self._item.config, "replay")
        if not token:
            return self._searched(main, scenario, wanted, lambda made: f"{command} --llm-replay={made}")
        if _of_another_backend(token, wanted.get("backend", "asyncio")):
            return _NOT_RUN
        for needless in ("seed", "watch", "watch_failure", *ONLY_FOR_SEARCHES):
            wanted.pop(needless, None)
        run = simulate(main, scenario, schedule=token, **wanted)
        return Result.of_one(run, f"{command} --llm-replay={token}")

    def _searched(
        self,
        main: Callable[[Tank], Any],
        scenario: Scenario,
        wanted: dict[str, Any],
        replay: Callable[[str], str],
    ) -> Result[Any]:
        """The failure that was kept and fails still, or the result of a search, whose failure is kept."""
        explored = getattr(self._item.function, MARK, None) is not None
        jobs, why_one = jobs_for(self._item, wanted.pop("jobs", AUTO if explored else 1))
        searcher = self._item.stash.get(SEARCHER, search)
        kept = self._kept_failures(scenario, wanted.get("backend", "asyncio"))
        run: Run[Any] | None = None
        if kept is not None and searcher is search:
            run = self._failing_still(kept, main, scenario, wanted, replay)
        if run is not None:
            result = Result.of_kept(run)
        else:
            if searcher is search:
                wanted = watched(self._item, wanted, DEFAULT_SCHEDULES)
            result = searcher(main, scenario, replay=replay, jobs=jobs, **wanted)
            result = replace(result, one_process=result.one_process or why_one)
        if kept is not None and result.failure is not None and result.failure.schedule:
            kept.keep(result.failure.schedule)
        return result

    def _kept_failures(self, scenario: Scenario, backend: str) -> KeptFailures | None:
        database = options.database(self._item.config)
        if database is None:
            return None
        return KeptFailures(database, self._item.nodeid, scenario.name, backend, str(self._number))

    def _failing_still(
        self,
        kept: KeptFailures,
        main: Callable[[Tank], Any],
        scenario: Scenario,
        wanted: dict[str, Any],
        replay: Callable[[str], str],
    ) -> Run[Any] | None:
        """The first of the kept failures that still fails; those that do not are dropped."""
        wanted = {name: value for name, value in wanted.items() if not name.startswith("watch")}
        searched = SearchOptions(**wanted)
        for token, schedule in kept.schedules():
            if not within(schedule, searched.level):
                continue
            run: Run[Any] | None = None
            if belongs(schedule, scenario, searched):
                with suppress(Diverged):
                    run = failing_again(main, scenario, searched, schedule, replay)
                    self._fixed += run is None
            if run is None or run.schedule != token:
                kept.drop(token)
            if run is not None:
                return run
        return None

    def _made_sure(self, result: Result[Any], scenario: str | None) -> Result[Any]:
        """The result with a line on whether a fresh process repeats its failure."""
        failure = result.failure
        if failure is None or not failure.schedule:
            return result
        line = fresh.in_a_fresh_process(self._item, failure.schedule, scenario)
        return replace(result, failure=replace(failure, found=(*failure.found, line)))

    def finish(self) -> None:
        """The test is over: the token it was to repeat must have been meant for one of its searches."""
        if self._made and all(made.result is _NOT_RUN for made in self._made):
            pytest.fail(
                "--llm-replay: the token was made on a backend that no search of this test is on", False
            )

    def _scenario(self, given: str | os.PathLike[str] | Scenario | None) -> tuple[str | None, Scenario]:
        """The scenario, and its name for the command line unless the test names it itself."""
        if given is None:
            return per_test.scenario_of(self._item)
        from ..scenario import load_scenario

        return None, load_scenario(given)


def _expecting(main: Callable[[Tank], Any], expects: Mapping[str, Value]) -> Callable[[Tank], Any]:
    """The program, with what the marker or the ini file expects declared at its start."""

    @functools.wraps(main)
    async def expecting(tank: Tank) -> Any:
        tank.expect(**expects)
        return await main(tank)

    @functools.wraps(main)
    def expecting_plainly(tank: Tank) -> Any:
        tank.expect(**expects)
        return main(tank)

    return expecting if is_coroutine_function(main) else expecting_plainly


def of_another_backend(item: pytest.Item, token: str) -> bool:
    """Whether a token belongs to another backend's node of this explored test; a torn one to none."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or BACKEND not in callspec.params:
        return False
    return _of_another_backend(token, callspec.params[BACKEND])


def _seed_of(token: str) -> int:
    """The seed that a token carries; 0 of a damaged one, which is refused when it is to be repeated."""
    try:
        return Schedule.parse(token).seed
    except TokenError:
        return 0


def _of_another_backend(token: str, backend: str) -> bool:
    """Whether a token was made on another backend; that of a plain function, on none, fits wherever it is."""
    try:
        return Schedule.parse(token).backend not in (backend, THREADS)
    except TokenError:
        return False


def is_refusal(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether a search refused an argument or a token: no line of the program is the cause."""
    return isinstance(excinfo.value, ValueError) and all(
        _package(each) in (*_ENGINES, *_RUNNER) for each in _entries(excinfo.tb)
    )


def with_own_frames(excinfo: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """An error with only the frames of the program, unless that has none in it."""
    traceback: TracebackType | None = None
    for each in reversed([*_entries(excinfo.tb)]):
        if _package(each) not in _ENGINES:
            traceback = TracebackType(traceback, each.tb_frame, each.tb_lasti, each.tb_lineno)
    if traceback is None:
        return excinfo
    return pytest.ExceptionInfo.from_exception(excinfo.value.with_traceback(traceback))


def _package(entry: TracebackType) -> str:
    """The outermost package of the code of a frame."""
    return str(entry.tb_frame.f_globals.get("__name__")).partition(".")[0]


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next
