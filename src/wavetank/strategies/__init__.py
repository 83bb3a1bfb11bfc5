"""Hypothesis strategies for worlds: scenarios, workloads, and the orders in which tasks run.

Hypothesis draws the world, and `World.run` searches a few schedules in it. Every strategy shrinks
to the simplest case: one worker, one item, no wave, FIFO order. Instants and latencies are multiples
of a tick, so that several things often happen at the same instant.
"""

from __future__ import annotations

from .scenarios import faults, latencies, outages, scenarios, waves
from .schedules import DrawnSchedule, schedules
from .stateful import ProcessorMachine
from .workloads import arrivals, workers, workloads
from .worlds import World, worlds

__all__ = [
    "DrawnSchedule",
    "ProcessorMachine",
    "World",
    "arrivals",
    "faults",
    "latencies",
    "outages",
    "scenarios",
    "schedules",
    "waves",
    "workers",
    "workloads",
    "worlds",
]
