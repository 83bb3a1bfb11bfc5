"""The line that repeats a run."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..scenario import Scenario
from .workload import Workload


def call(
    scenario: str | os.PathLike[str] | Scenario,
    *,
    backend: str,
    max_virtual_seconds: float | None,
    workload: Workload | None = None,
) -> Callable[[str], str]:
    """Makes the call of `simulate` of a token; a scenario built in code goes by the name of its variable."""
    named = "scenario" if isinstance(scenario, Scenario) else repr(os.fspath(scenario))
    budget = "" if max_virtual_seconds is None else f", max_virtual_seconds={max_virtual_seconds!r}"
    work = "" if workload is None else f", workload={workload!r}"

    def line(token: str) -> str:
        given = f"scenario={named}, backend={backend!r}, schedule={token!r}{budget}{work}"
        return f"wavetank.simulate(main, {given})"

    return line
