"""Processing of rows: order, bounds, errors of the output, and what a resumed run does."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import (
    Bounds,
    CallResult,
    ItemResult,
    Limits,
    LLMCallStrategy,
    LLMWorkItem,
    TokenUsage,
)
from wavetank.processor.journal import Journal, JournalError, fingerprint
from wavetank.processor.sinks import CsvSink, SinkError
from wavetank.run.output_rows import Rows
from wavetank.run.row_processor import RowProcessor, RunPace
from wavetank.run.run_errors import ApiError
from wavetank.run.run_statistics import RunStatistics

pytestmark = pytest.mark.anyio

ITEMS: list[LLMWorkItem[Any]] = [LLMWorkItem(f"q{number}", f"Question {number}", {}) for number in range(12)]


class Shout(LLMCallStrategy[str]):
    """A provider that answers the later rows first; it fails a row of the given id, for good."""

    def __init__(self, fails: str = "") -> None:
        self.asked: list[str] = []
        self.fails = fails

    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
        self.asked.append(item.id)
        await anyio.sleep(0.001 * (12 - int(item.id[1:])))
        if item.id == self.fails:
            raise ApiError(400, {}, None, "no")
        return CallResult(item.prompt.upper(), TokenUsage(1, 2))


async def passed(
    folder: Path,
    strategy: LLMCallStrategy[str],
    *,
    retry_failed: bool = False,
    during: Callable[[], object] = lambda: None,
    **pace: Any,
) -> RunStatistics:
    """One pass over the items with the files of the folder, resumed if they are there."""
    statistics = RunStatistics(len(ITEMS), now=anyio.current_time, wall=lambda: 0.0)
    with Journal(folder / "run.db", resume=True, retry_failed=retry_failed) as journal:
        journal.register((item.id, fingerprint(item.prompt, item.data)) for item in ITEMS)
        rows = Rows([], journal, id_column="id")
        earlier = rows.earlier(ITEMS, order=pace.get("order", "completed"))
        with CsvSink(
            folder / "out.csv", rows.columns, row=rows.row, journal=journal, earlier=earlier
        ) as output:
            during()
            session = RowProcessor(
                strategy,
                pace=RunPace(parallel=4, **pace),
                statistics=statistics,
                journal=journal,
                output=output,
            )
            await session.process(ITEMS)
    return statistics


def ids(folder: Path) -> list[str]:
    with (folder / "out.csv").open(newline="") as file:
        return [row["id"] for row in csv.DictReader(file, strict=True)]


ALL = [item.id for item in ITEMS]


async def test_the_output_keeps_the_order_of_the_input_over_two_passes(tmp_path: Path) -> None:
    """Asked for, the rows come as the input has them, also when the first pass ended in the middle."""
    first = Shout()
    statistics = await passed(tmp_path, first, order="input", bounds=Bounds(requests=5))
    assert statistics.all.done == 5
    assert statistics.stopped is not None
    assert "5 requests" in statistics.stopped
    # Those before the first that was left out; which these are is for the tasks to settle.
    written = ids(tmp_path)
    assert written == ALL[: len(written)]
    second = Shout()
    statistics = await passed(tmp_path, second, order="input")
    assert (statistics.all.done, statistics.recalled, statistics.all.failed) == (12, 5, 0)
    assert ids(tmp_path) == ALL
    assert sorted(first.asked + second.asked) == sorted(ALL)


async def test_fail_fast_leaves_the_rest_for_another_pass(tmp_path: Path) -> None:
    """After a row that failed nothing more is sent; the rest has no rows and is not lost."""
    statistics = await passed(tmp_path, Shout(fails="q1"), fail_fast=True)
    assert statistics.all.failed == 1
    assert 1 <= statistics.all.done < 12  # trio may send that row first
    assert any(line.startswith("1 row failed: status 400: no") for line in statistics.report())
    assert any(line.startswith("stopped early: item 'q1' failed") for line in statistics.report())
    assert len(ids(tmp_path)) == statistics.all.done
    statistics = await passed(tmp_path, Shout(), retry_failed=True)
    assert (statistics.all.done, statistics.all.failed) == (12, 0)
    assert sorted(ids(tmp_path)) == sorted(ALL)


@pytest.mark.parametrize("order", ["input", "completed"])
async def test_a_spent_quota_leaves_the_rest_for_another_pass(tmp_path: Path, order: str) -> None:
    """Neither the refused row nor those not asked have rows or errors that stay; the next pass asks them."""

    class Spent(Shout):
        async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
            answer = await super().execute(item)
            if len(self.asked) > 6:
                raise ApiError(429, {}, {"error": {"code": "insufficient_quota"}}, "no credit")
            return answer

    first, second = Spent(), Shout()
    statistics = await passed(tmp_path, first, order=order)
    assert statistics.all.failed == 0
    assert statistics.all.done < 12
    left = [line for line in statistics.report() if "left for later: " in line]
    assert sum(int(line.split()[0]) for line in left) == 12 - statistics.all.done
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.counts() == (statistics.all.done, 0, 12 - statistics.all.done)
    done = statistics.all.done
    statistics = await passed(tmp_path, second, order=order)
    assert (statistics.all.done, statistics.recalled, statistics.all.failed) == (12, done, 0)
    assert ids(tmp_path) == ALL if order == "input" else sorted(ids(tmp_path)) == sorted(ALL)
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.repeats() == ()


async def test_an_output_that_fails_stops_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends the pass with its error; resumed, each row is there once and paid once."""
    real = os.write

    def fill_up() -> None:
        rows = 0

        def write(handle: int, data: bytes) -> int:
            nonlocal rows
            rows += data.startswith(b"q")
            if rows > 3:
                raise OSError(28, "No space left on device")
            return real(handle, data)

        monkeypatch.setattr(os, "write", write)

    first, second = Shout(), Shout()
    with pytest.raises(SinkError, match="No space left"):
        await passed(tmp_path, first, during=fill_up)
    monkeypatch.undo()
    assert len(ids(tmp_path)) == 3
    statistics = await passed(tmp_path, second)
    assert statistics.all.done == 12
    assert sorted(ids(tmp_path)) == sorted(first.asked + second.asked) == sorted(ALL)


async def test_a_journal_that_fails_stops_the_run(tmp_path: Path) -> None:
    """Nothing more is sent; the row that could not be kept is asked again by the next run, and marked."""

    asked = []

    class Closing(LLMCallStrategy[str]):
        async def execute(self, item: LLMWorkItem[Any]) -> str:
            asked.append(item.id)
            if item.id == "q3":
                journal.close()
            return item.prompt

    statistics = RunStatistics(len(ITEMS), now=anyio.current_time, wall=lambda: 0.0)
    with Journal(tmp_path / "run.db") as journal:
        session = RowProcessor(Closing(), pace=RunPace(parallel=1), statistics=statistics, journal=journal)
        with pytest.raises(JournalError, match="is closed"):
            await session.process(ITEMS)
    assert asked == ["q0", "q1", "q2", "q3"]
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.repeats() == ("q3",)
        assert journal.counts() == (3, 0, 1)


async def test_a_row_that_waits_for_its_next_try_is_not_under_way(tmp_path: Path) -> None:
    """A run cut off while rows wait for the end of a rate limit marks none of them, and keeps the limit."""

    refused = anyio.Event()

    class Refusing(LLMCallStrategy[str]):
        async def execute(self, item: LLMWorkItem[Any]) -> str:
            assert item.prompt
            refused.set()
            raise ApiError(429, {"retry-after": "3600"}, None, "slow down")

    async with anyio.create_task_group() as group:
        group.start_soon(passed, tmp_path, Refusing())
        await refused.wait()
        # What follows a refusal waits for nothing but its turn.
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.repeats() == ()
        assert journal.counts() == (0, 0, 12)
        (pause,) = journal.pauses().values()
        assert pause.pause_count == 1
        assert (await journal.limited_until()).popitem()[1] == pause.rate_limit_until
    # A run that resumes waits for the end of the limit and sends nothing.
    resumed = Shout()
    with anyio.move_on_after(0.1):
        await passed(tmp_path, resumed)
    assert resumed.asked == []


async def test_a_pause_that_grows_is_one_pause(tmp_path: Path) -> None:
    """Refusals that were under way when it began lengthen it; the report counts it once."""

    class Late(Shout):
        async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
            self.asked.append(item.id)
            if (place := len(self.asked)) > 4:
                return CallResult(item.prompt.upper())
            if place == 4:
                all_asked.set()
            await all_asked.wait()
            await anyio.sleep(0.005 * place)
            raise ApiError(429, {"retry-after": "0.3"}, None, "slow down")

    all_asked = anyio.Event()
    limits = Limits(requests_per_minute=60_000.0)
    statistics = await passed(tmp_path, Late(), limits=limits)
    assert (statistics.all.done, statistics.all.refusals, statistics.all.pauses) == (12, 4, 1)
    assert "4 refusals, 1 pause, " in statistics.report()[0]


def test_the_standing_says_rate_refusals_pause_and_time_left() -> None:
    """The text has every figure of the bar, and none before it is known."""
    clock = [0.0]
    statistics = RunStatistics(10, now=lambda: clock[0], wall=lambda: 0.0)
    assert statistics.progress_text() == "0 of 10 rows, 0/s"
    clock[0] = 8.0
    for number in range(4):
        statistics.add(ItemResult(str(number), value="x", recalled=number == 3))
    statistics.add(ItemResult("bad", error=ValueError("boom"), reason="3 errors", cause="no status"))
    statistics.add_refusal()
    statistics.add_pause(90.0)
    said = statistics.progress_text()
    assert said == "5 of 10 rows, 1 failed, 0.5/s, 1 refused, 1 pause, paused for 1m30s, 10.0s left"
    assert statistics.share == 0.5
    report = statistics.report()
    assert report[0].startswith(
        "4 of 10 rows have answers, 1 of them in earlier runs; 8.0s, 1 refusal, 1 pause, 0 sent again"
    )
    assert report[1].startswith("1 row failed: no status: boom at ")


def test_many_reasons_are_counted_and_the_first_ten_shown() -> None:
    """The most frequent come first, long ones are cut, and the rest is a number."""
    statistics = RunStatistics(30, now=lambda: 0.0, wall=lambda: 0.0)
    for number in range(14):
        for _ in range(number + 1):
            statistics.add(ItemResult("x", error=ValueError(f"{number} " + "x" * 300), cause="cause"))
    report = statistics.report()
    assert report[1].startswith("14 rows failed: cause: 13 xxx")
    assert len(report[1]) < 220
    assert report[-1] == "and 4 other reasons"
    assert len(report) == 12
