"""What the driver of a campaign and the pytest that searches write for each other, as files in one folder."""

from __future__ import annotations

from typing import Final

import msgspec

from .coverage import Points

VARIABLE: Final = "WAVETANK_CAMPAIGN"
"""The environment variable with the path of the session's plan."""

PLAN: Final = "plan.json"
LOG: Final = "pytest.log"
MESSAGES: Final = "messages.ndjson"
STOP: Final = "stop"
UNLIMITED: Final = 1 << 62
"""A number of schedules that no campaign reaches; it fits into the 64-bit integers of JSON readers."""


class SearchPlan(msgspec.Struct, frozen=True):
    """Which schedules of a test are to be made: from number `first` up to `target`.

    `longest` is what those before have shown of how long runs get, as `ScheduleSearch` takes it.
    """

    first: int
    target: int
    longest: tuple[int, int] = (0, 0)


class SessionPlan(msgspec.Struct, frozen=True):
    """What one pytest session has to do.

    `jobs` is how many processes search a test, `slice` how many real seconds each test may take, and
    `deadline` when all must end, on the machine's monotonic clock. `driver` is a process id: the session
    ends when that process is gone. Without `tests` the explored tests are only listed.
    """

    jobs: int
    driver: int
    deadline: int | None = None
    slice: float | None = None
    tests: dict[str, SearchPlan] = {}


class Collected(msgspec.Struct, frozen=True, tag="collected"):
    """The explored tests that pytest found, and the others."""

    rootdir: str
    tests: list[str]
    others: list[str]


class SearchStarted(msgspec.Struct, frozen=True, tag="started"):
    """The search of a test begins, in this scenario."""

    test: str
    scenario: str


class SearchPaused(msgspec.Struct, frozen=True, tag="paused", omit_defaults=True):
    """The search of a test ends, at least in this session; `one_process` says why one process made it."""

    test: str
    one_process: str = ""


class Progress(msgspec.Struct, frozen=True, tag="progress", omit_defaults=True):
    """What was made since the last message.

    `schedules` are digests of those that were not seen before, `longest` is as in the plan. `restarted`:
    the search has begun from the start, so the schedules of the test that were counted earlier no longer
    count.
    """

    test: str
    runs: int
    longest: tuple[int, int] = (0, 0)
    schedules: list[int] = []
    points: Points = {}
    restarted: bool = False


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


Message = Collected | SearchStarted | SearchPaused | Progress | SearchEnd
