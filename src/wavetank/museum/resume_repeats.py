"""A journal that was torn by a kill is appended to in the middle of its torn line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, final

import anyio

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted

_WORKERS: Final = 2
_ITEMS: Final = 5
_KILLED_AT: Final = 2


@final
class _Killed(Exception):
    """The process was killed in the middle of a write."""


@final
class _Journal:
    """A file of results, a line each; at one write the process is killed halfway."""

    def __init__(self) -> None:
        self.text = ""
        self.writes = 0

    def write(self, item: str, answer: str) -> None:
        line = json.dumps([item, answer]) + "\n"
        self.writes += 1
        if self.writes == _KILLED_AT:
            self.text += line[: len(line) // 2]
            raise _Killed
        self.text += line

    def read(self) -> dict[str, str]:
        results: dict[str, str] = {}
        for line in self.text.splitlines():
            with suppress(json.JSONDecodeError):
                results.update([json.loads(line)])
        return results

    def mend(self) -> None:
        """Drop the torn line at the end."""
        self.text = self.text[: self.text.rfind("\n") + 1]


async def _process(tank: Tank, journal: _Journal, items: list[str]) -> None:
    async def work(left: Iterator[str]) -> None:
        for item in left:
            journal.write(item, await ask_patiently(tank, item))

    done = journal.read()
    try:
        async with anyio.create_task_group() as group:
            left = iter([item for item in items if item not in done])
            for _ in range(_WORKERS):
                group.start_soon(work, left)
    except* _Killed:
        pass


async def _run(tank: Tank, *, mends: bool) -> None:
    tank.expect(paid_per_item=2)  # what was under way when the process died is paid again
    items, journal = submitted(tank, _ITEMS), _Journal()
    await _process(tank, journal, items)
    if mends:
        journal.mend()
    await _process(tank, journal, items)
    for item, answer in journal.read().items():
        tank.ledger.complete(item, answer)


async def _buggy(tank: Tank) -> None:
    await _run(tank, mends=False)


async def _twin(tank: Tank) -> None:
    await _run(tank, mends=True)


SPECIMEN: Final = Specimen(
    name="resume_repeats",
    row="30",
    kind="D",
    story="A kill in the middle of a write leaves half a line. The next run appends its first result to that "
    "half, the line made of both cannot be read, and the result is lost. The file is kept in memory here and "
    "the kill is an exception in the write.",
    seen="pull request 112575 of hermes-agent; the parallel request script of openai-cookbook",
    buggy=_buggy,
    twin=_twin,
    scenario="calm",
    check="exactly_once",
    failure="check",
    items=_ITEMS,
)
