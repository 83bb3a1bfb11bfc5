"""An exception is caught, and the item is completed with an empty text."""

from __future__ import annotations

from typing import Final

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather

_ITEMS: Final = 4


async def _run(tank: Tank, *, swallowed: bool) -> None:
    for item in submitted(tank, _ITEMS):
        try:
            text = await ask(tank, item)
        except RateLimited as refusal:
            if not swallowed:
                tank.ledger.fail(item, refusal)
                continue
            text = ""
        tank.ledger.complete(item, text)


async def _buggy(tank: Tank) -> None:
    await _run(tank, swallowed=True)


async def _twin(tank: Tank) -> None:
    await _run(tank, swallowed=False)


SPECIMEN: Final = Specimen(
    name="error_as_empty_text",
    row="35",
    kind="W",
    story="A refusal is caught far down and an empty text given back, which is stored like any answer: the "
    "batch ends well, and some of its rows are empty.",
    seen="issue 130 of graphrag",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-item-refused", {"lasts": "500ms", "match": {"item": "item-3"}}),
    check="answered",
    failure="check",
    items=_ITEMS,
)
