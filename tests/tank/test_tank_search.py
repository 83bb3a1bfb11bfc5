"""`search`: many schedules of one program, and the report of the first that fails."""

from __future__ import annotations

import math
import os
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache, partial
from itertools import count

import anyio
import pytest
from anyio.lowlevel import checkpoint

import wavetank
from wavetank import CheckFailed, Diverged, RateLimited, Scenario, Tank, TokenError
from wavetank.checks import UnknownCheck
from wavetank.clock import SECOND, Duration
from wavetank.scenario import Match, RetryAfter, Wave
from wavetank.tank.search.search import Result

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

Main = Callable[[Tank], Awaitable[None]]


@cache
def result_of(main: Main, backend: str) -> Result[None]:
    """The result of a search with the usual options."""
    return wavetank.search(main, backend=backend)


def failure_of(main: Main, backend: str) -> wavetank.Run[None]:
    """The failure that it finds."""
    run = result_of(main, backend).failure
    assert run is not None
    return run


async def tie(_: Tank) -> None:
    """Fails if, at an instant at which both may go, the second goes first."""
    went: list[str] = []

    async def early() -> None:
        await anyio.sleep(1)
        went.append("early")

    async def late() -> None:
        await anyio.sleep(1)
        went.append("late")

    async with anyio.create_task_group() as group:
        group.start_soon(early)
        group.start_soon(late, name="the late one")
    if went[0] != "early":
        raise LookupError("late before early")


async def well(tank: Tank) -> None:
    """Two items in two tasks; nothing goes wrong."""

    async def ask(item: str) -> None:
        tank.ledger.submit(item)
        while True:
            try:
                answer = await tank.fake_llm.call(item, item=item)
            except RateLimited as refusal:
                await anyio.sleep(refusal.retry_after or 1)
            else:
                return tank.ledger.complete(item, answer.text)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "a")
        group.start_soon(ask, "b")


# -- what a search does ----------------------------------------------------------------------------


@on_both
def test_a_program_without_a_race_passes(backend: str) -> None:
    """So many runs are made, hardly one twice; what was chosen is counted by kind."""
    result = wavetank.search(well, schedules=40, backend=backend)
    assert result.failure is None
    assert (result.schedules, result.after) == (40, 0)
    assert 10 < result.distinct <= 40
    assert set(result.choices) <= {"run", "stall", "pause", "provider"}
    assert result.choices["run"] > 10
    assert result.proved is None
    assert repr(result) == "<Result: no failure in 40 schedules>"
    result.check()


@on_both
def test_the_first_run_is_in_fifo_order(backend: str) -> None:
    """A program that fails in FIFO order fails at once, and needs no deviation."""

    async def lost(tank: Tank) -> None:
        tank.ledger.submit("a")

    result = wavetank.search(lost, backend=backend)
    run = result.failure
    assert run is not None
    assert (result.schedules, run.deviations, run.level) == (1, (), "fifo")
    assert "in plain FIFO order" in run.report()
    assert "schedule: plain FIFO order" in run.report()
    again = wavetank.simulate(lost, backend=backend, schedule=run.schedule)
    assert again.events.to_ndjson() == run.events.to_ndjson()


@on_both
def test_the_report_of_a_race(backend: str) -> None:
    """What failed, where it can be reached, the schedule in words, and the line that repeats it."""
    result = result_of(tie, backend)
    run = failure_of(tie, backend)
    assert (run.kind, run.level, len(run.deviations)) == ("error", "batch", 1)
    task, step = "early#2" if backend == "asyncio" else "early#3", run.deviations[0].step
    what, why, order, heading, *steps, repeat = run.report().splitlines()
    assert (what, why) == (
        f"error (LookupError) in schedule {result.schedules} of the search (pct), "
        "reachable on trio (1 reordering)",
        "LookupError: late before early",
    )
    # On asyncio neither has begun.
    assert re.sub(r" at tests/\S+:\d+", "", str(run.deviations[0])) == (
        f"at step {step} the late one goes on; FIFO would have run {task}"
    )
    assert order == f"schedule: FIFO order, except: {run.deviations[0]}"
    assert heading.startswith("the interleaving")
    assert any(line.startswith("  *") and "the late one" in line for line in steps)
    assert "beside it a run that passes, the same without deviation 1:" in steps
    assert repeat == (
        f"to repeat it: wavetank.simulate(tie, scenario='calm', backend={backend!r}, "
        f"schedule={run.schedule!r})"
    )


@on_both
def test_an_order_that_no_event_loop_has_says_how_long_one_was_looked_for(backend: str) -> None:
    """That other orders do not fail is no proof, so the report has the number of those that were tried."""

    async def main(_: Tank) -> None:
        order: list[str] = []

        async def work(name: str) -> None:
            for _ in range(2):
                await checkpoint()
                order.append(name)

        async with anyio.create_task_group() as group:
            for name in "ab":
                group.start_soon(work, name)
        assert order[:2] != ["a", "a"]

    run = wavetank.search(main, backend=backend).failure
    assert run is not None
    assert run.level == "any"
    assert re.search(
        r"not found in [1-9]\d* schedules at the levels fifo and batch, but at any \(1 reordering\)\n",
        run.report(),
    )


class Bank:
    """Two accounts, each with its lock."""

    def __init__(self) -> None:
        self.one, self.two = anyio.Lock(), anyio.Lock()

    async def move(self, at: float, source: anyio.Lock, target: anyio.Lock) -> None:
        await anyio.sleep(at)
        async with source:
            await checkpoint()
            async with target:
                await checkpoint()


async def moves_both_ways(_: Tank) -> None:
    bank = Bank()
    async with anyio.create_task_group() as group:
        group.start_soon(bank.move, 1, bank.one, bank.two)
        group.start_soon(bank.move, 1.03, bank.two, bank.one, name="back")


@on_both
def test_the_report_of_a_deadlock(backend: str) -> None:
    """Each blocked task has a short name in the report, and so has the task that holds what it waits for."""
    run = wavetank.search(moves_both_ways, backend=backend).failure
    assert run is not None
    named = "Bank.move#2" if backend == "asyncio" else "Bank.move#3"
    lines = [re.sub(r"(?<=py:)\d+", "…", line) for line in run.report().splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith("the interleaving"))
    end = next(number for number, line in enumerate(lines) if line.startswith("the last 1 of"))
    assert lines[1:begin] + lines[end:-1] == [
        "liveness failed: deadlock at 1.03s",
        "    task 'main'",
        "      at moves_both_ways (tests/tank/test_tank_search.py:…)",
        "      waits in TaskGroup.__aexit__ on group: TaskGroup",
        f"    task {named!r}",
        "      at Bank.move (tests/tank/test_tank_search.py:…)",
        "      waits in Lock.__aenter__ on Bank.two: Lock [tasks_waiting=1], held by 'back' "
        "since 1.03s, acquired at tests/tank/test_tank_search.py:…",
        "    task 'back'",
        "      at Bank.move (tests/tank/test_tank_search.py:…)",
        f"      waits in Lock.__aenter__ on Bank.one: Lock [tasks_waiting=1], held by {named!r} "
        "since 1.03s, acquired at tests/tank/test_tank_search.py:…",
        f"schedule: FIFO order, except: {run.deviations[0]}",
        "the last 1 of 1 events:",
        "  at 1.03s: time had passed between two steps of the program since 1s",
    ]


def test_a_long_schedule_is_shortened() -> None:
    """Of many deviations the report has the first twelve, a line each, and the number of the others."""
    run = wavetank.search(tie).failure
    assert run is not None
    lines = replace(run, deviations=run.deviations * 15).report().splitlines()
    start = lines.index("schedule: FIFO order, except:")
    assert lines[start + 1 : start + 13] == [f"  {run.deviations[0]}"] * 12
    assert lines[start + 13] == "  and 3 more"


@on_both
def test_the_token_repeats_the_failure(backend: str) -> None:
    """The token brings its order: the run fails again, with the same log, in the same words."""
    run = failure_of(tie, backend)
    again = wavetank.simulate(tie, backend=backend, schedule=run.schedule)
    assert again.events.to_ndjson() == run.events.to_ndjson()
    assert (again.kind, again.deviations, again.schedule) == (run.kind, run.deviations, run.schedule)
    with pytest.raises(TokenError, match="made on"):
        wavetank.simulate(tie, backend={"asyncio": "trio", "trio": "asyncio"}[backend], schedule=run.schedule)
    with pytest.raises(TokenError, match="another scenario"):
        wavetank.simulate(tie, "cascade", backend=backend, schedule=run.schedule)
    with pytest.raises(TokenError, match="the program or its workload has changed"):
        wavetank.simulate(well, backend=backend, schedule=run.schedule)


_WAITS = """
import anyio

async def main(tank):
    await anyio.Event().wait()
"""


def test_a_token_outlives_an_edit_further_up() -> None:
    """A comment above the program moves its lines, and the token of a deadlock still repeats it."""
    mains: list[Main] = []
    for source in (_WAITS, f"# a comment\n{_WAITS}"):
        names: dict[str, Main] = {}
        exec(compile(source, "rows.py", "exec"), names)
        mains.append(names["main"])
    failure = wavetank.search(mains[0]).failure
    assert failure is not None
    again = wavetank.simulate(mains[1], schedule=failure.schedule)
    assert again.kind == failure.kind == "deadlock"
    assert "main (rows.py:5)" in failure.report()
    assert "main (rows.py:6)" in again.report()


@on_both
def test_the_same_search_finds_the_same(backend: str) -> None:
    """Seed and program fix what is found, to the byte; another seed may find it elsewhere."""
    one, other = result_of(tie, backend), wavetank.search(tie, backend=backend)
    assert one.failure is not None
    assert other.failure is not None
    assert one.schedules == other.schedules
    assert one.failure.schedule == other.failure.schedule
    assert one.failure.report() == other.failure.report()


@on_both
def test_a_failure_that_takes_long_repeats(backend: str) -> None:
    """A program that works for a quarter of an hour, and then fails, is reported as any other."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("row-1")
        for _ in range(15):
            await anyio.sleep(60)
        await tank.fake_llm.call("Do it.", item="row-1")
        tank.ledger.complete("row-1", "[wt:row-1]")
        tank.ledger.complete("row-1", "[wt:row-1]")

    result = wavetank.search(main, schedules=20, backend=backend)
    assert result.failure is not None
    assert result.failure.verdicts["exactly_once"].passed is False


@on_both
def test_a_level_limits_the_search(backend: str) -> None:
    """What needs an order of a batch is not found in FIFO order."""
    assert wavetank.search(tie, schedules=60, level="fifo", backend=backend).failure is None
    found = wavetank.search(tie, schedules=60, level="batch-instant", backend=backend).failure
    assert found is not None
    assert found.level == "batch"


def test_a_failure_is_raised_with_its_report() -> None:
    """`check` raises the program's own error with a note, a failed verdict with the report; and twice."""
    result = result_of(tie, "asyncio")
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            result.check()
        assert result.failure is not None
        assert caught.value.__notes__ == [result.failure.report()]

    async def lost(tank: Tank) -> None:
        tank.ledger.submit("a")

    with pytest.raises(CheckFailed, match=r"check \(exactly_once\) in schedule 1(.|\n)*to repeat it: "):
        wavetank.search(lost).check()


def test_the_caller_writes_the_line_that_repeats() -> None:
    """`replay` makes the line of the token."""
    run = wavetank.search(tie, replay=lambda token: f"again {token}!").failure
    assert run is not None
    assert run.report().splitlines()[-1] == f"to repeat it: again {run.schedule}!"


def test_an_exception_group_is_reported_with_its_parts() -> None:
    """Of a group the report names the errors in it, and so does the first line."""

    async def child() -> None:
        raise ValueError("broken")

    async def main(_: Tank) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)

    run = wavetank.search(main).failure
    assert run is not None
    lines = run.report().splitlines()
    assert lines[0].startswith("error (ExceptionGroup of ValueError) in schedule 1 of the search (fifo)")
    assert lines[2] == "  ValueError: broken"


def test_time_ends_a_search() -> None:
    """`seconds` of real time are enough, if there were not `schedules` before; one run is made at least."""
    result = wavetank.search(well, schedules=1_000_000, seconds=0.2)
    assert 1 <= result.schedules < 100_000
    assert 0.2 <= result.seconds < 10
    assert wavetank.search(well, seconds=0).schedules == 1


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_is_a_number(seconds: float) -> None:
    """A search of negative or endless time is refused before it begins."""
    with pytest.raises(ValueError, match=r"seconds=.*: a search takes a number of real seconds, 0 or more"):
        wavetank.search(tie, seconds=seconds)


@pytest.mark.parametrize("schedules", [0, -1, 1.5, "7"])
def test_schedules_is_a_number(schedules: object) -> None:
    """At least one run is made."""
    with pytest.raises(ValueError, match="make at least 1 run"):
        wavetank.search(well, schedules=schedules)  # type: ignore[call-overload]


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf])
def test_the_budget_is_a_number(budget: float) -> None:
    """A search takes no budget of virtual time that `simulate` refuses."""
    with pytest.raises(ValueError, match="the budget is a number of seconds above 0"):
        wavetank.search(well, schedules=2, max_virtual_seconds=budget)


def test_wrong_words_are_reported() -> None:
    """Policy, level, backend, checks and scenario are looked at before anything runs."""
    for options, expected in (
        ({"policy": "pict"}, "did you mean 'pct'?"),
        ({"level": "all"}, "there is no level 'all'"),
        ({"backend": "curio"}, "there is no backend 'curio'; there are: asyncio, trio"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(ValueError, match=r"there is no|seed") as caught:
            wavetank.search(well, **options)
        assert expected in str(caught.value)
    with pytest.raises(UnknownCheck):
        wavetank.search(well, checks="livenes")
    with pytest.raises(wavetank.ScenarioError):
        wavetank.search(well, "calmer")


@on_both
def test_an_interruption_ends_a_search(backend: str) -> None:
    """Ctrl-C and outcomes of pytest go through, and the process has its own time again."""

    async def interrupted(_: Tank) -> None:
        await checkpoint()
        raise KeyboardInterrupt

    async def skipped(_: Tank) -> None:
        pytest.skip("not here")

    clock = time.monotonic
    with pytest.raises(KeyboardInterrupt):
        wavetank.search(interrupted, backend=backend)
    with pytest.raises(pytest.skip.Exception):
        wavetank.search(skipped, backend=backend)
    assert time.monotonic is clock
    assert wavetank.search(well, schedules=3, backend=backend).failure is None


# -- the scenario ----------------------------------------------------------------------------------

FAR: Duration = Duration(1000 * SECOND)


def three_waves() -> Scenario:
    """Only what refuses the item `b` matters to a program that gives up on it."""
    wait = RetryAfter(value=Duration(SECOND))
    waves = [Wave(lasts=Duration(SECOND), retry_after=wait, match=Match(item=item)) for item in "abc"]
    return Scenario(wave=tuple(waves))


async def gives_up_on_b(tank: Tank) -> None:
    for item in "abc":
        tank.ledger.submit(item)
        try:
            tank.ledger.complete(item, (await tank.fake_llm.call(item, item=item)).text)
        except RateLimited:
            if item != "b":
                tank.ledger.fail(item)


@on_both
def test_what_the_failure_does_not_need_is_left_out(backend: str) -> None:
    """Waves without which it fails as well are gone from the run; the token brings that along."""
    result = wavetank.search(gives_up_on_b, three_waves(), backend=backend)
    run = result.failure
    assert run is not None
    assert "of the scenario it needs wave 2" in run.report()
    refused = [event.item for event in run.events if event.kind == "refused"]
    assert refused == ["b"]
    again = wavetank.simulate(gives_up_on_b, three_waves(), backend=backend, schedule=run.schedule)
    assert again.events.to_ndjson() == run.events.to_ndjson()


def test_a_failure_that_needs_no_wave() -> None:
    """Where the scenario has no part in it, the report says so."""
    run = wavetank.search(tie, three_waves()).failure
    assert run is not None
    assert "of the scenario it needs no wave and no fault" in run.report()


def test_what_no_run_met_is_reported() -> None:
    """A wave that no run met is no failure, unless `exercised` is asked for."""
    late = Scenario(wave=(Wave(at=FAR, lasts=Duration(SECOND)),))
    result = wavetank.search(well, late, schedules=5)
    assert result.failure is None
    assert "wave 1" in result.unmet
    asked = wavetank.search(well, late, schedules=5, checks="default,exercised").failure
    assert asked is not None
    assert asked.kind == "check"
    assert "in all 5 schedules, " in asked.report()
    assert wavetank.search(well, "cascade", schedules=5, checks="exercised", seconds=5).unmet != ""


# -- programs that differ from run to run --------------------------------------------------------------

ADDRESSES = count()
RUNS: list[int] = []


class Thing:
    """Hashes by a number that no other run has, as an address is one, but is sure to differ."""

    def __init__(self) -> None:
        self._address = 7919 * next(ADDRESSES)

    def __hash__(self) -> int:
        return self._address


async def by_address(tank: Tank) -> None:
    """Goes through a set whose order depends on addresses."""
    things = {Thing(): number for number in range(50)}
    for thing in set(things):
        tank.ledger.submit(f"item-{things[thing]}")


async def by_own_dice(tank: Tank) -> None:
    """Makes so many tasks as a generator without a seed says."""
    tank.ledger.submit("lost")
    number = random.Random(int.from_bytes(os.urandom(8), "big")).randrange(2, 10_000_000)
    async with anyio.create_task_group() as group:
        for _ in range(2 + number % 40):
            group.start_soon(checkpoint)
    await anyio.sleep(number / 1000)


async def by_state(tank: Tank) -> None:
    """Fails in its third run only."""
    RUNS.append(1)
    tank.ledger.submit("a")
    if len(RUNS) != 3:
        tank.ledger.complete("a")


async def by_turns(tank: Tank) -> None:
    """Lets one of two tasks go first in one run, and the other in the next; no event tells."""
    RUNS.append(1)
    tank.ledger.submit("lost")
    bells = [anyio.Event(), anyio.Event()]
    async with anyio.create_task_group() as group:
        for bell in bells:
            group.start_soon(bell.wait)
        await anyio.sleep(1)
        for bell in bells if len(RUNS) % 2 else reversed(bells):
            bell.set()


async def by_nap(_: Tank) -> None:
    """Ends a little later in every run, without an event."""
    RUNS.append(1)
    await anyio.sleep(len(RUNS))
    raise LookupError


async def by_wear(_: Tank) -> None:
    """Fails from its fifth run on, whatever the order."""
    RUNS.append(1)
    async with anyio.create_task_group() as group:
        group.start_soon(checkpoint)
        group.start_soon(checkpoint)
    assert len(RUNS) < 5


@on_both
def test_state_that_runs_leave_to_the_next_is_reported(backend: str) -> None:
    """A failure that plain FIFO order shows only by now is none of a schedule, since that passed at first."""
    RUNS.clear()
    with pytest.raises(Diverged, match="plain FIFO order passed in the first run of the search"):
        wavetank.search(by_wear, backend=backend)


def test_what_leaves_no_event_differs_as_well() -> None:
    """Other tasks in the same places, or another end, are differences too."""
    for program, expected in (
        (by_turns, "another task goes at some choice: tasks are not made in the same order"),
        (by_nap, "the end differs: first «raised LookupError, at 1s after "),
    ):
        RUNS.clear()
        with pytest.raises(Diverged, match="does not repeat") as caught:
            wavetank.search(program)
        assert expected in str(caught.value)


@on_both
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (by_address, "differs: first «at 0s: 'item-"),
        (by_own_dice, "differs: first "),
        (by_state, "event 2 differs: first «nothing», then «at 0s: 'a': completed by"),
    ],
)
def test_a_failure_that_does_not_repeat(backend: str, program: Main, expected: str) -> None:
    """It is no finding: the error tells how it failed, the first difference, and likely causes."""
    RUNS.clear()
    with pytest.raises(Diverged) as caught:
        wavetank.search(program, backend=backend)
    text = str(caught.value)
    assert text.startswith("a failing schedule does not repeat. It failed with:\nexactly_once failed: ")
    assert expected in text
    for cause in ("the order of a set", "id() or hash()", "a clock", "without a seed", "state that one run"):
        assert cause in text


BEHAVIOUR = {"tasks": 2, "wears": 0, "sleeps": 0.0}


async def depends_on_a_helper(_: Tank) -> None:
    """Its code stays the same while what it does changes."""
    went: list[int] = []

    async def one(number: int) -> None:
        await anyio.sleep(1)
        went.append(number)

    async with anyio.create_task_group() as group:
        for number in range(int(BEHAVIOUR["tasks"])):
            group.start_soon(one, number)
    if not BEHAVIOUR["sleeps"]:
        assert went == sorted(went)
    await anyio.sleep(BEHAVIOUR["sleeps"])
    if BEHAVIOUR["wears"]:
        RUNS.append(1)
        await anyio.sleep(len(RUNS))
    assert went == sorted(went)


@on_both
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tasks": 5}, "options when the token was made and has"),
        ({"tasks": 1}, "the run ended before 1 of the schedule's deviations"),
        ({"sleeps": 3.0}, "its event log differs behind the last deviation"),
    ],
)
def test_a_replay_off_its_course(
    backend: str, change: dict[str, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token whose run takes another course is no repetition: the error tells where it left."""
    run = failure_of(depends_on_a_helper, backend)
    assert run.deviations
    for name, value in change.items():
        monkeypatch.setitem(BEHAVIOUR, name, value)
    with pytest.raises(
        Diverged, match="the run took another course than the one the token was made"
    ) as caught:
        wavetank.simulate(depends_on_a_helper, backend=backend, schedule=run.schedule)
    text = str(caught.value)
    assert expected in text
    assert text.endswith(
        ". If the code, its input or its environment (variables, versions of packages) has changed: "
        "search again."
    )
    assert "differs from run to run" not in text  # it does not: the same schedule repeats by now


@on_both
def test_a_replay_of_a_program_that_differs_from_run_to_run(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only if two replays were seen to differ, the program is said to differ, and where."""
    run = failure_of(depends_on_a_helper, backend)
    RUNS.clear()
    monkeypatch.setitem(BEHAVIOUR, "sleeps", 3.0)
    monkeypatch.setitem(BEHAVIOUR, "wears", 1)
    with pytest.raises(Diverged) as caught:
        wavetank.simulate(depends_on_a_helper, backend=backend, schedule=run.schedule)
    text = str(caught.value)
    assert "Repeated, " in text
    assert "differs from run to run: look for the order of a set" in text
    assert "has changed" not in text


def test_a_partial_is_a_program() -> None:
    """Arguments may be bound; the token knows the function behind them."""

    async def main(number: int, _: Tank) -> None:
        assert number == 1

    wavetank.search(partial(main, 1), schedules=3).check()
    run = wavetank.search(partial(main, 2), schedules=3).failure
    assert run is not None
    assert wavetank.simulate(partial(main, 2), schedule=run.schedule).kind == "error"
