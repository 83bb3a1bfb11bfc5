"""An exception is caught, and the item is completed with an empty text."""

from __future__ import annotations

from typing import Final

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of


async def _run(tank: Tank, items: list[str], swallowed: bool) -> None:
    for item in items:
        try:
            text = await ask(tank, item)
        except RateLimited as refusal:
            if not swallowed:
                tank.ledger.fail(item, refusal)
                continue
            text = ""
        tank.ledger.complete(item, text)


SPECIMEN: Final = specimen(
    name="error_as_empty_text",
    row="35",
    kind="W",
    story="A refusal is caught in an inner function that returns an empty text, which is stored like any "
    "answer: the batch succeeds, and some of its rows are empty.",
    seen="issue 130 of graphrag",
    run=_run,
    variants=(True, False),
    scenario=scenario_of("one-item-refused", {"lasts": "500ms", "match": {"item": "item-3"}}),
    check="answered",
    failure="check",
    items=4,
)
