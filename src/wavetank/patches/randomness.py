"""Let the jitter of clients repeat: for the length of a run the process's random generator is the run's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final


@final
class Chance:
    """The state of `random.random()` and its kin in one run, kept while the run is left and entered again."""

    __slots__ = ("_seed", "_state")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: Any = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Put the run's state in place of the process's; names imported before follow."""
        before = random.getstate()
        if self._state is None:
            self.restart()
        else:
            random.setstate(self._state)
        try:
            yield
        finally:
            self._state = random.getstate()
            random.setstate(before)

    def restart(self) -> None:
        """Begin another run; only while it is lent."""
        random.seed(self._seed)
