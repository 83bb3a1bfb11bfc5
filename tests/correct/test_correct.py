"""Programs that share, guess, stop and count on purpose are never blamed by the default checks.

Each fails only those of the strict checks that are listed here, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

import wavetank
from wavetank.checks import STRICT, judge
from wavetank.scenario import catalogue
from wavetank.tank.search.made_schedule import Made

from ..depth import DEEP, in_turn, n_of
from . import programs
from .programs import PROGRAMS

BACKENDS = ("asyncio", "trio")
HARD = ("broken-chunks", "cascade", "error-in-200")
"""Each program meets one of these and one of the others, unless the suite goes deep."""

STRICTLY: Final = ("calm", "second-wave")
"""One without a refusal, and one whose refusals bind all rows at once: there the strict checks judge."""

ITS_OWN_TIMES: Final = "each row comes back at times of its own, whatever another row's Retry-After asks"
ALLOWED: Final = {
    **{
        (program, check): ITS_OWN_TIMES
        for program in (
            programs.deduplicates,
            programs.shares_what_comes_first,
            programs.hedges,
            programs.stops_early,
            programs.stops_at_the_finish,
            programs.embeds,
            programs.asks_for_all_at_once,
            programs.scores,
            programs.caches,
            programs.cancels_the_rest,
        )
        for check in ("retry_after", "shared_pause", "no_storm")
    },
    **{
        (programs.falls_back, check): "it asks another model at once: a refusal does not stop it"
        for check in ("retry_after", "shared_pause", "no_storm")
    },
    **{
        (programs.keeps_a_rate, check): "its bucket gives the next row a request, whatever was refused"
        for check in ("shared_pause", "no_storm")
    },
}
"""Which strict checks a program fails, and why that is right: they judge manners that it does not have."""

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


@pytest.mark.parametrize("main", PROGRAMS, ids=lambda main: main.__name__)
def test_a_correct_program_fails_only_the_strict_checks_that_are_listed(main: programs.Main) -> None:
    """Also in other orders and with stalls. A check that blames one of them without a reason is wrong."""
    failed: set[str] = set()

    def look(made: Made) -> None:
        assert made.trial is not None
        verdicts = judge(made.trial.log, STRICT).values()
        failed.update(verdict.name for verdict in verdicts if verdict.passed is False)

    for scenario in STRICTLY:
        for backend in in_turn(PROGRAMS.index(main), BACKENDS):
            schedules = n_of(2, 50)
            wavetank.search(main, scenario, backend=backend, schedules=schedules, watch=look).check()
    assert failed == {check for program, check in ALLOWED if program is main}


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
