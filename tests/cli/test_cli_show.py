"""`wavetank show`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import wavetank
from wavetank import Tank
from wavetank.cli import main
from wavetank.museum import SPECIMENS
from wavetank.report.files import write_files
from wavetank.tank.runs.finished_run import Run


@pytest.fixture(scope="module")
def failure() -> Run[Any]:
    found = SPECIMENS["lost_wakeup"].search(schedules=300).failure
    assert found is not None
    return found


@pytest.fixture
def log(failure: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The event log of a failure that no neighbour stands beside; its folder is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("bug.ndjson").write_bytes(failure.logs("bug")[0].to_ndjson())
    return "bug.ndjson"


def test_a_page_is_written_beside_the_log(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its path is printed."""
    assert main(["show", log]) == 0
    assert capsys.readouterr().out == "bug.html\n"
    assert "<title>bug: deadlock</title>" in Path("bug.html").read_text("utf-8")


def test_files_can_be_named(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page and the trace; with a trace alone no page is written."""
    assert main(["show", log, "--html", "a.html", "--trace", "a.json"]) == 0
    assert capsys.readouterr().out.split() == ["a.json", "a.html"]
    assert json.loads(Path("a.json").read_text("utf-8"))["traceEvents"]
    assert main(["show", log, "--trace", "b.json"]) == 0
    assert not Path("bug.html").exists()
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_it_is_drawn_and_explained_in_the_terminal(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any file."""
    assert main(["show", log, "--text", "--explain"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1. At 10ms the provider refused the first request")
    assert "\nwork_at_gate#5 " in said
    assert [path.name for path in Path().iterdir()] == [log]


def test_two_logs_stand_on_one_axis(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named by its title, or by its file if it has none."""

    async def calm(tank: Tank) -> None:
        await tank.fake_llm.call("x", item="a")

    Path("fixed.ndjson").write_bytes(wavetank.simulate(calm).events.to_ndjson())
    assert main(["show", log, "fixed.ndjson", "--html", "both.html", "--explain"]) == 0
    said = capsys.readouterr().out
    assert "bug: deadlock\n1. " in said
    assert "\nfixed.ndjson: passed\n1. " in said
    assert "<title>bug: deadlock / fixed.ndjson: passed</title>" in Path("both.html").read_text("utf-8")


def test_the_neighbour_beside_a_log_is_shown_too(
    failure: Run[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the page is the same as the one that was written with the log."""
    write_files(tmp_path / "bug.ndjson", failure.logs("bug"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bug.html",
        "bug.ndjson",
        "bug.passing.ndjson",
        "bug.trace.json",
    ]
    before = (tmp_path / "bug.html").read_bytes()
    assert main(["show", str(tmp_path / "bug.ndjson")]) == 0
    assert (tmp_path / "bug.html").read_bytes() == before
    assert main(["show", str(tmp_path / "bug.passing.ndjson"), "--explain"]) == 0
    assert "Nothing went wrong" in capsys.readouterr().out


def test_a_log_that_still_grows_is_shown(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As `serve --journal` writes it: without an end."""
    lines = Path(log).read_bytes().splitlines(keepends=True)
    Path(log).write_bytes(b"".join(lines[:20]))
    assert main(["show", log]) == 0
    assert "<title>a-wave-among-answers: " in Path("bug.html").read_text("utf-8")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "missing.ndjson: cannot be read: No such file or directory"),
        (
            b"<html>",
            "missing.ndjson: line 1 is not the header of an event log. Give an event log, as --llm-report",
        ),
        (b"torn", "line 1 is not the header"),
    ],
)
def test_what_is_no_log_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    said: str,
) -> None:
    """With the name of the file, and what to give instead."""
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("missing.ndjson").write_bytes(content)
    assert main(["show", "missing.ndjson"]) == 1
    assert said in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else is said."""
    assert main(["show", log, "--html", "no/such/folder.html"]) == 1
    assert "no/such/folder.html: cannot be written: No such file or directory" in capsys.readouterr().err


def test_the_museum_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the failure, also of one that is repeated; a search in which nothing fails writes none."""
    page = tmp_path / "out.html"
    assert main(["museum", "full_queue", "--schedules", "5", "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert f"timeline: {page}" in said
    assert "<title>full_queue: deadlock</title>" in page.read_text("utf-8")
    token = said.partition("--replay ")[2].split()[0]
    page.unlink()
    assert main(["museum", "full_queue", "--replay", token, "--html", str(page)]) == 1
    assert page.exists()
    page.unlink()
    assert main(["museum", "full_queue", "--twin", "--schedules", "2", "--html", str(page)]) == 0
    assert "nothing failed, so" in capsys.readouterr().err
    assert not page.exists()
    assert main(["museum", "--html", str(page)]) == 2


def test_a_rehearsal_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`wavetank run --scenario S --timeline FILE`; without a scenario there is nothing to draw."""
    rows, page = tmp_path / "rows.csv", tmp_path / "run.html"
    rows.write_text("id,prompt\nrow-1,How?\nrow-2,Why?\n")
    given = ["run", str(rows), "--output", str(tmp_path / "out.csv"), "--model", "gpt-4o"]
    assert main([*given, "--scenario", "cascade", "--timeline", str(page)]) == 0
    assert f"timeline: {page}" in capsys.readouterr().out
    assert "<title>cascade: passed</title>" in page.read_text("utf-8")
    assert main([*given, "--timeline", str(page)]) == 2
    assert "--timeline draws a rehearsal: add --scenario" in capsys.readouterr().err
    assert main([*given, "--scenario", "calm", "--timeline", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err
