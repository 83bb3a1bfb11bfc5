"""Shares: a failure that needs one refusal is described by that one, whatever the seed refuses besides."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import wavetank

from ..depth import DEEP
from .share_programs import BUGS

_BUT_THOSE = " all requests but those that the schedule names"


ONE_SEED = {
    "the_first_alone_is_refused": 1,
    "one_retry_in_all": 7,
    "two_are_refused": 1,
    "one_is_refused_twice": 7,
}
"""With seed 0 these take more schedules, up to hundreds."""


@cache
def failure_of(name: str, seed: int) -> wavetank.Run[None]:
    bug = BUGS[name]
    run = wavetank.search(bug.main, bug.scenario, schedules=1000, level="fifo-instant", seed=seed).failure
    assert run is not None
    return run


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


def test_tokens_repeat_in_a_fresh_process() -> None:
    """Under another hash seed, with the same bytes of event log."""
    arguments, logs = list[str](), b""
    for name in ("one_is_refused", "one_is_spared", "one_is_cut_off", "one_of_two_waves"):
        run = failure_of(name, 0)
        arguments += [name, run.schedule]
        logs += run.events.to_ndjson(waits=False)
    made = subprocess.run(
        [sys.executable, "-m", "tests.tank.share_programs", *arguments],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert made.stdout == logs
