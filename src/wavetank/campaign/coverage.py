"""What a campaign has covered, in little memory and easy to add up: distinct schedules, choice points."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Final, NamedTuple, final

from ..sim.choices import Level, Recorder

KEPT: Final = 4096
"""Digests that are kept: so many schedules are counted exactly. Beyond, their number is estimated from the
smallest digests (k minimum values), with a standard error of 1/sqrt(4096), 1.6 %."""

PLACES: Final = 4096
"""Choices of a run, from its start, that count as choice points: it bounds the memory for long runs."""

_SPACE: Final = 1 << 64

Points = dict[str, dict[int, tuple[int, str]]]
"""By kind and place: the most options of a choice there, and which were taken, as hexadecimal bits."""


def schedule_digest(record: Recorder, level: Level) -> int:
    """A digest of 64 bits, the same in every process."""
    digest = blake2b(str(level).encode(), digest_size=8)
    digest.update(array("Q", record.taken).tobytes())
    digest.update(array("Q", record.widths).tobytes())
    return int.from_bytes(digest.digest(), "big")


@final
class DistinctCount:
    """Counts distinct digests by keeping the smallest ones: exact up to `KEPT`, then within some 3 %."""

    def __init__(self, digests: Iterable[int] = ()) -> None:
        self._known: dict[int, None] = {}
        self._largest_first: list[int] = []
        for digest in digests:
            self.add(digest)

    def add(self, digest: int) -> bool:
        """Add a digest; whether it changed anything."""
        heap = self._largest_first
        if digest in self._known or (len(heap) >= KEPT and digest > -heap[0]):
            return False
        self._known[digest] = None
        heapq.heappush(heap, -digest)
        if len(heap) > KEPT:
            del self._known[-heapq.heappop(heap)]
        return True

    @property
    def digests(self) -> list[int]:
        """The digests that are kept, in order."""
        return sorted(self._known)

    @property
    def exact(self) -> bool:
        """Whether the count is exact, and no estimate."""
        return len(self._known) < KEPT

    @property
    def count(self) -> int:
        """How many distinct digests were added."""
        if self.exact:
            return len(self._known)
        return (KEPT - 1) * _SPACE // -self._largest_first[0]


class Coverage(NamedTuple):
    """How many choice points of one kind there are, `deviated` from FIFO, and their options in all."""

    points: int
    deviated: int
    options: int
    taken: int


@final
class ChoicePoints:
    """The choice points of all runs: a point is the n-th choice of a run and its kind."""

    def __init__(self, points: Points | None = None) -> None:
        self._at: dict[str, dict[int, list[int]]] = {}
        self._changed: dict[tuple[str, int], None] = {}
        self.merge(points or {})

    def add_run(self, record: Recorder) -> None:
        """Add the choices of one run."""
        choices = zip(record.kinds, record.widths, record.taken, strict=True)
        for place, (kind, width, choice) in enumerate(islice(choices, PLACES)):
            point = self._at[kind].get(place) if kind in self._at else None
            if point is None or width > point[0] or not point[1] >> choice & 1:
                self._widen(kind, place, width, 1 << choice)

    def merge(self, points: Points) -> None:
        """Add the points of another process."""
        for kind, at in points.items():
            for place, (width, taken) in at.items():
                self._widen(kind, place, width, int(taken, 16))

    def _widen(self, kind: str, place: int, width: int, taken: int) -> None:
        at = self._at.setdefault(kind, {})
        point = at.get(place)
        if point is None:
            at[place] = [width, taken]
        elif width <= point[0] and point[1] | taken == point[1]:
            return
        else:
            point[0] = max(point[0], width)
            point[1] |= taken
        self._changed[kind, place] = None

    def take_changes(self) -> Points:
        """The points that have changed since the last call."""
        points: Points = {}
        for kind, place in self._changed:
            width, taken = self._at[kind][place]
            points.setdefault(kind, {})[place] = (width, f"{taken:x}")
        self._changed.clear()
        return points

    @property
    def points(self) -> Points:
        """All points."""
        return {
            kind: {place: (width, f"{taken:x}") for place, (width, taken) in sorted(at.items())}
            for kind, at in sorted(self._at.items())
        }

    def coverage(self) -> dict[str, Coverage]:
        """How many of the options were tried, by kind."""
        return {
            kind: Coverage(
                points=len(at),
                deviated=sum(taken > 1 for _, taken in at.values()),
                options=sum(width for width, _ in at.values()),
                taken=sum(taken.bit_count() for _, taken in at.values()),
            )
            for kind, at in sorted(self._at.items())
        }
