"""Answers of a second round are stored at their positions in that round, not in the whole batch."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of

_Outcome = str | RateLimited


async def _ask_all(tank: Tank, items: list[str]) -> list[_Outcome]:
    """The outcome of each item, in their order."""
    outcomes: dict[str, _Outcome] = {}

    async def ask_one(item: str) -> None:
        try:
            outcomes[item] = await ask(tank, item)
        except RateLimited as refusal:
            outcomes[item] = refusal

    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(ask_one, item)
    return [outcomes[item] for item in items]


async def _run(tank: Tank, items: list[str], by_second_round: bool) -> None:
    outcomes = await _ask_all(tank, items)
    refused = [place for place, outcome in enumerate(outcomes) if not isinstance(outcome, str)]
    await anyio.sleep(2)
    again = await _ask_all(tank, [items[place] for place in refused])
    for place, outcome in enumerate(again) if by_second_round else zip(refused, again, strict=True):
        outcomes[place] = outcome
    for item, outcome in zip(items, outcomes, strict=True):
        if isinstance(outcome, str):
            tank.ledger.complete(item, outcome)
        else:
            tank.ledger.fail(item, outcome)


SPECIMEN: Final = specimen(
    name="swapped_answers",
    row="15",
    kind="W",
    story="The refused items of a batch are sent again in a shorter list, and the answers are stored at the "
    "positions in that list: item 1 gets the answer of item 3.",
    seen="issue 35475 of langchain",
    run=_run,
    variants=(True, False),
    scenario=scenario_of("one-item-refused-once", {"lasts": "500ms", "match": {"item": "item-3"}}),
    check="right_answer",
    failure="check",
    items=4,
)
