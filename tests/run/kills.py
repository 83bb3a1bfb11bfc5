"""Kills journaled runs at chosen steps, resumes them, and says what was lost or paid twice.

    python tests/run/kills.py FOLDER POINTS [--only POINT] [--forgetful]

A step is an instruction of SQLite's machine, the write of a row, or the beginning or end of a
request. Every run is a fork of this process, which has imported everything once; it is killed
by SIGKILL at its n-th step. POINTS runs are killed at points spread evenly over a whole run;
each eighth is killed once more while it is resumed. `--only` repeats one point. With
`--forgetful` the journal notes no request before it leaves, which has to be found.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import signal
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from wavetank.processor import CallResult, Limits, LLMCallStrategy, LLMWorkItem
from wavetank.processor.journal import Journal, fingerprint, journal_file
from wavetank.processor.sinks import CsvSink
from wavetank.run.output_rows import Rows
from wavetank.run.row_processor import RowProcessor, RunPace
from wavetank.run.run_errors import ApiError
from wavetank.run.run_statistics import RunStatistics

ITEMS: list[LLMWorkItem[Any]] = [LLMWorkItem(f"q{number}", f"Question {number}") for number in range(12)]
WORKERS = 3
WHOLE = 1 << 60
BACKENDS = ("asyncio", "trio")

write = os.write


class Clockwork:
    """Counts the steps of a run and kills the process at the last it may take."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.taken = 0

    def step(self) -> None:
        self.taken += 1
        if self.taken > self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Step at each instruction of SQLite and around each write."""
        connect = journal_file._connect

        def connected(path: Path, options: str) -> Any:
            connection = connect(path, options)
            connection.set_progress_handler(self.step, 1)
            return connection

        def stepping_write(handle: int, data: Any) -> int:
            self.step()
            # A row may be torn anywhere.
            written = write(handle, data[: len(data) // 2])
            self.step()
            written += write(handle, data[len(data) // 2 :])
            self.step()
            return written

        journal_file._connect = connected
        os.write = stepping_write


class ProviderApi(LLMCallStrategy[str]):
    """Writes down each request that it is paid for; it may refuse two items once a run."""

    def __init__(self, paid: Path, clockwork: Clockwork, *, refuses: bool) -> None:
        self.log = os.open(paid, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.clockwork = clockwork
        self.refuses = {"q2", "q7"} if refuses else set()

    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
        self.clockwork.step()
        await anyio.lowlevel.checkpoint()
        if item.id in self.refuses:
            self.refuses.remove(item.id)
            raise ApiError(429, {"retry-after-ms": "1"}, None, "slow down")
        write(self.log, f"{item.id}\n".encode())
        self.clockwork.step()
        await anyio.lowlevel.checkpoint()
        self.clockwork.step()
        return CallResult(item.prompt.upper())


async def run(folder: Path, clockwork: Clockwork, refuses: bool) -> None:
    """One run, resumed if there is anything to resume."""
    statistics = RunStatistics(len(ITEMS), now=anyio.current_time, wall=lambda: 0.0)
    with Journal(folder / "run.db", resume=True) as journal:
        journal.register((item.id, fingerprint(item.prompt)) for item in ITEMS)
        rows = Rows([], journal, id_column="id")
        earlier = rows.earlier(ITEMS, order="completed")
        with CsvSink(
            folder / "out.csv", rows.columns, row=rows.row, journal=journal, earlier=earlier
        ) as output:
            session = RowProcessor(
                ProviderApi(folder / "paid", clockwork, refuses=refuses),
                pace=RunPace(parallel=WORKERS, limits=Limits(requests_per_minute=60e6, burst=100)),
                statistics=statistics,
                journal=journal,
                output=output,
            )
            await session.process(ITEMS)


def forked(folder: Path, backend: str, steps: int, *, refuses: bool) -> tuple[bool, int]:
    """Run in a fork; return whether it was killed, and how many steps it took if it was not."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            clockwork = Clockwork(steps)
            clockwork.install()
            anyio.run(run, folder, clockwork, refuses, backend=backend)
            write(writing, str(clockwork.taken).encode())
            os._exit(0)
        except BaseException as error:
            write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        taken = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True, 0
    if os.WEXITSTATUS(status):
        raise SystemExit(f"a run failed; see above ({folder}, {backend}, {steps} steps)")
    return False, int(taken)


def judge(folder: Path, kills: int) -> list[str]:
    """What is wrong after the last run."""
    paid = Counter((folder / "paid").read_text().split())
    with (folder / "out.csv").open(newline="") as file:
        rows = Counter(row["id"] for row in csv.DictReader(file, strict=True))
    with Journal(folder / "run.db", resume=True) as journal:
        marked = set(journal.repeats())
        counts = journal.counts()
    wrong = []
    if counts != (len(ITEMS), 0, 0):
        wrong.append(f"the journal counts {counts}")
    if rows != Counter(item.id for item in ITEMS):
        wrong.append(f"rows of the output: {dict(rows)}")
    wrong += [f"{id} was paid {n} times, {kills} kills" for id, n in paid.items() if n > 1 + kills]
    wrong += [
        f"{id} was paid {n} times without a mark" for id, n in paid.items() if n > 1 and id not in marked
    ]
    if len(marked) > WORKERS * kills:
        wrong.append(f"{len(marked)} marked, but at most {WORKERS} were under way at each kill")
    return wrong


def main(folder: Path, points: int, only: int | None) -> None:
    """Kill at each point and print what was found, as JSON."""
    # A kill leaves to the system what it was given; only a power cut could take it.
    journal_file.SYNCHRONOUS = "OFF"
    wholes = {}
    for backend in BACKENDS:
        # Imported here and not in every fork.
        anyio.run(anyio.lowlevel.checkpoint, backend=backend)
        for refuses in (False, True):
            (place := folder / f"{backend} {refuses}").mkdir()
            _, wholes[backend, refuses] = forked(place, backend, WHOLE, refuses=refuses)
    found: dict[str, list[str]] = {}
    killed = paid_twice = 0
    for point in range(points) if only is None else [only]:
        # A run with refusals waits, if only for moments.
        backend, refuses = BACKENDS[point % 2], point % 8 < 2
        (place := folder / str(point)).mkdir()
        whole = wholes[backend, refuses]
        kills = int(forked(place, backend, point * whole // points, refuses=refuses)[0])
        if point % 8 == 3:
            kills += int(forked(place, backend, (point * 7919) % whole, refuses=refuses)[0])
        forked(place, backend, WHOLE, refuses=False)
        killed += kills
        if wrong := judge(place, kills):
            found[f"{point} of {points}, {backend}"] = wrong
        paid_twice += len(Counter((place / "paid").read_text().split()) - Counter(item.id for item in ITEMS))
    steps = sorted(wholes.values())
    print(json.dumps({"killed": killed, "steps": steps, "paid twice": paid_twice, "wrong": found}))


async def forget(*_: object) -> None:
    """Record nothing, in place of `Journal.started`: the check of the journal has to notice that."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("points", type=int)
    parser.add_argument("--only", type=int)
    parser.add_argument("--forgetful", action="store_true")
    words = parser.parse_args()
    if words.forgetful:
        Journal.started = forget  # type: ignore[assignment, method-assign]
    # What is alive now is not looked at again in the forks, nor copied for that.
    gc.freeze()
    warnings.simplefilter("error")
    main(words.folder, words.points, words.only)
