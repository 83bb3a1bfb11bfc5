"""Shares: a failure that needs one refusal is described by that one, whatever the seed refuses besides."""

from __future__ import annotations

import statistics

import pytest

import wavetank

from ..depth import DEEP
from .share_programs import BUGS, failure_of

_BUT_THOSE = " all requests but those that the schedule names"


ONE_SEED = {
    "the_first_alone_is_refused": 1,
    "one_retry_in_all": 7,
    "two_are_refused": 1,
    "one_is_refused_twice": 7,
}
"""With seed 0 these take more schedules, up to hundreds."""


@pytest.mark.parametrize("name", BUGS)
def test_one_refusal_is_one_deviation(name: str) -> None:
    """The report names it, and says what happens to the others; a token repeats it."""
    bug, needed = BUGS[name], list[int]()
    for seed in range(20) if DEEP else [ONE_SEED.get(name, 0)]:
        run = failure_of(name, seed)
        texts = [each.text for each in run.deviations]
        needed.append(len(texts))
        by_the_seed = not any(line.endswith(_BUT_THOSE) for line in run.found)
        assert by_the_seed or all(text.startswith(bug.says) for text in texts), texts
        assert not by_the_seed or len(texts) <= bug.most, texts
        again = wavetank.simulate(bug.main, bug.scenario, schedule=run.schedule)
        assert again.kind == run.kind == "error"
        assert again.events.to_ndjson(waits=False) == run.events.to_ndjson(waits=False)
    assert statistics.median(needed) <= bug.most
    assert max(needed) <= 2


def test_the_wave_that_decides_is_named() -> None:
    """Beside a wave that is not needed the number tells which one spares the other requests."""
    run = failure_of("one_of_two_waves", 0)
    assert "of the scenario it needs wave 2" in run.found
    assert f"wave 2 spares{_BUT_THOSE}" in run.found


def test_the_neighbour_passes_with_the_same_share() -> None:
    """Without the one refusal the wave spares all requests, and the program passes."""
    run = failure_of("one_is_refused", 0)
    assert f"wave 1 spares{_BUT_THOSE}" in run.found
    assert run.passing is not None
    assert not run.passing.of("refused")
