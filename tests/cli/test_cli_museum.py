"""`wavetank museum`, as a user runs it."""

from __future__ import annotations

import json
import re

import pytest

from wavetank.cli import main
from wavetank.museum import SPECIMENS


def test_the_list_has_every_specimen(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name each specimen has its line, with what a search finds in it."""
    assert main(["museum"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SPECIMENS)
    assert [line.split()[-1] for line in lines] == [each.found_as for each in SPECIMENS.values()]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_visit_shows_the_failure_and_the_twin(capsys: pytest.CaptureFixture[str], backend: str) -> None:
    """A name searches the buggy program, prints its report, and then its twin, which passes."""
    arguments = ["museum", "full_queue", "--backend", backend, "--schedules", "20"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "full_queue failed in schedule 1, after " in said
    assert "liveness failed: deadlock at " in said
    assert "the twin of full_queue passed 20 schedules in " in said


def test_the_line_of_a_report_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    """What the report says to paste shows the same failure again."""
    assert main(["museum", "full_queue", "--schedules", "5"]) == 0
    line = re.search(r"to repeat it: wavetank (museum .*)", capsys.readouterr().out)
    assert line is not None
    assert main(line[1].split()) == 1
    assert "liveness failed: deadlock at " in capsys.readouterr().out


def test_a_visit_that_does_not_find_the_bug_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """One schedule, plain FIFO, does not show a lost wake-up, and the exit status says so."""
    assert main(["museum", "lost_wakeup", "--schedules", "1"]) == 1
    assert "lost_wakeup passed 1 schedule in " in capsys.readouterr().out


def test_only_the_twin(capsys: pytest.CaptureFixture[str]) -> None:
    """With --twin the buggy program is left out."""
    assert main(["museum", "full_queue", "--twin", "--schedules", "3"]) == 0
    said = capsys.readouterr().out
    assert "the twin of full_queue passed 3 schedules" in said
    assert "failed" not in said


def test_for_an_unknown_name_the_nearest_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    """The error for a misspelt name names the right one."""
    assert main(["museum", "ful_queue"]) == 2
    assert (
        "there is no specimen 'ful_queue' in the museum; did you mean 'full_queue'?"
        in capsys.readouterr().err
    )
    assert main(["museum", "zebra"]) == 2
    assert "`wavetank museum` lists them" in capsys.readouterr().err


def test_a_damaged_token_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A token that cannot be read ends with its reason, not with a traceback."""
    assert main(["museum", "full_queue", "--replay", "wt1-nonsense"]) == 1
    assert capsys.readouterr().err.startswith("wavetank: ")


@pytest.mark.parametrize("option", ["--twin", "--replay=wt1-AA23OXoAN50"])
def test_what_needs_a_specimen_says_so(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A token without the name of its specimen does not end in the list of all of them."""
    assert main(["museum", option]) == 2
    assert "name the specimen" in capsys.readouterr().err


def test_a_reader_who_has_seen_enough(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A pipe that is closed at its other end, as by `head`, ends a command without a traceback."""

    def closed(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("wavetank.museum.tour.listing", closed)
    assert main(["museum"]) == 1
    assert capfd.readouterr().err == ""


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """The list, a visit, and a schedule repeated by the token of that visit."""
    assert main(["museum", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["specimens"]
    assert [each["name"] for each in listed] == list(SPECIMENS)
    assert main(["museum", "full_queue", "--json", "--schedules", "60"]) == 0
    visit = json.loads(capsys.readouterr().out)
    buggy, twin = visit["searches"]
    assert (visit["as_labelled"], buggy["failure"]["kind"], twin["failure"]) == (True, "deadlock", None)
    assert buggy["failure"]["verdicts"][0]["name"] == "liveness"
    assert main(["museum", "full_queue", "--json", "--replay", buggy["failure"]["schedule"]]) == 1
    (again,) = json.loads(capsys.readouterr().out)["searches"]
    assert again["failure"]["verdicts"] == buggy["failure"]["verdicts"]
