"""The line that repeats a run."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..checks import Checks
from ..scenario import Scenario
from .workload import Workload


def call(
    main: Callable[..., object],
    scenario: str | os.PathLike[str] | Scenario,
    *,
    backend: str,
    max_virtual_seconds: float | None,
    max_cpu_seconds: float | None = None,
    checks: Checks = "default",
    workload: Workload | None = None,
) -> Callable[[str], str]:
    """Makes the call of `simulate` of a token.

    The program goes by the name of its function, and a scenario built in code by that of a variable.
    """
    name = str(getattr(main, "__name__", "main"))
    program = name if name.isidentifier() else "main"
    named = "scenario" if isinstance(scenario, Scenario) else repr(os.fspath(scenario))
    budget = "" if max_virtual_seconds is None else f", max_virtual_seconds={max_virtual_seconds!r}"
    budget += "" if max_cpu_seconds is None else f", max_cpu_seconds={max_cpu_seconds!r}"
    judged = "" if checks == "default" else f", checks={_named(checks)}"
    work = "" if workload is None else f", workload={workload!r}"

    def line(token: str) -> str:
        given = f"scenario={named}, backend={backend!r}, schedule={token!r}{budget}{judged}{work}"
        return f"wavetank.simulate({program}, {given})"

    return line


def _named(checks: Checks) -> str:
    """Checks as an argument has them; a check that the caller wrote goes by the name of its function."""
    if isinstance(checks, str):
        return repr(checks)
    if callable(checks):
        return _name_of(checks)
    return f"[{', '.join(repr(each) if isinstance(each, str) else _name_of(each) for each in checks)}]"


def _name_of(check: object) -> str:
    return str(getattr(check, "__name__", "check"))
