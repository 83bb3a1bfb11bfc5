"""What the driver and the workers of a campaign write for each other, as files in one folder."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from .coverage import Points

VARIABLE: Final = "WAVETANK_CAMPAIGN"
"""The environment variable with the path of the session's plan."""

PLAN: Final = "plan.json"
LOG: Final = "pytest.log"
STOP: Final = "stop"
UNLIMITED: Final = 1 << 62
"""A number of schedules that no campaign reaches; it fits into the 64-bit integers of JSON readers."""


class SearchPlan(msgspec.Struct, frozen=True):
    """What the workers of one test have to do: `left` schedules of `target`, from this shard on."""

    shard: int
    left: int
    target: int


class SessionPlan(msgspec.Struct, frozen=True):
    """What the workers of one pytest session have to do.

    `workers` is how many search a test at the same time, `slice` how many real seconds each may take,
    and `deadline` when all must end, on the machine's monotonic clock. `driver` is a process id: the
    workers end when that process is gone. Without `tests` the explored tests are only listed.
    """

    workers: int
    driver: int
    deadline: int | None = None
    slice: float | None = None
    tests: dict[str, SearchPlan] = {}


class Collected(msgspec.Struct, frozen=True, tag="collected"):
    """The explored tests that pytest found, and the others."""

    rootdir: str
    tests: list[str]
    others: list[str]


class WorkerStarted(msgspec.Struct, frozen=True, tag="started"):
    """A worker begins to search a test, in this scenario."""

    test: str
    scenario: str


class WorkerFinished(msgspec.Struct, frozen=True, tag="finished"):
    """A worker has finished its part of a test."""

    test: str


class Progress(msgspec.Struct, frozen=True, tag="progress", omit_defaults=True):
    """What a worker has done since its last message.

    `schedules` are digests of those it has not seen before. `restarted`: the search has begun from the
    start, so the schedules of the test that were counted earlier no longer count.
    """

    test: str
    shard: int
    runs: int
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


Message = Collected | WorkerStarted | WorkerFinished | Progress | SearchEnd


def stop_file(folder: Path, test: str) -> Path:
    """The file that stops the workers of a test when it exists."""
    return folder / f"stop-{blake2b(test.encode(), digest_size=8).hexdigest()}"
