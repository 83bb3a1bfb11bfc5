"""What the driver and the lanes tell each other, through files in a folder that both know."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from .tally import Points

VARIABLE: Final = "WAVETANK_CAMPAIGN"
"""The environment variable with the path of the orders."""

ORDERS: Final = "orders.json"
LOG: Final = "pytest.log"
STOP: Final = "stop"
UNLIMITED: Final = 1 << 62


class Order(msgspec.Struct, frozen=True):
    """What one test is to do: from which shard on, and how many schedules are left of how many."""

    shard: int
    left: int
    target: int


class Orders(msgspec.Struct, frozen=True):
    """What the lanes of one pytest session are to do.

    `lanes` is how many a test is split into, `slice` how many real seconds a lane may take,
    `deadline` when all is over on the machine's monotonic clock, and `driver` a process id: without
    it nobody waits for the lanes. Without `tests` the explored tests are only told.
    """

    lanes: int
    driver: int
    deadline: int | None = None
    slice: float | None = None
    tests: dict[str, Order] = {}


class Collected(msgspec.Struct, frozen=True, tag="collected"):
    """The explored tests that pytest found, and how many others."""

    rootdir: str
    tests: list[str]
    others: list[str]


class Progress(msgspec.Struct, frozen=True, tag="progress", omit_defaults=True):
    """What a lane has seen since it told last; `anew`: what was told of the test before counts no more."""

    test: str
    shard: int
    runs: int
    courses: list[int] = []
    points: Points = {}
    anew: bool = False


class Ended(msgspec.Struct, frozen=True, tag="ended", omit_defaults=True):
    """How a lane ended, if there is more to say than its progress: one of the texts is given.

    `failure` is the report of a failing schedule, `broken` of a test that fails otherwise, `spent`
    what a policy says that has nothing left to try, `skipped` why the test was. `annotation` is the
    line that shows a failure on GitHub.
    """

    test: str
    failure: str = ""
    kind: str = ""
    token: str = ""
    broken: str = ""
    spent: str = ""
    skipped: str = ""
    annotation: str = ""


class Shift(msgspec.Struct, frozen=True, tag="shift"):
    """A lane sets about its work (`begins`), or has left off; `scenario` is the one that it plays."""

    test: str
    begins: bool
    scenario: str = ""


Fact = Collected | Progress | Ended | Shift


def marker(folder: Path, test: str) -> Path:
    """The file whose presence stops the lanes of a test."""
    return folder / f"stop-{blake2b(test.encode(), digest_size=8).hexdigest()}"
