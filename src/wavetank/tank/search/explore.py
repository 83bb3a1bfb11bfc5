"""Turn a test into a search: one pytest node per backend, a fresh tank in every run."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import unittest
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from ...checks import Checks
from ...scenario import Scenario
from ..runs.run_options import BACKENDS, checked_backend, checked_jobs
from ..tank import Tank
from .search import Result, search

FIXTURE: Final = "wavetank_search"
BACKEND: Final = "wavetank_backend"
MARK: Final = "wavetank_explored"
"""The attribute by which the plugin knows an explored test."""

_searchers: Final[list[Callable[..., Result[Any]]]] = []
"""What searches for the test that runs now, the innermost last: as pytest's command line wants it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What the decorator was given; `None` leaves the scenario to the command line or the ini file."""

    scenario: str | os.PathLike[str] | Scenario | None
    options: dict[str, Any]


@contextmanager
def searching_by(searcher: Callable[..., Result[Any]]) -> Iterator[None]:
    """Let explored tests be searched by this until the block ends, instead of by `wavetank.search`."""
    _searchers.append(searcher)
    try:
        yield
    finally:
        _searchers.remove(searcher)


def explore(
    scenario: str | os.PathLike[str] | Scenario | None = None,
    *,
    schedules: int | None = None,
    policy: str | None = None,
    level: str | None = None,
    seed: int | None = None,
    backends: Iterable[str] | None = None,
    checks: Checks | None = None,
    max_virtual_seconds: float | None = None,
    max_cpu_seconds: float | None = None,
    jobs: int | None = None,
    interrupt: bool = False,
    after_interrupt: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Search schedules of `async def test(tank)` for one that fails; pytest sees a plain test per backend.

    By default these are asyncio and trio. A plain function `def test(tank)`, which may start threads, runs
    on neither and is one test. The other arguments of the test are fixtures, made once and in real time.
    What is not given comes from the `--llm-*` options, their ini twins, or the defaults of `wavetank.search`.
    With `interrupt` some runs interrupt the test, as Ctrl-C does, and `after_interrupt(tank)`
    then runs on what it has kept. Without `jobs` a process on each core makes schedules where that is
    safe: `pytest -v` says why it is not.

    Raises:
        TypeError: the test does not take `tank`, or is a generator; the parentheses are missing; a plain
            function is given backends.
        ValueError: there is no such backend, or none is named; `jobs` is no whole number of at least 1.
    """
    if callable(scenario):
        raise TypeError("the decorator is called: write `@wavetank.explore()`, with its parentheses")
    names = None if backends is None else _checked_backends(backends)
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

    def decorate(test: Callable[..., Any]) -> Callable[..., None]:
        import pytest

        on = _backends_of(test, names)
        explored = _explored(test, Explored(scenario=scenario, options=options), on)
        explored = pytest.mark.usefixtures(FIXTURE)(explored)
        per_backend: Callable[..., None] = pytest.mark.parametrize(BACKEND, on)(explored) if on else explored
        return per_backend

    return decorate


def _checked_backends(backends: Iterable[str]) -> tuple[str, ...]:
    names = tuple(checked_backend(name) for name in ((backends,) if isinstance(backends, str) else backends))
    if not names:
        raise ValueError('backends is empty: name at least one, as in backends=["asyncio"]')
    return names


def _backends_of(test: Callable[..., Any], given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The backends that a test runs on; none for a plain function."""
    name = getattr(test, "__name__", "test")
    awaited = inspect.iscoroutinefunction(test)
    yields = inspect.isgeneratorfunction(test) or inspect.isasyncgenfunction(test)
    if yields or "tank" not in inspect.signature(test).parameters:
        raise TypeError(
            f"@wavetank.explore needs a function that takes the tank and does not yield: "
            f"write `{'async ' if awaited else ''}def {name}(tank): ...`"
        )
    if awaited:
        return BACKENDS if given is None else given
    if given is not None:
        raise TypeError(
            f"{name} is a plain function, which runs on no event loop: leave backends={list(given)!r} out, "
            f"or write `async def {name}(tank): ...`"
        )
    return ()


def _explored(test: Callable[..., Any], given: Explored, backends: tuple[str, ...]) -> Callable[..., None]:
    """A sync test with the arguments of `test`, but for the tank, and the backend if it has some."""

    @functools.wraps(test)
    def explored(*instance: Any, **fixtures: Any) -> None:
        __tracebackhide__ = True
        # A method of unittest gets no arguments: it runs on one backend after the other.
        on = (fixtures.pop(BACKEND),) if BACKEND in fixtures else backends
        main = _main(test, instance, fixtures, awaited=bool(backends))
        for each in _installed(on) if backends else ({},):
            _search(main, given, each).check()

    signature = inspect.signature(test)
    parameters = [each for name, each in signature.parameters.items() if name != "tank"]
    extra = [inspect.Parameter(BACKEND, inspect.Parameter.KEYWORD_ONLY)] if backends else []
    vars(explored)["__signature__"] = signature.replace(
        parameters=[*parameters, *extra], return_annotation=None
    )
    del vars(explored)["__wrapped__"]
    vars(explored)["place_as"] = test  # where pytest says that the test is
    setattr(explored, MARK, given)
    return explored


def _main(
    test: Callable[..., Any], instance: tuple[Any, ...], fixtures: dict[str, Any], *, awaited: bool
) -> Callable[[Tank], Any]:
    """The program of a test: the test itself, but for its tank."""

    @functools.wraps(test)
    async def main(tank: Tank) -> Any:
        return await test(*instance, tank=tank, **fixtures)

    @functools.wraps(test)
    def plain(tank: Tank) -> Any:
        return test(*instance, tank=tank, **fixtures)

    return main if awaited else plain


def _installed(backends: tuple[str, ...]) -> list[dict[str, str]]:
    """The backends that are installed, each as an option.

    Raises:
        SkipTest: none is.
    """
    found = [{"backend": each} for each in backends if importlib.util.find_spec(each) is not None]
    if not found:
        raise unittest.SkipTest(f"{' and '.join(backends)} is not installed")
    return found


def _search(main: Callable[[Tank], Any], given: Explored, options: dict[str, str]) -> Result[Any]:
    """Search as pytest's command line wants it or, under another test runner, as the decorator says."""
    if _searchers:
        return _searchers[-1](main, **options)
    scenario = "calm" if given.scenario is None else given.scenario
    return search(main, scenario, **{**given.options, **options})
