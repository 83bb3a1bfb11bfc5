"""After a kill in the middle of a write, the next line is appended to the half line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask_until_answered

_WORKERS: Final = 2
_KILLED_AT: Final = 2


@final
class _Killed(Exception):
    """The process was killed in the middle of a write."""


@final
class _Journal:
    """A file with one line for each result; one write is cut short because the process is killed."""

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

    def drop_torn_line(self) -> None:
        """Remove the half line at the end."""
        self.text = self.text[: self.text.rfind("\n") + 1]


async def _process(tank: Tank, journal: _Journal, items: list[str]) -> None:
    async def work(left: Iterator[str]) -> None:
        for item in left:
            journal.write(item, await ask_until_answered(tank, item))

    done = journal.read()
    try:
        async with anyio.create_task_group() as group:
            left = iter([item for item in items if item not in done])
            for _ in range(_WORKERS):
                group.start_soon(work, left)
    except* _Killed:
        pass


async def _run(tank: Tank, items: list[str], drops_torn_line: bool) -> None:
    journal = _Journal()
    await _process(tank, journal, items)
    if drops_torn_line:
        journal.drop_torn_line()
    await _process(tank, journal, items)
    for item, answer in journal.read().items():
        tank.ledger.complete(item, answer)


SPECIMEN: Final = specimen(
    name="resume_repeats",
    row="30",
    kind="D",
    story="A kill in the middle of a write leaves half a line. The next run appends its first result to that "
    "half, the line made of both cannot be read, and the result is lost. The file is kept in memory here and "
    "the kill is an exception in the write.",
    seen="pull request 112575 of hermes-agent; the parallel request script of openai-cookbook",
    run=_run,
    variants=(False, True),
    scenario="calm",
    check="exactly_once",
    failure="check",
    expect={"paid_per_item": 2},  # requests in flight when the process died are paid again
    items=5,
)
