"""What a campaign is started with, checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from ..scenario import ScenarioError, load_scenario
from ..sim.choices import Level
from ..sim.policies import policy_named
from ..tank.runs.run_options import cores
from .protocol import Collected, SearchOverrides

DEFAULT_SCHEDULES: Final = 10_000
"""For each test: some ten times as many as a test run affords, and minutes rather than hours."""


class CampaignError(Exception):
    """The campaign cannot run with these options; the text says what to fix."""


def check(overrides: SearchOverrides) -> None:
    """Check that there are such a policy, level and scenarios.

    Raises:
        CampaignError: there are not.
    """
    try:
        level = Level.parse(overrides.level or "any")
        policy_named(overrides.policy or "portfolio", seed=0, level=level)
        scenario_names(overrides)
    except (ValueError, ScenarioError) as error:
        raise CampaignError(str(error)) from None


def scenario_names(overrides: SearchOverrides) -> list[str]:
    """The names that the scenarios have themselves: a path is given for some."""
    return [load_scenario(name).name for name in overrides.scenario]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignOptions:
    """A campaign: its tests as pytest names them, its limits and processes.

    `schedules` is how many each test is to have in the end and `seconds` how much real time all of
    them may take; `None` is no limit. `processes` make the schedules of each test; 0 is 1. `page` is
    where a page of the campaign is written; the timelines of its failures are written beside it.
    """

    tests: Sequence[str]
    schedules: int | None
    seconds: float | None
    processes: int
    overrides: SearchOverrides
    resume: bool = False
    folder: Path | None = None
    page: Path | None = None
    json: Path | None = None
    junit: Path | None = None
    compare: Path | None = None
    engine: str | None = None

    @property
    def timelines(self) -> Path | None:
        """The folder of the failures' timelines: `campaign.html` has `campaign-timelines`."""
        return None if self.page is None else self.page.resolve().with_name(f"{self.page.stem}-timelines")


def process_count(text: str | None) -> int:
    """The number of processes for the argument of `-n`; without one, as many as there are processors.

    Raises:
        CampaignError: it is no number.
    """
    if text is None or text == "auto":
        return cores()
    if not text.isdecimal():
        raise CampaignError(f"-n {text}: give a whole number of processes, or auto")
    return int(text)


def explored(collected: Collected, tests: Sequence[str]) -> list[str]:
    """The explored tests among those that pytest found.

    Raises:
        CampaignError: there are none, or a test that was given by its id is not explored.
    """
    fix = "write @wavetank.explore() over an `async def test(tank)`, or let a test take llm_search"
    for test in tests:
        path, colons, name = test.partition("::")
        if colons:
            given = _id(path, name, collected.rootdir)
            others = [other for other in collected.others if _matches(other, given)]
            if others and not any(_matches(one, given) for one in collected.tests):
                raise CampaignError(f"{others[0]} is no explored test: {fix}")
    if not collected.tests:
        found = f"none of the {len(collected.others)} tests is explored" if collected.others else "no test"
        raise CampaignError(f"{' '.join(tests)}: {found}: {fix}")
    return list(dict.fromkeys(collected.tests))


def _id(path: str, name: str, rootdir: str) -> str:
    file = Path(path).resolve()
    root = Path(rootdir).resolve()
    return f"{file.relative_to(root).as_posix() if file.is_relative_to(root) else path}::{name}"


def _matches(test: str, given: str) -> bool:
    return test == given or test.startswith((f"{given}[", f"{given}::"))
