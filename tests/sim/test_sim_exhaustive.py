"""`exhaustive` makes each schedule once, and just those that a plain enumeration of all choices makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import anyio
import pytest
from anyio.lowlevel import checkpoint

import wavetank
from wavetank import Tank
from wavetank.sim.choices import Fifo, Kind, Level, Recorder
from wavetank.sim.policies import policy_named

from .conftest import Chosen, Noted, Program

Course = tuple[int, ...]


async def pairs(noted: Noted) -> None:
    """Three tasks that share nothing, two with two steps and one with one."""

    async def one(name: str) -> None:
        noted.append(name + "1")
        if name != "c":
            await checkpoint()
            noted.append(name + "2")

    await three(one)


async def naps(noted: Noted) -> None:
    """Three tasks that sleep until two instants near each other."""

    async def one(name: str) -> None:
        await anyio.sleep(0.02 if name == "b" else 0.01)
        noted.append(name)

    await three(one)


async def three(one: object) -> None:
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(one, name)  # type: ignore[arg-type]


class Digits:
    """Takes given choices, then zeros, and keeps how many options each choice had."""

    def __init__(self, choices: Sequence[int]) -> None:
        self._choices = list(choices)
        self.widths: list[int] = []

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:  # noqa: ARG002
        place = len(self.widths)
        self.widths.append(n if kind != "pause" else 1)
        return self._choices[place] if place < len(self._choices) else 0


def brute_force(chosen: Chosen, program: Program, level: str) -> dict[Course, tuple[str, ...]]:
    """Every schedule and what it noted, by plain enumeration."""
    with chosen.borrowed():
        return dict(counted_up(chosen, program, level))


def counted_up(chosen: Chosen, program: Program, level: str) -> Iterator[tuple[Course, tuple[str, ...]]]:
    """Every schedule and what it noted: as one counts up, in digits whose widths the runs tell."""
    choices: list[int] = []
    while True:
        digits = Digits(choices)
        noted = chosen(program, digits, level)
        choices += [0] * (len(digits.widths) - len(choices))
        yield tuple(choices), tuple(noted)
        while choices and choices[-1] + 1 == digits.widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


def enumerated(
    chosen: Chosen, program: Program, level: str, policy: str
) -> list[tuple[Course, tuple[str, ...]]]:
    """Every schedule that the policy plans, after the one in FIFO order, and what it noted."""
    planner = policy_named(policy, seed=0, level=Level.parse(level))
    made: list[tuple[Course, tuple[str, ...]]] = []

    def keep(noted: Noted, record: Recorder | None) -> None:
        assert record is not None
        planner.learn(record)
        made.append((tuple(record.taken), tuple(noted)))

    with chosen.borrowed():
        keep(chosen(program, Fifo(), level), chosen.record)
        while (plan := planner.plan(len(made))) is not None:
            keep(chosen(program, plan.chooser, plan.level), chosen.record)
    assert len({course for course, _ in made}) == len(made), "a schedule was made twice"
    return made


@pytest.mark.parametrize("level", ["fifo", "fifo-instant", "batch-instant", "any-instant", "batch"])
@pytest.mark.parametrize("program", [pairs, naps])
def test_exhaustive_is_a_brute_force(chosen: Chosen, program: Program, level: str) -> None:
    """The same schedules, with the same outcomes, as an enumeration that knows nothing of deviations."""
    expected = brute_force(chosen, program, level)
    assert dict(enumerated(chosen, program, level, "exhaustive")) == expected


def deviations(course: Course) -> int:
    return sum(choice > 0 for choice in course)


def test_a_bound_keeps_what_deviates_so_often(chosen: Chosen) -> None:
    """`exhaustive:2` makes the schedules with at most two deviations, in the order of their number."""
    level = "any-instant"
    every = brute_force(chosen, pairs, level)
    for bound in range(4):
        made = enumerated(chosen, pairs, level, f"exhaustive:{bound}")
        assert dict(made) == {course: every[course] for course in every if deviations(course) <= bound}
        counts = [deviations(course) for course, _ in made]
        assert counts == sorted(counts)


def test_every_interleaving_comes_up(chosen: Chosen) -> None:
    """At `any` the tasks interleave in all thirty ways; at `batch` round by round; at `fifo` in one."""
    every = {
        order
        for order in permutations(("a1", "a2", "b1", "b2", "c1"))
        if all(order.index(name + "1") < order.index(name + "2") for name in "ab")
    }
    assert len(every) == 30
    assert {noted for _, noted in enumerated(chosen, pairs, "any-instant", "exhaustive")} == every
    by_rounds = {
        tuple(name + "1" for name in first) + tuple(name + "2" for name in second)
        for first, second in product(permutations("abc"), permutations("ab"))
    }
    assert {noted for _, noted in enumerated(chosen, pairs, "batch-instant", "exhaustive")} == by_rounds
    assert [noted for _, noted in enumerated(chosen, pairs, "fifo", "exhaustive")] == [
        ("a1", "b1", "c1", "a2", "b2")
    ]


def test_stalls_let_near_instants_meet(chosen: Chosen) -> None:
    """Where time may pass, the task that sleeps longer may still be the first; else it never is."""
    stalled = {noted[0] for _, noted in enumerated(chosen, naps, "batch", "exhaustive")}
    instant = {noted[0] for _, noted in enumerated(chosen, naps, "batch-instant", "exhaustive")}
    assert (stalled, instant) == ({"a", "b", "c"}, {"a", "c"})


# -- what it says --------------------------------------------------------------------------------------


async def two_steps(_: Tank) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(checkpoint)
        group.start_soon(checkpoint)
        group.start_soon(checkpoint)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_is_proved_is_said(backend: str) -> None:
    """The result says that all schedules were run, or which bound was run whole, or nothing yet."""

    def proved(policy: str, schedules: int = 1000) -> tuple[int, str | None]:
        result = wavetank.search(
            two_steps, schedules=schedules, policy=policy, level="batch-instant", backend=backend
        )
        assert result.failure is None
        return result.schedules, result.proved

    total, text = proved("exhaustive")
    assert text == f"all {total} schedules at level batch-instant were run"
    bounded, text = proved("exhaustive:1")
    assert 1 < bounded < total
    assert text == "every schedule with at most 1 deviation at level batch-instant was run"
    assert proved("exhaustive:99") == (total, f"all {total} schedules at level batch-instant were run")
    assert proved("exhaustive", bounded) == (bounded, text)
    assert proved("exhaustive", 2) == (2, None)
    assert proved("exhaustive:0") == (1, None)
    assert proved("random", 5) == (5, None)
