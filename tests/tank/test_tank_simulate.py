"""`simulate`: one program, one scenario, one run in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

import wavetank
from wavetank import CheckFailed, EventLog, QuotaExhausted, RateLimited, Scenario, Tank, TokenError
from wavetank.checks import CHECKS, STRICT, UnknownCheck
from wavetank.clock import MILLISECOND, SECOND, Duration
from wavetank.scenario import DurationRange, Fault, Latency, Limits, Match, RetryAfter, ScenarioError, Wave

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)

NOTHING_GETS_THROUGH = Scenario(wave=(Wave(lasts=Duration(SECOND), every=Duration(SECOND)),))
A_IS_REFUSED_FOR_EVER = Scenario(
    wave=(Wave(lasts=Duration(SECOND), every=Duration(SECOND), match=Match(item="a")),)
)


def refused_once(retry_after: float) -> Scenario:
    """What arrives in the first second is refused."""
    wait = RetryAfter(value=Duration(round(retry_after * SECOND)))
    return Scenario(wave=(Wave(lasts=Duration(SECOND), retry_after=wait),))


async def ask(tank: Tank, item: str) -> None:
    """A patient client: it waits for each Retry-After and reports what it got."""
    tank.ledger.submit(item)
    while True:
        try:
            answer = await tank.fake_llm.call(f"do {item}", item=item)
        except RateLimited as refusal:
            await anyio.sleep(refusal.retry_after or 1)
        else:
            return tank.ledger.complete(item, answer.text)


async def ask_both(tank: Tank) -> str:
    async with anyio.create_task_group() as group:
        group.start_soon(ask, tank, "a")
        group.start_soon(ask, tank, "b")
    return "done"


# -- what a run tells ------------------------------------------------------------------------------


JUDGED: Final = (
    *("liveness", "exactly_once", "right_answer", "answered", "retry_after", "shared_pause"),
    *("no_storm", "permits_returned", "loop_responsive", "exercised"),
)
"""Checks that have what they need in a short run with a refusal, where nothing is declared."""


@on_both
def test_a_run_has_all_that_the_contract_names(backend: str) -> None:
    """Value, verdicts, events, virtual seconds, steps and token of a run that went well."""
    run = wavetank.simulate(ask_both, scenario=refused_once(2), backend=backend, checks="strict,exercised")
    assert run.value == "done"
    assert run.error is None
    assert [*run.verdicts] == [*CHECKS]
    verdicts = {name: verdict.passed for name, verdict in run.verdicts.items()}
    assert verdicts.items() >= dict.fromkeys(JUDGED, True).items()
    assert False not in verdicts.values()
    assert run.virtual_seconds == 2.01
    assert run.steps > 0
    assert run.schedule.startswith("wt1-")
    assert run.kind is None
    assert repr(run) == "<Run of scenario: passed after 2.01 s>"
    run.check()


@on_both
def test_the_events_of_a_run_are_in_the_order_of_time(backend: str) -> None:
    """Each request goes from arrived to delivered, and instants never go back."""
    run = wavetank.simulate(ask_both, scenario=refused_once(2), backend=backend)
    assert [event.at for event in run.events] == sorted(event.at for event in run.events)
    assert [event.kind for event in run.events if event.item == "a"] == [
        "submitted",
        "arrived",
        "refused",
        "delivered",
        "arrived",
        "answered",
        "delivered",
        "completed",
    ]
    assert run.events.end is not None
    assert run.events.end.how == "returned"


@on_both
def test_the_tank_says_the_time(backend: str) -> None:
    """`tank.now()` and the clocks of `time` agree and start at 0."""

    async def main(tank: Tank) -> list[float]:
        start = [tank.now(), time.monotonic()]
        await anyio.sleep(1.25)
        return [*start, tank.now(), time.monotonic(), time.perf_counter()]

    assert wavetank.simulate(main, backend=backend).value == [0, 0, 1.25, 1.25, 1.25]


@on_both
def test_waiting_an_hour_costs_an_hour_of_virtual_time_only(backend: str) -> None:
    """A Retry-After of 3600 s is waited for to the second, in few steps."""
    run = wavetank.simulate(ask_both, scenario=refused_once(3600), backend=backend, checks="strict")
    run.check()
    assert run.virtual_seconds == 3600.01
    assert run.steps < 200


# -- errors of main --------------------------------------------------------------------------------


async def raise_value_error(_: Tank) -> None:
    raise ValueError("broken")


@on_both
def test_what_main_raises_is_the_error_of_the_run(backend: str) -> None:
    """The error is kept, and `check` raises it with the line that repeats the run."""
    run = wavetank.simulate(raise_value_error, backend=backend)
    assert isinstance(run.error, ValueError)
    assert run.value is None
    assert run.kind == "error"
    assert run.events.end is not None
    assert (run.events.end.how, run.events.end.error) == ("raised", "ValueError")
    for _ in range(2):
        with pytest.raises(ValueError, match="broken") as caught:
            run.check()
    assert caught.value.__notes__ == [f"to repeat it: {run.replay}"]


@on_both
@pytest.mark.parametrize(
    "outcome", [KeyboardInterrupt, SystemExit, pytest.skip.Exception, pytest.xfail.Exception]
)
def test_interrupts_and_outcomes_of_pytest_propagate(backend: str, outcome: type[BaseException]) -> None:
    """What is no error of the program leaves `simulate` as it is."""

    async def main(_: Tank) -> None:
        await anyio.sleep(1)
        raise outcome("so")

    with pytest.raises(outcome, match="so"):
        wavetank.simulate(main, backend=backend)


@on_both
def test_an_interrupt_leaves_no_thread_behind(backend: str) -> None:
    """Threads of the run that still sleep are ended, also when the run is broken off."""
    started: list[threading.Thread] = []

    async def main(_: Tank) -> None:
        started.append(threading.Thread(target=time.sleep, args=(1000,)))
        started[0].start()
        await anyio.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wavetank.simulate(main, backend=backend)
    started[0].join(600)
    assert not started[0].is_alive()


@on_both
def test_the_process_has_its_clock_back_after_any_end(backend: str) -> None:
    """After a run that was broken off, time is real again and another run starts at 0."""

    async def main(_: Tank) -> None:
        await anyio.sleep(1000)
        raise KeyboardInterrupt

    before = time.time()
    with pytest.raises(KeyboardInterrupt):
        wavetank.simulate(main, backend=backend)
    assert 0 <= time.time() - before < 500
    assert wavetank.simulate(ask_both, backend=backend).value == "done"


def test_a_run_cannot_start_inside_a_loop() -> None:
    """The fix is in the text, on both backends and for both kinds of run."""

    async def inside() -> None:
        for backend in BACKENDS:
            with pytest.raises(RuntimeError, match="call it from a sync function"):
                wavetank.simulate(ask_both, backend=backend)

    for outer in BACKENDS:
        anyio.run(inside, backend=outer)


@on_both
def test_a_cancelled_error_of_main_is_an_error(backend: str) -> None:
    """A main that cancels itself has not returned, and nothing hangs."""

    async def main(_: Tank) -> str:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(1)
        return "went on"

    assert wavetank.simulate(main, backend=backend).value == "went on"


def test_main_that_raises_cancelled_error_on_asyncio_has_an_error() -> None:
    """`asyncio.CancelledError` out of `main` is kept like any error."""

    async def main(_: Tank) -> None:
        raise asyncio.CancelledError

    assert isinstance(wavetank.simulate(main).error, asyncio.CancelledError)


# -- verdicts --------------------------------------------------------------------------------------


async def lose_b(tank: Tank) -> None:
    tank.ledger.submit("b")
    await ask(tank, "a")


async def lose_b_and_raise(tank: Tank) -> None:
    await lose_b(tank)
    tank.ledger.complete("a")
    raise ValueError("after all")


@on_both
def test_check_raises_the_first_failed_verdict(backend: str) -> None:
    """The text has the verdict, its evidence and the line that repeats the run."""
    run = wavetank.simulate(lose_b, scenario="calm", backend=backend, seed=3)
    assert run.kind == "check"
    with pytest.raises(CheckFailed) as failed:
        run.check()
    assert failed.value.verdict is run.verdicts["exactly_once"]
    lines = str(failed.value).splitlines()
    assert lines[0] == (
        "exactly_once failed: item 'b' was lost: it was submitted and never came to an outcome"
    )
    assert lines[-1] == (
        f"to repeat it: wavetank.simulate(lose_b, scenario='calm', backend={backend!r}, "
        f"schedule={run.schedule!r})"
    )


@on_both
def test_an_error_of_main_comes_before_failed_checks(backend: str) -> None:
    """The program's own error says more than what follows from it."""
    run = wavetank.simulate(lose_b_and_raise, backend=backend)
    assert run.verdicts["exactly_once"].passed is False
    with pytest.raises(ValueError, match="after all"):
        run.check()


@on_both
def test_a_hang_comes_before_everything(backend: str) -> None:
    """A run that was stopped raises its liveness verdict, with what was blocked."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        await anyio.Event().wait()

    run = wavetank.simulate(main, backend=backend)
    with pytest.raises(CheckFailed, match="liveness failed: deadlock at 0s") as failed:
        run.check()
    assert "1 item(s) without an outcome: 'a'" in str(failed.value)
    assert "task 'main'" in str(failed.value)


def test_only_the_wanted_checks_are_judged() -> None:
    """`checks` takes a set's name, a name, several, or none."""
    assert list(wavetank.simulate(lose_b, checks="liveness").verdicts) == ["liveness"]
    assert list(wavetank.simulate(lose_b, checks=["right_answer", "liveness"]).verdicts) == [
        "liveness",
        "right_answer",
    ]
    assert wavetank.simulate(lose_b, checks=()).kind is None


# -- hangs -----------------------------------------------------------------------------------------


@on_both
def test_a_deadlock_is_distinguished(backend: str) -> None:
    """Nothing can run and nothing is due: the run ends there, at its instant."""

    async def main(tank: Tank) -> None:
        await ask(tank, "a")
        await anyio.Event().wait()

    run = wavetank.simulate(main, Scenario(latency=Latency(first_token=seconds(2))), backend=backend)
    assert run.kind == "deadlock"
    assert run.virtual_seconds == 2
    assert run.verdicts["liveness"].summary == "deadlock at 2s"
    assert any("Event.wait" in line for line in run.verdicts["liveness"].evidence)


def seconds(value: float) -> DurationRange:
    return DurationRange(Duration(round(value * SECOND)), Duration(round(value * SECOND)))


@on_both
def test_a_client_that_retries_for_ever_is_a_livelock(backend: str) -> None:
    """Requests flow and no outcome comes: the budget of virtual time ends it."""
    run = wavetank.simulate(
        lambda tank: ask(tank, "a"), A_IS_REFUSED_FOR_EVER, backend=backend, max_virtual_seconds=100
    )
    assert run.kind == "livelock"
    liveness = run.verdicts["liveness"]
    assert liveness.passed is False
    assert liveness.summary.startswith("livelock: the budget of virtual time ended after")
    assert liveness.evidence[1] == "1 item(s) without an outcome: 'a'"
    assert re.fullmatch(r"[45]\d request\(s\) in the second half of the run", liveness.evidence[2])
    assert re.fullmatch(
        r"item 'a' met a refusal with 429 and asked again, every .*, \d+ times", liveness.evidence[0]
    )
    assert run.verdicts["exactly_once"].passed is None
    with pytest.raises(CheckFailed, match="max_virtual_seconds=100"):
        run.check()


def test_a_busy_loop_is_a_livelock_though_time_stands_still() -> None:
    """Steps without an outcome are counted, so a loop that never waits ends."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        while True:
            await anyio.lowlevel.checkpoint()

    run = wavetank.simulate(main)
    assert run.kind == "livelock"
    assert run.virtual_seconds == 0
    assert run.verdicts["liveness"].summary.startswith("livelock: the budget of steps ended")
    assert any("of the last 64 steps: task 'main' at" in line for line in run.verdicts["liveness"].evidence)


@on_both
def test_a_ticker_does_not_hide_a_deadlock(backend: str) -> None:
    """A worker that no task can wake, and `main` that waits for it, are found beside a task that runs on."""

    async def main(tank: Tank) -> None:
        async def ticker() -> None:
            while True:
                await anyio.sleep(60)

        async def worker() -> None:
            await ask(tank, "a")
            await anyio.Event().wait()

        async with anyio.create_task_group() as group:
            group.start_soon(ticker, name="ticker")
            group.start_soon(worker, name="worker")

    run = wavetank.simulate(main, backend=backend)
    assert run.kind == "deadlock"
    assert run.virtual_seconds == 4 * 3600
    assert run.events.end is not None
    assert run.events.end.stuck == ("main", "worker")
    assert EventLog.from_ndjson(run.events.to_ndjson()).end == run.events.end
    with pytest.raises(CheckFailed, match="partial deadlock at 4h: 2 task"):
        run.check()


@on_both
def test_workers_that_wait_for_answers_are_not_stuck(backend: str) -> None:
    """A task that waits for an answer of the fake is not stuck, however long that takes."""

    async def main(tank: Tank) -> None:
        async with anyio.create_task_group() as group:
            for item in "ab":
                group.start_soon(ask, tank, item)

    slow = Scenario(latency=Latency(first_token=seconds(20_000)))
    run = wavetank.simulate(main, slow, backend=backend)
    run.check()
    assert run.virtual_seconds == 20_000
    cut_short = wavetank.simulate(main, slow, backend=backend, max_virtual_seconds=19_000)
    assert cut_short.kind == "overrun"


def waits_out_each_day(items: Sequence[str], *, again: bool = False) -> Callable[[Tank], Awaitable[None]]:
    """A client that comes back when the quota says, and reports at the end; perhaps only to ask `again`."""

    async def main(tank: Tank) -> None:
        for item in dict.fromkeys(items):
            tank.ledger.submit(item)
        for item in itertools.cycle(items) if again else items:
            while True:
                try:
                    await tank.fake_llm.call("hello", item=item)
                    break
                except QuotaExhausted as refusal:
                    await anyio.sleep(refusal.retry_after or 60)
        for item in items:
            tank.ledger.complete(item)

    return main


@on_both
def test_a_client_that_waits_for_announced_resets_is_no_overrun(backend: str) -> None:
    """However many days its items take; a budget that is given stays."""
    main = waits_out_each_day([f"row-{number}" for number in range(100)])
    run = wavetank.simulate(main, "daily-quota", backend=backend)
    run.check()
    assert run.virtual_seconds > 48 * 3600
    bounded = wavetank.simulate(main, "daily-quota", backend=backend, max_virtual_seconds=100_000)
    assert (bounded.kind, bounded.virtual_seconds) == ("overrun", 100_000)
    assert "; 0 of 100 items had an outcome. More virtual time" in bounded.verdicts["liveness"].summary


def test_a_client_that_asks_for_the_same_each_day_comes_to_its_end() -> None:
    """A reset puts the end of the budget off only if an item got its first answer since the last one."""
    run = wavetank.simulate(waits_out_each_day(["row-1", "row-2"], again=True), "daily-quota")
    assert run.kind == "livelock"
    assert run.virtual_seconds < 4 * 24 * 3600


def test_no_run_is_put_off_for_more_than_a_year() -> None:
    """A program that finds new items each day would never end."""

    async def main(tank: Tank) -> None:
        for number in itertools.count():
            try:
                await tank.fake_llm.call("hello", item=f"row-{number}")
            except QuotaExhausted as refusal:
                await anyio.sleep(refusal.retry_after or 60)

    few = Scenario(limits=Limits(requests_per_day=1))
    run = wavetank.simulate(main, few)
    assert run.kind == "overrun"
    assert run.virtual_seconds == 366 * 24 * 3600


@on_both
def test_starvation_comes_before_an_error(backend: str) -> None:
    """A last-in-first-out client starves its first item; that it raised as well comes second."""

    async def main(tank: Tank) -> None:
        tank.expect(starvation=3)
        stack = list("abcde")
        for item in stack:
            tank.ledger.submit(item)
        for item in reversed(stack):
            await tank.fake_llm.call("hello", item=item)
            tank.ledger.complete(item)
        raise ArithmeticError

    for checks in ("default", "strict"):
        run = wavetank.simulate(main, backend=backend, checks=checks)
        assert run.kind == "starvation"
        with pytest.raises(CheckFailed, match="starvation failed: item 'b' saw no request for 3"):
            run.check()
    assert wavetank.simulate(main, backend=backend, checks="liveness").kind == "error"


@on_both
def test_a_program_that_is_only_slow_is_an_overrun(backend: str) -> None:
    """Outcomes still came when the budget ended."""

    async def main(tank: Tank) -> None:
        for number in range(1000):
            await ask(tank, f"item-{number}")
            await anyio.sleep(1)

    run = wavetank.simulate(main, Scenario(), backend=backend, max_virtual_seconds=100)
    assert run.kind == "overrun"
    assert run.verdicts["liveness"].summary.startswith("overrun: the budget of virtual time")


@on_both
def test_the_program_is_not_blamed_for_a_scenario_that_lets_nothing_through(backend: str) -> None:
    """The run is stopped by its budget, and no check fails."""
    run = wavetank.simulate(
        lambda tank: ask(tank, "a"), NOTHING_GETS_THROUGH, backend=backend, max_virtual_seconds=50
    )
    assert run.verdicts["liveness"].passed is None
    assert run.kind is None
    assert repr(run).startswith("<Run of scenario: stopped after 50 s")
    run.check()


@on_both
def test_a_hang_that_main_caught_is_still_a_hang(backend: str) -> None:
    """A program that retries whatever fails cannot hide a deadlock."""

    async def main(_: Tank) -> str:
        try:
            await anyio.Event().wait()
        except Exception:
            return "went on"
        return "never"

    run = wavetank.simulate(main, backend=backend)
    assert run.kind == "deadlock"
    assert run.value is None


@on_both
def test_what_main_leaves_behind_is_unwound(backend: str) -> None:
    """Tasks of a run that was stopped run their `finally`, and their outcomes are not in the log."""
    unwound: list[str] = []

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        try:
            await anyio.Event().wait()
        finally:
            unwound.append("main")
            tank.ledger.cancel("a")

    run = wavetank.simulate(main, backend=backend)
    assert unwound == ["main"]
    assert [event.kind for event in run.events] == ["submitted"]


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"checks": "livenes"}, UnknownCheck, "did you mean 'liveness'"),
        ({"checks": ["default", "nope"]}, UnknownCheck, "there is no check 'nope'"),
        ({"backend": "curio"}, ValueError, "no backend 'curio'; there are: asyncio, trio"),
        ({"seed": -1}, ValueError, r"seed=-1: a seed is a whole number from 0 to 2\*\*64 - 1"),
        ({"seed": 1 << 64}, ValueError, "a seed is a whole number"),
        (
            {"max_virtual_seconds": 0},
            ValueError,
            "max_virtual_seconds=0: the budget is a number of seconds above 0",
        ),
        ({"max_virtual_seconds": -2.5}, ValueError, "max_virtual_seconds=-2.5"),
        ({"max_virtual_seconds": float("nan")}, ValueError, "max_virtual_seconds=nan"),
        ({"scenario": "cascad"}, ScenarioError, "no scenario 'cascad'.*'cascade'"),
        ({"scenario": Path("missing.toml")}, ScenarioError, "missing.toml"),
        ({"schedule": "cascade"}, TokenError, "start with 'wt1-'; copy the whole token"),
        ({"schedule": "wt1-AAAA"}, TokenError, "is damaged: copy the whole token"),
        ({"schedule": "wt9-AAAA"}, TokenError, "not a schedule token of this version"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_runs(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The error names the argument and the fix, and `main` is never called."""

    def main(_: Tank) -> Any:
        raise AssertionError("main was called")

    with pytest.raises(error, match=message):
        wavetank.simulate(main, **arguments)


# -- schedules -------------------------------------------------------------------------------------


async def four_workers(tank: Tank) -> None:
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(ask, tank, f"item-{number}")


@on_both
@pytest.mark.parametrize("seed", [0, 5, (1 << 64) - 1])
def test_a_token_repeats_the_run_to_the_byte(backend: str, seed: int) -> None:
    """The token brings its seed along, whatever seed is given beside it."""
    first = wavetank.simulate(four_workers, "mixed", backend=backend, seed=seed)
    again = wavetank.simulate(four_workers, "mixed", backend=backend, seed=1, schedule=first.schedule)
    assert again.events.to_ndjson() == first.events.to_ndjson()
    assert again.schedule == first.schedule
    assert again.steps == first.steps


@on_both
def test_another_seed_is_another_run(backend: str) -> None:
    """The picks a scenario leaves open hang on the seed."""
    logs = {
        wavetank.simulate(four_workers, "mixed", backend=backend, seed=seed).events.to_ndjson()
        for seed in range(3)
    }
    assert len(logs) == 3


def test_a_token_of_another_run_is_refused_with_the_fix() -> None:
    """Another backend and another scenario are distinguished; a torn token is damaged."""
    token = wavetank.simulate(four_workers, "mixed").schedule
    with pytest.raises(TokenError, match=r"made on asyncio, and this run is on trio.*backend='asyncio'"):
        wavetank.simulate(four_workers, "mixed", backend="trio", schedule=token)
    with pytest.raises(TokenError, match="another scenario"):
        wavetank.simulate(four_workers, "calm", schedule=token)
    for torn in (token[:-1], token[:9] + "AA" + token[11:], token + "AAAA"):
        with pytest.raises(TokenError, match="is damaged"):
            wavetank.simulate(four_workers, "mixed", schedule=torn)


def test_the_replay_line_can_be_pasted(tmp_path: Path) -> None:
    """It names the scenario as it was given, and running it gives the same log."""
    file = tmp_path / "own.toml"
    file.write_text('[[wave]]\nat = "0s"\nlasts = "1s"\nretry_after = "500ms"\n')
    for scenario in ("mixed", str(file), file, refused_once(3)):
        run = wavetank.simulate(four_workers, scenario, seed=2, max_virtual_seconds=900)
        again = eval(run.replay, {"wavetank": wavetank, "four_workers": four_workers, "scenario": scenario})
        assert again.events.to_ndjson() == run.events.to_ndjson()
        assert again.replay == run.replay


# -- the ledger and the tank -----------------------------------------------------------------------


def test_the_ledger_keeps_outcomes_and_marks() -> None:
    """Values are cut, addresses blanked, errors named, marks found in any value."""

    async def main(tank: Tank) -> None:
        ledger = tank.ledger
        for item in "abcdef":
            ledger.submit(item)
        ledger.complete("a", "x" * 300 + "[wt:a]")
        ledger.complete("b", {"text": "[wt:b]", "at": object()})
        ledger.complete("c")
        ledger.fail("d", ValueError(f"no {object()!r}"))
        ledger.fail("e")
        ledger.cancel("f")

    log = wavetank.simulate(main).events
    outcomes = {event.item: event for event in log.of("completed", "failed", "cancelled")}
    assert outcomes["a"].value == "x" * 200
    assert outcomes["a"].marks == ("a",)
    assert outcomes["b"].marks == ("b",)
    assert "0x…" in (outcomes["b"].value or "")
    assert (outcomes["c"].value, outcomes["c"].marks) == (None, ())
    assert outcomes["d"].error == "ValueError: no <object object at 0x…>"
    assert outcomes["e"].error == ""
    assert outcomes["f"].kind == "cancelled"


def test_an_item_id_is_a_string() -> None:
    """Another type is refused with the fix."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit(7)  # type: ignore[arg-type]

    error = wavetank.simulate(main).error
    assert isinstance(error, TypeError)
    assert str(error) == "an item id is a string, not int: write ledger.submit(str(id))"


async def ask_once(tank: Tank) -> None:
    await tank.fake_llm.call("hedge", item="a")


@on_both
def test_expectations_are_judged_and_unknown_ones_refused(backend: str) -> None:
    """A hedging client declares what it pays for; a misspelt name is reported."""

    async def hedge(tank: Tank, *, allowed: int | None) -> None:
        if allowed is not None:
            tank.expect(paid_per_item=allowed)
        tank.ledger.submit("a")
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(ask_once, tank)
        tank.ledger.complete("a")

    for allowed, passed in ((None, False), (1, False), (2, True)):
        run = wavetank.simulate(partial(hedge, allowed=allowed), backend=backend)
        assert run.verdicts["exactly_once"].passed is passed

    async def slip(tank: Tank) -> None:
        with pytest.raises(TypeError, match=r"'paid_pro_item'; did you mean 'paid_per_item'\?"):
            tank.expect(paid_pro_item=1)
        with pytest.raises(ValueError, match=r"expect\(paid_per_item=0\)"):
            tank.expect(paid_per_item=0)

    wavetank.simulate(slip, backend=backend).check()


@on_both
def test_the_fake_can_be_asked_for_its_verdicts_at_once(backend: str) -> None:
    """`fake_llm.check` raises in the middle of a run and returns verdicts when all is well."""

    async def main(tank: Tank) -> list[str]:
        tank.ledger.submit("b")
        with pytest.raises(CheckFailed, match="item 'b' was lost"):
            tank.fake_llm.check()
        tank.ledger.cancel("b")
        await ask(tank, "a")
        with pytest.raises(CheckFailed, match="item 'b' got no answer"):
            tank.fake_llm.check(exactly_once=["a", "b"])
        return list(tank.fake_llm.check("strict", exactly_once=["a"]))

    run = wavetank.simulate(main, backend=backend)
    assert run.value == list(STRICT)


# -- direct calls ----------------------------------------------------------------------------------


@on_both
def test_a_direct_call_that_is_cancelled_has_left(backend: str) -> None:
    """The provider stops working on it; nothing is delivered and nothing paid."""

    async def main(tank: Tank) -> int:
        tank.ledger.submit("a")
        with anyio.move_on_after(0.5):
            await tank.fake_llm.call("slow", item="a")
        tank.ledger.cancel("a")
        return tank.fake_llm.in_flight

    run = wavetank.simulate(main, Scenario(latency=Latency(first_token=seconds(2))), backend=backend)
    assert run.value == 0
    assert [event.kind for event in run.events] == ["submitted", "arrived", "left", "cancelled"]
    assert run.virtual_seconds == 0.5
    run.check()


@on_both
def test_a_client_that_leaves_a_held_barrier_frees_its_place(backend: str) -> None:
    """A barrier of two that lost one is not filled by the next, which is served once none can come."""
    barrier = Wave(when_in_flight=2, patience=Duration(3 * SECOND), retry_after=RetryAfter(form="none"))
    served: dict[str, float] = {}

    async def waits(tank: Tank, item: str) -> None:
        await tank.fake_llm.call("hold me", item=item)
        served[item] = tank.now()

    async def main(tank: Tank) -> None:
        async with anyio.create_task_group() as group:
            with anyio.move_on_after(1):
                await tank.fake_llm.call("hold me", item="a")
            group.start_soon(waits, tank, "b")
            await anyio.sleep(2)
            await anyio.sleep(2)

    run = wavetank.simulate(main, Scenario(wave=(barrier,)), backend=backend)
    assert run.error is None
    assert [(event.kind, event.item, event.at / SECOND) for event in run.events] == [
        ("arrived", "a", 0),
        ("held", "a", 0),
        ("left", "a", 1),
        ("arrived", "b", 1),
        ("held", "b", 1),
        ("answered", "b", 3),
        ("delivered", "b", 3),
    ]
    assert served == {"b": 3}


@on_both
def test_a_stall_that_no_task_waits_for_is_exercised_and_wasted(backend: str) -> None:
    """The client's own timeout and repeat pass; the answer under way is listed as wasted."""
    stall = Scenario(fault=(Fault(kind="stall", lasts=Duration(60 * SECOND)),))

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        with anyio.move_on_after(5):
            await tank.fake_llm.call("q", item="a")
        tank.ledger.complete("a", (await tank.fake_llm.call("q", item="a")).text)

    run = wavetank.simulate(main, stall, backend=backend, checks="strict,exercised")
    run.check()
    assert run.verdicts["exercised"].passed is True
    assert "1 answer(s) wasted" in run.verdicts["exactly_once"].summary
    assert run.virtual_seconds == 5


def test_latency_is_exact_to_the_nanosecond() -> None:
    """An answer takes what the scenario says, and nothing besides."""
    odd = Scenario(latency=Latency(first_token=DurationRange(Duration(1), Duration(1))))
    run = wavetank.simulate(lambda tank: ask(tank, "a"), odd)
    assert run.events[-1].at == 1
    run = wavetank.simulate(lambda tank: ask(tank, "a"), refused_once(0.001))
    assert [event.at // MILLISECOND for event in run.events.of("arrived")] == [0, *range(11, 1001, 11), 1001]


@pytest.mark.parametrize("processors", [1, 64])
def test_the_default_pool_is_of_one_size_on_every_machine(
    monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    """Thirty-two calls of `asyncio.to_thread` overlap, and the next one waits, on one processor or many."""
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: processors, raising=False)

    async def main(tank: Tank) -> float:
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 1) for _ in range(33)))
        return tank.now()

    assert wavetank.simulate(main).value == 2


@on_both
def test_the_rest_of_a_rounding_error_is_slept_off(backend: str) -> None:
    """A positive sleep takes time, however short: a token bucket that lacks next to nothing does not spin."""

    async def main(_: Tank) -> float:
        await anyio.sleep(2)
        await anyio.sleep(1e-17)
        return anyio.current_time()

    assert wavetank.simulate(main, backend=backend).value == 2 + 1e-9


@pytest.mark.parametrize("budget", ["max_virtual_seconds", "max_cpu_seconds"])
@pytest.mark.parametrize("backend", ["asyncio", "trio", "executor"])
def test_threads_that_never_end_keep_no_run_from_its_end(backend: str, budget: str) -> None:
    """A loop waits for the threads of its executor when it is closed: not after a run was stopped."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")

        def poll() -> None:
            while True:
                time.sleep(0.01)

        if backend == "executor":
            await asyncio.gather(asyncio.to_thread(poll), asyncio.to_thread(poll))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, poll)
            tasks.start_soon(anyio.to_thread.run_sync, poll)

    options: Any = {budget: 0.01 if budget == "max_cpu_seconds" else 10, "checks": ("liveness",)}
    engine = "trio" if backend == "trio" else "asyncio"
    kinds = [wavetank.simulate(main, "calm", backend=engine, **options).kind for _ in range(2)]
    assert kinds[0] in ("livelock", "overrun", "deadlock")
    assert kinds[0] == kinds[1]
