"""Shrink a workload: fewer items, then fewer workers, while the failure is still found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Final, final

from ...sim.choices import Level, Recorder
from ...sim.policies.plan import Plan
from ...sim.policies.portfolio import Portfolio
from ...sim.policies.replay import Replay
from ..runs.trial_runs import TrialMaker
from ..workload import Workload

SCHEDULES: Final = 8
"""So many schedules are tried in each smaller workload: stored choices mean little once it changes."""

Failure = tuple[str, str] | None
Shrink = Callable[[Recorder], Recorder]


@final
class WorkloadShrinker:
    """Looks for the fewest items and workers that fail alike, in no more deviations; `runs` counts."""

    def __init__(self, trials: TrialMaker, failure: Failure, level: Level, shrink: Shrink) -> None:
        self._trials = trials
        self._failure = failure
        self._level = level
        self._shrink = shrink
        self._whole = trials.workload
        self._kept = {"items": 0, "workers": 0}
        self._best: Recorder | None = None
        self.runs = 0

    @property
    def items(self) -> int:
        """How many of the first items are kept; 0 for all."""
        return self._kept["items"]

    @property
    def workers(self) -> int:
        """How many workers are kept; 0 for all."""
        return self._kept["workers"]

    def shrink(self, record: Recorder | None) -> Recorder | None:
        """Leave the smallest workload found in the trials; the record of its failure, `None` for FIFO."""
        if self._whole is not None:
            for name, whole in (("items", len(self._whole.items)), ("workers", self._whole.workers)):
                record = self._fewest(name, whole, record)
            self._trials.workload = self._cut()
        return record

    def _fewest(self, name: str, now: int, record: Recorder | None) -> Recorder | None:
        step = now // 2
        while step:
            if step < now and self._fails(name, now - step, record):
                now, record = now - step, self._best
                self._kept[name] = now
                step = min(step, now - 1)
            else:
                step //= 2
        return record

    def _fails(self, name: str, number: int, record: Recorder | None) -> bool:
        before, self._kept = self._kept, {**self._kept, name: number}
        self._trials.workload = self._cut()
        try:
            return self._searched(record)
        finally:
            self._kept = before

    def _searched(self, record: Recorder | None) -> bool:
        """Whether one of a few schedules fails alike; `_best` is then the record of it."""
        self._best = None
        for plan in islice(self._plans(record), SCHEDULES):
            self.runs += 1
            trial = self._trials.run(plan, short_budget=True)
            if trial.failure != self._failure:
                continue
            if trial.record is not None and trial.record.deviations:
                self._best = self._shrink(trial.record)
            return _deviations(self._best) <= _deviations(record)
        return False

    def _plans(self, record: Recorder | None) -> Iterator[Plan | None]:
        yield None
        if _deviations(record):
            assert record is not None
            yield Plan(Replay(record.deviations), self._level, "replay")
            policy = Portfolio(seed=self._trials.options.seed, level=self._level)
            policy.learn(record)
            yield from map(policy.plan, count(1))

    def _cut(self) -> Workload:
        assert self._whole is not None
        return self._whole.first(**self._kept)


def _deviations(record: Recorder | None) -> int:
    return len(record.deviations) if record is not None else 0
