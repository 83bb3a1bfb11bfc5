"""The saved state of campaigns: a small JSON file, which is replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

import msgspec

from ..tank.kept_folder import make_folder
from ..tank.search.search import BLOCK, block_end
from .coverage import ChoicePoints, DistinctCount, Points
from .protocol import RangeMade, SearchEnd, SearchOverrides

FORMAT: Final = "wavetank-campaign"
VERSION: Final = 3
FILE: Final = "campaign.json"


class StateError(ValueError):
    """A file is not the state of a campaign that this version can resume; it is not changed."""


class SavedTest(msgspec.Struct, omit_defaults=True):
    """What is saved of one test: `schedules` were made, the first ones.

    `longest` and `unmet` are as in an order for the next one; `seen` has those of the current block as well.
    """

    overrides: SearchOverrides = msgspec.field(name="words")
    schedules: int = 0
    longest: tuple[int, int] = (0, 0)
    seen: tuple[int, int] = (0, 0)
    unmet: tuple[str, ...] | None = None
    distinct: list[int] = []
    points: Points = {}
    end: SearchEnd | None = msgspec.field(name="ended", default=None)


class _Head(msgspec.Struct):
    format: str
    version: int


class _File(_Head):
    tests: dict[str, SavedTest]


@final
class SearchedTest:
    """One test of a campaign that is running."""

    def __init__(self, test: str, saved: SavedTest) -> None:
        self.test = test
        self.overrides = saved.overrides
        self.schedules = saved.schedules
        self.longest = saved.longest
        self.seen = saved.seen
        self.unmet = saved.unmet
        self.distinct = DistinctCount(saved.distinct)
        self.points = ChoicePoints(saved.points)
        self.end = saved.end
        self.resumed = saved.schedules
        self.seconds = 0.0
        """Real time of the schedules of this campaign, added up over all workers."""
        self.scenario = ""
        """The scenario that is played, once the search has started."""
        self.alone = False
        """Whether one search has to make all schedules, as each depends on those before it."""
        self.over = False
        """Whether the test is over in this campaign, as one is that searches nothing."""

    def longest_at(self, number: int) -> tuple[int, int]:
        """What a search that begins with schedule `number` has to know, as far as that is known."""
        in_block = self.schedules % BLOCK and number < block_end(self.schedules)
        return self.longest if in_block else self.seen

    def take(self, made: RangeMade) -> None:
        """Add what was made, from the next schedule on."""
        begun = self.schedules
        self.schedules += made.runs
        self.seconds += made.seconds
        self.scenario = made.scenario or self.scenario
        if made.runs:
            self.unmet = made.unmet
            self.seen = max(self.seen[0], made.longest[0]), max(self.seen[1], made.longest[1])
            if self.schedules % BLOCK == 0:
                self.longest = self.seen
            elif self.schedules > block_end(begun):
                self.longest = made.learnt
        for digest in made.schedules:
            self.distinct.add(digest)
        self.points.merge(made.points)

    def restart(self) -> None:
        """The search begins from the start: the schedules that were counted earlier no longer count."""
        self.alone = True
        self.schedules = self.resumed = 0

    def take_end(self, end: SearchEnd) -> None:
        """The first end counts, but a failing schedule replaces a broken test."""
        if self.end is None or (end.failure and not self.end.failure):
            self.end = end

    @property
    def failed(self) -> bool:
        """Whether a schedule failed, or the test otherwise."""
        return self.end is not None and bool(self.end.failure or self.end.broken)

    @property
    def saved(self) -> SavedTest:
        """What to save; a test that is broken or was skipped is tried again when the campaign is resumed."""
        end = self.end
        lasting = end if end is not None and (end.failure or end.exhausted) else None
        return SavedTest(
            self.overrides,
            self.schedules,
            self.longest,
            self.seen,
            self.unmet,
            self.distinct.digests,
            self.points.points,
            lasting,
        )


def read(path: Path) -> dict[str, SavedTest]:
    """The tests that are saved in a file; empty if there is no file.

    Raises:
        StateError: the file is damaged, or of another kind or version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    fix = "It is left as it is: move it away, or choose another folder with --state"
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} cannot be read as the state of a campaign: {error}. {fix}") from None
    if head.format != FORMAT:
        raise StateError(f"{path} is no state of a campaign (format {head.format!r}). {fix}")
    if head.version != VERSION:
        raise StateError(f"{path} has version {head.version}; this wavetank reads {VERSION}. {fix}")
    try:
        return msgspec.json.decode(data, type=_File).tests
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is damaged: {error}. {fix}") from None


def write(path: Path, tests: dict[str, SavedTest]) -> None:
    """Replace the saved state.

    Raises:
        StateError: the folder or the file cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        make_folder(path.parent)
        new.write_bytes(msgspec.json.encode(_File(FORMAT, VERSION, tests)) + b"\n")
        os.replace(new, path)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error}. Choose another folder with --state") from None
