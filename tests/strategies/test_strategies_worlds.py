"""Worlds: a few schedules in each example, one shrunk failure, and what is reported to Hypothesis."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import Phase, Verbosity, example, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import DeadlineExceeded

from wavetank import ProviderError, Tank, Workload, strategies
from wavetank.strategies import DrawnSchedule, World
from wavetank.strategies.worlds import SCHEDULES

from ..depth import DEEP, n_of
from ..forked import ForkedPython

COOLDOWN = 0.073


async def waits_too_late(tank: Tank) -> None:
    """A worker that finds the others paused takes two steps before it waits; the pause may end meanwhile."""
    assert tank.workload is not None
    work, paused, over = iter(tank.workload.items), False, anyio.Event()

    async def see_through(item: str, prompt: str) -> None:
        nonlocal paused, over
        tank.ledger.submit(item)
        if paused:
            await anyio.sleep(0)
            await anyio.sleep(0)
            await over.wait()
        while True:
            try:
                answer = await tank.fake_llm.call(prompt, item=item)
            except ProviderError:
                leads, paused = not paused, True
                await anyio.sleep(COOLDOWN)
                if leads:
                    paused = False
                    over.set()
                    over = anyio.Event()
            else:
                tank.ledger.complete(item, answer.text)
                return

    async def worker() -> None:
        for item in work:
            await anyio.sleep(max(item.arrives_at - tank.now(), 0))
            await see_through(item.id, item.prompt)

    async with anyio.create_task_group() as group:
        for _ in range(tank.workload.workers):
            group.start_soon(worker)


async def retries_until_answered(tank: Tank) -> None:
    """A correct program: it asks again, a second later, until it has its answer."""
    assert tank.workload is not None

    async def see_through(item: str, prompt: str) -> None:
        tank.ledger.submit(item)
        while True:
            try:
                answer = await tank.fake_llm.call(prompt, item=item)
            except ProviderError:
                await anyio.sleep(1)
            else:
                tank.ledger.complete(item, answer.text)
                return

    async with anyio.create_task_group() as group:
        for item in tank.workload.items:
            group.start_soon(see_through, item.id, item.prompt)


def small_worlds() -> st.SearchStrategy[World]:
    """One plain wave at the start, answers within a tick, up to twelve items and six workers."""
    return strategies.worlds(
        scenarios=strategies.scenarios(
            latencies=strategies.latencies(most=0.05),
            waves=strategies.waves(
                latest=0, longest=0.3, statuses=(429,), shares=(1.0,), most_times=1, barriers=False
            ),
            max_waves=1,
            max_faults=0,
        ),
        workloads=strategies.workloads(arrivals=strategies.arrivals(latest=0.3)),
        seeds=st.just(0),
    )


SMALLEST = (
    "World({'latency': {'refusal': '50ms'}, 'wave': [{'lasts': '50ms'}]}, Workload.of([0.0, 0.1], workers=2))"
)
# From a few seeds the shrinker stays here: no single step that it takes from this one fails as well.
ALL_AT_ONCE = (
    "World({'latency': {'first_token': '50ms', 'refusal': '50ms'}, 'wave': [{'lasts': '50ms'}]}, "
    "Workload.of(4, workers=3))"
)
# Without the phase that explains, which takes longest.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink)
FIND = settings(max_examples=1000, deadline=None, database=None, phases=PHASES)
SEEDS = range(40) if DEEP else [9]  # of the first ten the quickest


def failure_of(test: Callable[[], Any]) -> BaseException:
    """What a test raised."""
    try:
        test()
    except Exception as error:
        return error
    raise AssertionError("the test passed")


def text_with_notes(error: BaseException) -> str:
    """An error with its notes, as a reader sees it."""
    return "\n".join((str(error), *getattr(error, "__notes__", ())))


def test_a_race_in_inputs_and_schedule_shrinks_to_the_smallest_world() -> None:
    """Two workers, two items, one tick of wave, one stall; some seeds end in a world with more of them.

    Of the forty seeds of the deep tests 29 ended in one of the two.
    """
    ends = [shrunk_world(number) for number in SEEDS]
    smallest = (SMALLEST, ALL_AT_ONCE) if DEEP else (SMALLEST,)
    assert sum(end in smallest for end in ends) >= 0.6 * len(SEEDS), ends


def shrunk_world(number: int) -> str:
    """Where a search from a seed ends; the token of its report repeats the failure."""

    @settings(FIND)
    @seed(number)
    @given(small_worlds())
    def test(world: World) -> None:
        world.run(waits_too_late)

    report = text_with_notes(failure_of(test))
    (shown,) = {*re.findall(r"to repeat it: (World.*?)\.run\(waits_too_late, schedule='wt1-", report)}
    if shown == SMALLEST:
        assert "reachable on stock asyncio (1 stall)" in report
    token = re.findall(r"schedule='(wt1-[^']+)'", report)[0]
    again = failure_of(lambda: eval(shown).run(waits_too_late, schedule=token))
    assert "deadlock" in str(again)
    return str(shown)


def test_a_value_in_place_of_a_strategy_is_an_error() -> None:
    """For a backend by name, where a strategy is needed, the error says how to write it."""

    @settings(max_examples=1, database=None)
    @given(strategies.worlds(backends="trio"))  # type: ignore[arg-type]
    def test(_: World) -> None: ...

    with pytest.raises(TypeError, match=r"backends='trio' is no strategy: write backends=hypothesis.*just\("):
        test()


def test_a_correct_program_passes_in_every_world() -> None:
    """A correct program passes on both backends, and no health check of Hypothesis fails."""

    @settings(database=None, max_examples=n_of(10, 300), deadline=None, suppress_health_check=())
    @given(strategies.worlds(backends=st.sampled_from(["asyncio", "trio"])))
    def test(world: World) -> None:
        assert world.run(retries_until_answered).schedules == SCHEDULES

    test()


def test_a_pasted_world_is_searched_to_the_end() -> None:
    """Outside of Hypothesis a world runs as a search does: repeated, shrunk, with its report."""
    world = World(
        {"latency": {"refusal": "50ms"}, "wave": [{"lasts": "50ms"}]}, Workload.of([0, 0.1], workers=6)
    )
    with pytest.raises(AssertionError, match="it needs 2 of 2 items and 2 of 6 workers"):
        world.run(waits_too_late, schedules=300)


def test_an_explicit_example_is_run_like_any_other() -> None:
    """`@example` takes a world, and its failure comes with the whole report."""
    world = World(
        {"wave": [{"lasts": "50ms"}], "latency": {"refusal": "50ms"}}, Workload.of([0, 0.1], workers=2)
    )

    @settings(database=None, max_examples=1, phases=[Phase.explicit])
    @example(world)
    @given(small_worlds())
    def test(world: World) -> None:
        world.run(waits_too_late, schedules=100)

    assert "FIFO order, except:" in text_with_notes(failure_of(test))


def test_a_failing_world_is_kept_in_the_example_database() -> None:
    """The second run of a failing test begins with the world that failed."""
    database, worlds = InMemoryExampleDatabase(), list[World]()

    @settings(database=database, max_examples=300, deadline=None, phases=PHASES, derandomize=False)
    @given(small_worlds())
    def test(world: World) -> None:
        worlds.append(world)
        world.run(fails_with_two_items)

    first = failure_of(test)
    smallest = worlds[-1]
    worlds.clear()
    again = failure_of(test)
    assert worlds[0] == worlds[-1] == smallest
    assert str(first) == str(again)


async def fails_with_two_items(tank: Tank) -> None:
    """An error of the program itself."""
    await retries_until_answered(tank)
    assert tank.workload is not None
    if len(tank.workload.items) > 1:
        raise LookupError("two items")


def test_an_error_of_the_program_is_raised_with_its_report() -> None:
    """What the program raises comes out as it is, in the smallest world, with the line that repeats it.

    Within `@given` an example stops at its first failure; only the last one is shrunk.
    """

    reports: list[str] = []

    @settings(FIND)
    @given(strategies.worlds())
    def test(world: World) -> None:
        try:
            world.run(fails_with_two_items)
        except LookupError as error:
            reports.append("\n".join(getattr(error, "__notes__", ())))
            raise

    error = failure_of(test)
    assert isinstance(error, LookupError)
    assert "Workload.of(2, workers=1)).run(fails_with_two_items, schedule='wt1-" in text_with_notes(error)
    assert ["of the search" in report for report in reports] == [False] * (len(reports) - 1) + [True]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_hypothesis_may_own_the_schedule(backend: str) -> None:
    """With a drawn schedule Hypothesis shrinks the order too, and the token it notes repeats the run."""

    @settings(FIND)
    @given(st.just(World("calm", Workload.of(2, workers=2), backend=backend)), strategies.schedules())
    def test(world: World, schedule: DrawnSchedule) -> None:
        world.run(out_of_turn, schedule=schedule)

    report = text_with_notes(failure_of(test))
    assert "in an order that was drawn" in report
    (token,) = set(re.findall(r"wt1-[\w-]+", report))
    assert f"the drawn schedule, as a token: {token}" in report
    again = failure_of(
        lambda: World("calm", Workload.of(2, workers=2), backend=backend).run(out_of_turn, schedule=token)
    )
    assert isinstance(again, ArithmeticError)


async def out_of_turn(tank: Tank) -> None:
    """Fails when a later worker's turn comes first."""
    assert tank.workload is not None
    turns: list[int] = []

    async def worker(number: int) -> None:
        turns.append(number)

    async with anyio.create_task_group() as group:
        for number in range(tank.workload.workers):
            group.start_soon(worker, number)
    if turns != sorted(turns):
        raise ArithmeticError("out of turn")


def test_a_schedule_stops_drawing_before_hypothesis_gives_up() -> None:
    """A run of many choices is no overrun: behind so many draws the order is FIFO."""

    async def long(_: Tank) -> None:
        async def steps() -> None:
            for _ in range(2500):  # together more than the 4000 draws that Hypothesis takes
                await anyio.sleep(0)

        async with anyio.create_task_group() as group:
            group.start_soon(steps)
            group.start_soon(steps)

    @settings(database=None, max_examples=1, deadline=None)
    @given(strategies.schedules(level="any-instant"))
    def test(schedule: DrawnSchedule) -> None:
        World("calm", Workload.of(1)).run(long, schedule=schedule)

    test()


def test_a_deadline_that_was_too_short_is_explained() -> None:
    """The report of Hypothesis has how long the schedules took, and what to write."""

    @settings(FIND, deadline=timedelta(milliseconds=0.01))
    @given(strategies.worlds())
    def test(world: World) -> None:
        world.run(retries_until_answered, schedules=3)

    error = failure_of(test)
    assert isinstance(error, DeadlineExceeded)
    said = r"3 schedules of this world took \d+\.\d\d s of real time, .*: write @settings\(deadline=None\)"
    assert re.search(said, text_with_notes(error))


def test_events_and_targets_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Refusals, waste and stalls steer the generator; two worlds in one test are no error."""

    @settings(database=None, max_examples=2, verbosity=Verbosity.verbose, deadline=None)
    @given(strategies.worlds())
    def test(world: World) -> None:
        world.run(retries_until_answered, schedules=2)
        world.run(retries_until_answered, schedules=2)

    test()
    out = capsys.readouterr().out
    for label in ("refusals", "wasted answers", "longest stall in seconds"):
        assert f"label='{label}'" in out


SUITE = """
    import anyio, pytest
    from hypothesis import given, settings
    from wavetank import strategies

    async def main(tank):
        for item in tank.workload.items:
            tank.ledger.submit(item.id)
            await anyio.sleep(item.arrives_at)
            tank.ledger.cancel(item.id)

    @settings(max_examples=2)
    @given(strategies.worlds())
    def test_sync(world):
        world.run(main)

    @pytest.mark.{mark}
    async def test_neighbour():
        await anyio.sleep(0)

    @pytest.mark.{mark}
    @settings(max_examples=2)
    @given(strategies.worlds())
    async def test_worlds_are_drawn_in_async_tests_too(world):
        await anyio.sleep(0)
        assert world.workload.workers >= 1

    @pytest.mark.{mark}
    @settings(max_examples=1)
    @given(strategies.worlds())
    async def test_a_run_inside_a_loop(world):
        with pytest.raises(RuntimeError, match="call it from a sync function"):
            world.run(main)
"""


MARKS = ("anyio", "asyncio", "trio")


@pytest.mark.parametrize("marks", [[mark] for mark in MARKS] if DEEP else [MARKS], ids="-".join)
def test_it_works_beside_async_plugins(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, marks: Sequence[str]
) -> None:
    """In suites of anyio, pytest-asyncio and pytest-trio, with the profile they load."""
    pytester.makeconftest(
        """
        from hypothesis import settings
        settings.register_profile("slow machine", deadline=None, database=None)
        settings.load_profile("slow machine")
        """
    )
    pytester.makepyfile(**{f"test_{mark}": SUITE.format(mark=mark) for mark in marks})
    monkeypatch.setattr(subprocess, "Popen", ForkedPython)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # all that are installed take two seconds
    plugins = dict.fromkeys(("no:cacheprovider", "anyio", "hypothesispytest", "wavetank", *marks))
    result = pytester.runpytest_subprocess(*(word for name in plugins for word in ("-p", name)))
    result.assert_outcomes(passed=sum(7 if mark == "anyio" else 4 for mark in marks))
    assert result.ret == 0
