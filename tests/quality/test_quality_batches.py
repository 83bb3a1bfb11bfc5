"""Bugs of programs that use batch APIs are found in a few schedules, and their twins are never blamed."""

from __future__ import annotations

import pytest

from wavetank.checks import CHECKS
from wavetank.museum import Specimen

from .batch_programs import SPECIMENS

MOST = 20
TWIN_SCHEDULES = 12

each_specimen = pytest.mark.parametrize("specimen", SPECIMENS.values(), ids=SPECIMENS)
each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@each_backend
@each_specimen
def test_the_bug_is_found_in_a_few_schedules(specimen: Specimen, backend: str) -> None:
    """The program fails by the check on its label, whatever the seed."""
    assert specimen.check in CHECKS
    for seed in range(2):
        result = specimen.search(schedules=MOST, backend=backend, seed=seed)
        assert specimen.shown_by(result), f"seed {seed}: {result.schedules} schedules"


@each_backend
@each_specimen
def test_the_twin_is_never_blamed(specimen: Specimen, backend: str) -> None:
    """Without its bug the same program passes in every schedule."""
    result = specimen.search(twin=True, schedules=TWIN_SCHEDULES, backend=backend)
    result.check()
    assert result.schedules == TWIN_SCHEDULES
