"""Hypothesis strategies for worlds: scenarios, workloads, and the orders in which tasks run.

Hypothesis draws the world, and `World.run` searches a few schedules inside it. Every strategy
shrinks to the calmest case: one worker, one item, no wave, FIFO order. Instants and latencies
lie on a grid of ticks, so that ties are common.
"""

from __future__ import annotations

from .schedules import DrawnSchedule, schedules
from .stateful import ProcessorMachine
from .weather import faults, latencies, scenarios, waves
from .work import arrivals, workers, workloads
from .world import World, worlds

__all__ = [
    "DrawnSchedule",
    "ProcessorMachine",
    "World",
    "arrivals",
    "faults",
    "latencies",
    "scenarios",
    "schedules",
    "waves",
    "workers",
    "workloads",
    "worlds",
]
