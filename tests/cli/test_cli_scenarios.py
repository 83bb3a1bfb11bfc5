"""`wavetank scenarios NAME` draws a scenario."""

from __future__ import annotations

import json

import pytest

from wavetank.cli import main
from wavetank.clock import MILLISECOND, SECOND, Duration
from wavetank.scenario import (
    Fault,
    Limits,
    Match,
    Ramp,
    RetryAfter,
    Scenario,
    Wave,
    catalogue,
    digest,
    load_scenario,
    scenario_from_dict,
)
from wavetank.scenario.drawing import drawn


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of the usual width."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", catalogue())
def test_every_scenario_can_be_drawn(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The title and the story, a line for each wave and fault, and all in ASCII but for the texts."""
    assert main(["scenarios", name]) == 0
    scenario = load_scenario(name)
    title, story, *lines = capsys.readouterr().out.splitlines()
    assert (title, story) == (f"{name}: {scenario.title}", scenario.story)
    for kind, parts in (("wave", scenario.wave), ("fault", scenario.fault)):
        assert [line for line in lines if line.startswith(f"  {kind} ")] == [
            line for n in range(len(parts)) for line in lines if line.startswith(f"  {kind} {n + 1} ")
        ]
    assert all(line == line.rstrip() and len(line) <= 140 for line in lines)


def test_a_drawing_shows_when_waves_are_open(capsys: pytest.CaptureFixture[str]) -> None:
    """The axis of time, a row for each wave and its words, and what holds all the time."""
    assert main(["scenarios", "swizzle"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "swizzle: Swizzle",
        "Half of the items are limited one after another and released in a random order.",
        "",
        "            0s                  2s                   4s                  6s",
        "            |                   |                    |                   |",
        "  wave 1    /////////////////////++++++++++++++++++++/////////////////////......",
        "            from 0s for 6s: 50% of the items, one by one within 2s; "
        "429 rate-limit for the item, retry after the rest",
        "            (+ some are, / one by one)",
        "",
        "  latency   first_token 200ms..800ms, tokens_per_second 60",
    ]


def test_a_drawing_of_an_unknown_scenario_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere else."""
    assert main(["scenarios", "casacde"]) == 1
    assert "did you mean 'cascade'?" in capsys.readouterr().err


def test_a_drawing_says_what_each_part_does() -> None:
    """Barriers, repeats, matches, wrappings, faults and limits, in words."""
    scenario = Scenario(
        name="all",
        limits=Limits(requests_per_minute=60, ramp=Ramp(requests=5)),
        limit=(Limits(concurrent=4, scope="key"),),
        wave=(
            Wave(lasts=Duration(SECOND), error="billing", wrapping="in-200"),
            Wave(when_in_flight=8, times=2, retry_after=RetryAfter(form="ms", value=Duration(SECOND))),
            Wave(
                at=Duration(SECOND),
                lasts=Duration(MILLISECOND),
                every=Duration(2 * SECOND),
                match=Match(model="gpt-*"),
                wrapping="html",
                should_retry=False,
            ),
        ),
        fault=(Fault(kind="stall", share=0.5, times=3), Fault(kind="error-in-stream", error="quota")),
    )
    lines = drawn(scenario, width=40)
    assert lines == [
        "all",
        "",
        "            0s                5s",
        *lines[3:5],
        "            from 0s for 1s: all; billing inside a 200, no Retry-After",
        "  wave 2    when 8 are in flight within 1s, 2 times: all; 429 rate-limit, retry after 1s (ms)",
        *lines[7:8],
        "            from 1s for 1ms every 2s: all (model gpt-*); "
        "429 rate-limit as a page of HTML for the model, retry after the rest, x-should-retry false",
        "  fault 1   ^---------------------------",
        "            from 0s: stall, 1m, 3 times, 50% of the requests",
        "  fault 2   ^---------------------------",
        "            from 0s: error-in-stream (quota), once",
        "            (# all are refused, ^ a fault begins, - until it is used up)",
        "",
        "  limits    requests_per_minute 60, ramp (requests 5)",
        "  limit     concurrent 4, scope key",
    ]
    assert lines[7].count("#") == 4


def test_a_calm_scenario_has_no_axis() -> None:
    """Nothing changes with time."""
    assert drawn(Scenario(name="mine")) == ["mine"]
    assert not any("|" in line for line in drawn(load_scenario("simultaneous")))


def test_json_has_all_that_a_scenario_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The catalogue, or one, as it could be read back; nothing else is printed."""
    assert main(["scenarios", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["scenarios"]
    assert [each["name"] for each in listed] == list(catalogue())
    assert main(["scenarios", "cascade", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["scenarios"]
    assert one == listed[catalogue().index("cascade")]
    name, same = one.pop("name"), one.pop("digest")
    assert same == digest(scenario_from_dict(one, name=name, source="json"))
