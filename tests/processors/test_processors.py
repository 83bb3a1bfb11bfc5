"""Correct processors of many styles pass every check, in every order and scenario."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import wavetank
from wavetank import Tank
from wavetank.checks import SILENT
from wavetank.checks import STRICT as STRICT_CHECKS
from wavetank.scenario import catalogue
from wavetank.sim.choices import LEVELS
from wavetank.tank.search.made_schedule import Made

from ..depth import DEEP, by_turns, in_turn, n_of, one_in

FOLDER = Path(__file__).parent

DIRECT = (
    "bounded_queue",
    "gives_up",
    "hedged",
    "impatient",
    "independent",
    "reference",
    "rounds",
    "sequential",
    "shared_gate",
    "token_bucket",
)
# A run over HTTP takes about ten times as long.
OVER_HTTP = ("sdk_anthropic", "sdk_openai", "shared_gate_http", "threads")
GATED = ("shared_gate", "shared_gate_http")

HELPERS = ("gate", "test_figures", "test_processors", "test_reference")
NEVER_REFUSED = [("sequential", "simultaneous")]
"""A sequential client cannot fill a barrier."""

CLASSICS = ("calm", "cascade", "mixed", "overloaded", "simultaneous")
"""Every style meets these, on one backend or the other; the rest take turns, unless the suite goes deep."""

PLAIN = (
    *("acceleration-limit", "brownout", "concurrency-cap", "daily-quota", "false-hope", "flapping"),
    *("late-refusals", "penalty-box", "retry-after-two-minutes", "second-wave", "server-errors"),
    *("slow-answers", "swizzle", "token-limits"),
)
"""What is refused here reads over HTTP as in the classics, so only a direct style meets it."""

# The SDKs do not close the generators of a stream that breaks, of which trio warns.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Async generator '(openai|anthropic|httpcore2|httpx2)\.:ResourceWarning"
)
BACKENDS = ("asyncio", "trio")


def meetings() -> list[tuple[str, str, str]]:
    """Who meets which scenario on which backend."""
    met = []
    for number, scenario in enumerate(catalogue()):
        if DEEP or scenario in CLASSICS:
            met += [
                (style, scenario, backend)
                for turn, style in enumerate((*DIRECT, *OVER_HTTP), start=number)
                for backend in in_turn(turn, BACKENDS)
            ]
        else:
            direct, over_http = DIRECT[number % len(DIRECT)], OVER_HTTP[number % len(OVER_HTTP)]
            first = number % 2
            met.append((direct, scenario, BACKENDS[first]))
            if scenario not in PLAIN:
                met.append((over_http, scenario, BACKENDS[1 - first]))
    return met


def program(style: str) -> Callable[[Tank], Awaitable[None]]:
    """The `main` of a style's file."""
    main: Callable[[Tank], Awaitable[None]] = importlib.import_module(f".{style}", __package__).main
    return main


def schedules(style: str, scenario: str = "cascade") -> int:
    """How many schedules each scenario and backend is searched for; the classics for many."""
    classic = scenario in CLASSICS
    if style in OVER_HTTP:
        return n_of(1, 100 if classic else 10)
    return n_of(2, 500) if classic else n_of(1, 50)


@pytest.mark.parametrize(("style", "scenario", "backend"), meetings())
def test_a_correct_processor_is_not_blamed(style: str, scenario: str, backend: str) -> None:
    """It passes the default checks in every schedule; in the classics its pass says that it was refused."""
    refused = 0

    def count(made: Made) -> None:
        nonlocal refused
        assert made.trial is not None
        refused += len(made.trial.log.of("refused"))

    many = schedules(style, scenario)
    result = wavetank.search(program(style), scenario, schedules=many, backend=backend, watch=count)
    result.check()
    assert result.schedules == many
    if scenario in CLASSICS:
        assert bool(refused) is (scenario != "calm" and (style, scenario) not in NEVER_REFUSED)


@by_turns(style=GATED, scenario=CLASSICS, backend=BACKENDS)
def test_a_shared_gate_passes_the_strict_checks(style: str, scenario: str, backend: str) -> None:
    """At the direct seam and over HTTP, at every level, it holds everybody and lets them back one by one."""
    for level in one_in(3, LEVELS):
        wavetank.search(
            program(style),
            scenario,
            schedules=n_of(2, schedules(style)),
            level=str(level),
            backend=backend,
            checks="strict",
        ).check()


@pytest.mark.parametrize("style", GATED)
def test_the_strict_checks_have_what_they_need(style: str) -> None:
    """In two scenarios together all judge but `starvation`, for want of items, and what is undeclared."""
    runs = [wavetank.simulate(program(style), name, checks="strict") for name in ("cascade", "simultaneous")]
    verdicts = [verdict for run in runs for verdict in run.verdicts.values()]
    judged = {verdict.name for verdict in verdicts if verdict.passed is not None}
    silent = {"starvation", "order", *SILENT}
    assert [name for name in STRICT_CHECKS if name not in judged] == [
        name for name in STRICT_CHECKS if name in silent
    ]
    assert all(verdict.passed is not False for verdict in verdicts)


def test_every_style_is_searched() -> None:
    """No file is forgotten, and each is small."""
    files = {file.stem: file for file in sorted(FOLDER.glob("*.py")) if file.stem not in HELPERS}
    assert list(files) == sorted([*DIRECT, *OVER_HTTP])
    for file in files.values():
        assert len(file.read_text("utf-8").splitlines()) <= 60
