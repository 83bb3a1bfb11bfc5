"""What the strategies draw: valid, on the grid, and smallest first."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import wavetank
from wavetank import Scenario, Tank, Workload, WorkloadItem, load_scenario, strategies
from wavetank.clock import MILLISECOND
from wavetank.scenario import lets_through, scenario_from_dict, written
from wavetank.strategies import World

from ..depth import n_of

T = TypeVar("T")

TICK = 50 * MILLISECOND
# Evaluated by the tests of reprs.
NAMES = {"World": World, "Workload": Workload, "WorkloadItem": WorkloadItem}


def first_of(strategy: st.SearchStrategy[T]) -> T:
    """The simplest value of a strategy: Hypothesis tries it first."""
    quick = settings(database=None, max_examples=1, phases=[Phase.generate])
    return find(strategy, lambda _: True, settings=quick)


async def nothing(_: Tank) -> None:
    """A program that does nothing."""


@given(strategies.scenarios(faults=strategies.faults() | strategies.outages()))
def test_scenarios_pass_the_rules_of_a_file(scenario: Scenario) -> None:
    """Every scenario could have been read from a file, and serves a client that retries for long enough."""
    assert load_scenario(scenario) == scenario
    assert scenario_from_dict(written(scenario), name=scenario.name, source="test") == scenario
    assert lets_through(scenario)


@given(strategies.scenarios(faults=strategies.faults() | strategies.outages()))
def test_instants_and_lengths_lie_on_the_grid(scenario: Scenario) -> None:
    """Waves, faults and latencies are whole ticks, so that ties are common."""
    lengths: list[int] = [wave.at for wave in scenario.wave]
    lengths += [length or 0 for fault in scenario.fault for length in (fault.at, fault.lasts, fault.every)]
    lengths += [each.lasts or 0 for each in scenario.wave]
    lengths += [each.every or 0 for each in scenario.wave]
    lengths += [scenario.latency.first_token.low, scenario.latency.first_token.high]
    assert all(length % TICK == 0 for length in lengths)


@given(strategies.workloads(cancellations=strategies.arrivals()))
def test_items_come_in_order(workload: Workload) -> None:
    """Items are sorted by their arrival, and none is called off before it has come."""
    instants = [item.arrives_at for item in workload.items]
    assert instants == sorted(instants)
    assert all(item.cancelled_at is None or item.cancelled_at >= item.arrives_at for item in workload.items)


@given(strategies.worlds(workloads=strategies.workloads(prompts=st.text())))
def test_a_world_prints_as_a_call_that_makes_it(world: World) -> None:
    """The repr of a world can be pasted and gives an equal world."""
    assert eval(repr(world), NAMES) == world
    assert hash(eval(repr(world), NAMES)) == hash(world)


def test_a_world_of_the_catalogue_prints_its_name() -> None:
    """A catalogue scenario is named in the repr, and keeps its name."""
    world = World("cascade", Workload.of(2), seed=3, backend="trio")
    assert repr(world) == "World('cascade', Workload.of(2, workers=1), seed=3, backend='trio')"
    assert World(load_scenario("cascade"), Workload.of(2), seed=3, backend="trio") == world


def test_few_scenarios_have_no_wave() -> None:
    """Where nothing is refused, few programs fail; without waves at all, none is drawn."""
    drawn: list[int] = []

    @settings(max_examples=n_of(100, 200), database=None)
    @given(strategies.scenarios(), strategies.scenarios(max_waves=0))
    def draw(scenario: Scenario, calm: Scenario) -> None:
        drawn.append(len(scenario.wave))
        assert calm.wave == ()

    draw()
    assert 0 < drawn.count(0) <= len(drawn) / 5
    assert {*drawn} == {0, 1, 2, 3}


def test_the_smallest_world_is_calm() -> None:
    """Worlds shrink to one worker, one item at the start and no wave."""
    world = first_of(strategies.worlds())
    assert repr(world) == "World({'latency': {'refusal': '50ms'}}, Workload.of(1, workers=1))"


def test_the_smallest_trouble_is_short() -> None:
    """One tick of 429 from the start, a reset of the first exchange, one tick without connections."""
    wave, fault = first_of(strategies.waves()), first_of(strategies.faults())
    outage = first_of(strategies.outages())
    assert written(Scenario(fault=(outage,))) == {"fault": [{"kind": "connection-refused", "lasts": "50ms"}]}
    assert written(Scenario(wave=(wave,))) == {"wave": [{"lasts": "50ms"}]}
    assert written(Scenario(fault=(fault,))) == {"fault": [{"kind": "reset"}]}


@pytest.mark.parametrize(
    ("draw", "match"),
    [
        (lambda: strategies.arrivals(tick=0), "tick"),
        (lambda: strategies.waves(longest=0.01), "shorter than 1 tick"),
        (lambda: strategies.schedules(level="wild"), "level"),
    ],
)
def test_options_out_of_range_are_refused_with_the_fix(draw: object, match: str) -> None:
    """A grid needs a tick, a wave lasts at least one, a level has to be one."""
    assert callable(draw)
    with pytest.raises(ValueError, match=match):
        draw()


@settings(max_examples=n_of(15, 2000))
@given(strategies.schedules(level="fifo"), strategies.worlds())
def test_a_drawn_schedule_is_its_token_once_it_has_run(
    schedule: strategies.DrawnSchedule, world: World
) -> None:
    """What a schedule prints after a run repeats that run."""
    assert repr(schedule) == "<a schedule at level fifo>"
    run = wavetank.simulate(nothing, world.scenario, schedule=schedule, workload=world.workload)
    assert repr(schedule) == run.schedule
    again = wavetank.simulate(nothing, world.scenario, schedule=run.schedule, workload=world.workload)
    assert again.events.to_ndjson() == run.events.to_ndjson()


def test_strategies_are_an_attribute_of_the_package() -> None:
    """`wavetank.strategies` is there without an import of its own, and `import *` leaves it out."""
    assert wavetank.strategies is strategies
    assert "strategies" not in wavetank.__all__
