"""Programs that share, guess, stop and count on purpose are never blamed by the default checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import wavetank
from wavetank.scenario import catalogue

from ..depth import DEEP
from .programs import PROGRAMS

BACKENDS = ("asyncio", "trio")
HARD = ("broken-chunks", "cascade", "error-in-200")
"""Each program meets one of these and one of the others, unless the suite goes deep."""

# The SDKs do not close the generators of a stream that breaks, of which trio warns.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Async generator '(openai|anthropic|httpcore2|httpx2|tests)\.:ResourceWarning",
    "ignore:no request matches an item of the ledger:wavetank.UnmatchedLedger",
)


def meetings() -> Iterator[tuple[int, str, str]]:
    """Which program meets which scenario on which backend: a few, or all when the suite goes deep."""
    scenarios = list(catalogue())
    for program in range(len(PROGRAMS)):
        met = (HARD[program % len(HARD)], scenarios[program * 3 % len(scenarios)])
        for number, scenario in enumerate(scenarios if DEEP else met):
            backends = BACKENDS if DEEP else (BACKENDS[(program + number) % 2],)
            yield from ((program, scenario, backend) for backend in backends)


@pytest.mark.parametrize(("program", "scenario", "backend"), [*meetings()])
def test_a_correct_program_is_not_blamed(program: int, scenario: str, backend: str) -> None:
    """It passes the default checks, in FIFO order and in others."""
    main = PROGRAMS[program]
    run = wavetank.simulate(main, scenario, backend=backend)
    run.check()
    assert run.verdicts["exactly_once"].passed is True
    if DEEP:
        wavetank.search(main, scenario, backend=backend, schedules=20).check()


def test_answers_are_judged_where_they_can_be() -> None:
    """The check does not pass these programs by judging none of them."""
    judged = {
        main.__name__
        for main in PROGRAMS
        if wavetank.simulate(main, "cascade").verdicts["answered"].passed is True
    }
    assert judged == {
        "asks_for_all_at_once",
        "breaks_the_circuit",
        "caches",
        "cancels_the_rest",
        "deduplicates",
        "hedges",
        "keeps_a_rate",
        "polls",
        "scores",
        "shares_what_comes_first",
        "stops_at_the_finish",
    }
