"""What is made of a failing schedule: it is repeated, shrunk, and looked for at gentler levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from ...events import EventLog
from ...scenario import LEFT_OUT, cut_down, treated
from ...sim.choices import ORDERS, TIME, Deviation, Kind, Level, Recorder
from ...sim.policies.plan import Plan
from ...sim.policies.portfolio import Portfolio
from ...sim.policies.replay import Replay
from ...sim.shrink import Deviations, Shrinker
from ...sim.token import FIFO, NOTHING, THREADS, Cut, Schedule
from ..runs.divergence import ending_as, failed_only_later, repeated
from ..runs.trial_runs import Trial, TrialMaker
from .shrink_shares import shrink_shares
from .shrink_workload import WorkloadShrinker

NEIGHBOURS: Final = 4
"""So many deviations are left out, one at a time, in search of a run that passes. Of a shrunk schedule
nearly each one is needed, so the first try mostly does."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """A failure that was shrunk: the last run of it, its schedule, and what it took to get there."""

    trial: Trial
    schedule: Schedule
    looking: int
    """Runs made in search of the failure at gentler levels."""
    passing: EventLog | None = None
    """The log of a run that passes with one deviation fewer."""


def find(trials: TrialMaker, failed: Trial, wanted: Level) -> Finding:
    """Make the most of a failing run, while the process is borrowed.

    Raises:
        Diverged: it does not repeat.
    """
    repeated(trials, failed)
    return _Investigation(trials, failed, wanted).finding()


def planned(deviations: Deviations, level: Level, cpu_spent_at: int | None = None) -> Plan | None:
    """A run with these deviations, whose CPU time is spent where it was; plain FIFO needs no plan."""
    if not deviations and cpu_spent_at is None:
        return None
    return Plan(Replay(deviations), level, "replay", cpu_spent_at)


def as_found(trials: TrialMaker, failed: Trial) -> Schedule:
    """The schedule of a failing run before it is shrunk."""
    return _schedule(trials, failed, failed, failed.deviations, failed.level)


def _schedule(
    trials: TrialMaker,
    found: Trial,
    trial: Trial,
    deviations: Deviations,
    level: Level,
    cut: Cut = NOTHING,
) -> Schedule:
    """The schedule of a run with what is left of the deviations and the scenario of a failing run."""
    header = found.log.header
    schedule = Schedule(
        header.backend,
        header.seed,
        header.digest,
        level=level if deviations else FIFO,
        deviations=deviations,
        cut=cut,
    )
    return ending_as(schedule, trials, trial)


@final
class _Investigation:
    """One failing run on its way to a finding."""

    def __init__(self, trials: TrialMaker, failed: Trial, wanted: Level) -> None:
        self._trials = trials
        self._failed = failed
        self._early_failure = (failed.stopped_early or failed).failure
        """How a run fails, in the same way, that is stopped when it is suspected to hang."""
        self._wanted = wanted
        self._looking = 0

    def finding(self) -> Finding:
        """The finding; what was shrunk in a hurry is made again with the whole budget to be sure."""
        level, record = self._failed.level, (self._failed.stopped_early or self._failed).record
        found = self._shrunk_finding(level, record)
        if found.trial.failure != self._failed.failure:
            found = self._as_found(level)
        return found

    def _as_found(self, level: Level) -> Finding:
        deviations, cpu_spent_at = self._failed.deviations, self._failed.end.cpu_spent_at
        trial = self._trials.run(planned(deviations, level, cpu_spent_at), narrated=True)
        schedule = _schedule(self._trials, self._failed, trial, deviations, level)
        return Finding(trial, schedule, self._looking)

    def _shrunk_finding(self, level: Level, record: Recorder | None) -> Finding:
        if record is not None and record.deviations:
            record = self._shrunk(record, level)
            if not record.deviations and self._trials.run().failure == self._failed.failure:
                raise failed_only_later(self._failed)
            level, record = self._gentlest(level, record)
        scenario, workload = self._trials.scenario, self._trials.workload
        try:
            record, cut = self._cut_down(level, record)
            deviations = record.deviations if record is not None else ()
            in_order = self._failed.level == FIFO and cut == NOTHING and not self._failed.deviations
            if in_order and self._failed.stopped_early is not None:
                trial = self._failed  # it was made a second time for the report, and a hang takes seconds
            else:
                trial = self._trials.run(planned(deviations, level), narrated=True)
            passing = self._neighbour(trial, deviations, level)
        finally:
            self._trials.scenario, self._trials.workload = scenario, workload
        schedule = _schedule(self._trials, self._failed, trial, deviations, level, cut)
        return Finding(trial, schedule, self._looking, passing)

    def _cut_down(self, level: Level, record: Recorder | None) -> tuple[Recorder | None, Cut]:
        """Leave in the trials what the failure needs of the scenario and the workload."""
        trials, of_scenario = self._trials, 0

        def shrunk(found: Recorder) -> Recorder:
            return self._shrunk(found, level)

        if record is not None:
            record, of_scenario = shrink_shares(
                trials, record, lambda tried: self._fails(tried, level), shrunk
            )
        fewer = WorkloadShrinker(trials, self._early_failure, level, shrunk)
        record = fewer.shrink(record)
        trials.shrinking += fewer.runs
        needed = self._needless(of_scenario, record.deviations if record is not None else (), level)
        if needed != of_scenario and record is not None and record.deviations:
            record = shrunk(record)
        return record, Cut(needed, fewer.items, fewer.workers)

    def _neighbour(self, failed: Trial, deviations: Deviations, level: Level) -> EventLog | None:
        """The log of a run that passes without one of the deviations, the latest for which that holds."""
        for place in reversed(range(max(0, len(deviations) - NEIGHBOURS), len(deviations))):
            fewer = (*deviations[:place], *deviations[place + 1 :])
            described = failed.described[place] if place < len(failed.described) else None
            around = () if described is None else (described.step,)
            trial = self._trials.run(planned(fewer, level), narrated=True, short_budget=True, around=around)
            if trial.failure is None:
                return trial.run.logs(f"the same without deviation {place + 1} ({described})")[0]
        return None

    # -- fewer deviations ---------------------------------------------------------------------

    def _fails(self, deviations: Deviations, level: Level) -> Recorder | None:
        trial = self._trials.run(Plan(Replay(deviations), level, "replay"), short_budget=True)
        return trial.record if trial.failure == self._early_failure else None

    def _shrunk(self, record: Recorder, level: Level) -> Recorder:
        shrinker = Shrinker(lambda deviations: self._fails(deviations, level))
        try:
            return shrinker.shrink(record)
        finally:
            self._trials.shrinking += shrinker.runs

    def _needless(self, cut: int, deviations: Deviations, level: Level) -> int:
        """Leave out the waves and faults that the failure does not need; `cut` with what became of them."""
        trials = self._trials
        many = len(trials.scenario.wave) + len(trials.scenario.fault)
        for number in range(many if many > 1 else 0):
            kept = trials.scenario
            trials.scenario = cut_down(kept, treated(0, number, LEFT_OUT))
            trials.shrinking += 1
            if self._fails(deviations, level) is not None:
                cut = treated(cut, number, LEFT_OUT)
            else:
                trials.scenario = kept
        return cut

    # -- gentler levels -----------------------------------------------------------------------

    def _gentlest(self, level: Level, record: Recorder) -> tuple[Level, Recorder]:
        """The gentlest level at which the same failure is found, and its schedule there."""
        threads = self._failed.log.header.backend == THREADS  # which may be switched at every level
        for order in ORDERS[: 0 if threads else ORDERS.index(level.order)]:
            gentler = Level(order, level.stalls)
            found = self._in_order(record, gentler) if order == "fifo" else None
            found = found or self._searched(gentler)
            if found is not None:
                level, record = gentler, self._shrunk(found, gentler)
                break
        if level.stalls and not any(record.kinds[each.place] in TIME for each in record.deviations):
            level, record = self._without_stalls(level, record)
        return level, record

    def _in_order(self, record: Recorder, gentler: Level) -> Recorder | None:
        """A schedule that deviates by no order is one of FIFO order."""
        if any(record.kinds[each.place] == "run" for each in record.deviations):
            return None
        return self._fails(_without(record, ("run",)), gentler)

    def _without_stalls(self, level: Level, record: Recorder) -> tuple[Level, Recorder]:
        instant = replace(level, stalls=False)
        found = self._fails(_without(record, TIME), instant)
        return (instant, found) if found is not None else (level, record)

    def _searched(self, level: Level) -> Recorder | None:
        policy = Portfolio(seed=self._trials.options.seed, level=level)
        for number in range(1, self._trials.GENTLER_RUNS + 1):
            self._looking += 1
            trial = self._trials.run(policy.plan(number), short_budget=True)
            if trial.failure == self._early_failure:
                return trial.record
            if trial.record is not None:
                policy.learn(trial.record)
        return None


def _without(record: Recorder, kinds: Sequence[Kind]) -> Deviations:
    """The deviations of a schedule at the places they have where choices of these kinds are not asked for."""
    return tuple(_moved(record, kinds))


def _moved(record: Recorder, kinds: Sequence[Kind]) -> Iterator[Deviation]:
    place = 0
    for choice, width, asked in zip(record.taken, record.widths, record.kinds, strict=True):
        if asked in kinds:
            continue
        if choice:
            yield Deviation(place, choice, width)
        place += 1
