"""What one test is to run under: its markers, its parameters, and the options of the session."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..shown import shortened
from . import options

if TYPE_CHECKING:
    from ..checks import Check
    from ..scenario import Scenario
    from ..tank.expectations import Value
    from ..tank.hosted_world import ClockMode

_DECIDE: Final = ("seed", "clock", "checks", "max-virtual-seconds", "max-cpu-seconds")
"""A token carries the seed of virtual time; a test in real time has none."""


def scenario_of(item: pytest.Function) -> tuple[str, Scenario]:
    """The name and the scenario a test runs under."""
    marker = item.get_closest_marker("llm_scenario")
    if marker is not None:
        return _marked(item, marker)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = options.scenarios(item.config) or [options.DEFAULT_SCENARIO]
    given = item.stash.get(options.SCENARIO, chosen[0])
    name = str(parameters.get(options.PARAMETER, given))
    return name, options.load(item.config, name)


def _marked(item: pytest.Item, marker: pytest.Mark) -> tuple[str, Scenario]:
    from ..scenario import ScenarioError, load_scenario, override_scenario

    overrides = dict(marker.kwargs)
    given = (*marker.args, *([overrides.pop("name")] if "name" in overrides else ()))
    if len(given) != 1 or not isinstance(given[0], str | os.PathLike):
        raise pytest.UsageError(
            f'{item.nodeid}: {_as_written(marker)}: give one scenario: @pytest.mark.llm_scenario("cascade")'
        )
    name = str(given[0])
    try:
        return name, override_scenario(load_scenario(name), overrides, source="llm_scenario")
    except ScenarioError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def clock_of(item: pytest.Item) -> ClockMode:
    """Whether a test's time is virtual or real."""
    marker = item.get_closest_marker("llm_clock")
    mode, where = options.given(item.config, "clock"), options.given_as(item.config, "clock")
    if marker is not None:
        mode, where = str(_sole(marker, "mode")), f"{item.nodeid}: {_as_written(marker)}"
    return "real" if options.one_of(mode, options.CLOCKS, where) == "real" else "virtual"


def checks_of(item: pytest.Item) -> tuple[Check, ...] | None:
    """The checks a test is judged by at its end because they were asked for, or `None`."""
    marker = item.get_closest_marker("llm_checks")
    if marker is not None:
        where = f"{item.nodeid}: {_as_written(marker)}"
        if marker.kwargs or not marker.args:
            raise pytest.UsageError(f'{where}: give names or callables: @pytest.mark.llm_checks("strict")')
        return options.checks_named(marker.args, where)
    return options.checks_of(item.config) or None


def expectations_of(item: pytest.Item) -> dict[str, Value]:
    """What a test must hold to: as the ini file says, its markers, and of these the closest.

    Raises:
        pytest.UsageError: an expectation is wrong.
    """
    found = options.expectations(item.config)
    for marker in reversed([*item.iter_markers(options.EXPECT)]):
        if marker.args or not marker.kwargs:
            raise pytest.UsageError(
                f"{item.nodeid}: {_as_written(marker)}: it takes names and values: "
                f"@pytest.mark.{options.EXPECT}(failed=0, within='10m')"
            )
        found |= marker.kwargs
    found = options.checked_expectations(found, f"{item.nodeid}: {options.EXPECT}") if found else {}
    if ignored := options.ignored_hosts(item.config):
        from ..tank.expectations import UNKNOWN_HOSTS, declared_hosts

        found[UNKNOWN_HOSTS] = ignored + (
            declared_hosts(found[UNKNOWN_HOSTS]) if UNKNOWN_HOSTS in found else []
        )
    return found


def is_judged_by(expects: Mapping[str, Value]) -> bool:
    """Whether these expectations have a test judged at its end; which hosts may be refused does not."""
    from ..tank.expectations import UNKNOWN_HOSTS

    return any(name != UNKNOWN_HOSTS for name in expects)


def max_virtual_seconds_of(item: pytest.Item) -> float | None:
    """The most virtual time a test may take; `None` for the default.

    Raises:
        pytest.UsageError: it is no number of seconds above 0.
    """
    marker = item.get_closest_marker("llm_max_virtual_seconds")
    if marker is None:
        return options.max_virtual_seconds(item.config)
    return options.seconds_of(_sole(marker, "seconds"), f"{item.nodeid}: {_as_written(marker)}")


def interruption_of(item: pytest.Item) -> dict[str, Any]:
    """The arguments of a search by which the marker, or an option, has a test interrupted.

    Raises:
        pytest.UsageError: the marker is given something else than `after_interrupt`.
    """
    marker = item.get_closest_marker("llm_interrupt")
    if marker is None:
        wanted = item.config.getoption("--llm-interrupt") or item.config.getini("llm_interrupt")
        return {"interrupt": True} if wanted else {}
    after = _sole(marker, "after_interrupt")
    if (marker.args or marker.kwargs) and not callable(after):
        raise pytest.UsageError(
            f"{item.nodeid}: {_as_written(marker)}: it takes one function, or nothing: "
            "@pytest.mark.llm_interrupt(after_interrupt=resume)"
        )
    return {"interrupt": True, "after_interrupt": after}


def _sole(marker: pytest.Mark, name: str) -> object:
    """The one argument of a marker, which may be given by its name; `None` if it has none or another one."""
    given = (*marker.args, *marker.kwargs.values())
    return given[0] if len(given) == 1 and {*marker.kwargs} <= {name} else None


def _as_written(marker: pytest.Mark) -> str:
    """A marker as it stands above its test: `llm_clock('real')`."""
    named = (f"{name}={value!r}" for name, value in marker.kwargs.items())
    return shortened(f"{marker.name}({', '.join((*map(repr, marker.args), *named))})")


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
    if options.SCENARIO in item.stash:
        nodeid = nodeid.removesuffix(f"[{short_name(item.stash[options.SCENARIO])}]")
    if scenario and hasattr(item, "callspec") and options.PARAMETER in item.callspec.params:
        ids = [part for part in item.callspec.id.split("-") if part != short_name(scenario)]
        nodeid = nodeid.removesuffix(f"[{item.callspec.id}]") + (f"[{'-'.join(ids)}]" if ids else "")
    file = _relative(item.path, item.config.invocation_params.dir)
    return file + nodeid[nodeid.find("::") :]


@cache
def _relative(path: Path, folder: Path) -> str:
    """Worked out once for the tests of a file."""
    return os.path.relpath(path, folder)


def replay_command(item: pytest.Function, scenario: str | None) -> str:
    """The command that repeats a test, but for the token, to be pasted where pytest was run.

    It has each option of the command line that can decide whether the test fails, and that the
    token does not carry.
    """
    place = place_of(item, scenario).replace("'", "'\"'\"'")
    words = [f"--llm-scenario={shlex.quote(scenario)}"] if scenario else []
    for name in _DECIDE:
        value = item.config.getoption(f"--llm-{name}")
        if value is not None and (name != "seed" or clock_of(item) == "real"):
            words.append(f"--llm-{name}={shlex.quote(str(value))}")
    if item.config.getoption("--llm-interrupt"):
        words.append("--llm-interrupt")
    ours = (each for each in item.config.getoption("override_ini") or () if each.startswith("llm_"))
    words += [f"-o {shlex.quote(each)}" for each in ours]
    return " ".join((f"pytest '{place}'", *words))


def short_name(scenario: str) -> str:
    """A scenario as a test id shows it: a path without its folders and its ending."""
    return scenario.replace("\\", "/").rpartition("/")[2].removesuffix(".toml")
