"""FIFO: what a stock loop with an infinitely fast processor does, and nothing else."""

from __future__ import annotations

from typing import ClassVar, final

from ..choices import Level, Recorder
from .plan import Plan


@final
class FifoPolicy:
    """Plans nothing: the first run of a search is FIFO, and another one would be the same."""

    NAME: ClassVar = "fifo"
    SAMPLES: ClassVar = False

    def __init__(self, *, seed: int, level: Level) -> None:
        """There is nothing to choose."""

    def plan(self, number: int) -> Plan | None:
        return None

    def learn(self, record: Recorder) -> None:
        """There is nothing to learn."""

    @property
    def proved(self) -> str | None:
        return None
