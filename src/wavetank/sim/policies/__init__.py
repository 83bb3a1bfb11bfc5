"""How the schedules of a search are chosen, one file per policy; the engine knows none of them."""

from __future__ import annotations

from typing import Final, cast

from ...extensions import Extensions
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

__all__ = ["ADDED", "POLICIES", "Policy", "policy_class", "policy_named"]

POLICIES: Final[dict[str, type[Policy]]] = {
    policy.NAME: policy for policy in (Portfolio, FifoPolicy, RandomPolicy, UrwPolicy, PctPolicy, Exhaustive)
}
"""`replay` is not among them: it repeats one schedule, and a token asks for it."""

ADDED: Final = Extensions("wavetank.policies", "policy", lambda: (*POLICIES, "replay"))
"""The policies that installed packages add."""

_PARTS: Final = ("NAME", "SAMPLES", "plan", "learn", "proved")


def policy_class(text: str) -> type[Policy]:
    """The class of a policy by its name, which may have a bound.

    Raises:
        ValueError: there is no such policy, or it is of an installed package and cannot be used.
    """
    name = str(text).partition(":")[0]
    if name in POLICIES:
        return POLICIES[name]
    known = (*POLICIES, *ADDED.names())
    if name not in known:
        hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
        raise ValueError(f"there is no policy {shortened(repr(text))}; {hint}")
    wanted = "a class as wavetank.extending.Policy describes one"
    return cast(type[Policy], ADDED.load(name, _is_policy, wanted))


def _is_policy(value: object) -> bool:
    return isinstance(value, type) and all(hasattr(value, part) for part in _PARTS)


def policy_named(text: str, *, seed: int, level: Level) -> Policy:
    """The policy of a name; `exhaustive:2` stops after all schedules with at most 2 deviations.

    Raises:
        ValueError: there is no such policy, or it takes no bound.
    """
    kind = policy_class(text)
    name, _, bound = str(text).partition(":")
    if not bound:
        return kind(seed=seed, level=level)
    if name != Exhaustive.NAME or not (bound.isascii() and bound.isdecimal()):
        raise ValueError(
            f"policy {text!r}: only 'exhaustive' takes a bound, a whole number, as in 'exhaustive:2'"
        )
    return Exhaustive(seed=seed, level=level, bound=int(bound))
