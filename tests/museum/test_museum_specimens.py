"""The museum: each bug is found by the right check and as the right kind, and its twin passes."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import wavetank.museum
from wavetank import simulate
from wavetank.checks import CHECKS, judge
from wavetank.cli import main
from wavetank.events import EventLog
from wavetank.museum import SPECIMENS, Specimen
from wavetank.scenario import digest, load_scenario
from wavetank.sim.token import Schedule

from ..depth import in_turn, n_of

SEEDS = range(n_of(1, 20))
MOST = 1000
TWIN_SCHEDULES = n_of(12, 1000)
"""All but two bugs are found in seven schedules of most seeds: what blames a twin is not much rarer."""

FOLDER = Path(wavetank.museum.__file__).parent
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "museum.md"


def each_on_its_backends(first: int) -> pytest.MarkDecorator:
    """Parametrize by specimens and backends, which take turns outside the deep tests, from this one on."""
    return pytest.mark.parametrize(
        ("name", "backend"),
        [
            pytest.param(
                name, backend, marks=pytest.mark.skipif(bool(specimen.missing), reason=str(specimen.missing))
            )
            for turn, (name, specimen) in enumerate(SPECIMENS.items(), start=first)
            for backend in in_turn(turn, specimen.backends)
        ],
    )


def test_the_page_repeats_a_schedule_of_today() -> None:
    """The token that a reader of the page may paste belongs to the scenario of today's specimen."""
    lines = re.findall(r"wavetank museum (\w+) --replay (wt1-\S+)", PAGE.read_text("utf-8"))
    assert lines
    for name, token in lines:
        schedule = Schedule.parse(token)
        assert schedule.digest == digest(load_scenario(SPECIMENS[name].scenario))
        if schedule.python == sys.version_info.minor:
            assert SPECIMENS[name].repeat(token).failure is not None


@each_on_its_backends(0)
def test_the_bug_is_caught(name: str, backend: str) -> None:
    """In a thousand schedules at most the program fails by the check, and in the way, on its label."""
    specimen = SPECIMENS[name]
    for seed in SEEDS:
        result = specimen.search(schedules=MOST, backend=backend, seed=seed)
        assert result.failure is not None, f"seed {seed}: not caught in {result.schedules} schedules"
        failed = [verdict.name for verdict in result.failure.verdicts.values() if verdict.passed is False]
        assert failed[:1] == [specimen.check]
        assert seed or result.failure.kind == specimen.failure
        assert specimen.shown_by(result)


@each_on_its_backends(1)
def test_the_twin_passes(name: str, backend: str) -> None:
    """Without its bug the same program passes the same checks."""
    specimen = SPECIMENS[name]
    schedules = TWIN_SCHEDULES // 4 if specimen.needs else TWIN_SCHEDULES  # a Redis takes its time
    result = specimen.search(twin=True, schedules=schedules, backend=backend)
    result.check()
    assert result.schedules == schedules


@each_on_its_backends(0)
def test_the_log_alone_is_judged(name: str, backend: str) -> None:
    """Read back from its bytes a log gets the same verdicts; a failing one has evidence, and says when."""
    specimen = SPECIMENS[name]
    run = simulate(
        specimen.buggy,
        specimen.scenario,
        backend="asyncio" if backend == "threads" else backend,
        max_virtual_seconds=specimen.max_virtual_seconds,
        checks=tuple(CHECKS),
    )
    assert judge(EventLog.from_ndjson(run.events.to_ndjson()), tuple(CHECKS)) == run.verdicts
    for verdict in run.verdicts.values():
        if verdict.passed is False:
            assert verdict.evidence
            assert re.search(r"\bat \d|, from \d|second half of the run", str(verdict)), verdict


@pytest.mark.parametrize("specimen", SPECIMENS.values(), ids=SPECIMENS)
def test_a_label_is_complete(specimen: Specimen) -> None:
    """Every specimen says what it is, names a check that exists and a scenario that can be loaded."""
    assert specimen.check in CHECKS
    assert specimen.story.endswith(".")
    assert specimen.seen
    assert load_scenario(specimen.scenario)
    assert 1 <= specimen.items <= 60
    assert set(specimen.backends) in ({"asyncio", "trio"}, {"asyncio"}, {"trio"}, {"threads"})
    assert repr(specimen).startswith(f"<Specimen {specimen.name}: ")


def test_a_specimen_whose_library_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its label says what to install, and the command does instead of searching."""
    specimen = SPECIMENS["clock_skew"]
    assert specimen.missing is None
    monkeypatch.setattr("wavetank.museum.specimen.find_spec", lambda _: None)
    assert specimen.missing == "clock_skew needs fakeredis and lupa: pip install 'wavetank[fleet]'"
    assert main(["museum", "clock_skew"]) == 2
    assert SPECIMENS["full_queue"].missing is None


def test_every_file_of_a_specimen_is_in_the_catalogue() -> None:
    """A specimen bears the name of its file, and no file is forgotten."""
    files = [
        file.stem for file in sorted(FOLDER.glob("*.py")) if "SPECIMEN: Final" in file.read_text("utf-8")
    ]
    assert sorted(SPECIMENS) == files


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_specimen_is_small(name: str) -> None:
    """The code of a bug, without docstring, imports and label, has at most sixty lines."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    code = [
        part for part in tree.body if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert sum((part.end_lineno or 0) - part.lineno + 1 for part in code) <= 60


def test_a_livelock_is_distinguished_from_a_deadlock() -> None:
    """A livelock that batch-llm took for a deadlock is one, and its two deadlocks are deadlocks.

    That the labels are right is seen where the bugs are caught.
    """
    names = ("retry_state_lost", "sentinel_overtakes", "full_queue")
    assert [SPECIMENS[name].failure for name in names] == ["livelock", "deadlock", "deadlock"]


def test_the_tables_have_every_specimen() -> None:
    """The tables of the two pages that `make museum` writes have a row for each."""
    page = (ROOT / "docs" / "detection.md").read_text("utf-8")
    rows = [f"| `{name}` |" for name in SPECIMENS]
    short = PAGE.read_text("utf-8").split("<!-- museum -->")[1].split("<!-- /museum -->")[0]
    assert [row for row in rows if short.count(row) != 1] == []
    each_table = page.split("## Beside other tools")
    assert [row for row in rows if any(row not in part for part in each_table)] == []
    assert len(each_table) == 2
