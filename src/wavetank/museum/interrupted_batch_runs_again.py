"""What a batch has answered is kept when the whole batch is done: Ctrl-C has it all asked again."""

from __future__ import annotations

from typing import Final

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask_until_answered, scenario_of

_BATCH: Final = 3


class _Progress:
    """The texts that a run keeps for the next one."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def answered(self, batch: dict[str, str], item: str, text: str) -> None:
        batch[item] = text

    def batch_done(self, batch: dict[str, str]) -> None:
        self.kept |= batch


class _FixedProgress(_Progress):
    def answered(self, batch: dict[str, str], item: str, text: str) -> None:
        super().answered(batch, item, text)
        self.kept[item] = text


async def _run(tank: Tank, items: list[str], progress: _Progress) -> None:
    for first in range(0, len(items), _BATCH):
        batch: dict[str, str] = {}
        for item in items[first : first + _BATCH]:
            text = progress.kept.get(item)
            if text is None:
                text = await ask_until_answered(tank, item)
                progress.answered(batch, item, text)
            tank.ledger.complete(item, text)
        progress.batch_done(batch)


SPECIMEN: Final = specimen(
    name="interrupted_batch_runs_again",
    row="38",
    kind="D",
    story="The results of a batch are kept when all of it is done. A run that is interrupted in the middle "
    "has reported some of them, and the next run asks, and pays, for these once more.",
    seen="issue 463 of EvoScientist",
    run=_run,
    variants=(_Progress, _FixedProgress),
    resumes=True,
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms..100ms"}),
    expect={"paid_per_item": 1},
    check="exactly_once",
    failure="check",
    items=6,
)
