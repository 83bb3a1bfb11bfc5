"""Correct programs with time-outs, shields and retries are never blamed, whatever a search cuts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import wavetank

from ..depth import DEEP, in_turn, n_of
from .timeouts import ON_ASYNCIO, PROGRAMS, resumes

SCHEDULES = n_of(12, 1000)
BACKENDS = ("asyncio", "trio")
SCENARIOS = ("cascade", "overloaded", "calm")


def meetings() -> Iterator[tuple[int, str, str]]:
    """Which program meets which scenario on which backend: one, or all when the suite goes deep."""
    for number in range(len(PROGRAMS)):
        for each in range(len(SCENARIOS) if DEEP else 1):
            scenario = SCENARIOS[(number + each) % len(SCENARIOS)]
            for backend in BACKENDS if DEEP else (BACKENDS[number // len(SCENARIOS) % 2],):
                yield number, scenario, backend
    first = len(PROGRAMS)
    yield from ((number, "cascade", "asyncio") for number in range(first, first + len(ON_ASYNCIO)))


@pytest.mark.parametrize(
    ("program", "scenario", "backend", "interrupt"),
    [(*met, interrupt) for turn, met in enumerate(meetings()) for interrupt in in_turn(turn, (False, True))],
)
def test_a_correct_program_is_not_blamed(program: int, scenario: str, backend: str, interrupt: bool) -> None:
    """With deadlines that pass, pauses and interruptions; its counts and invariants are judged, too."""
    main = (*PROGRAMS, *ON_ASYNCIO)[program]
    result = wavetank.search(
        main, scenario, schedules=SCHEDULES, backend=backend, interrupt=interrupt, checks="+permits_returned"
    )
    result.check()
    assert result.choices["deadline"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_that_resumes_is_not_blamed(backend: str) -> None:
    """It goes on with what it has kept, and reports again what was kept and perhaps reported."""
    main, again = resumes()
    for scenario in SCENARIOS if DEEP else SCENARIOS[:1]:
        wavetank.search(
            main, scenario, schedules=SCHEDULES, backend=backend, interrupt=True, after_interrupt=again
        ).check()
