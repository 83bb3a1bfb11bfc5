"""Deadlines that pass, programs that are interrupted: the bugs are found soon, their twins not blamed."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

import wavetank
from wavetank import EventLog, Tank
from wavetank.checks.disturbances import disturbed
from wavetank.tank.search.made_schedule import Made

from ..correct.threads import ask as ask_by_sdk
from ..correct.threads import client
from ..depth import DEEP, n_of
from .cut_programs import DEADLINES, INTERRUPTIONS, ROWS, ask

SEEDS = range(n_of(3, 20))
ENOUGH = n_of(2, 20)
"""Of three seeds the third decides only where the first two disagree."""
TWIN_SCHEDULES = n_of(20, 3000)
SOON = 20

BACKENDS = ("asyncio", "trio")

on_both = pytest.mark.parametrize("backend", BACKENDS)
# Each bug meets one of the backends, unless the suite goes deep.
each_bug = pytest.mark.parametrize(
    ("name", "interrupt", "backend"),
    [
        (name, interrupt, backend)
        for interrupt, bugs in ((False, DEADLINES), (True, INTERRUPTIONS))
        for number, name in enumerate(bugs)
        for backend in (BACKENDS if DEEP else (BACKENDS[number % 2],))
    ],
)


def log_of(made: Made) -> EventLog:
    assert made.trial is not None
    return made.trial.log


@each_bug
def test_the_bug_is_found_soon(name: str, interrupt: bool, backend: str) -> None:
    """In twenty schedules by the median; the report says what was done, and a token repeats it."""
    bug, took, tokens = (INTERRUPTIONS if interrupt else DEADLINES)[name], list[int](), dict[str, bytes]()
    for seed in SEEDS:
        if len(took) == ENOUGH and max(took) <= SOON:
            break
        main, options = bug.options(False, interrupt=interrupt)
        result = wavetank.search(main, schedules=200, seed=seed, backend=backend, **options)
        run = result.failure
        assert run is not None
        took.append(result.schedules)
        failed = [each.name for each in run.verdicts.values() if each.passed is False]
        assert bug.check in (run.kind, *failed)
        assert ("interruption" if interrupt else "deadline") in {each.kind for each in run.deviations}
        tokens[run.schedule] = run.events.to_ndjson(waits=False)
    assert statistics.median(took) <= SOON
    for token, log in tokens.items():
        main, options = bug.options(False, interrupt=interrupt)
        again = wavetank.simulate(main, backend=backend, schedule=token, **options)
        assert again.events.to_ndjson(waits=False) == log


@each_bug
def test_the_twin_is_not_blamed(name: str, interrupt: bool, backend: str) -> None:
    """And it has met what shows the bug."""
    main, options = (INTERRUPTIONS if interrupt else DEADLINES)[name].options(True, interrupt=interrupt)
    met = 0

    def look(made: Made) -> None:
        nonlocal met
        met += disturbed(log_of(made)) is not None

    wavetank.search(main, schedules=TWIN_SCHEDULES, backend=backend, watch=look, **options).check()
    assert met >= TWIN_SCHEDULES // 5


@on_both
def test_the_deadline_of_the_test_never_passes(backend: str) -> None:
    """What a stall takes is added to it, so that work which fits in still does."""

    async def main(tank: Tank) -> None:
        async def work(row: str) -> None:
            while True:
                with anyio.move_on_after(50):
                    await ask(tank, row)
                    return

        with anyio.fail_after(51):
            async with anyio.create_task_group() as group:
                for row in ROWS:
                    group.start_soon(work, row)

    passed = 0

    def look(made: Made) -> None:
        nonlocal passed
        passed += disturbed(log_of(made)) is not None

    wavetank.search(main, schedules=60, backend=backend, watch=look).check()
    assert passed > 10


@on_both
def test_the_budget_of_time_grows_by_what_passed(backend: str) -> None:
    """A run of two seconds with a budget of three is no overrun when its deadline of a minute passes."""

    async def main(_: Tank) -> None:
        async def work() -> None:
            with anyio.move_on_after(60):
                await anyio.sleep(1)
                await anyio.sleep(1)

        async with anyio.create_task_group() as group:
            group.start_soon(work)

    wavetank.search(main, schedules=60, backend=backend, max_virtual_seconds=3).check()


@on_both
def test_a_store_under_the_deadline_is_no_payment_too_many(backend: str) -> None:
    """What the cancelled task could not report is evidence; with `paid_per_item` declared it is a failure."""

    def main(declared: bool) -> wavetank.tank.runs.trial_runs.Main:
        async def work(tank: Tank) -> None:
            if declared:
                tank.expect(paid_per_item=1)
            tank.ledger.submit("row")
            async with anyio.create_task_group() as group:
                group.start_soon(attempts, tank)

        return work

    async def attempts(tank: Tank) -> None:
        for _ in range(3):
            try:
                with anyio.fail_after(30):
                    text = await ask(tank, "row")
                    await anyio.sleep(0.1)
                tank.ledger.complete("row", text)
                return
            except TimeoutError:
                continue
        tank.ledger.fail("row")

    noted = 0

    def look(made: Made) -> None:
        nonlocal noted
        noted += bool(log_of(made).of("unreported"))

    wavetank.search(main(False), schedules=40, backend=backend, watch=look).check()
    assert noted
    failure = wavetank.search(main(True), schedules=40, backend=backend).failure
    assert failure is not None
    assert failure.verdicts["exactly_once"].passed is False


@on_both
def test_a_pause_happens_where_no_deadline_is_near(backend: str) -> None:
    """The clock may go on by 50 ms between two awaits of a program that sets no timer."""

    async def main(_: Tank) -> None:
        began = anyio.current_time()
        await anyio.lowlevel.checkpoint()
        assert anyio.current_time() - began < 0.04

    run = wavetank.search(main, schedules=60, backend=backend).failure
    assert run is not None
    assert "time passes inside the program: 0s to 50ms" in run.report()
    again = wavetank.simulate(main, backend=backend, schedule=run.schedule)
    assert type(again.error) is AssertionError


@on_both
def test_outside_a_search_nothing_is_cut(backend: str) -> None:
    """The first option, False, no time-out, no cancellation."""

    async def main(tank: Tank) -> object:
        with anyio.CancelScope() as scope:
            tank.maybe_cancel(scope)
            await anyio.lowlevel.checkpoint()
        value = await tank.maybe_timeout(ask(tank, "row"))
        return tank.choose("abc"), tank.randomly(1), scope.cancel_called, bool(value)

    run = wavetank.simulate(main, backend=backend, interrupt=True)
    assert run.value == ("a", False, False, True)


@on_both
def test_choices_of_the_test_are_explored_shrunk_and_repeated(backend: str) -> None:
    """Each option is taken; what is not needed is shrunk away; the report says what was chosen where."""

    async def main(tank: Tank) -> None:
        sizes = [tank.choose([1, 2, 3]) for _ in range(3)]
        late = tank.randomly(0.5)
        assert not (sizes[1] == 3 and late)

    run = wavetank.search(main, schedules=200, backend=backend).failure
    assert run is not None
    assert [each.text.partition(" (")[0] for each in run.deviations] == [
        "choose takes 3, not 1",
        "randomly(0.5) is True",
    ]
    assert "(2 choices of the test)" in run.found[0]
    assert type(wavetank.simulate(main, backend=backend, schedule=run.schedule).error) is AssertionError


@on_both
def test_a_probability_is_kept(backend: str) -> None:
    """Of many questions about as many are answered with yes as the probability says."""
    seen: list[bool] = []

    async def main(tank: Tank) -> None:
        seen.extend(tank.randomly(0.25) for _ in range(50))
        assert not tank.randomly(0)

    wavetank.search(main, schedules=41, backend=backend).check()
    assert 400 < sum(seen[50:]) < 600


def test_a_wrong_choice_is_refused() -> None:
    """The error says what to give."""

    async def main(tank: Tank) -> None:
        with pytest.raises(ValueError, match="nothing to choose from"):
            tank.choose([])
        with pytest.raises(TypeError, match="give a list or a tuple"):
            tank.choose({1, 2})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="between 0 and 1"):
            tank.randomly(1.5)
        with pytest.raises(TypeError, match="give a probability"):
            tank.randomly("often")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a cancel scope or a task"):
            tank.maybe_cancel(3)

    wavetank.simulate(main).check()
    with pytest.raises(ValueError, match="write interrupt=True"):
        wavetank.search(main, after_interrupt=main)
    with pytest.raises(TypeError, match="give a coroutine function, as `main` is one"):
        wavetank.search(main, interrupt=True, after_interrupt=print)


@on_both
def test_a_scope_and_a_call_may_be_cut_by_hand(backend: str) -> None:
    """At an await of the call; the report says where it was asked for."""

    async def main(tank: Tank) -> None:
        used = [0]

        async def query() -> None:
            used[0] += 1
            await anyio.sleep(0.01)
            await anyio.sleep(0.01)
            used[0] -= 1

        async def client() -> None:
            with suppress(TimeoutError):
                await tank.maybe_timeout(query())

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(client)
        assert not used[0]

    run = wavetank.search(main, schedules=60, backend=backend).failure
    assert run is not None
    assert [each.kind for each in run.deviations] == ["test"]
    assert "maybe_timeout ends (tests/tank/test_tank_cuts.py:" in run.report()

    async def scoped(tank: Tank) -> None:
        with anyio.CancelScope() as scope:
            tank.maybe_cancel(scope)
            await anyio.sleep(1)
        assert not scope.cancelled_caught

    run = wavetank.search(scoped, schedules=60, backend=backend).failure
    assert run is not None
    assert "maybe_cancel cancels its scope (tests/tank/test_tank_cuts.py:" in run.report()


@on_both
def test_the_await_that_was_cut_is_named(backend: str) -> None:
    """In the schedule and in the log."""
    main, options = INTERRUPTIONS["calls_off_all"].options(False, interrupt=True)
    run = wavetank.search(main, backend=backend, **options).failure
    assert run is not None
    (event,) = run.events.of("interrupted")
    line = (Path(__file__).parent / "cut_programs.py").read_text().splitlines()[(event.line or 0) - 1]
    assert "await" in line
    assert f"the program is interrupted; main waits at {event.file}:{event.line}" in run.report()


@pytest.mark.parametrize("kept_at_once", [True, False])
def test_a_plain_loop_pays_once_for_what_it_had(kept_at_once: bool) -> None:
    """The main thread has an answer while it asks for the next row; the report says when it was cut."""
    kept: dict[str, str] = {}

    def main(tank: Tank) -> None:
        kept.clear()
        again(tank)

    def again(tank: Tank) -> None:
        sdk, answers = client(), kept if kept_at_once else dict(kept)
        for row in ROWS:
            tank.ledger.submit(row)
            if row not in answers:
                answers[row] = ask_by_sdk(sdk, row)
        kept.update(answers)
        for row in ROWS:
            tank.ledger.complete(row, kept[row])

    run = wavetank.search(main, schedules=n_of(40, 400), interrupt=True, after_interrupt=again).failure
    assert (run is None) is kept_at_once
    if run is not None:
        evidence = "\n".join(run.verdicts["exactly_once"].evidence)
        assert "the program was interrupted, as by Ctrl-C, where main waited at tests/" in evidence
        assert "the program began again on what it had kept" in evidence


@pytest.mark.parametrize("by_main", [True, False])
def test_threads_of_a_pool_are_used_again(by_main: bool) -> None:
    """What a thread returns is in the hands of another: it is not blamed, and that one keeps each answer."""
    kept: dict[str, str] = {}

    def main(tank: Tank) -> None:
        kept.clear()
        again(tank)

    def again(tank: Tank) -> None:
        sdk = client()

        def ask_for(row: str) -> str:
            text = ask_by_sdk(sdk, row)
            if not by_main:
                kept[row] = text
            return text

        for row in ROWS:
            tank.ledger.submit(row)
        with ThreadPoolExecutor(2) as pool:
            asked = {pool.submit(ask_for, row): row for row in ROWS if row not in kept}
            for done in as_completed(asked):
                time.sleep(0.5)
                kept[asked[done]] = done.result()
        for row in ROWS:
            tank.ledger.complete(row, kept[row])

    wavetank.search(main, schedules=n_of(40, 400), interrupt=True, after_interrupt=again).check()


@pytest.mark.parametrize("flushed_at", [1, 3, 99])
def test_what_a_pool_reports_while_it_ends_is_paid_once(flushed_at: int) -> None:
    """Rows that are reported after the interruption, and kept too late or not at all, fail the test."""
    kept: dict[str, str] = {}

    def main(tank: Tank) -> None:
        kept.clear()
        for row in ROWS:
            tank.ledger.submit(row)
        again(tank)

    def again(tank: Tank) -> None:
        sdk, labels, lock = client(), dict[str, str](), threading.Lock()

        def label(row: str) -> None:
            text = ask_by_sdk(sdk, row)
            with lock:
                labels[row] = text
                if len(labels) >= flushed_at:
                    kept.update(labels)
                    labels.clear()
            tank.ledger.complete(row, text)

        with ThreadPoolExecutor(2) as pool:
            for row in ROWS:
                if row not in kept:
                    pool.submit(label, row)
        kept.update(labels)

    run = wavetank.search(main, schedules=n_of(40, 400), interrupt=True, after_interrupt=again).failure
    assert (run is None) is (flushed_at == 1)
    if run is not None:
        story = [each.kind for each in run.events if each.kind in ("interrupted", "completed", "restarted")]
        assert "completed" in story[story.index("interrupted") : story.index("restarted")]
        assert "was paid 2 times" in run.verdicts["exactly_once"].summary


@on_both
def test_what_is_called_off_is_not_reported(backend: str) -> None:
    """A program that has an answer in its hand when it is cut may call the row off, and ask again."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("row")
        kept.clear()
        await again(tank)

    async def again(tank: Tank) -> None:
        try:
            if "row" not in kept:
                text = await ask(tank, "row")
                await anyio.sleep(0.5)
                kept["row"] = text
        except BaseException:
            tank.ledger.cancel("row")
            raise
        tank.ledger.complete("row", kept["row"])

    kept: dict[str, str] = {}
    wavetank.search(main, schedules=40, interrupt=True, after_interrupt=again, backend=backend).check()
