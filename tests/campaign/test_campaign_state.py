"""The saved state of a campaign, and how the messages of workers change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.campaign.protocol import RangeMade, SearchEnd, SearchOverrides
from wavetank.campaign.state import SavedTest, SearchedTest, StateError, read, write

TEST = "test_x.py::test_x[asyncio]"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format":"wavetank-campaign","version":3,"tests":{"a":{"wor', "cannot be read"),
        (b'{"format":"wavetank-campaign","version":3,"tests":{"a":{}}}', "is damaged"),
        (b'{"format":"wavetank-campaign","version":9,"tests":{}}', "has version 9; this wavetank reads 3"),
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
    searched.take(
        RangeMade(20, longest=(9, 4), unmet=("wave 1",), schedules=[5, 7], points={"run": {0: (3, "5")}})
    )
    searched.take_end(SearchEnd(TEST, failure="the report", kind="check", token="wt1-x"))
    write(path, {TEST: searched.saved})
    again = SearchedTest(TEST, read(path)[TEST])
    assert again.saved == searched.saved
    assert (again.schedules, again.longest, again.seen, again.unmet) == (20, (0, 0), (9, 4), ("wave 1",))
    assert (again.resumed, again.failed) == (20, True)
    assert again.distinct.digests == [5, 7]
    assert (path.parent / ".gitignore").read_text() == "*\n"
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".new"] == []


def test_the_first_failure_counts() -> None:
    """The first failing schedule is kept; it replaces a test that failed otherwise."""
    searched = SearchedTest(TEST, SavedTest(SearchOverrides()))
    searched.take_end(SearchEnd(TEST, broken="teardown"))
    searched.take_end(SearchEnd(TEST, failure="first"))
    searched.take_end(SearchEnd(TEST, failure="second"))
    assert searched.end == SearchEnd(TEST, failure="first")


def test_a_broken_or_skipped_test_is_tried_again() -> None:
    """Only the end of a test without schedules left, or with a failing one, is saved."""
    ends = [SearchEnd(TEST, broken="x"), SearchEnd(TEST, skipped="x"), SearchEnd(TEST, exhausted="x")]
    tests = [SearchedTest(TEST, SavedTest(SearchOverrides(), end=end)) for end in ends]
    assert [test.saved.end for test in tests] == [None, None, ends[2]]


def test_what_the_next_schedule_depends_on() -> None:
    """Within a block it is what was there before the block, from the next block on all that was seen."""
    searched = SearchedTest(TEST, SavedTest(SearchOverrides()))
    searched.take(RangeMade(40, longest=(9, 4)))
    assert (searched.longest_at(40), searched.longest_at(63), searched.longest_at(64)) == (
        (0, 0),
        (0, 0),
        (9, 4),
    )
    searched.take(RangeMade(24, longest=(7, 5)))
    assert searched.longest_at(64) == (9, 5)
    searched.take(RangeMade(100, longest=(20, 20), learnt=(12, 8)))
    assert (searched.longest_at(164), searched.longest_at(192)) == ((12, 8), (20, 20))


def test_a_search_that_cannot_be_split_restarts() -> None:
    """Its earlier schedules are not counted twice."""
    searched = SearchedTest(TEST, SavedTest(SearchOverrides(policy="exhaustive"), schedules=50))
    searched.restart()
    searched.take(RangeMade(40))
    assert (searched.schedules, searched.resumed, searched.alone) == (40, 0, True)


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
