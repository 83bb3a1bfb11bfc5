"""The saved state of campaigns: a small JSON file, which is replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

import msgspec

from .campaign_options import SearchOverrides
from .coverage import ChoicePoints, DistinctCount, Points
from .protocol import Message, Progress, SearchEnd, WorkerFinished, WorkerStarted

FORMAT: Final = "wavetank-campaign"
VERSION: Final = 1
FILE: Final = "campaign.json"
FOLDER: Final = ".wavetank"


class StateError(ValueError):
    """A file is not the state of a campaign that this version can resume; it is not changed."""


class SavedTest(msgspec.Struct, omit_defaults=True):
    """What is saved of one test: `next_shard` is the first one that no worker has begun."""

    overrides: SearchOverrides = msgspec.field(name="words")
    schedules: int = 0
    next_shard: int = msgspec.field(name="next", default=0)
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
        self.next_shard = saved.next_shard
        self.distinct = DistinctCount(saved.distinct)
        self.points = ChoicePoints(saved.points)
        self.end = saved.end
        self.resumed = saved.schedules
        self.scenario = ""
        """The scenario that is played, once a worker has started."""
        self.active_workers = 0

    def take(self, message: Message) -> None:
        """Add what a worker reports; the first end counts, but a failing schedule replaces a broken test."""
        match message:
            case Progress():
                if message.restarted:
                    self.schedules = self.resumed = 0
                self.schedules += message.runs
                self.next_shard = max(self.next_shard, message.shard + 1)
                for digest in message.schedules:
                    self.distinct.add(digest)
                self.points.merge(message.points)
            case WorkerStarted():
                self.active_workers += 1
                self.scenario = message.scenario
            case WorkerFinished():
                self.active_workers -= 1
            case SearchEnd() if self.end is None or (message.failure and not self.end.failure):
                self.end = message

    def lost(self, why: str) -> None:
        """The process of its workers has ended; if they had not finished, the test is broken."""
        if self.active_workers > 0:
            self.active_workers = 0
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
            self.next_shard,
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
    ignore = path.parent / ".gitignore"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
        new.write_bytes(msgspec.json.encode(_File(FORMAT, VERSION, tests)) + b"\n")
        os.replace(new, path)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error}. Choose another folder with --state") from None
