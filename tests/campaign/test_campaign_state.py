"""What a campaign keeps in its file, and what it makes of what lanes tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.campaign.orders import Ended, Progress
from wavetank.campaign.state import Course, Kept, StateError, Words, read, write

TEST = "test_x.py::test_x[asyncio]"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format":"wavetank-campaign","version":1,"tests":{"a":{"wor', "cannot be read"),
        (b'{"format":"wavetank-campaign","version":1,"tests":{"a":{}}}', "is damaged"),
        (b'{"format":"wavetank-campaign","version":9,"tests":{}}', "has version 9; this wavetank reads 1"),
        (b'{"format":"else","version":1}', "is no state of a campaign"),
        (b"\xff\x00", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """A torn, damaged or foreign file is told with what is wrong, and stays."""
    path = tmp_path / "campaign.json"
    path.write_bytes(content)
    with pytest.raises(StateError, match=words):
        read(path)
    assert path.read_bytes() == content


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    """A course goes on as it was left, with its choice points, digests and end."""
    path = tmp_path / "new" / "campaign.json"
    assert read(path) == {}
    course = Course(TEST, Kept(Words(policy="pct")))
    course.take(Progress(TEST, 3, 20, [5, 7], {"run": {0: (3, "5")}}))
    course.take(Ended(TEST, failure="the report", kind="check", token="wt1-x"))
    write(path, {TEST: course.kept})
    again = Course(TEST, read(path)[TEST])
    assert again.kept == course.kept
    assert (again.schedules, again.next, again.resumed, again.failed) == (20, 4, 20, True)
    assert again.sketch.digests == [5, 7]
    assert (path.parent / ".gitignore").read_text() == "*\n"
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".new"] == []


def test_the_first_failure_counts() -> None:
    """Of several lanes that fail the first is told; a finding goes before a failure by itself."""
    course = Course(TEST, Kept(Words()))
    course.take(Ended(TEST, broken="teardown"))
    course.take(Ended(TEST, failure="first"))
    course.take(Ended(TEST, failure="second"))
    assert course.ended == Ended(TEST, failure="first")


def test_what_may_change_is_tried_again() -> None:
    """A test that broke or was skipped has no lasting end; one whose schedules are all made has."""
    ends = [Ended(TEST, broken="x"), Ended(TEST, skipped="x"), Ended(TEST, spent="x")]
    assert [Course(TEST, Kept(Words(), ended=end)).kept.ended for end in ends] == [None, None, ends[2]]


def test_a_search_that_cannot_be_split_begins_anew() -> None:
    """Its schedules of before are not counted twice."""
    course = Course(TEST, Kept(Words(policy="exhaustive"), schedules=50))
    course.take(Progress(TEST, 0, 20, anew=True))
    course.take(Progress(TEST, 0, 20))
    assert (course.schedules, course.resumed) == (40, 0)


def test_words_are_told_as_they_are_given() -> None:
    """The words of a campaign read as a command line."""
    words = Words(policy="pct", seed=0, scenario=("calm", "cascade"))
    assert str(words) == "--policy pct --seed 0 --scenario calm --scenario cascade"
    assert str(Words()) == "no --policy, --level, --seed or --scenario"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Where a file stands in the place of the folder the mend is in the text."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be written: .* Choose another folder with --state"):
        write(tmp_path / "file" / "campaign.json", {})
