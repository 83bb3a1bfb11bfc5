"""A deadline around an answer and its report has the item done again when it strikes between two reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask_until_answered, scenario_of, with_workers

_DEADLINE: Final = 30
_ATTEMPTS: Final = 3


class _Outcomes:
    """Reports an item, and notifies those who wait for it."""

    async def report(self, tank: Tank, item: str, attempt: int, text: str) -> None:
        tank.ledger.complete(item, f"{text} (attempt {attempt})")
        await self.notify()

    async def notify(self) -> None:
        await anyio.sleep(0.01)


class _FixedOutcomes(_Outcomes):
    async def report(self, tank: Tank, item: str, attempt: int, text: str) -> None:
        with anyio.CancelScope(shield=True):
            await super().report(tank, item, attempt, text)


async def _work(tank: Tank, outcomes: _Outcomes, items: Iterator[str]) -> None:
    for item in items:
        for attempt in range(1, _ATTEMPTS + 1):
            with anyio.move_on_after(_DEADLINE) as deadline:
                text = await ask_until_answered(tank, item)
                await outcomes.report(tank, item, attempt, text)
            if not deadline.cancelled_caught:
                break


async def _run(tank: Tank, items: list[str], new_outcomes: type[_Outcomes]) -> None:
    await with_workers(2, _work, tank, new_outcomes(), iter(items))


SPECIMEN: Final = specimen(
    name="saved_twice_at_deadline",
    row="37",
    kind="D",
    story="One deadline is around the request and the report of its result. If it strikes after the report, "
    "while that tells others, the item counts as timed out: it is asked and reported again.",
    seen="the family of issue 86296 of Python: what is done when the time-out strikes",
    run=_run,
    variants=(_Outcomes, _FixedOutcomes),
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms..100ms"}),
    check="exactly_once",
    failure="check",
    items=4,
)
