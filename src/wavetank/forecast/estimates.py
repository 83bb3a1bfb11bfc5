"""From the figures of several seeds to an answer with its uncertainty, and what holds the batch back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Final, final

import msgspec

from .cases import Case
from .virtual_run import RunFigures
from .workload import Workload

_Z95: Final = 1.6449
"""The 95th percentile of the normal distribution."""
_MEDIAN_OF_MEAN: Final = 1.2533
"""The standard error of a median is so many times that of a mean (normal distribution, sqrt(pi / 2))."""
_T: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 95 % of both sides, by degrees of freedom from 1 on."""
_T_LARGE: Final = 2.0
"""For more of them than the table has: below 2.2 and above 1.96."""
_BINDS_FROM: Final = 0.85
"""A limit that is used to this part holds the batch back: the processor stays a little below each limit."""
CERTAIN: Final = 0.01
"""The answer is certain enough when its median is known within 1 %."""
UNCERTAIN: Final = 0.10
"""A time that may be off by more than a tenth is no answer to plan with."""
AS_GOOD: Final = 1.02
"""A time within 2 % of the best is as good as the best."""


@final
class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A time in seconds: its median and its 95th percentile over the seeds.

    `median_within` and `p95_within` say how far off each may be: half of the 95 % confidence interval.
    `least` and `most` are the times of the shortest and the longest run.
    """

    median: float
    median_within: float
    p95: float
    p95_within: float
    least: float
    most: float

    @property
    def is_uncertain(self) -> bool:
        """Whether the median may be far off, after all the runs that were made."""
        return self.median_within > UNCERTAIN * self.median

    @property
    def is_certain(self) -> bool:
        """Whether more seeds would change little."""
        return self.median_within <= CERTAIN * self.median


@final
class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one case: times in seconds, counts as means over the seeds.

    `cost` is in US dollars, `None` where no price is known. `undone` has the rows without an answer by
    their cause. `binds` says what holds the batch back, and `used` to which part each limit is used.
    """

    limits: str
    scenario: str
    client: str
    parallel: int
    seeds: int
    time: Estimate
    first_row: float | None
    last_row: float | None
    rows: int
    completed: float
    requests: float
    refused: float
    refused_by: dict[str, float]
    retries: float
    input_tokens: float
    output_tokens: float
    cost: float | None
    undone: dict[str, float]
    binds: str
    used: dict[str, float]


def estimate(runs: Sequence[RunFigures]) -> Estimate:
    """The time of a batch, from the figures of one seed or more."""
    seconds = [run.seconds for run in runs]
    n = len(seconds)
    middle = median(seconds)
    if n < 3:
        # Too few to compare with each other: their parts are, as many as a run has.
        deviation, freedom = fmean(run.spread for run in runs), len(_T)
    else:
        deviation, freedom = stdev(seconds), n - 1
    t = _T[freedom - 1] if freedom <= len(_T) else _T_LARGE
    error = t * deviation / math.sqrt(n)
    return Estimate(
        median=middle,
        median_within=error * (_MEDIAN_OF_MEAN if n >= 3 else 1),
        p95=middle + _Z95 * deviation,
        p95_within=error * math.sqrt(1 + _Z95**2 / 2),
        least=min(seconds),
        most=max(seconds),
    )


def forecast_of(case: Case, workload: Workload, runs: Sequence[RunFigures]) -> Forecast:
    """The answer for a case."""
    costs = [run.cost for run in runs if run.cost is not None]
    used = _used(case, workload, runs)
    undone = _means([run.undone for run in runs])
    return Forecast(
        limits=case.limits,
        scenario=case.scenario,
        client=case.setup.client,
        parallel=case.setup.parallel,
        seeds=len(runs),
        time=estimate(runs),
        first_row=_median(run.first_row for run in runs),
        last_row=_median(run.last_row for run in runs),
        rows=workload.rows,
        completed=fmean(run.completed for run in runs),
        requests=fmean(run.requests for run in runs),
        refused=fmean(sum(run.refused.values()) for run in runs),
        refused_by=_means([run.refused for run in runs]),
        retries=fmean(run.retries for run in runs),
        input_tokens=fmean(run.input_tokens for run in runs),
        output_tokens=fmean(run.output_tokens for run in runs),
        cost=fmean(costs) if costs else None,
        undone=undone,
        binds=_binds(used, runs),
        used=used,
    )


def smallest_as_good(forecasts: Sequence[Forecast]) -> Forecast:
    """Of the answers of one set of limits, that with the fewest requests at once and no more than 2 % slower.

    An answer that leaves more rows undone than another is no candidate.
    """
    most = max(round(each.completed) for each in forecasts)
    able = [each for each in forecasts if round(each.completed) >= most]
    best = min(each.time.median for each in able)
    return min((each for each in able if each.time.median <= AS_GOOD * best), key=lambda each: each.parallel)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _means(counts: Sequence[Mapping[str, int]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {name: count / len(counts) for name, count in total.most_common()}


def _used(case: Case, workload: Workload, runs: Sequence[RunFigures]) -> dict[str, float]:
    """To which part each limit, the requests at once and the arrival of the rows were used up."""
    found: dict[str, float] = {}
    for name, most in case.numbers.items():
        found[name.replace("_", " ")] = fmean(_share(run, name, most) for run in runs)
    found[f"-j {case.setup.parallel}"] = fmean(run.in_flight / case.setup.parallel for run in runs)
    if workload.arrival:
        found["arrival of the rows"] = fmean(
            min(1.0, workload.arrival / 1e9 / run.seconds) if run.seconds else 1.0 for run in runs
        )
    return found


def _share(run: RunFigures, name: str, most: int) -> float:
    if name == "concurrent":
        return run.in_flight / most
    unit, _, window = name.rpartition("_per_")
    if window == "day":
        spent = run.completed if unit == "requests" else run.input_tokens + run.output_tokens
        days = max(1.0, run.seconds / 86_400)
        return spent / (most * days)
    return run.rates.get(unit, 0.0) / most


def _binds(used: Mapping[str, float], runs: Sequence[RunFigures]) -> str:
    for name in ("requests-per-day", "tokens-per-day"):
        if any(name in run.refused for run in runs):
            return f"daily quota ({name.replace('-', ' ')})"
    name, share = max(used.items(), key=lambda each: each[1])
    if share < _BINDS_FROM:
        refused = any(run.refused for run in runs)
        return "refusals and the pauses after them" if refused else f"latency ({name} used to {share:.0%})"
    if name.startswith("-j "):
        return f"latency ({name} all in use)"
    return f"concurrency ({name} {share:.0%})" if name == "concurrent" else f"{name} ({share:.0%} used)"
