"""Run a program once against a scenario in virtual time."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from ..checks import judge, named
from ..checks.history import unmatched
from ..patches.randomness import Chance
from ..scenario import Scenario, load_scenario
from ..sim.asyncio_run import run_asyncio
from ..sim.ended import Ended
from ..sim.token import Schedule
from .assembly import checked_seed
from .failure import UnmatchedLedger
from .run import Run
from .tank import Tank
from .world import World

T = TypeVar("T")
BACKENDS: Final = ("asyncio", "trio")


def simulate(
    main: Callable[[Tank], Awaitable[T]],
    scenario: str | os.PathLike[str] | Scenario = "calm",
    *,
    backend: str = "asyncio",
    seed: int = 0,
    schedule: str | None = None,
    max_virtual_seconds: float | None = None,
    checks: str | Iterable[str] = "default",
) -> Run[T]:
    """Run `main(tank)` in virtual time and judge what happened.

    `scenario` is a catalogue name, a path to a TOML file or a `Scenario`. `schedule` is the
    token of an earlier run; it brings its own seed. HTTP clients in `main` meet the fake at
    their real URLs.

    Raises:
        ScenarioError: the scenario cannot be found or read.
        TokenError: the token is damaged or belongs to another scenario or backend.
        UnknownCheck: a check has no such name.
        ValueError: another argument is out of range.
    """
    names = named(checks)
    loaded = load_scenario(scenario)
    world = World(
        loaded, seed=checked_seed(seed), backend=_backend(backend), max_virtual_seconds=max_virtual_seconds
    )
    if schedule is not None:
        here = world.schedule
        seed = Schedule.parse(schedule).matching(backend=here.backend, digest=here.digest).seed
        world = World(loaded, seed=seed, backend=backend, max_virtual_seconds=max_virtual_seconds)
    run = _engine(backend)
    with world.borrowed(), Chance(world.schedule.seed).lent():
        try:
            end = run(
                lambda: _coroutine(main, world.parts.tank),
                world.host,
                started=world.started,
                ended=world.parts.ended,
            )
        finally:
            world.close()
    if warning := unmatched(world.parts.log):
        warnings.warn(warning, UnmatchedLedger, stacklevel=2)
    return Run(
        value=end.value,
        error=end.error,
        verdicts=judge(world.parts.log, names),
        events=world.parts.log,
        steps=end.steps,
        schedule=world.schedule.token(),
        replay=_replay(scenario, world.schedule, max_virtual_seconds),
    )


def _replay(
    scenario: str | os.PathLike[str] | Scenario, schedule: Schedule, max_virtual_seconds: float | None
) -> str:
    """The call that repeats a run; a scenario built in code goes by the name of its variable."""
    named = "scenario" if isinstance(scenario, Scenario) else repr(os.fspath(scenario))
    budget = "" if max_virtual_seconds is None else f", max_virtual_seconds={max_virtual_seconds!r}"
    return (
        f"wavetank.simulate(main, scenario={named}, backend={schedule.backend!r}, "
        f"seed={schedule.seed}, schedule={schedule.token()!r}{budget})"
    )


def _coroutine(main: Callable[[Tank], Awaitable[T]], tank: Tank) -> Coroutine[Any, Any, T]:
    made = main(tank)
    if not inspect.iscoroutine(made):
        raise TypeError("main must be a coroutine function: write `async def main(tank): ...`")
    return made


def _backend(name: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}; there are: {', '.join(BACKENDS)}")
    return name


def _engine(backend: str) -> Callable[..., Ended]:
    if backend == "asyncio":
        return run_asyncio
    try:
        from ..sim.trio_run import run_trio
    except ModuleNotFoundError as error:
        if error.name != "trio":
            raise
        raise ValueError('backend="trio" needs trio: install it beside wavetank') from None
    return run_trio
