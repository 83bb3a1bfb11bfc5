"""How the schedules of a search are chosen, one file per policy; the engine knows none of them."""

from __future__ import annotations

from typing import Final

from ...shown import shortened
from ...text import did_you_mean
from ..choices import Level
from .exhaustive import Exhaustive
from .fifo import FifoPolicy
from .pct import PctPolicy
from .plan import Policy
from .portfolio import Portfolio
from .random import RandomPolicy
from .urw import UrwPolicy

__all__ = ["POLICIES", "Policy", "policy_named"]

POLICIES: Final[dict[str, type[Policy]]] = {
    policy.NAME: policy for policy in (Portfolio, FifoPolicy, RandomPolicy, UrwPolicy, PctPolicy, Exhaustive)
}
"""`replay` is not among them: it repeats one schedule, and a token asks for it."""


def policy_named(text: str, *, seed: int, level: Level) -> Policy:
    """The policy of a name; `exhaustive:2` stops after all schedules with at most 2 deviations.

    Raises:
        ValueError: there is no such policy, or it takes no bound.
    """
    name, _, bound = str(text).partition(":")
    if name not in POLICIES:
        hint = did_you_mean(name, POLICIES) or f"there are: {', '.join(POLICIES)}"
        raise ValueError(f"there is no policy {shortened(repr(text))}; {hint}")
    if not bound:
        return POLICIES[name](seed=seed, level=level)
    if name != Exhaustive.NAME or not (bound.isascii() and bound.isdecimal()):
        raise ValueError(
            f"policy {text!r}: only 'exhaustive' takes a bound, a whole number, as in 'exhaustive:2'"
        )
    return Exhaustive(seed=seed, level=level, bound=int(bound))
