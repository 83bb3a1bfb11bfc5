"""What a campaign is asked for, looked at before anything runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, final

from ..sim.choices import Level
from ..sim.policies import policy_named
from .orders import Collected
from .state import Words

DEFAULT_SCHEDULES: Final = 10_000


class Refused(Exception):
    """The campaign cannot be made as it was asked for; the text says what to mend."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A campaign: tests as pytest names them, limits, processes, and what fixes its schedules.

    `schedules` is how many each test is to have seen in the end and `seconds` how much real time all
    of them may take; `None` is no limit. `processes` 0 runs all in one, without pytest-xdist.
    """

    tests: Sequence[str]
    schedules: int | None
    seconds: float | None
    processes: int
    words: Words
    resume: bool = False
    folder: Path | None = None


def checked_words(words: Words) -> Words:
    """The words, if there are such a policy, level and scenarios.

    Raises:
        Refused: there are not.
    """
    from ..scenario import ScenarioError, load_scenario

    try:
        level = Level.parse(words.level or "any")
        policy_named(words.policy or "portfolio", seed=0, level=level)
        for name in words.scenario:
            load_scenario(name)
    except (ValueError, ScenarioError) as error:
        raise Refused(str(error)) from None
    return words


def scenario_names(words: Words) -> list[str]:
    """The scenarios of the command line by the names that they have themselves."""
    from ..scenario import load_scenario

    return [load_scenario(name).name for name in words.scenario]


def processes(text: str | None) -> int:
    """How many processes a word for them stands for; without a word as many as there are processors.

    Raises:
        Refused: it is no number, or more than one process needs pytest-xdist.
    """
    there = find_spec("xdist") is not None
    if text is None and not there:
        return 0
    if text is None or text == "auto":
        many = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    elif text.isdecimal():
        many = int(text)
    else:
        raise Refused(f"-n {text}: give a whole number of processes, or auto")
    if many and not there:
        raise Refused(f"-n {text} needs pytest-xdist: install wavetank[cli], or give -n 0 for one process")
    return many


def explored(collected: Collected, tests: Sequence[str]) -> list[str]:
    """The explored tests among those that pytest found.

    Raises:
        Refused: there are none, or one that was asked for by its id is none.
    """
    mend = "write @wavetank.explore() over an `async def test(tank)`, or let a test take llm_search"
    for test in tests:
        path, colons, name = test.partition("::")
        if colons:
            asked = _id(path, name, collected.rootdir)
            others = [other for other in collected.others if _is(other, asked)]
            if others and not any(_is(one, asked) for one in collected.tests):
                raise Refused(f"{others[0]} is no explored test: {mend}")
    if not collected.tests:
        found = f"none of the {len(collected.others)} tests is explored" if collected.others else "no test"
        raise Refused(f"{' '.join(tests)}: {found}: {mend}")
    return list(dict.fromkeys(collected.tests))


def _id(path: str, name: str, rootdir: str) -> str:
    file = Path(path).resolve()
    root = Path(rootdir).resolve()
    return f"{file.relative_to(root).as_posix() if file.is_relative_to(root) else path}::{name}"


def _is(test: str, asked: str) -> bool:
    return test == asked or test.startswith((f"{asked}[", f"{asked}::"))
