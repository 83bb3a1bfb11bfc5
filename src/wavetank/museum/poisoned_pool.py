"""When one worker process dies, every item in its pool fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of

_PROCESSES: Final = 3


@final
class _Killed(Exception):
    """A worker process has died, and the pool is broken."""

    def __init__(self, seconds: float) -> None:
        super().__init__("a process in the pool was terminated abruptly")
        self.seconds = seconds


async def _process(tank: Tank, items: Iterator[str], results: dict[str, str]) -> None:
    for item in items:
        try:
            results[item] = await ask(tank, item)
        except RateLimited as refusal:
            raise _Killed(refusal.retry_after or 1) from None


async def _pool(tank: Tank, items: list[str], results: dict[str, str]) -> float:
    """Process the items; 0, or the seconds to wait when the pool is broken: its other processes end, too."""
    work, seconds = iter(items), 0.0
    try:
        async with anyio.create_task_group() as processes:
            for _ in range(_PROCESSES):
                processes.start_soon(_process, tank, work, results)
    except* _Killed as group:
        seconds = max(death.seconds for death in group.exceptions if isinstance(death, _Killed))
    return seconds


async def _run(tank: Tank, items: list[str], recovers: bool) -> None:
    results = dict[str, str]()
    seconds = await _pool(tank, items, results)
    while seconds and recovers:
        await anyio.sleep(seconds)
        seconds = await _pool(tank, [item for item in items if item not in results], results)
    for item, answer in results.items():
        tank.ledger.complete(item, answer)


SPECIMEN: Final = specimen(
    name="poisoned_pool",
    row="29",
    kind="D",
    story="An agent that reaches its limit ends its worker process, and a pool with a dead process fails "
    "every pending item; only earlier results are reported. Here the processes are tasks and the pool is a "
    "task group: when one dies the others are cancelled, and the same items are lost.",
    seen="ProjectScylla: 15 of 15 items lost",
    run=_run,
    variants=(False, True),
    scenario=scenario_of(
        "a-wave-in-the-middle", {"at": "700ms", "lasts": "1s"}, latency={"first_token": "100ms..300ms"}
    ),
    check="exactly_once",
    failure="check",
    items=15,
)
