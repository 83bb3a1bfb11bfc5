"""Scenarios from incidents: what real requests met, read from logs, as a scenario that repeats it."""

from __future__ import annotations

from .exchange import Exchange, IncidentError
from .learning import Learned, learn
from .writing import as_toml

__all__ = ["Exchange", "IncidentError", "Learned", "as_toml", "learn"]
