"""What a package builds on that adds a check, a fault, a policy, a vendor or a writer of reports.

`docs/extending.md` has an example of each. A check needs `wavetank.EventLog` and `wavetank.Verdict` besides,
a vendor only `wavetank.VendorCard`.
"""

from __future__ import annotations

from .checks.disturbances import disturbed, explored_stalls
from .checks.history import dated, history
from .extensions import ExtensionError
from .provider.faults.effect import BROKEN, Damage, FaultEffect, Position
from .provider.http import Frame, Head
from .report.files import ReportWriter
from .sim.choices import Chooser, Level, Recorder
from .sim.dice import Dice, dice
from .sim.policies.plan import Plan, Policy, Sampling
from .sim.policies.random_choosers import DeviationRates, RandomChooser

__all__ = [
    "BROKEN",
    "Chooser",
    "Damage",
    "DeviationRates",
    "Dice",
    "ExtensionError",
    "FaultEffect",
    "Frame",
    "Head",
    "Level",
    "Plan",
    "Policy",
    "Position",
    "RandomChooser",
    "Recorder",
    "ReportWriter",
    "Sampling",
    "dated",
    "dice",
    "disturbed",
    "explored_stalls",
    "history",
]
