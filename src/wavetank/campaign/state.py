"""What a campaign keeps between its runs: a small JSON file, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

import msgspec

from .orders import Ended, Fact, Progress, Shift
from .tally import Points, Seen, Sketch

FORMAT: Final = "wavetank-campaign"
VERSION: Final = 1
FILE: Final = "campaign.json"
FOLDER: Final = ".wavetank"


class StateError(ValueError):
    """A file is no state of a campaign that this version can go on with; it is left as it is."""


class Words(msgspec.Struct, frozen=True, omit_defaults=True):
    """What fixes the schedules of a campaign; `None` leaves it to the test and the ini file."""

    policy: str | None = None
    level: str | None = None
    seed: int | None = None
    scenario: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [
            f"--{name} {value}"
            for name in ("policy", "level", "seed")
            if (value := getattr(self, name)) is not None
        ]
        words += [f"--scenario {name}" for name in self.scenario]
        return " ".join(words) or "no --policy, --level, --seed or --scenario"


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept of one test: `next` is the first shard that no lane has begun."""

    words: Words
    schedules: int = 0
    next: int = 0
    distinct: list[int] = []
    points: Points = {}
    ended: Ended | None = None


class _Head(msgspec.Struct):
    format: str
    version: int


class _File(_Head):
    tests: dict[str, Kept]


@final
class Course:
    """One test of a campaign under way."""

    def __init__(self, test: str, kept: Kept) -> None:
        self.test = test
        self.words = kept.words
        self.schedules = kept.schedules
        self.next = kept.next
        self.sketch = Sketch(kept.distinct)
        self.seen = Seen(kept.points)
        self.ended = kept.ended
        self.resumed = kept.schedules
        self.scenario = ""
        """The scenario that is played, once a lane has begun."""
        self.at_work = 0
        """So many lanes search it at this moment."""

    def take(self, fact: Fact) -> None:
        """Add what a lane has told; the first end counts."""
        if isinstance(fact, Progress):
            if fact.anew:
                self.schedules = self.resumed = 0
            self.schedules += fact.runs
            self.next = max(self.next, fact.shard + 1)
            for course in fact.courses:
                self.sketch.add(course)
            self.seen.merge(fact.points)
        elif isinstance(fact, Shift):
            self.at_work += 1 if fact.begins else -1
            self.scenario = fact.scenario or self.scenario
        elif isinstance(fact, Ended) and (self.ended is None or (fact.failure and not self.ended.failure)):
            self.ended = fact

    def lost(self, why: str) -> None:
        """The process of its lanes has ended without an answer."""
        if self.at_work > 0:
            self.at_work = 0
            self.take(Ended(self.test, broken=why))

    @property
    def failed(self) -> bool:
        """Whether a schedule failed, or the test otherwise."""
        return self.ended is not None and bool(self.ended.failure or self.ended.broken)

    @property
    def kept(self) -> Kept:
        """What is to be kept; a test that broke or was skipped is tried again when the campaign goes on."""
        ended = self.ended
        lasting = ended if ended is not None and (ended.failure or ended.spent) else None
        return Kept(self.words, self.schedules, self.next, self.sketch.digests, self.seen.points, lasting)


def read(path: Path) -> dict[str, Kept]:
    """What is kept in a file, by test; empty if there is no file.

    Raises:
        StateError: the file is damaged, or something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    mend = "It is left as it is: move it away, or choose another folder with --state"
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} cannot be read as the state of a campaign: {error}. {mend}") from None
    if head.format != FORMAT:
        raise StateError(f"{path} is no state of a campaign (format {head.format!r}). {mend}")
    if head.version != VERSION:
        raise StateError(f"{path} has version {head.version}; this wavetank reads {VERSION}. {mend}")
    try:
        return msgspec.json.decode(data, type=_File).tests
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is damaged: {error}. {mend}") from None


def write(path: Path, tests: dict[str, Kept]) -> None:
    """Put a new state in the place of the old one.

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
