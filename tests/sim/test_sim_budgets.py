"""Budgets of steps and of CPU time: what ends a run that gets nowhere, and what does not end a slow one."""

from __future__ import annotations

import anyio
import pytest

import wavetank
from wavetank.checks import judge
from wavetank.scenario import scenario_from_dict
from wavetank.sim.budgets import LAST_STEPS, CpuBudget, StepBudget
from wavetank.sim.timers import Timers
from wavetank.tank.tank import Tank

OUTAGE = scenario_from_dict(
    {"wave": [{"at": "0s", "lasts": "5m", "status": 429, "retry_after": "4m"}]},
    name="outage",
    source="outage",
)


def budget(most: int, *, quiet_at: int = 0) -> tuple[StepBudget, Timers]:
    """A budget with timers of its own."""
    timers = Timers()
    return StepBudget(most, timers, quiet_at), timers


def test_steps_at_one_instant_always_count() -> None:
    """Time that stands still ends a run, also before the scenario is over."""
    steps, _ = budget(1_000, quiet_at=10**12)
    assert not steps.is_spent(999)
    assert steps.is_spent(1_000)


def test_steps_before_the_scenario_is_over_do_not_count_while_time_passes() -> None:
    """A program that polls through an outage takes as many steps as it needs."""
    steps, timers = budget(1_000, quiet_at=5_000)
    taken = 0
    for instant in range(1, 5_000, 100):
        timers.advance(instant)
        taken += 1_000
        assert not steps.is_spent(taken)
    assert steps.limit == taken + 1_000 - LAST_STEPS


def test_steps_after_the_scenario_is_over_count() -> None:
    """From then on, three times the budget without an outcome ends a run in which time passes."""
    steps, timers = budget(1_000, quiet_at=5)
    timers.advance(10)
    assert not steps.is_spent(1_000)
    timers.advance(20)
    assert not steps.is_spent(2_000)
    timers.advance(30)
    assert not steps.is_spent(3_000)
    timers.advance(40)
    assert steps.is_spent(4_000)
    assert "3000 steps without an outcome, at 40ns of virtual time" in str(steps.error(4_000))


def test_an_outcome_renews_the_budget() -> None:
    """Steps are counted from the last outcome."""
    steps, _ = budget(1_000)
    steps.renew(900)
    assert not steps.is_spent(1_000)
    assert steps.is_spent(1_900)


async def poll_through_the_outage(tank: Tank) -> None:
    """Workers look at a shared deadline every half second; correct, and slow."""
    until = 0.0
    todo = [f"row-{n}" for n in range(12)]
    for row in todo:
        tank.ledger.submit(row)

    async def worker() -> None:
        nonlocal until
        while todo:
            row = todo.pop()
            while True:
                while tank.now() < until:
                    await anyio.sleep(0.5)
                try:
                    answer = await tank.fake_llm.call(row, item=row)
                except wavetank.RateLimited as refusal:
                    until = max(until, tank.now() + (refusal.retry_after or 0) + 60)
                else:
                    tank.ledger.complete(row, answer.text)
                    break

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(worker)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_slow_correct_program_is_not_blamed(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polling through a long outage takes many more steps than the budget has, and passes."""
    monkeypatch.setattr("wavetank.tank.runs.trial_runs.STEPS_WITHOUT_PROGRESS", 500)
    run = wavetank.simulate(poll_through_the_outage, OUTAGE, backend=backend)
    run.check()
    assert run.steps > 5_000
    assert run.kind is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_is_stopped_after_its_budget_of_cpu_time(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict says that it was stopped, and that it might have ended."""
    readings = iter(range(10_000))
    monkeypatch.setattr("wavetank.sim.budgets.cpu_seconds", lambda: float(next(readings)))
    monkeypatch.setattr("wavetank.sim.budgets._ADVANCES_PER_CPU_READING", 100)

    async def polls_for_ever(tank: Tank) -> None:
        tank.ledger.submit("row-1")
        while True:
            await anyio.sleep(0.01)

    run = wavetank.simulate(polls_for_ever, "calm", backend=backend)
    assert run.kind == "overrun"
    assert run.events.end is not None
    assert run.events.end.how == "cpu"
    verdict = judge(run.events, "liveness")["liveness"]
    assert verdict.passed is False
    assert "Time still passed, so this does not show that it would never end" in verdict.summary


def test_an_outcome_renews_the_budget_of_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU time is counted from the first reading after the last outcome."""
    readings = iter((0.0, 20.0, 40.0, 60.0, 70.5))
    monkeypatch.setattr("wavetank.sim.budgets.cpu_seconds", lambda: next(readings))
    monkeypatch.setattr("wavetank.sim.budgets._ADVANCES_PER_CPU_READING", 1)
    budget = CpuBudget()
    assert [budget.is_spent(), budget.is_spent()] == [False, False]
    budget.renew()
    assert [budget.is_spent(), budget.is_spent(), budget.is_spent()] == [False, False, True]
    assert str(budget.error(10**9)) == "30 s of CPU time without an outcome, at 1s of virtual time"


def test_cpu_time_is_spent_again_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is repeated ends where the first one was ended, and reads no clock."""
    monkeypatch.setattr("wavetank.sim.budgets.cpu_seconds", None)
    budget = CpuBudget(ends_at=5)
    spent = [budget.is_spent(), budget.is_spent()]
    budget.renew()
    assert [*spent, budget.is_spent(), budget.is_spent(), budget.is_spent()] == [False] * 4 + [True]
    assert (
        str(budget.error(10**9)) == "as much CPU time as was given without an outcome, at 1s of virtual time"
    )
