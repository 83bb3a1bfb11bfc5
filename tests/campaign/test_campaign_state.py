"""The saved state of a campaign, and how the messages of workers change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.campaign.campaign_options import SearchOverrides
from wavetank.campaign.protocol import Progress, SearchEnd, SearchPaused, SearchStarted
from wavetank.campaign.state import SavedTest, SearchedTest, StateError, read, write

TEST = "test_x.py::test_x[asyncio]"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format":"wavetank-campaign","version":2,"tests":{"a":{"wor', "cannot be read"),
        (b'{"format":"wavetank-campaign","version":2,"tests":{"a":{}}}', "is damaged"),
        (b'{"format":"wavetank-campaign","version":9,"tests":{}}', "has version 9; this wavetank reads 2"),
        (b'{"format":"else","version":1}', "is no state of a campaign"),
        (b"\xff\x00", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """For a torn, damaged or foreign file the error says what is wrong, and the file is not changed."""
    path = tmp_path / "campaign.json"
    path.write_bytes(content)
    with pytest.raises(StateError, match=words):
        read(path)
    assert path.read_bytes() == content


def test_a_saved_test_is_read_back(tmp_path: Path) -> None:
    """A test is resumed with its schedules, choice points, digests and end."""
    path = tmp_path / "new" / "campaign.json"
    assert read(path) == {}
    searched = SearchedTest(TEST, SavedTest(SearchOverrides(policy="pct")))
    searched.take(Progress(TEST, 20, (9, 4), [5, 7], {"run": {0: (3, "5")}}))
    searched.take(SearchEnd(TEST, failure="the report", kind="check", token="wt1-x"))
    write(path, {TEST: searched.saved})
    again = SearchedTest(TEST, read(path)[TEST])
    assert again.saved == searched.saved
    assert (again.schedules, again.longest, again.resumed, again.failed) == (20, (9, 4), 20, True)
    assert again.distinct.digests == [5, 7]
    assert (path.parent / ".gitignore").read_text() == "*\n"
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".new"] == []


def test_the_first_failure_counts() -> None:
    """The first failing schedule is kept; it replaces a test that failed otherwise."""
    searched = SearchedTest(TEST, SavedTest(SearchOverrides()))
    searched.take(SearchEnd(TEST, broken="teardown"))
    searched.take(SearchEnd(TEST, failure="first"))
    searched.take(SearchEnd(TEST, failure="second"))
    assert searched.end == SearchEnd(TEST, failure="first")


def test_a_broken_or_skipped_test_is_tried_again() -> None:
    """Only the end of a test without schedules left, or with a failing one, is saved."""
    ends = [SearchEnd(TEST, broken="x"), SearchEnd(TEST, skipped="x"), SearchEnd(TEST, exhausted="x")]
    tests = [SearchedTest(TEST, SavedTest(SearchOverrides(), end=end)) for end in ends]
    assert [test.saved.end for test in tests] == [None, None, ends[2]]


def test_a_search_that_cannot_be_split_restarts() -> None:
    """Its earlier schedules are not counted twice."""
    searched = SearchedTest(TEST, SavedTest(SearchOverrides(policy="exhaustive"), schedules=50))
    searched.take(Progress(TEST, 20, restarted=True))
    searched.take(Progress(TEST, 20))
    assert (searched.schedules, searched.resumed) == (40, 0)


def test_overrides_are_printed_as_arguments() -> None:
    """They read as on the command line."""
    words = SearchOverrides(policy="pct", seed=0, scenario=("calm", "cascade"))
    assert str(words) == "--policy pct --seed 0 --scenario calm --scenario cascade"
    assert str(SearchOverrides()) == "no --policy, --level, --seed or --scenario"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Where there is a file of that name the error says what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be written: .* Choose another folder with --state"):
        write(tmp_path / "file" / "campaign.json", {})


def test_a_test_is_broken_if_its_process_ends_in_its_search() -> None:
    """A search that has ended before loses nothing."""
    searched = SearchedTest(TEST, SavedTest(SearchOverrides()))
    searched.take(SearchStarted(TEST, "calm"))
    searched.lost("killed")
    assert (searched.scenario, searched.end) == ("calm", SearchEnd(TEST, broken="killed"))
    finished = SearchedTest(TEST, SavedTest(SearchOverrides()))
    finished.take(SearchStarted(TEST, "calm"))
    finished.take(SearchPaused(TEST, "no fork"))
    finished.lost("killed")
    assert (finished.end, finished.one_process) == (None, "no fork")
