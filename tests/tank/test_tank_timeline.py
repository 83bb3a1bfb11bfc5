"""What a run writes of itself, and the nearest run that passes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import anyio
import pytest

import wavetank
from wavetank import Tank
from wavetank.report.page import timeline_page
from wavetank.report.trace import trace_json

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def race(tank: Tank) -> None:
    """Fails where the second of two tasks goes first."""
    order: list[str] = []

    async def work(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        order.append(name)
        await tank.fake_llm.call("x", item=name)

    async with anyio.create_task_group() as group:
        group.start_soon(work, "a", name="a")
        group.start_soon(work, "b", name="b")
    assert order == ["a", "b"]


@cache
def failure_of_the_race(backend: str) -> wavetank.Run[None]:
    """What a search finds."""
    run = wavetank.search(race, backend=backend).failure
    assert run is not None
    return run


@on_both
def test_a_run_writes_its_page_and_its_trace(tmp_path: Path, backend: str) -> None:
    """Of a run that passed, too; what is written is that of its log with notes."""
    scenario = "calm"

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("x", item="a")

    run = wavetank.simulate(main, scenario, backend=backend)
    run.write_timeline(tmp_path / "timeline.html")
    run.write_trace(str(tmp_path / "trace.json"))
    assert (tmp_path / "timeline.html").read_bytes() == timeline_page(run.logs())
    assert (tmp_path / "trace.json").read_bytes() == trace_json(run.logs())
    assert json.loads((tmp_path / "trace.json").read_text("utf-8"))["traceEvents"]
    assert len(run.logs()) == 1


@on_both
def test_a_failure_of_a_search_has_its_neighbour_that_passes(backend: str) -> None:
    """It has one deviation fewer, says which, and is the same in each search."""
    one, other = failure_of_the_race(backend), wavetank.search(race, backend=backend).failure
    assert other is not None
    failed, passing = one.logs("race")
    assert failed.notes is not None
    assert passing.notes is not None
    assert len(failed.notes.deviations) == 1
    assert passing.notes.deviations == ()
    assert passing.notes.title == f"the same without deviation 1 ({one.deviations[0]})"
    assert passing.end is not None
    assert passing.end.how == "returned"
    deviation = failed.notes.deviations[0]
    assert re.fullmatch(f"{deviation.task}.* goes on; FIFO would have run {deviation.fifo}.*", deviation.text)
    assert [each.to_ndjson() for each in one.logs("race")] == [
        each.to_ndjson() for each in other.logs("race")
    ]


@on_both
def test_the_log_of_a_failure_has_no_notes(backend: str) -> None:
    """So that it is that of the run which its token repeats, whatever search came upon it."""
    failure = failure_of_the_race(backend)
    assert failure.events.notes is None
    again = wavetank.simulate(race, backend=backend, schedule=failure.schedule)
    assert again.events.to_ndjson() == failure.events.to_ndjson()
    assert again.passing is None


def test_a_failure_in_plain_fifo_order_has_no_neighbour() -> None:
    """No deviation can be left out."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("x", item="a")
        raise ValueError("always")

    failure = wavetank.search(main, schedules=5).failure
    assert failure is not None
    assert failure.passing is None
    assert len(failure.logs()) == 1
