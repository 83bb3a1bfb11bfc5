"""The line that repeats a run."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...checks import Checks
from ...scenario import Scenario
from ...sim.token import THREADS, Schedule
from .run_options import RunOptions


def call(
    main: Callable[..., object],
    scenario: str | os.PathLike[str] | Scenario,
    options: RunOptions,
) -> Callable[[str], str]:
    """A function that returns the call of `simulate` for a token.

    The program is named by its function, and a scenario built in code by the variable `scenario`.
    """
    name = str(getattr(main, "__name__", "main"))
    program = name if name.isidentifier() else "main"
    named = "scenario" if isinstance(scenario, Scenario) else repr(os.fspath(scenario))
    budgets = "".join(
        f", {name}={value!r}"
        for name in ("max_virtual_seconds", "max_cpu_seconds")
        if (value := getattr(options, name)) is not None
    )
    checks = "" if options.checks == "default" else f", checks={_named(options.checks)}"
    interrupted = ", interrupt=True" if options.interrupt else ""
    if options.after_interrupt is not None:
        interrupted += f", after_interrupt={_name_of(options.after_interrupt)}"
    workload = "" if options.workload is None else f", workload={options.workload!r}"

    def line(token: str) -> str:
        on = "" if Schedule.parse(token).backend == THREADS else f", backend={options.backend!r}"
        fixed = f"scenario={named}{on}, schedule={token!r}"
        given = f"{fixed}{budgets}{checks}{workload}{interrupted}"
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
