"""What other programs read: the report in JSON, properties in JUnit's XML, and annotations for GitHub."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ..forked import ForkedPython

RunPytest = Callable[..., pytest.RunResult]

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text("utf-8"))

TESTS = """
import httpx2
import openai
import pytest
import wavetank

def ask(row, **options):
    message = {"role": "user", "content": row}
    return openai.OpenAI(**options).chat.completions.create(model="m", messages=[message])

def test_answers(tank):
    tank.fake_llm.item_of = lambda request: request.prompt
    tank.ledger.submit("row-1")
    tank.ledger.complete("row-1", ask("row-1").choices[0].message.content)

def test_loses(tank):
    tank.ledger.submit("row-0")
    tank.ledger.complete("row-0", "")
    tank.ledger.submit("row: 1, 100%")

def test_asserts(fake_llm):
    assert not fake_llm.requests, "nothing was sent"
    assert fake_llm.requests

@pytest.mark.llm_clock("real")
def test_real(fake_llm):
    pass

@pytest.mark.xfail
def test_expected(tank):
    tank.ledger.submit("row-1")

def test_elsewhere(fake_llm):
    with pytest.raises(Exception):
        httpx2.post("https://telemetry.example.com/v1/events")
    ask("x")

def test_checks(fake_llm):
    fake_llm.check("default")

@pytest.fixture
def broken():
    raise RuntimeError("no fixture")

def test_no_fixture(fake_llm, broken):
    pass

@wavetank.explore("calm", schedules=3, backends="asyncio")
async def test_explored(tank):
    tank.ledger.submit("row-1")

@wavetank.explore("calm", schedules=3, backends="asyncio")
async def test_raises(tank):
    raise ValueError("broken")

@wavetank.explore("calm", schedules=3, backends="asyncio")
async def test_sound(tank):
    pass

def test_plain():
    pass
"""
EXPECTED = {
    "test_answers": "passed",
    "test_asserts": "failed",
    "test_checks": "passed",
    "test_elsewhere": "passed",
    "test_expected": "xfailed",
    "test_explored[asyncio]": "failed",
    "test_loses": "failed",
    "test_no_fixture": "error",
    "test_raises[asyncio]": "failed",
    "test_real": "passed",
    "test_sound[asyncio]": "passed",
}


def line_of(text: str) -> int:
    """The number of the first line of the tests that has the text."""
    return next(number for number, line in enumerate(TESTS.splitlines(), 1) if text in line)


# In one worker process of our own run, for they share a session.
IN_ONE_WORKER = pytest.mark.xdist_group("report through xdist")


@dataclass(frozen=True, slots=True)
class Through:
    """What one session with two workers of pytest-xdist printed, and the folder with the files it wrote."""

    folder: Path
    lines: list[str]


@pytest.fixture(scope="module")
def through_xdist(tmp_path_factory: pytest.TempPathFactory) -> Through:
    """All tests in one session, which writes everything: it takes three processes and long."""
    folder = tmp_path_factory.mktemp("xdist")
    (folder / "test_it.py").write_text(TESTS, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p xdist -p wavetank\n")
    changed = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(folder.parent),
    }
    options = ("--llm-report-json=report.json", "--junitxml=junit.xml", "--llm-seed=3", "-n2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", ForkedPython)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=folder,
            env={**os.environ, **changed},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return Through(folder, done.stdout.splitlines())


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """A project with one test of each kind."""
    file = pytester.path / "test_it.py"
    file.write_text(TESTS, "utf-8")
    return file


def report_of(path: Path) -> dict[str, Any]:
    """The tests of a report by their names, held to the schema."""
    document = json.loads(path.read_bytes())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert [each["test"] for each in document["tests"]] == sorted(each["test"] for each in document["tests"])
    return {each["test"].partition("::")[2]: each for each in document["tests"]}


def test_the_schema_is_one() -> None:
    """The file in `docs/` is a JSON schema, and closed: a key that it does not name is refused."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    extra = {"format": "wavetank-report", "version": 1, "wavetank": "", "tests": [], "more": 1}
    with pytest.raises(jsonschema.ValidationError, match="more"):
        jsonschema.validate(extra, SCHEMA)


@IN_ONE_WORKER
def test_the_report_has_every_test(project: Path, run_pytest: RunPytest, through_xdist: Through) -> None:
    """Verdicts, outcomes, tokens, places and what repeats a test; the same through pytest-xdist."""
    run_pytest("--llm-report-json=here/report.json", "--llm-seed=3")
    tests = report_of(project.parent / "here" / "report.json")
    assert {name: each["result"] for name, each in tests.items()} == EXPECTED
    lost = tests["test_loses"]
    assert lost["location"] == {"file": "test_it.py", "line": line_of("def test_loses")}
    assert lost["failed_at"] == {"file": "test_it.py", "line": line_of("row: 1")}
    assert lost["scenario"] == "calm"
    assert lost["seed"] == 3
    assert lost["replay"] == (
        f"pytest 'test_it.py::test_loses' --llm-scenario=calm --llm-replay={lost['schedule']}"
    )
    assert lost["outcomes"] == {"submitted": 2, "completed": 1, "failed": 0, "cancelled": 0, "errors": {}}
    (failed,) = [each for each in lost["verdicts"] if each["passed"] is False]
    assert failed["name"] == "exactly_once"
    assert failed["evidence"][-1].strip() == "no request of this item ever arrived"
    answered = tests["test_answers"]
    assert answered["tokens"] > 0
    assert [each["name"] for each in answered["verdicts"] if each["passed"]] == [
        *("liveness", "exactly_once", "right_answer", "answered")
    ]
    assert tests["test_real"]["clock"] == "real"
    assert tests["test_real"]["schedule"] is None
    assert tests["test_asserts"]["failed_at"]["line"] == line_of("    assert fake_llm.requests")
    assert tests["test_elsewhere"]["unknown_hosts"] == ["telemetry.example.com"]
    assert "exactly_once" in [each["name"] for each in tests["test_checks"]["verdicts"]]
    again = report_of(through_xdist.folder / "report.json")
    for report in (tests, again):
        del report["test_real"]  # which says how long it took
    assert json.dumps(again) == json.dumps(tests)


def test_the_report_has_searches(project: Path, run_pytest: RunPytest) -> None:
    """An explored test has its searches; what is said of a run is that of the failing one."""
    (project.parent / "pytest.ini").write_text("[pytest]\nllm_report_json = r.json\n")
    run_pytest("-k", "explored or raises or sound")
    tests = report_of(project.parent / "r.json")
    failed, raised, sound = (tests[f"test_{name}[asyncio]"] for name in ("explored", "raises", "sound"))
    (search,) = failed["searches"]
    assert search["failure"]["kind"] == "check"
    assert search["failure"]["schedule"] == failed["schedule"] is not None
    assert failed["failed_at"]["line"] == line_of("async def test_explored") + 1
    assert failed["location"]["file"] == "test_it.py"
    assert raised["searches"][0]["failure"]["error"] == "ValueError"
    assert raised["failed_at"]["line"] == line_of("raise ValueError")
    assert (sound["verdicts"], sound["schedule"], sound["searches"][0]["schedules"]) == ([], None, 3)


def test_a_file_that_cannot_be_written(project: Path, run_pytest: RunPytest) -> None:
    """It is said before any test runs."""
    result = run_pytest(f"--llm-report-json={project.parent}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--llm-report-json=*cannot be written*name another file*"])


@IN_ONE_WORKER
def test_junit_has_properties(through_xdist: Through) -> None:
    """Scenario, seed and token of each test are there, once, also through pytest-xdist."""
    cases = {
        case.attrib["name"]: [(each.attrib["name"], each.attrib["value"]) for each in case.iter("property")]
        for case in ElementTree.parse(through_xdist.folder / "junit.xml").iter("testcase")
    }
    for name, seed in (("test_loses", "3"), ("test_explored[asyncio]", "3")):
        scenario, its_seed, (key, token) = cases[name]
        assert (scenario, its_seed, key) == (("llm_scenario", "calm"), ("llm_seed", seed), "llm_token")
        assert token.startswith("wt1-")


def test_github_gets_an_annotation_for_each_failure(
    project: Path, run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line for each failure of ours, at the user's line, relative to the repository, escaped."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.parent.parent))
    assert_annotated(run_pytest().outlines, project.parent)


@IN_ONE_WORKER
def test_github_gets_an_annotation_for_each_failure_in_a_worker(through_xdist: Through) -> None:
    """They are the same through pytest-xdist."""
    assert_annotated(through_xdist.lines, through_xdist.folder)


def assert_annotated(output: list[str], folder: Path) -> None:
    lines = [line for line in output if line.startswith("::error")]
    found = [re.fullmatch(r"::error file=(.+),line=(\d+),title=([^,:]+)::(.+)", line) for line in lines]
    found_at = {match[3]: (match[1], int(match[2]), match[4]) for match in found if match is not None}
    assert len(found_at) == len(lines)
    file = f"{folder.name}/test_it.py"
    name = "test_it.py%3A%3Atest_"
    assert {title: place[:2] for title, place in found_at.items()} == {
        f"{name}loses%3A exactly_once": (file, line_of("row: 1")),
        f"{name}explored[asyncio]%3A exactly_once": (file, line_of("test_explored") + 1),
        f"{name}raises[asyncio]%3A error (ValueError)": (file, line_of("raise ValueError")),
    }
    text = found_at[f"{name}loses%3A exactly_once"][2]
    assert text.startswith("exactly_once failed: item 'row: 1, 100%25' was lost")
    assert "%0Ato repeat it: pytest 'test_it.py::test_loses' --llm-scenario=calm --llm-replay=wt1-" in text


def test_no_annotation_elsewhere(project: Path, run_pytest: RunPytest) -> None:
    """Where GitHub does not run the tests nothing is annotated."""
    assert project.exists()
    run_pytest("-k", "loses").stdout.no_fnmatch_line("::error*")
