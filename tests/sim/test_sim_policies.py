"""Each policy plans repeatable schedules within its level, and leaves no run to starve."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import anyio
import pytest
from anyio.lowlevel import checkpoint

from wavetank.sim.budgets import STEPS_WITHOUT_PROGRESS
from wavetank.sim.choices import CALLBACKS, LEVELS, Fifo, Kind, Level, Recorder
from wavetank.sim.dice import dice
from wavetank.sim.policies import POLICIES, Policy, policy_named
from wavetank.sim.policies.plan import Plan
from wavetank.sim.policies.random_choosers import ALWAYS, NEVER, DeviationRates, FifoChooser, tail_after
from wavetank.sim.policies.replay import Replay

from ..depth import n_of
from .conftest import Chosen, Noted, Program

SAMPLING = [name for name, policy in POLICIES.items() if policy.SAMPLES]
ANY = Level()
NO_BOUND: Final = "only 'exhaustive' takes a bound, a whole number, as in 'exhaustive:2'"


async def crowd(noted: Noted) -> None:
    """Five tasks that step, sleep until common instants, and step again."""

    async def one(number: int) -> None:
        for turn in range(3):
            noted.append((number, turn))
            await checkpoint()
        await anyio.sleep(0.01 * (1 + number % 2))
        noted.append((number, "awake"))
        await checkpoint()

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(one, number)


def plans_of(policy: Policy, most: int) -> Iterator[Plan]:
    """The first schedules of a policy behind that in FIFO order, as far as there are any."""
    for number in range(1, most + 1):
        plan = policy.plan(number)
        if plan is None:
            return
        yield plan


def schedules(
    chosen: Chosen, policy: str, *, seed: int, runs: int, level: Level = ANY
) -> Iterator[list[int]]:
    """The choices of the first runs of a search, as `search` makes it; the FIFO run is left out."""
    planner = policy_named(policy, seed=seed, level=level)
    chosen(crowd, Fifo(), level)
    assert chosen.record is not None
    planner.learn(chosen.record)
    for plan in plans_of(planner, runs):
        chosen(crowd, plan.chooser, plan.level)
        planner.learn(chosen.record)
        yield chosen.record.taken


# -- repeatable and varied -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_plans_the_same_schedules(chosen: Chosen, policy: str) -> None:
    """Two searches of one seed make the same choices, run by run."""
    first = list(schedules(chosen, policy, seed=7, runs=12))
    assert list(schedules(chosen, policy, seed=7, runs=12)) == first


@pytest.mark.parametrize("policy", SAMPLING)
def test_another_seed_plans_others(chosen: Chosen, policy: str) -> None:
    """Seeds matter, and so does the number of the run: hardly a schedule comes twice."""
    one, other = (list(schedules(chosen, policy, seed=seed, runs=20)) for seed in (1, 2))
    assert one != other
    assert policy_named(policy, seed=1, level=ANY).proved is None
    assert len({tuple(taken) for taken in one}) >= 12
    assert len({tuple(taken) for taken in one + other}) >= 24


def test_fifo_plans_nothing() -> None:
    """The first run of a search is FIFO; the policy of that name adds none and proves nothing."""
    policy = policy_named("fifo", seed=0, level=ANY)
    policy.learn(Recorder(Fifo()))
    assert policy.plan(1) is None
    assert policy.proved is None


def test_replay_repeats_each_schedule(chosen: Chosen) -> None:
    """The deviations of a run alone give the run again, whoever chose them."""
    for policy in SAMPLING:
        planner = policy_named(policy, seed=3, level=ANY)
        for plan in plans_of(planner, 12):
            noted = chosen(crowd, plan.chooser, plan.level)
            record = chosen.record
            assert record is not None
            planner.learn(record)
            replay = Replay(record.deviations)
            assert chosen(crowd, replay, plan.level) == noted
            assert chosen.record is not None
            assert chosen.record.taken == record.taken
            assert replay.diverged is None
            assert not replay.unused


def test_the_portfolio_takes_turns() -> None:
    """All policies have their turn, at every order, and never beyond the level of the search."""
    for level in LEVELS:
        planner = policy_named("portfolio", seed=0, level=level)
        plans = list(plans_of(planner, 32))
        assert all(plan.level.stalls == level.stalls for plan in plans)
        orders = {plan.level.order for plan in plans}
        assert orders == {"fifo": {"fifo"}, "batch": {"fifo", "batch"}}.get(
            level.order, {"fifo", "batch", "any"}
        )
        policies = {plan.policy for plan in plans}
        assert policies == ({"fifo"} if level.order == "fifo" else {"fifo", "random", "urw", "pct"})
    assert planner.proved is None


# -- words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("portfolo", "there is no policy 'portfolo'; did you mean 'portfolio'?"),
        ("zzz", f"there is no policy 'zzz'; there are: {', '.join(POLICIES)}"),
        (
            "random:3",
            f"policy 'random:3': {NO_BOUND}",
        ),
        (
            "exhaustive:-1",
            f"policy 'exhaustive:-1': {NO_BOUND}",
        ),
        (
            "exhaustive:x",
            f"policy 'exhaustive:x': {NO_BOUND}",
        ),
    ],
)
def test_a_wrong_policy_is_reported(text: str, told: str) -> None:
    """The error names the nearest policy, or all of them, or how a bound is written."""
    with pytest.raises(ValueError, match="policy") as caught:
        policy_named(text, seed=0, level=ANY)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bach", "did you mean 'batch'?"),
        ("any-instnt", "did you mean 'any-instant'?"),
        ("%", "there are: fifo,"),
    ],
)
def test_a_wrong_level_is_reported(text: str, told: str) -> None:
    """The error names the nearest level, or all of them; every level reads back from its text."""
    with pytest.raises(ValueError, match="there is no level") as caught:
        Level.parse(text)
    assert told in str(caught.value)
    assert [Level.parse(str(level)) for level in LEVELS] == list(LEVELS)


# -- levels --------------------------------------------------------------------------------------------


def kinds_asked(chosen: Chosen, program: Program, level: Level) -> set[Kind]:
    planner = policy_named("random", seed=5, level=level)
    kinds: set[Kind] = set()
    for plan in plans_of(planner, 20):
        chosen(program, plan.chooser, plan.level)
        assert chosen.record is not None
        kinds.update(chosen.record.kinds)
    return kinds


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_a_level_asks_for_nothing_else(chosen: Chosen, level: Level) -> None:
    """`fifo` never reorders; without stalls no time passes inside the program."""
    expected = ({"run"} if level.order != "fifo" else set()) | ({"stall", "pause"} if level.stalls else set())
    assert kinds_asked(chosen, crowd, level) == expected


async def rounds(noted: Noted) -> None:
    """Four tasks that all note the number of the round they are in; each round is one batch."""

    async def one(number: int) -> None:
        for turn in range(4):
            noted.append((turn, number))
            await checkpoint()

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(one, number)


def orders(chosen: Chosen, level: str, policy: str = "random") -> list[Noted]:
    planner = policy_named(policy, seed=2, level=Level.parse(level))
    return [chosen(rounds, plan.chooser, plan.level) for plan in plans_of(planner, 40)]


def test_fifo_keeps_the_order(chosen: Chosen) -> None:
    """At `fifo` the order is that of a run nobody chooses, whatever the policy."""
    stock = chosen(rounds)
    for policy in SAMPLING:
        assert all(noted == stock for noted in orders(chosen, "fifo", policy))


def test_batch_permutes_within_a_batch(chosen: Chosen) -> None:
    """At `batch` no task is a round ahead of another, and within a round every order comes up."""
    noted = orders(chosen, "batch")
    assert all([turn for turn, _ in each] == sorted(turn for turn, _ in each) for each in noted)
    firsts = {tuple(number for turn, number in each if turn == 0) for each in noted}
    assert len(firsts) > 12


def test_any_lets_a_task_run_ahead(chosen: Chosen) -> None:
    """At `any` a task may be rounds ahead of another."""
    assert any(
        [turn for turn, _ in each] != sorted(turn for turn, _ in each) for each in orders(chosen, "any")
    )


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_a_chooser_of_zeros_changes_nothing(chosen: Chosen, level: Level) -> None:
    """Choice 0 is what happens when nobody chooses, at every level, to the step."""
    for program in (crowd, rounds, mixed):
        stock, end = chosen(program), chosen.end
        assert chosen(program, Fifo(), level) == stock
        assert (chosen.end.how, chosen.end.steps) == (end.how, end.steps)


async def mixed(noted: Noted) -> None:
    """Locks, a stream, a scope that is cancelled and an event, all at once."""
    lock, bell = anyio.Lock(), anyio.Event()
    send, receive = anyio.create_memory_object_stream[int](1)

    async def worker(number: int) -> None:
        with anyio.move_on_after(0.03):
            async with lock:
                await anyio.sleep(0.01)
                await send.send(number)
        noted.append((number, anyio.current_time()))
        bell.set()

    async def reader() -> None:
        await bell.wait()
        async for number in receive:
            noted.append(("read", number))
            if number == 3:
                return

    async with send, receive:
        with anyio.move_on_after(1):
            async with anyio.create_task_group() as group:
                group.start_soon(reader)
                for number in range(4):
                    group.start_soon(worker, number)


# -- plain callbacks -----------------------------------------------------------------------------------


async def posts(noted: Noted) -> None:
    """Tasks and callbacks post numbered callbacks; timers post some at the same instants."""
    loop = asyncio.get_running_loop()
    posted = [0]

    def post() -> None:
        posted[0] += 1
        loop.call_soon(ran, posted[0])

    def ran(number: int) -> None:
        noted.append(number)
        if number % 3 == 0:
            post()

    async def one(number: int) -> None:
        for _ in range(4):
            post()
            await asyncio.sleep(0)
        await asyncio.sleep(0.001 * (number % 2))
        post()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(one(number))
    await asyncio.sleep(0.1)


def test_callbacks_keep_their_order(chosen_on_asyncio: Chosen) -> None:
    """asyncio documents that callbacks run in the order they were posted: so they do, in each run."""
    for policy in SAMPLING:
        for seed in range(n_of(25, 100)):
            planner = policy_named(policy, seed=seed, level=ANY)
            plan = planner.plan(1 + seed % 16)
            assert plan is not None
            noted = chosen_on_asyncio(posts, plan.chooser, plan.level)
            assert len(noted) > 20
            assert noted == sorted(noted)


# -- the fair tail -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", SAMPLING)
def test_behind_its_tail_a_chooser_is_fair(policy: str) -> None:
    """After so many choices there are only zeros, of every kind."""
    planner = policy_named(policy, seed=1, level=ANY)
    who = (4, CALLBACKS, 9)
    for plan in plans_of(planner, 16):
        for number in range(tail_after(0)):
            plan.chooser.choose("stall" if number % 7 == 0 else "run", 3, who)
        kinds: tuple[Kind, ...] = ("run", "stall", "provider")
        assert [plan.chooser.choose(kind, 3, who) for kind in kinds * 50] == [0] * 150


def test_the_tail_begins_well_before_the_step_budget_ends() -> None:
    """However long the FIFO run was, the step budget of a run is spent in fair order, for the most part."""
    assert tail_after(10) > 1000
    assert tail_after(10**9) <= STEPS_WITHOUT_PROGRESS // 2


async def spinner(noted: Noted) -> None:
    """Correct, if wasteful: a task spins until others have done their steps."""
    done: list[int] = []

    async def spin() -> None:
        while len(done) < 3:
            await checkpoint()

    async def work(number: int) -> None:
        for _ in range(5):
            await checkpoint()
        done.append(number)

    async with anyio.create_task_group() as group:
        group.start_soon(spin)
        group.start_soon(spin)
        for number in range(3):
            group.start_soon(work, number)
    noted.append("done")


async def cancelled(noted: Noted) -> None:
    """A cancelled scope whose task cleans up behind a shield, while a cancellation is delivered anew."""

    async def child(number: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(number):
                    await checkpoint()
                await anyio.sleep(0.01 * number)
            noted.append(number)

    with anyio.move_on_after(1):
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(child, number)
            async with anyio.create_task_group() as inner:
                inner.start_soon(child, 4)
                inner.cancel_scope.cancel()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("program", [spinner, cancelled])
def test_correct_programs_do_not_live_lock(chosen: Chosen, policy: str, program: Program) -> None:
    """A spinning task or a cancellation that is delivered over and over starves nobody for long."""
    planner = policy_named(policy, seed=11, level=ANY)
    chosen(program, Fifo(), ANY)
    assert chosen.record is not None
    planner.learn(chosen.record)
    for plan in plans_of(planner, n_of(20, 400)):
        noted: Any = chosen(program, plan.chooser, plan.level)
        assert chosen.end.how == "returned"
        assert chosen.end.error is None
        assert chosen.end.steps < 3 * tail_after(0)
        assert len(noted) in (1, 5)
        planner.learn(chosen.record)


def test_a_wave_meets_none_one_and_all_as_often_as_any_other_number() -> None:
    """How likely it meets a request is drawn for each run and part, whatever the seed says of requests."""
    met = Counter[int]()
    for number in range(400):
        mix = DeviationRates(stalls=NEVER, provider=ALWAYS)
        chooser = FifoChooser(dice(number), mix, tail=1000)
        seeded = [request % 2 for request in range(4)]
        met[sum(each != bool(chooser.choose("provider", 2, (0, each, True))) for each in seeded)] += 1
        assert chooser.choose("provider", 1, ()) == 0
    assert set(met) == set(range(5))
    assert min(met.values()) > 50
