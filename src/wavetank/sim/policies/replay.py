"""Replay: the choices of an earlier run, and 0 wherever it did not deviate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from ..choices import Deviation, Kind


@final
class Replay:
    """Takes the deviations of a schedule at their places; `diverged` says where the run did not fit them."""

    def __init__(self, deviations: Sequence[Deviation]) -> None:
        self._at: Mapping[int, Deviation] = {each.place: each for each in deviations}
        self._place = -1
        self.diverged: str | None = None

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        self._place += 1
        deviation = self._at.get(self._place)
        if deviation is None:
            return 0
        if n != deviation.width and self.diverged is None:
            self.diverged = (
                f"choice {self._place} ({kind}) had {deviation.width} options when the token was made "
                f"and has {n} here"
            )
        return min(deviation.choice, n - 1)

    @property
    def unused(self) -> int:
        """Deviations that lie behind the end of the run."""
        return sum(place > self._place for place in self._at)
