"""Work in processes of its own: what it raises, returns or breaks comes back as data."""

from __future__ import annotations

from ..main_guard import MissingMainGuard
from .call_outcomes import Done, Failed, WorkerDied, WorkError
from .process_pool import ProcessPool
from .process_strategy import ProcessStrategy

__all__ = ["Done", "Failed", "MissingMainGuard", "ProcessPool", "ProcessStrategy", "WorkError", "WorkerDied"]
