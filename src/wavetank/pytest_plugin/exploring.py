"""Searches from a test: what the command line, the decorator and the ini file ask for, put together."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, final

import pytest

from ..scenario import Scenario
from ..sim.token import Schedule, TokenError
from ..tank.explore import BACKEND, MARK, Explored
from ..tank.search import Result, search
from ..tank.simulate import simulate
from ..tank.tank import Tank
from . import fresh, options, per_test
from .summary import keep_log
from .words import word_for

RESULTS: Final[pytest.StashKey[list[Result[Any]]]] = pytest.StashKey()
SEARCHER: Final[pytest.StashKey[Callable[..., Result[Any]]]] = pytest.StashKey()
"""Set on a test whose searches are made by something else than `wavetank.search`: a campaign."""

_FROM_OPTIONS: Final = ("schedules", "policy", "level", "seed", "checks")


@final
class Search:
    """What the fixture `llm_search` gives: `search(main, **options)` as the command line wants it."""

    def __init__(self, item: pytest.Function) -> None:
        self._item = item
        self._results = item.stash.setdefault(RESULTS, [])

    def __call__(self, main: Callable[[Tank], Awaitable[Any]], **given: Any) -> Result[Any]:
        """Search schedules of `main(tank)`, or repeat the one that `--llm-replay` names.

        `given` are arguments of `wavetank.search`; a word on the command line overrides them.
        """
        explored: Explored | None = getattr(self._item.function, MARK, None)
        wanted = {**(explored.options if explored is not None else {}), **given}
        name, scenario = self._scenario(wanted.pop("scenario", explored and explored.scenario))
        for option in _FROM_OPTIONS:
            value = word_for(self._item.config, option, given=option in wanted)
            if value is not None:
                wanted[option] = value
        result = self._result(main, scenario, wanted, per_test.replay_command(self._item, name))
        if explored is not None and fresh.wanted() and not options.given(self._item.config, "replay"):
            result = self._made_sure(result, name)
        self._results.append(result)
        return result

    def _result(
        self, main: Callable[[Tank], Awaitable[Any]], scenario: Scenario, wanted: dict[str, Any], command: str
    ) -> Result[Any]:
        token = options.given(self._item.config, "replay")
        if not token:
            searcher = self._item.stash.get(SEARCHER, search)
            return searcher(main, scenario, replay=lambda made: f"{command} --llm-replay={made}", **wanted)
        for needless in ("schedules", "policy", "level", "seed", "seconds"):
            wanted.pop(needless, None)
        run = simulate(main, scenario, schedule=token, **wanted)
        return Result.of_one(run, f"{command} --llm-replay={token}")

    def _made_sure(self, result: Result[Any], scenario: str | None) -> Result[Any]:
        """The result with a line on whether a fresh process repeats its failure."""
        failure = result.failure
        if failure is None or not failure.schedule:
            return result
        line = fresh.in_a_fresh_process(self._item, failure.schedule, scenario)
        return replace(result, failure=replace(failure, found=(*failure.found, line)))

    def _scenario(self, given: str | os.PathLike[str] | Scenario | None) -> tuple[str | None, Scenario]:
        """The scenario, and its name for the command line unless the test names it itself."""
        if given is None:
            return per_test.scenario_of(self._item)
        from ..scenario import load_scenario

        return None, load_scenario(given)


def of_another_backend(item: pytest.Item, token: str) -> bool:
    """Whether a token belongs to another backend's node of this explored test; a torn one to none."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or BACKEND not in callspec.params:
        return False
    try:
        return bool(Schedule.parse(token).backend != callspec.params[BACKEND])
    except TokenError:
        return False


def tell(item: pytest.Item, report: pytest.TestReport) -> None:
    """Give a test's report the numbers of its searches; keep the log of a failure if asked for."""
    results = item.stash.get(RESULTS, [])
    failure = next((result.failure for result in results if result.failure is not None), None)
    kept = keep_log(item, failure.events.to_ndjson(), failed=True) if failure is not None else ""
    vars(report)["wavetank_explored"] = {
        "schedules": sum(result.schedules for result in results),
        "distinct": sum(result.distinct for result in results),
        "after": sum(result.after for result in results),
        "seconds": sum(result.seconds for result in results),
        "proved": "; ".join(result.proved for result in results if result.proved),
        "unmet": "; ".join(result.unmet for result in results if result.unmet and result.failure is None),
        "report": kept,
    }
