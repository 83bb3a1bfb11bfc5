"""The line that repeats a run."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..scenario import Scenario
from .workload import Workload


def call(
    main: Callable[..., object],
    scenario: str | os.PathLike[str] | Scenario,
    *,
    backend: str,
    max_virtual_seconds: float | None,
    workload: Workload | None = None,
) -> Callable[[str], str]:
    """Makes the call of `simulate` of a token.

    The program goes by the name of its function, and a scenario built in code by that of a variable.
    """
    name = str(getattr(main, "__name__", "main"))
    program = name if name.isidentifier() else "main"
    named = "scenario" if isinstance(scenario, Scenario) else repr(os.fspath(scenario))
    budget = "" if max_virtual_seconds is None else f", max_virtual_seconds={max_virtual_seconds!r}"
    work = "" if workload is None else f", workload={workload!r}"

    def line(token: str) -> str:
        given = f"scenario={named}, backend={backend!r}, schedule={token!r}{budget}{work}"
        return f"wavetank.simulate({program}, {given})"

    return line
