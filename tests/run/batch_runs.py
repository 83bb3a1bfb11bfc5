"""Runs batches in virtual time, as `wavetank run --batch` does, and kills them at any step."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.processor.journal.journal_file import JournalFile
from wavetank.processor.sinks import CsvSink, JsonlSink
from wavetank.run import run_arguments
from wavetank.run.batches.batch_http import BatchHttp
from wavetank.run.batches.start import new_batch_run
from wavetank.run.command_options import CommandOptions, read_options
from wavetank.run.input_table import read_table
from wavetank.run.provider_strategy import new_client
from wavetank.run.run_files import open_files
from wavetank.run.run_plan import RunPlan
from wavetank.run.run_statistics import RunStatistics
from wavetank.tank.tank import Tank

from .output import rows

VENDORS = ("openai", "anthropic", "gemini", "mistral")


class Killed(BaseException):
    """The process was killed: nothing that it does after that counts."""


class Steps:
    """Counts the steps of a run, which are sends and writes, and kills it at the last it may take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 1 << 60
        self.taken = 0
        for owner, name in ((JournalFile, "execute"), (CsvSink, "append"), (JsonlSink, "append")):
            monkeypatch.setattr(owner, name, self._around(getattr(owner, name)))
        monkeypatch.setattr(BatchHttp, "_send", self._around_async(BatchHttp._send))
        self._on = False
        self._journals: list[JournalFile] = []
        opened = JournalFile.__init__

        def opening(file: JournalFile, *words: Any, **more: Any) -> None:
            opened(file, *words, **more)
            self._journals.append(file)

        monkeypatch.setattr(JournalFile, "__init__", opening)

    def step(self) -> None:
        if not self._on:
            return
        self.taken += 1
        if self.taken > self.left:
            raise Killed

    @contextmanager
    def counted(self, left: int = 1 << 60) -> Iterator[None]:
        """Count the steps in the block; after so many each one is the end."""
        self.taken, self.left, self._on = 0, left, True
        try:
            yield
        except Killed:
            # The system frees the journal.
            for file in self._journals:
                file.close()
        finally:
            self._on = False

    def _around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*words: Any, **more: Any) -> Any:
            self.step()
            result = method(*words, **more)
            self.step()
            return result

        return stepping

    def _around_async(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def stepping(*words: Any, **more: Any) -> Any:
            self.step()
            result = await method(*words, **more)
            self.step()
            return result

        return stepping


def options(folder: Path, *words: str, provider: str = "openai") -> CommandOptions:
    """The options of a run over `in.csv`."""
    parser = argparse.ArgumentParser()
    run_arguments.add_arguments(parser)
    common = [str(folder / "in.csv"), "-o", str(folder / "out.csv"), "--batch", "--resume"]
    return read_options(parser.parse_args([*common, "--provider", provider, "--model", "m", *words]))


async def run(wanted: CommandOptions, said: list[str] | None = None) -> RunStatistics:
    """One run, which resumes what there is; it says nothing, or what it would print."""
    table = read_table(wanted.input, wanted.columns, wanted.target)
    plan = RunPlan(wanted, table)
    with open_files(wanted, table) as (journal, output):
        statistics = plan.statistics(now=anyio.current_time, wall=lambda: 0.0)
        async with new_client(timeout_seconds=wanted.timeout_seconds) as client:
            batches = new_batch_run(
                plan,
                client,
                statistics,
                keys=None,
                output=output,
                journal=journal,
                say=(said if said is not None else []).append,
                salt="test",
            )
            await batches.process(table.items)
    return statistics


def enter(tank: Tank, folder: Path) -> None:
    """Submit the rows to the ledger, and know a line of a batch by its prompt."""
    ids = {f"Question {number}": f"q{number}" for number in range(lines(folder))}
    tank.fake_llm.item_of = lambda request: next((ids[text] for text in ids if request.prompt == text), None)
    for id in ids.values():
        tank.ledger.submit(id)


def settle(tank: Tank, folder: Path) -> None:
    """Report what is in the output to the ledger."""
    for id, row in rows(folder).items():
        if row["error"]:
            tank.ledger.fail(id, RuntimeError(row["error"]))
        else:
            tank.ledger.complete(id, row["answer"])


def lines(folder: Path) -> int:
    """How many rows the input has."""
    return len((folder / "in.csv").read_text().splitlines()) - 1


def write_rows(folder: Path, count: int) -> None:
    """An input with so many rows."""
    table = ["id,prompt", *(f"q{number},Question {number}" for number in range(count))]
    (folder / "in.csv").write_text("\n".join(table) + "\n")


def sent(tank: Tank) -> Counter[str]:
    """How often each row was in a batch."""
    return Counter(request.item for request in tank.fake_llm.requests if request.batch and request.item)
