"""Programs that fail where the provider refuses certain requests of a share, and what a search is to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import anyio

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import Fault, Wave

ITEMS: Final = "abcdef"
HALF: Final = Wave(lasts=Duration(100 * SECOND), share=0.5)


async def refused(tank: Tank, items: str = ITEMS) -> str:
    """The items that the provider does not answer, asked one after the other."""
    bad = ""
    for item in items:
        try:
            await tank.fake_llm.call(item, item=item)
        except wavetank.ProviderError:
            bad += item
    return bad


async def one_is_refused(tank: Tank) -> None:
    assert len(await refused(tank)) != 1


async def the_first_alone_is_refused(tank: Tank) -> None:
    assert await refused(tank, ITEMS[:4]) != "a"


async def one_of_many_tasks_is_refused(tank: Tank) -> None:
    bad = list[str]()

    async def one(item: str) -> None:
        bad.extend(await refused(tank, item))

    async with anyio.create_task_group() as group:
        for item in ITEMS:
            group.start_soon(one, item)
    assert len(bad) != 1


async def one_retry_in_all(tank: Tank) -> None:
    retries = 0

    async def one(item: str) -> None:
        nonlocal retries
        while await refused(tank, item):
            retries += 1
            await anyio.sleep(0.1)

    with anyio.move_on_after(2):
        async with anyio.create_task_group() as group:
            for item in ITEMS:
                group.start_soon(one, item)
    assert retries != 1


async def one_is_spared(tank: Tank) -> None:
    assert len(await refused(tank)) != len(ITEMS) - 1


async def two_are_refused(tank: Tank) -> None:
    assert len(await refused(tank)) != 2


async def one_is_refused_twice(tank: Tank) -> None:
    assert await refused(tank, "abc" * 2) not in ("aa", "bb", "cc")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareBug:
    """A program, its scenario, and how the report is to say which requests the failure needs.

    `says` begins the text of each of the `deviations` that are left.
    """

    main: Callable[[Tank], Awaitable[None]]
    says: str
    scenario: Scenario = Scenario(wave=(HALF,))  # noqa: RUF009
    most: int = 1


SPARED: Final = "the wave meets '"

BUGS: Final = {
    "one_is_refused": ShareBug(main=one_is_refused, says=SPARED),
    "the_first_alone_is_refused": ShareBug(main=the_first_alone_is_refused, says=SPARED),
    "one_of_many_tasks_is_refused": ShareBug(main=one_of_many_tasks_is_refused, says=SPARED),
    "one_retry_in_all": ShareBug(main=one_retry_in_all, says=SPARED),
    "one_is_spared": ShareBug(main=one_is_spared, says="the wave spares '"),
    "two_are_refused": ShareBug(main=two_are_refused, says="the wave ", most=2),
    "one_is_refused_twice": ShareBug(main=one_is_refused_twice, says=SPARED, most=2),
    "one_is_cut_off": ShareBug(
        main=one_is_refused,
        says="the fault meets '",
        scenario=Scenario(fault=(Fault(kind="reset", times=20, share=0.5),)),
    ),
    "one_of_two_waves": ShareBug(
        main=one_is_refused,
        says=SPARED,
        scenario=Scenario(wave=(Wave(at=Duration(200 * SECOND), lasts=Duration(SECOND)), HALF)),
    ),
}


@cache
def failure_of(name: str, seed: int) -> wavetank.Run[None]:
    """The failure that a search finds, made once for all tests."""
    bug = BUGS[name]
    run = wavetank.search(bug.main, bug.scenario, schedules=1000, level="fifo-instant", seed=seed).failure
    assert run is not None
    return run
