"""What one test is to run under: its markers, its parameters, and the options of the session."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from . import options
from .autouse import SCENARIO

if TYPE_CHECKING:
    from ..scenario import Scenario
    from ..tank.hosted import ClockMode


def scenario_of(item: pytest.Function) -> tuple[str, Scenario]:
    """The name and the scenario a test runs under."""
    marker = item.get_closest_marker("llm_scenario")
    if marker is not None:
        return _marked(item, marker)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = options.scenarios(item.config) or [options.DEFAULT_SCENARIO]
    given = item.stash.get(SCENARIO, chosen[0])
    name = str(parameters.get(options.PARAMETER, given))
    return name, options.load(item.config, name)


def _marked(item: pytest.Item, marker: pytest.Mark) -> tuple[str, Scenario]:
    from ..scenario import ScenarioError, load_scenario, override_scenario

    if len(marker.args) != 1:
        raise pytest.UsageError(
            f'{item.nodeid}: the marker takes one scenario: @pytest.mark.llm_scenario("cascade")'
        )
    name = str(marker.args[0])
    try:
        return name, override_scenario(load_scenario(name), dict(marker.kwargs), source="llm_scenario")
    except ScenarioError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def clock_of(item: pytest.Item) -> ClockMode:
    """Whether a test's time is virtual or real."""
    marker = item.get_closest_marker("llm_clock")
    mode, where = options.given(item.config, "clock"), "--llm-clock"
    if marker is not None:
        where = f"{item.nodeid}: llm_clock"
        mode = str(marker.args[0]) if len(marker.args) == 1 else repr(marker.args)
    return "real" if options.one_of(mode, options.CLOCKS, where) == "real" else "virtual"


def checks_of(item: pytest.Item) -> tuple[str, ...] | None:
    """The checks a test is judged by at its end because somebody asked for them, or `None`."""
    marker = item.get_closest_marker("llm_checks")
    if marker is not None:
        return options.checks_named(",".join(map(str, marker.args)), f"{item.nodeid}: llm_checks")
    return options.checks_named(options.given(item.config, "checks"), "--llm-checks") or None


def seed_of(item: pytest.Item, scenario: Scenario) -> int:
    """The seed of a test: that of the token to replay, or the run's.

    Raises:
        pytest.UsageError: the token is damaged or belongs to another scenario.
    """
    token = options.given(item.config, "replay")
    if not token:
        return options.seed(item.config)
    from ..scenario import digest
    from ..sim.token import Schedule, TokenError

    try:
        return Schedule.parse(token).matching(backend="hosted", digest=digest(scenario)).seed
    except TokenError as error:
        raise pytest.UsageError(f"--llm-replay: {error}") from None


def place_of(item: pytest.Function, scenario: str | None) -> str:
    """The id of a test as it is given where pytest was run, for a session under this one scenario.

    `scenario` `None`: the test names it itself. Given one scenario, pytest leaves its name out of
    the id.
    """
    nodeid = item.nodeid
    if SCENARIO in item.stash:
        nodeid = nodeid.removesuffix(f"[{short_name(item.stash[SCENARIO])}]")
    if scenario and hasattr(item, "callspec") and options.PARAMETER in item.callspec.params:
        ids = [part for part in item.callspec.id.split("-") if part != short_name(scenario)]
        nodeid = nodeid.removesuffix(f"[{item.callspec.id}]") + (f"[{'-'.join(ids)}]" if ids else "")
    file = os.path.relpath(item.path, item.config.invocation_params.dir)
    return file + nodeid[nodeid.find("::") :]


def replay_command(item: pytest.Function, scenario: str | None) -> str:
    """The command that repeats a test, but for the token, to be pasted where pytest was run."""
    place = place_of(item, scenario).replace("'", "'\"'\"'")
    return f"pytest '{place}'" + (f" --llm-scenario={shlex.quote(scenario)}" if scenario else "")


def short_name(scenario: str) -> str:
    """A scenario as a test id tells it: a path without its folders and its ending."""
    return scenario.replace("\\", "/").rpartition("/")[2].removesuffix(".toml")
