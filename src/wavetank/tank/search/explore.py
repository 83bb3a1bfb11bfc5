"""Turn an async test into a search: one pytest node per backend, a fresh tank in every run."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from ...checks import Checks
from ...scenario import Scenario
from ..runs.run_options import checked_backend, checked_jobs
from ..tank import Tank

FIXTURE: Final = "wavetank_search"
BACKEND: Final = "wavetank_backend"
MARK: Final = "wavetank_explored"
"""The attribute by which the plugin knows an explored test."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What the decorator was given; `None` leaves the scenario to the command line or the ini file."""

    scenario: str | os.PathLike[str] | Scenario | None
    options: dict[str, Any]


def explore(
    scenario: str | os.PathLike[str] | Scenario | None = None,
    *,
    schedules: int | None = None,
    policy: str | None = None,
    level: str | None = None,
    seed: int | None = None,
    backends: Iterable[str] = ("asyncio", "trio"),
    checks: Checks | None = None,
    max_virtual_seconds: float | None = None,
    max_cpu_seconds: float | None = None,
    jobs: int | None = None,
    interrupt: bool = False,
    after_interrupt: Callable[..., Awaitable[Any]] | None = None,
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., None]]:
    """Search schedules of `async def test(tank)` for one that fails; pytest sees a plain test per backend.

    The other arguments of the test are fixtures, made once and in real time. What is not given
    comes from the `--llm-*` options, their ini twins, or the defaults of `wavetank.search`.
    With `interrupt` some runs interrupt the test, as Ctrl-C does, and `async def after_interrupt(tank)`
    then runs on what it has kept. Without `jobs` a process on each core makes schedules where that is
    safe: `pytest -v` says why it is not.

    Raises:
        TypeError: the test is no coroutine function, or does not take `tank`; or the parentheses are missing.
        ValueError: there is no such backend, or none is named; `jobs` is no whole number of at least 1.
    """
    if callable(scenario):
        raise TypeError("the decorator is called: write `@wavetank.explore()`, with its parentheses")
    names = [checked_backend(name) for name in ((backends,) if isinstance(backends, str) else backends)]
    if not names:
        raise ValueError('backends is empty: name at least one, as in backends=["asyncio"]')
    if jobs is not None:
        checked_jobs(jobs)
    given = {
        "jobs": jobs,
        "schedules": schedules,
        "policy": policy,
        "level": level,
        "seed": seed,
        "checks": checks,
        "max_virtual_seconds": max_virtual_seconds,
        "max_cpu_seconds": max_cpu_seconds,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if interrupt or after_interrupt is not None:
        options |= {"interrupt": interrupt, "after_interrupt": after_interrupt}

    def decorate(test: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
        import pytest

        explored = _explored(test)
        setattr(explored, MARK, Explored(scenario=scenario, options=options))
        per_backend: Callable[..., None] = pytest.mark.parametrize(BACKEND, names)(explored)
        return per_backend

    return decorate


def _explored(test: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
    """A sync test with the arguments of `test`, but for the tank, and what the search needs."""
    signature = inspect.signature(test)
    if not inspect.iscoroutinefunction(test) or "tank" not in signature.parameters:
        raise TypeError(
            f"@wavetank.explore needs a coroutine function that takes the tank: "
            f"write `async def {getattr(test, '__name__', 'test')}(tank): ...`"
        )

    @functools.wraps(test)
    def explored(*instance: Any, **fixtures: Any) -> None:
        __tracebackhide__ = True
        search, backend = fixtures.pop(FIXTURE), fixtures.pop(BACKEND)
        if importlib.util.find_spec(backend) is None:
            import pytest

            pytest.skip(f"{backend} is not installed")

        @functools.wraps(test)
        async def main(tank: Tank) -> Any:
            return await test(*instance, tank=tank, **fixtures)

        search(main, backend=backend).check()

    parameters = [each for name, each in signature.parameters.items() if name != "tank"]
    extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (FIXTURE, BACKEND)]
    vars(explored)["__signature__"] = signature.replace(
        parameters=[*parameters, *extra], return_annotation=None
    )
    del vars(explored)["__wrapped__"]
    vars(explored)["place_as"] = test  # where pytest says that the test is
    return explored
