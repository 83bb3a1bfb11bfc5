"""What the plugin shows of a run: files beside the event log, sentences and a drawing in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wavetank.events import EventLog
from wavetank.report.page import timeline_page
from wavetank.report.trace import trace_json

RunPytest = Callable[..., pytest.RunResult]

TESTS = """
import anyio
import wavetank

async def ask(tank, item):
    tank.ledger.submit(item)
    try:
        tank.ledger.complete(item, (await tank.fake_llm.call("x", item=item)).text)
    except wavetank.RateLimited:
        pass

def test_loses(tank):
    anyio.run(ask, tank, "<row>")

def test_passes(fake_llm):
    pass

@wavetank.explore("calm", schedules=50, backends="asyncio")
async def test_race(tank):
    order = []
    async def work(name):
        await anyio.lowlevel.checkpoint()
        order.append(name)
        await tank.fake_llm.call("x", item=name)
    async with anyio.create_task_group() as group:
        group.start_soon(work, "a")
        group.start_soon(work, "b")
    await ask(tank, "c")
    assert order == sorted(order)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    pytester.makepyfile(test_it=TESTS)
    (pytester.path / "busy.toml").write_text('title = "Busy"\n[[wave]]\nlasts = "2s"\n')
    return pytester.path


def test_each_failure_has_a_page_and_a_trace(project: Path, run_pytest: RunPytest) -> None:
    """Beside its event log; they are those of the log, which has notes. A race has its neighbour."""
    options = ("--llm-scenario=busy.toml", "--llm-report=retain-on-failure")
    result = run_pytest(*options)
    result.assert_outcomes(passed=1, failed=2)
    logs = sorted((project / "llm-report").glob("*.ndjson"))
    assert len(logs) == 3
    loses = next(path for path in logs if "test_loses" in path.name)
    neighbour = next(path for path in logs if path.name.endswith(".passing.ndjson"))
    (race,) = {*logs} - {loses, neighbour}
    for group in ([race, neighbour], [loses]):
        read = [EventLog.from_ndjson(path.read_bytes()) for path in group]
        base = group[0].with_suffix("")
        assert Path(f"{base}.html").read_bytes() == timeline_page(read)
        assert Path(f"{base}.trace.json").read_bytes() == trace_json(read)
        assert json.loads(Path(f"{base}.trace.json").read_bytes())
        notes = read[0].notes
        assert notes is not None
        assert notes.title.startswith("test_it.py::")
        assert "--llm-replay=" in notes.replay
        page = f"{base.relative_to(project)}.html"
        result.stdout.fnmatch_lines([f"*, timeline in {page.replace('[', '?').replace(']', '?')}"])
    lost = EventLog.from_ndjson(loses.read_bytes()).notes
    assert lost is not None
    assert [each.name for each in lost.verdicts if each.passed is False] == ["exactly_once"]
    assert "<row>" not in Path(f"{loses.with_suffix('')}.html").read_text("utf-8")


@pytest.mark.usefixtures("project")
def test_a_failure_begins_with_three_sentences(run_pytest: RunPytest) -> None:
    """When trouble began, who waited, where it went wrong."""
    result = run_pytest("--llm-scenario=busy.toml", "-k", "loses")
    result.stdout.fnmatch_lines(
        [
            "exactly_once failed: item '<row>' was lost*",
            "  1. At 10ms the provider refused the first request, number 1 for '<row>'*",
            "  2. No refused request was sent again.",
            "  3. It went wrong here: item '<row>' was lost*",
        ]
    )
    result.stdout.no_fnmatch_line("*wavetank timeline*")


@pytest.mark.usefixtures("project")
def test_a_wide_terminal_shows_a_drawing(run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tests and of explored tests, and only of those that failed."""
    monkeypatch.setenv("COLUMNS", "120")
    result = run_pytest("--llm-scenario=busy.toml")
    assert sum("wavetank timeline" in line for line in result.outlines) == 2
    result.stdout.fnmatch_lines(["*wavetank timeline*", "wave 1  *==*", "(*x refused*time is not to scale)"])
