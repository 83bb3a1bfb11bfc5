"""Shrink a schedule towards FIFO: fewer deviations, then smaller ones, while the run fails alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, final

from .choices import Deviation, Kind, Recorder

Deviations = tuple[Deviation, ...]

Attempt = Callable[[Deviations], Recorder | None]
"""Makes a run with these deviations; what it recorded if it fails as the first one did, else `None`."""

MOST_RUNS: Final = 100
_FEW: Final = 3
_SEVERAL: Final = 6
_WIDE: Final = 16
"""Of a choice among more options, as one of many steps, hardly any would do the work of two."""
_SHIFTS: Final = (-1, 1, -2, 2)
_KINDS: Final[tuple[Kind, ...]] = (
    "stall",
    "deadline",
    "interruption",
    "run",
    "switch",
    "test",
    "pause",
    "provider",
)


@final
class Shrinker:
    """Looks for the schedule closest to FIFO that still fails; `runs` counts what it took."""

    def __init__(self, attempt: Attempt, *, most: int = MOST_RUNS) -> None:
        self._attempt = attempt
        self._most = most
        self._tried: dict[Deviations, None] = {}
        self.runs = 0

    def shrink(self, found: Recorder) -> Recorder:
        """The best record found, which is `found` if nothing smaller fails."""
        best = self._only_one_kind(found)
        before: Deviations | None = None
        while before != best.deviations:
            before = best.deviations
            best = self._fewer(best)
            best = self._closed_up(best)
            best = self._smaller(best)
            best = self._joined(best)
        return best

    def _only_one_kind(self, best: Recorder) -> Recorder:
        """Most failures need deviations of only one kind."""
        kinds = {each: best.kinds[each.place] for each in best.deviations}
        for kind in _KINDS:
            one = tuple(each for each in best.deviations if kinds[each] == kind)
            if one and len(one) < len(best.deviations) and (better := self._try(one, best)):
                return better
        return best

    def _fewer(self, best: Recorder) -> Recorder:
        """Leave out stretches of deviations, coarse to fine."""
        size = max(len(best.deviations) // 2, 1)
        while best.deviations:
            start = 0
            while start < len(best.deviations):
                deviations = best.deviations
                better = self._try(deviations[:start] + deviations[start + size :], best)
                if better is None:
                    start += size
                else:
                    best = better
            if size == 1:
                break
            size //= 2
        return best

    def _closed_up(self, best: Recorder) -> Recorder:
        """Leave out one of several deviations and move those behind it: it may have added choices."""
        place = 0
        while place < len(best.deviations) - 1 and len(best.deviations) <= _SEVERAL:
            better = self._first(_shifted(best.deviations, place), best)
            if better is None:
                place += 1
            else:
                best = better
        return best

    def _smaller(self, best: Recorder) -> Recorder:
        """Take choices nearer to 0."""
        place = 0
        while place < len(best.deviations):
            better = self._first(_lowered(best.deviations, place), best)
            if better is None:
                place += 1
            else:
                best = better
        return best

    def _joined(self, best: Recorder) -> Recorder:
        """Let one larger choice do the work of two."""
        deviations = best.deviations
        if not 2 <= len(deviations) <= _FEW:
            return best
        candidates = (
            (*rest[:place], Deviation(one.place, choice, one.width), *rest[place + 1 :])
            for out in range(len(deviations))
            for rest in (deviations[:out] + deviations[out + 1 :],)
            for place, one in enumerate(rest)
            for choice in range(1, min(one.width, _WIDE))
        )
        return self._first(candidates, best) or best

    def _first(self, candidates: Iterable[Deviations], best: Recorder) -> Recorder | None:
        for candidate in candidates:
            if (better := self._try(candidate, best)) is not None:
                return better
        return None

    def _try(self, candidate: Deviations, best: Recorder) -> Recorder | None:
        """Make the run, unless it was made or the allowance is spent; only a smaller schedule counts."""
        if candidate in self._tried or self.runs >= self._most:
            return None
        self._tried[candidate] = None
        self.runs += 1
        record = self._attempt(candidate)
        if record is None or _size(record.deviations) >= _size(best.deviations):
            return None
        return record


def _shifted(deviations: Deviations, out: int) -> Iterator[Deviations]:
    before, behind = deviations[:out], deviations[out + 1 :]
    first = before[-1].place + 1 if before else 0
    for shift in _SHIFTS:
        if behind[0].place + shift >= first:
            moved = (Deviation(each.place + shift, each.choice, each.width) for each in behind)
            yield (*before, *moved)


def _lowered(deviations: Deviations, place: int) -> Iterator[Deviations]:
    one = deviations[place]
    for choice in dict.fromkeys((1, one.choice // 2, one.choice - 1)):
        if 0 < choice < one.choice:
            yield (*deviations[:place], Deviation(one.place, choice, one.width), *deviations[place + 1 :])


def _size(deviations: Deviations) -> tuple[int, int, int]:
    last = deviations[-1].place if deviations else 0
    return len(deviations), sum(each.choice for each in deviations), last
