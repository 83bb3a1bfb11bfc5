"""What the driver of a campaign and the pytest sessions that make its schedules write to each other."""

from __future__ import annotations

from typing import Final

import msgspec

from .coverage import Points

VARIABLE: Final = "WAVETANK_CAMPAIGN"
"""The environment variable with the file descriptor of the connection to the session."""


class SearchOverrides(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options that decide a test's schedules; `None` leaves them to the test and the ini file."""

    policy: str | None = None
    level: str | None = None
    seed: int | None = None
    scenario: tuple[str, ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """The options that are given: names without dashes, and their values."""
        one = (("policy", self.policy), ("level", self.level), ("seed", self.seed))
        given = [(name, str(value)) for name, value in one if value is not None]
        return given + [("scenario", name) for name in self.scenario]

    def __str__(self) -> str:
        given = " ".join(f"--{name} {value}" for name, value in self.pairs())
        return given or "no --policy, --level, --seed or --scenario"


class Program(msgspec.Struct, frozen=True):
    """What all sessions of a campaign have in common.

    `tests` are arguments of pytest, which runs in `folder`. `python` and `wavetank` are the versions that
    the driver has. The timelines of failures go to `timelines`.
    """

    tests: tuple[str, ...]
    overrides: SearchOverrides
    folder: str
    python: str
    wavetank: str
    timelines: str | None = None


class Order(msgspec.Struct, frozen=True, tag="order"):
    """Schedules of a test that are to be made: from number `first` up to `until`.

    `longest` and `unmet` are what the earlier ones have shown, as in `Earlier`. A search takes `seconds` of
    real time at most, and `jobs` processes. One that `concludes` is the last of its test: a failure is
    shrunk, and the test goes on with the result.
    """

    test: str
    first: int
    until: int
    longest: tuple[int, int] = (0, 0)
    unmet: tuple[str, ...] | None = None
    seconds: float | None = None
    jobs: int = 1
    concludes: bool = False


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """The search that is under way is to end after the current run."""


class Collected(msgspec.Struct, frozen=True, tag="collected"):
    """The explored tests that pytest found, and the others."""

    rootdir: str
    tests: list[str]
    others: list[str]


class SearchEnd(msgspec.Struct, frozen=True, tag="ended", omit_defaults=True):
    """Why the search of a test ended before its last schedule: one of the texts is given.

    `failure` is the report of a failing schedule, of a `kind` and with a `token`. `broken` is the report
    of a test that fails otherwise. `exhausted` says why the policy has no schedule left, and `skipped`
    why the test was skipped. `annotation` is the line that shows a failure on GitHub, and `timeline` the
    path of its page, if one was wanted.
    """

    test: str
    failure: str = ""
    kind: str = ""
    token: str = ""
    broken: str = ""
    exhausted: str = msgspec.field(name="spent", default="")
    skipped: str = ""
    annotation: str = ""
    timeline: str = ""


class Running(msgspec.Struct, frozen=True, tag="running"):
    """So many runs of an order were made so far."""

    runs: int


class RangeMade(msgspec.Struct, frozen=True, tag="made", omit_defaults=True):
    """What came of an order: `runs` schedules, those from its first on.

    `failed` says what failed in the next one, which is not among them. `longest` is the most choices and
    picks of all runs, and `learnt` the same before the block in which the order ended. `schedules` are
    digests, of those only that change a count of distinct ones. The test plays `scenario`; `identity` is
    the same wherever program and scenario are. `samples` is false of a policy whose schedules depend on
    all earlier ones: nothing was made, unless the order concludes. `raised`: an error ended the search.
    """

    runs: int = 0
    failed: str = ""
    longest: tuple[int, int] = (0, 0)
    learnt: tuple[int, int] = (0, 0)
    unmet: tuple[str, ...] | None = None
    schedules: list[int] = []
    points: Points = {}
    scenario: str = ""
    identity: str = ""
    samples: bool = True
    raised: bool = False
    seconds: float = 0.0


class TestOver(msgspec.Struct, frozen=True, tag="over"):
    """A test is over: the session goes on with later ones."""

    __test__ = False
    test: str


Message = Collected | Running | RangeMade | SearchEnd | TestOver


class Outcome(msgspec.Struct, frozen=True):
    """What became of an order, wherever it went.

    `over`: its test is over in that session; `ends` are how this test and earlier ones ended. `lost` says
    how the session ended before that, and `refused` why none could start; `worker` is where that was.
    """

    worker: str
    made: RangeMade = RangeMade()
    over: bool = False
    ends: tuple[SearchEnd, ...] = ()
    lost: str = ""
    refused: str = ""
