"""The saved state of campaigns: a small JSON file, which is replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

import msgspec

from ..tank.kept_folder import make_folder
from .campaign_options import SearchOverrides
from .coverage import ChoicePoints, DistinctCount, Points
from .protocol import Message, Progress, SearchEnd, SearchPaused, SearchStarted

FORMAT: Final = "wavetank-campaign"
VERSION: Final = 2
FILE: Final = "campaign.json"


class StateError(ValueError):
    """A file is not the state of a campaign that this version can resume; it is not changed."""


class SavedTest(msgspec.Struct, omit_defaults=True):
    """What is saved of one test: `schedules` were made, the first ones; `longest` is as in its plan."""

    overrides: SearchOverrides = msgspec.field(name="words")
    schedules: int = 0
    longest: tuple[int, int] = (0, 0)
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
        self.distinct = DistinctCount(saved.distinct)
        self.points = ChoicePoints(saved.points)
        self.end = saved.end
        self.resumed = saved.schedules
        self.scenario = ""
        """The scenario that is played, once the search has started."""
        self.one_process = ""
        """Why one process searches it, where there should be more."""
        self.active = False

    def take(self, message: Message) -> None:
        """Add what a session reports; the first end counts, but a failing schedule replaces a broken test."""
        match message:
            case Progress():
                if message.restarted:
                    self.schedules = self.resumed = 0
                self.schedules += message.runs
                self.longest = message.longest
                for digest in message.schedules:
                    self.distinct.add(digest)
                self.points.merge(message.points)
            case SearchStarted():
                self.active = True
                self.scenario = message.scenario
            case SearchPaused():
                self.active = False
                self.one_process = message.one_process
            case SearchEnd() if self.end is None or (message.failure and not self.end.failure):
                self.end = message

    def lost(self, why: str) -> None:
        """The process that searched has ended; if it was at this test, the test is broken."""
        if self.active:
            self.active = False
            self.take(SearchEnd(self.test, broken=why))

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
