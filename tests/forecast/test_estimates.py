"""From figures to answers: medians with their uncertainty, the smallest -j, and when to stop."""

from __future__ import annotations

from statistics import NormalDist

import pytest

from wavetank.forecast.cases import Question, cases_of
from wavetank.forecast.clients import processor
from wavetank.forecast.estimates import Forecast, estimate, smallest_as_good
from wavetank.forecast.runs import FIRST_SEEDS, forecasts, most_seeds
from wavetank.forecast.virtual_run import RunFigures, Setup, run_once
from wavetank.forecast.workload import Workload
from wavetank.scenario import Answers, DurationRange, Latency, Scenario, TokenRange, UsageRow
from wavetank.sim.dice import dice

SECOND = 1_000_000_000


def figures(seconds: float, *, spread: float = 0.0) -> RunFigures:
    """A run that took so long."""
    return RunFigures(
        seconds=seconds,
        first_row=1.0,
        last_row=seconds,
        completed=10,
        requests=10,
        retries=0,
        refused={},
        undone={},
        input_tokens=1,
        output_tokens=1,
        cost=None,
        rates={},
        in_flight=1.0,
        spread=spread,
    )


def test_the_true_median_is_inside_the_uncertainty_in_19_of_20_samples() -> None:
    """Of samples of a known distribution about 95 % have its median inside, and its 95th percentile too."""
    random, normal, trials = dice("test", "estimates").random, NormalDist(100, 5), 400
    medians = percentiles = 0
    for _ in range(trials):
        found = estimate([figures(normal.inv_cdf(random())) for _ in range(8)])
        medians += abs(found.median - 100) <= found.median_within
        percentiles += abs(found.p95 - normal.inv_cdf(0.95)) <= found.p95_within
    assert 0.92 <= medians / trials <= 0.98
    assert 0.90 <= percentiles / trials <= 0.98


def test_one_long_run_knows_its_spread_from_its_parts() -> None:
    """The deviation over seeds is about what one run says of itself."""
    workload = Workload(rows=330, input=TokenRange(10, 10), output=TokenRange(20, 400))
    latency = Latency(tokens_per_second=100.0)
    setup = Setup(parallel=2, scenario=Scenario(latency=latency, answers=Answers(mark="none")), model="m")
    runs = [run_once(processor, setup, workload, seed) for seed in range(8)]
    over_seeds = estimate(runs).p95 - estimate(runs).median
    of_parts = [estimate([run]).p95 - run.seconds for run in runs]
    assert over_seeds / 2 <= sum(of_parts) / len(of_parts) <= over_seeds * 2


def test_the_smallest_j_leaves_no_more_rows_undone_than_the_best() -> None:
    """A case that is fast because it left rows is no candidate; of those within 2 % the smallest is."""
    base = forecast(parallel=10, seconds=130)
    cases = [base, forecast(20, 101), forecast(50, 100), forecast(80, 20, completed=3)]
    assert smallest_as_good(cases).parallel == 20


def forecast(parallel: int, seconds: float, completed: float = 10) -> Forecast:
    """An answer that took so long."""
    return Forecast(
        limits="",
        scenario="",
        client="processor",
        parallel=parallel,
        seeds=1,
        time=estimate([figures(seconds)]),
        first_row=1.0,
        last_row=seconds,
        rows=10,
        completed=completed,
        requests=10,
        refused=0,
        refused_by={},
        retries=0,
        input_tokens=1,
        output_tokens=1,
        cost=None,
        undone={},
        binds="",
        used={},
    )


def test_runs_stop_when_the_answer_is_certain_and_go_on_when_it_is_not() -> None:
    """A batch without chance needs the fewest seeds, one with much of it more, and a large one is bounded."""
    steady = Workload(rows=20, input=TokenRange(10, 10), output=TokenRange(50, 50))
    wild = Workload(rows=20, input=TokenRange(10, 10), output=TokenRange(1, 900))
    exact = Latency(first_token=DurationRange(SECOND, SECOND), tokens_per_second=10.0)  # type: ignore[arg-type]
    cases = cases_of(Question(parallel=(4,), overrides={}, latency=exact), steady)
    [certain] = forecasts(cases, steady, jobs=1)
    [uncertain] = forecasts(cases, wild, jobs=1)
    assert certain.seeds == FIRST_SEEDS
    assert certain.time.median == certain.time.p95 == pytest.approx(5 * (1 + 4.9), rel=0.02)
    assert uncertain.seeds > FIRST_SEEDS
    assert most_seeds(cases, Workload(rows=200_000, input=TokenRange(1, 1), output=TokenRange(1, 1))) == 1


def test_rows_of_a_table_are_drawn_from_the_rows_of_a_log_that_are_as_long() -> None:
    """A short prompt never gets the latency of the longest ones of the log."""
    log = tuple(UsageRow(length, length // 2, length * 1000) for length in range(100, 1100))  # type: ignore[arg-type]
    workload = Workload(
        rows=300, input=TokenRange(0, 0), output=TokenRange(0, 0), counted=[300, 600, 900] * 100, usage=log
    )
    drawn = workload.drawn(3)
    assert drawn == workload.drawn(3)
    assert drawn.lasts is not None
    for number, length in enumerate(drawn.input):
        assert abs(drawn.output[number] - length / 2) <= 30
        assert drawn.lasts[number] // 1000 // 2 == drawn.output[number]
    assert len(set(drawn.output)) > 50


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_run_without_limits_takes_what_its_answers_take(parallel: int) -> None:
    """Nothing is refused, every row is answered, and the time is the sum of the latencies."""
    latency = Latency(first_token=DurationRange(SECOND, SECOND))  # type: ignore[arg-type]
    setup = Setup(
        parallel=parallel, scenario=Scenario(latency=latency, answers=Answers(mark="none")), model="m"
    )
    found = run_once(processor, setup, Workload(rows=30, input=TokenRange(5, 5), output=TokenRange(7, 7)), 0)
    assert found.seconds == pytest.approx(30 / parallel, rel=0.01)
    assert (found.completed, found.requests, found.retries, found.refused) == (30, 30, 0, {})
    assert (found.input_tokens, found.output_tokens) == (150, 210)
    assert found.in_flight == pytest.approx(parallel, rel=0.1)
