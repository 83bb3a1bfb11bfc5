"""wavetank: a pytest plugin and simulation testbed for rate limits."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .checks.verdict import Verdict
    from .events import Event, EventLog
    from .provider.vendor_card import VendorCard
    from .provider.vendor_registry import add_vendor
    from .scenario import Answer, Scenario, ScenarioError, ToolCall, Usage, load_scenario
    from .seams.direct import Completion
    from .seams.errors import (
        ConnectionLost,
        MalformedAnswer,
        OutsideTheTank,
        Overloaded,
        ProviderError,
        QuotaExhausted,
        RateLimited,
        RequestTooLarge,
        ServerError,
        UnknownHost,
        WrongProtocol,
    )
    from .sim.errors import Deadlock, RealInputOutput
    from .sim.token import TokenError
    from .tank.failure import CheckFailed, Diverged, UnmatchedLedger
    from .tank.fake_llm import FakeLLM
    from .tank.ledger import Ledger
    from .tank.replica_tasks import ReplicaCrashed, ReplicaTask
    from .tank.replicas import Replica
    from .tank.runs.finished_run import Run
    from .tank.runs.simulate import simulate
    from .tank.search.explore import explore
    from .tank.search.search import Result, search
    from .tank.simulated_redis import SimulatedRedis
    from .tank.tank import Tank
    from .tank.workload import Workload, WorkloadItem

__version__: Final = "0.1.0"

_HOMES: Final = {
    "checks.verdict": ("Verdict",),
    "events": ("Event", "EventLog"),
    "provider.vendor_registry": ("add_vendor",),
    "provider.vendor_card": ("VendorCard",),
    "scenario": ("Answer", "Scenario", "ScenarioError", "ToolCall", "Usage", "load_scenario"),
    "seams.direct": ("Completion",),
    "seams.errors": (
        "ConnectionLost",
        "MalformedAnswer",
        "OutsideTheTank",
        "Overloaded",
        "ProviderError",
        "QuotaExhausted",
        "RateLimited",
        "RequestTooLarge",
        "ServerError",
        "UnknownHost",
        "WrongProtocol",
    ),
    "sim.errors": ("Deadlock", "RealInputOutput"),
    "sim.token": ("TokenError",),
    "tank.search.explore": ("explore",),
    "tank.failure": ("CheckFailed", "Diverged", "UnmatchedLedger"),
    "tank.fake_llm": ("FakeLLM",),
    "tank.ledger": ("Ledger",),
    "tank.replica_tasks": ("ReplicaCrashed", "ReplicaTask"),
    "tank.replicas": ("Replica",),
    "tank.runs.finished_run": ("Run",),
    "tank.search.search": ("Result", "search"),
    "tank.runs.simulate": ("simulate",),
    "tank.simulated_redis": ("SimulatedRedis",),
    "tank.tank": ("Tank",),
    "tank.workload": ("Workload", "WorkloadItem"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Answer",
    "CheckFailed",
    "Completion",
    "ConnectionLost",
    "Deadlock",
    "Diverged",
    "Event",
    "EventLog",
    "FakeLLM",
    "Ledger",
    "MalformedAnswer",
    "OutsideTheTank",
    "Overloaded",
    "ProviderError",
    "QuotaExhausted",
    "RateLimited",
    "RealInputOutput",
    "Replica",
    "ReplicaCrashed",
    "ReplicaTask",
    "RequestTooLarge",
    "Result",
    "Run",
    "Scenario",
    "ScenarioError",
    "ServerError",
    "SimulatedRedis",
    "Tank",
    "TokenError",
    "ToolCall",
    "UnknownHost",
    "UnmatchedLedger",
    "Usage",
    "VendorCard",
    "Verdict",
    "Workload",
    "WorkloadItem",
    "WrongProtocol",
    "add_vendor",
    "explore",
    "load_scenario",
    "search",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the pytest plugin must cost nothing unused."""
    if name == "strategies":
        # Not among the public names of `import *`: it needs Hypothesis.
        return import_module(".strategies", __name__)
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'wavetank' has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
