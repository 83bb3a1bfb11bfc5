"""Bugs of programs that use batch APIs are found in a few schedules, and their twins are never blamed."""

from __future__ import annotations

from wavetank.checks import CHECKS

from ..depth import by_turns, n_of
from .batch_programs import SPECIMENS

MOST = 20
TWIN_SCHEDULES = 12

each_in_turn = by_turns(name=list(SPECIMENS), backend=["asyncio", "trio"])


@each_in_turn
def test_the_bug_is_found_in_a_few_schedules(name: str, backend: str) -> None:
    """The program fails by the check on its label, whatever the seed."""
    specimen = SPECIMENS[name]
    assert specimen.check in CHECKS
    for seed in range(n_of(1, 10)):
        result = specimen.search(schedules=MOST, backend=backend, seed=seed)
        assert specimen.shown_by(result), f"seed {seed}: {result.schedules} schedules"


@each_in_turn
def test_the_twin_is_never_blamed(name: str, backend: str) -> None:
    """Without its bug the same program passes in every schedule."""
    result = SPECIMENS[name].search(twin=True, schedules=TWIN_SCHEDULES, backend=backend)
    result.check()
    assert result.schedules == TWIN_SCHEDULES
