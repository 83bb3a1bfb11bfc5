"""`wavetank explore`, as a user runs it in a project of theirs."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from wavetank.campaign.campaign_page import campaign_page
from wavetank.cli import main

from ..depth import in_turn

Explore = Callable[..., str]
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "campaign.schema.json").read_text("utf-8"))

RACE = """
import anyio
import wavetank


@wavetank.explore(scenario="calm", backends=("asyncio",))
async def test_race(tank):
    order = []

    async def work(name):
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
            order.append(name)

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(work, name, name=name)
    assert order != ["c", "c", "a", "b", "b", "a"]
"""
FINE = """
import os
import anyio
import wavetank

runs = 0


@wavetank.explore(scenario="calm")
async def test_fine(tank):
    global runs
    runs += 1
    if runs == 100 and "READY" in os.environ:
        with open(os.environ["READY"], "w") as ready:
            ready.write("ready")
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(anyio.sleep, 0.01 * number)


def test_plain():
    pass
"""
DEADLY = """
import os
import wavetank


@wavetank.explore(backends=("asyncio",))
async def test_deadly(tank):
    os._exit(77)
"""
INI = """
[pytest]
addopts = -x --strict-config -p xdist -p wavetank
filterwarnings = error
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with explored tests, as the current one.

    Its pytest loads the plugins of `INI` only: no other one concerns a campaign, and to load all that are
    installed takes two seconds in each process.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_race.py").write_text(RACE)
    (tmp_path / "test_fine.py").write_text(FINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> list[str]:
    """The command line of `wavetank explore`."""
    return [sys.executable, "-m", "wavetank", "explore", *arguments]


@pytest.fixture
def explore(project: Path, capsys: pytest.CaptureFixture[str]) -> Explore:
    """Runs a campaign in the folder of the project and returns what it prints."""
    assert Path.cwd() == project

    def run(*arguments: str, status: int = 0) -> str:
        ended = main(["explore", *arguments])
        said = "".join(capsys.readouterr())
        assert ended == status, said
        return said

    return run


def saved_tests(project: Path) -> dict[str, Any]:
    """The saved state of each test of the project."""
    tests: dict[str, Any] = json.loads((project / ".wavetank" / "campaign.json").read_text())["tests"]
    return tests


@pytest.mark.parametrize("processes", in_turn(0, ["2", "0"]))
def test_a_race_is_found_shrunk_and_repeated(
    project: Path, explore: Explore, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rare order is found, reported, shown on GitHub, and repeated by the line of the report."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    said = explore("test_race.py", "--schedules", "20000", "-n", processes, status=1)
    assert re.search(r"^test_race\.py::test_race\[asyncio\]: error after \d+ schedules$", said, re.MULTILINE)
    assert "schedule: FIFO order, except:" in said
    assert "test_race.py::test_race[asyncio]: error found" in said
    assert saved_tests(project)["test_race.py::test_race[asyncio]"]["schedules"] < 20_000
    line = re.search(r"to repeat it: (pytest .*)", said)
    assert line is not None
    again = subprocess.run(
        [sys.executable, "-m", *shlex.split(line[1])],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert again.returncode == 1
    assert "order != " in again.stdout
    line_of_the_error = 1 + RACE.splitlines().index('    assert order != ["c", "c", "a", "b", "b", "a"]')
    annotation = f"::error file=test_race.py,line={line_of_the_error},title=test_race.py%3A%3Atest_race"
    assert [row.startswith(annotation) for row in said.splitlines() if row.startswith("::")] == [True]
    before = saved_tests(project)
    said = explore("test_race.py", "--schedules", "20000", "-n", processes, "--resume", status=1)
    assert line[0] in said
    assert annotation in said
    assert "1 test, 0 schedules in" in said
    assert saved_tests(project) == before


def test_a_campaign_is_resumed(project: Path, explore: Explore) -> None:
    """A resumed campaign makes other schedules up to the new target; other tests stay saved."""
    asked = "test_fine.py::test_fine[asyncio]"
    said = explore(asked, "--schedules", "100", "-n", "0")
    assert f"{asked}: no failure; 100 schedules, " in said
    distinct = len(saved_tests(project)[asked]["distinct"])
    said = explore("test_fine.py", "--schedules", "200", "-n", "2", "--resume")
    assert f"{asked}: no failure; 200 schedules (100 of them earlier), " in said
    assert "test_fine.py::test_fine[trio]: no failure; 200 schedules, " in said
    assert "2 tests, 300 schedules in" in said
    state = saved_tests(project)
    assert {test: each["schedules"] for test, each in state.items()} == {
        asked: 200,
        "test_fine.py::test_fine[trio]": 200,
    }
    assert len(state[asked]["distinct"]) > distinct
    said = explore(asked, "--schedules", "500", "--resume", "--policy", "pct", status=2)
    assert "give the same options" in said
    assert saved_tests(project) == state


def test_ctrl_c_ends_a_campaign_and_keeps_its_state(
    project: Path, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted campaign reports and saves what it has, and names the command that resumes it."""
    ready = project / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("READY", str(ready))
    reader = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        call("test_fine.py", "--schedules", "1000000000", "-n", "2"), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert select.select([reader], [], [], 600)[0]
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=300)
        finally:
            process.kill()
            os.close(reader)
    assert process.returncode == 0
    assert "stopping" in said
    assert "to go on: wavetank explore test_fine.py --resume -n 2 --schedules 1000000000" in said
    done = sum(each.get("schedules", 0) for each in saved_tests(project).values())
    assert done >= 16
    assert f"wavetank explore: 2 tests, {done} schedules in " in said
    monkeypatch.delenv("READY")
    said = explore("test_fine.py", "--schedules", "1", "-n", "0", "--resume")
    assert re.search(r"\d+ schedules \(\d+ of them earlier\)", said)


def test_a_limit_of_time_is_shared_by_the_tests(project: Path, explore: Explore) -> None:
    """With a limit of time each test has its turn, and there is no other limit."""
    explore("test_fine.py", "--seconds", "1", "-n", "0")
    made = [each["schedules"] for each in saved_tests(project).values()]
    assert len(made) == 2
    assert min(made) >= 1


def test_an_exhaustive_search_is_not_split(project: Path, explore: Explore) -> None:
    """One worker makes the whole search, and its proof is reported and ends it."""
    said = explore(
        "test_race.py", "--policy", "exhaustive:1", "--level", "any-instant", "-n", "2", "--schedules", "900"
    )
    assert "no failure; every schedule with at most 1 deviation at level any-instant was run; " in said
    (state,) = saved_tests(project).values()
    assert len(state["distinct"]) == state["schedules"]
    assert "to go on" not in said


def test_an_exhaustive_search_restarts(project: Path, explore: Explore) -> None:
    """A search that cannot be resumed is made again, and its schedules count once."""
    asked = ("test_race.py", "--policy", "exhaustive", "-n", "0")
    explore(*asked, "--schedules", "20")
    said = explore(*asked, "--schedules", "50", "--resume")
    assert "1 test, 50 schedules in" in said
    assert ": no failure; every schedule" not in said
    (state,) = saved_tests(project).values()
    assert len(state["distinct"]) == state["schedules"] == 50


def test_a_process_that_dies_is_reported(project: Path, explore: Explore) -> None:
    """A test that ends its process has failed, and the report has the exit status."""
    (project / "test_fine.py").write_text(DEADLY)
    said = explore("test_fine.py", "--schedules", "50", "-n", "0", status=1)
    assert "its process ended with status 77" in said


def test_a_test_that_fails_without_a_schedule_is_reported(project: Path, explore: Explore) -> None:
    """A failing fixture is a failure, and not one of a schedule."""
    (project / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture(autouse=True)\ndef broken():\n    raise OSError('no disk')\n"
    )
    said = explore("test_fine.py", "--schedules", "50", "-n", "0", status=1)
    assert "OSError: no disk" in said
    assert "test_fine.py::test_fine[trio]: fails, and not by a schedule" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.py"], "not found: missing.py"),
        (["test_fine.py::test_missing"], "test_fine.py::test_missing"),
        (
            ["test_fine.py::test_plain"],
            "test_fine.py::test_plain is no explored test: write @wavetank.explore",
        ),
        (["test_fine.py", "--resume"], "nothing to resume"),
        (["test_fine.py", "--policy", "pcd"], "did you mean 'pct'?"),
        (["test_fine.py", "--level", "bach"], "did you mean 'batch'?"),
        (["test_fine.py", "--scenario", "casade"], "did you mean 'cascade'"),
        (["test_fine.py", "--on", "slurm://x"], "there is no such engine; give dask://HOST:PORT, ray"),
        (["test_fine.py", "--json", "gone/a.json"], "--json gone/a.json: there is no folder 'gone'"),
        (["test_fine.py", "--compare", "a.json"], "a.json cannot be read: No such file or directory; give"),
        (["test_fine.py", "-n", "some"], "-n some: give a whole number of processes, or auto"),
    ],
)
@pytest.mark.usefixtures("project")
def test_invalid_arguments_are_reported_with_the_fix(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid argument ends with status 2 and says what to do, before anything is searched or saved."""
    assert main(["explore", "-n", "0", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not Path(".wavetank").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--json", "test_fine.py"),
        ("--schedules", "0"),
        ("--seconds", "-1"),
        ("--seconds", "soon"),
        ("--seed", "x"),
    ],
)
def test_a_wrong_number_is_a_usage_error(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A number out of range ends with the usage and the right range."""
    with pytest.raises(SystemExit) as stop:
        main(["explore", "test_fine.py", f"{option}={value}"])
    assert stop.value.code == 2
    assert "give a" in capsys.readouterr().err


def test_a_torn_state_is_not_changed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A state that cannot be read ends the campaign before it begins, and is not overwritten."""
    path = project / ".wavetank" / "campaign.json"
    path.parent.mkdir()
    path.write_bytes(b'{"format":"wavetank-campaign","version":3,"tests":{"a":{"wor')
    assert main(["explore", "-n", "0", "test_fine.py", "--schedules", "5"]) == 2
    assert "It is left as it is: move it away" in capsys.readouterr().err
    assert path.read_bytes().endswith(b'"wor')


@pytest.mark.usefixtures("project")
def test_json_is_all_that_is_printed() -> None:
    """One document on the standard output, with each test, and why --scenario changes nothing."""
    # The race shows in schedule 106.
    words = ("test_race.py", "test_fine.py::test_fine[asyncio]", "--schedules", "320", "-n", "0")
    done = subprocess.run(
        call(*words, "--json", "--scenario", "cascade"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    race, fine = document["tests"]
    assert document["failed"] == 1
    assert "--resume" in document["resume"]
    assert (race["kind"], race["failed"], race["result"]) == ("error", True, "error found")
    assert race["schedule"] in race["report"]
    assert (fine["schedules"], fine["failed"], fine["report"]) == (320, False, None)
    assert fine["choice_points"]["run"]["points"] > 0
    assert [(each["scenario"], each["names_its_scenario"]) for each in (race, fine)] == [("calm", True)] * 2
    assert "error after" in done.stderr


def test_a_test_that_names_its_scenario_says_so(project: Path, explore: Explore) -> None:
    """The command line does not change it, and the summary says why; others obey."""
    (project / "test_free.py").write_text(FINE.replace('scenario="calm"', ""))
    said = explore(
        *("test_fine.py::test_fine[asyncio]", "test_free.py::test_fine[asyncio]"),
        *("--schedules", "5", "-n", "0", "--scenario", "cascade"),
    )
    summary = said[said.index("wavetank explore:") : said.index("to go on:")]
    fine, free = summary.split("test_free.py::")
    note = "it names calm as its scenario itself: --scenario does not change that"
    assert note in fine
    assert "as its scenario itself" not in free


def test_a_page_leads_to_the_timelines_of_the_failures(explore: Explore, project: Path) -> None:
    """It loads nothing, and has the report and the numbers of each test."""
    often = RACE.replace('order != ["c", "c", "a", "b", "b", "a"]', 'order[0] == "a"')
    (project / "test_race.py").write_text(often)
    kept = ("--json", "found.json", "--junit", "found.xml")
    text = explore(".", "--schedules", "20", "-n", "0", "--html", "found.html", *kept, status=1)
    assert "page: found.html\nJSON: found.json\nJUnit: found.xml" in text
    document = json.loads((project / "found.json").read_text())
    jsonschema.validate(document, SCHEMA)
    cases = [*ElementTree.parse(project / "found.xml").getroot().iter("testcase")]
    assert [
        (case.get("classname"), case.get("name"), case.find("failure") is not None) for case in cases
    ] == [
        ("test_fine", "test_fine[asyncio]", False),
        ("test_fine", "test_fine[trio]", False),
        ("test_race", "test_race[asyncio]", True),
    ]
    page = (project / "found.html").read_text()
    assert "<script" not in page
    assert "default-src 'none'; style-src 'sha256-" in page
    (link,) = set(re.findall(r'href="(found-timelines/[^"]+)"', page))
    timeline = (project / link.replace("%5B", "[").replace("%5D", "]")).read_text()
    assert '<script type="application/json" id="runs">' in timeline
    assert "to repeat it: pytest &#x27;test_race.py::test_race[asyncio]&#x27;" in page
    assert page.index("test_race.py::test_race") < page.index("test_fine.py::test_fine")
    assert "<td>20<svg" in page


def test_the_page_of_a_campaign_is_inert() -> None:
    """Names and reports are text, never markup."""
    nasty = "</td><script>alert(1)</script>"
    test = {
        "test": nasty, "scenario": nasty, "result": nasty, "failed": True, "schedules": 1, "earlier": 1,
        "distinct": 1, "distinct_is_exact": False, "report": nasty, "timeline": f"/x/{nasty}.html",
        "choice_points": {nasty: {"points": 1, "deviated": 1, "options": 1, "taken": 1}},
    }  # fmt: skip
    values = {
        "schedules": 1,
        "seconds": 0.0,
        "processes": 1,
        "engine": nasty,
        "failed": 1,
        "resume": nasty,
        "tests": [test],
    }
    page = campaign_page(values, Path("/x/page.html")).decode()
    assert "<script" not in page
    assert "about 1" in page
