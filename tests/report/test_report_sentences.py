"""What happened in ten sentences, and the drawing in text."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

import wavetank
from wavetank import RateLimited, Tank
from wavetank.events import Event, EventLog, Header, Judged, Notes
from wavetank.museum import SPECIMENS
from wavetank.report.page_model import page_model
from wavetank.report.sentences import FIRST, explained, numbered
from wavetank.report.text import LEAST, drawn
from wavetank.tank.runs.finished_run import Run


def sentences(run: Run[Any]) -> list[str]:
    return [each.text for each in explained(run.logs()[0])]


def failure_of(name: str) -> Run[Any]:
    failure = SPECIMENS[name].search(schedules=50).failure
    assert failure is not None
    return failure


def test_a_deadlock_is_explained(lost_wakeup: Run[Any]) -> None:
    """The first refusal, who waited, and the task that nothing can wake, each with its place."""
    first, second, third, *rest = sentences(lost_wakeup)
    assert first == (
        "At 10ms the provider refused the first request, number 1 for 'item-1' by 'work_at_gate#2' at "
        "wavetank/museum/workload.py:26, with 429 (wave 1), and asked the whole account to wait 60ms."
    )
    assert second.startswith("2 refused requests were sent again, none before the wait")
    assert third.startswith("It went wrong here (deadlock): 'work_at_gate#5' at _Gate.enter")
    assert "nothing can wake them" in third
    assert "completed by 'work_at_gate#5' at wavetank/museum/workload.py:94" in third
    joined = " ".join(rest)
    assert "11 completed" in joined
    assert "Wave 1 from 0s to 20ms, 2 refused" in joined
    assert "at 3 steps" in joined
    assert "a stall from" in joined
    assert "'item-10' has no outcome" in joined
    assert len(rest) <= 7


def test_a_storm_is_explained(second_wave: Run[Any]) -> None:
    """How many came too early, the first of them, and the check that failed."""
    _, second, third = sentences(second_wave)[:FIRST]
    assert second.startswith(
        "199 requests were sent while the provider still asked to wait: the first was request 14 for "
    )
    assert second.endswith("sent 971.799536ms too early after the refusal of request 13.")
    assert third.startswith("It went wrong here: request 14 (item 'item-11') was sent at 1.538325384s;")


@pytest.mark.parametrize(
    ("specimen", "number", "part"),
    [
        ("sleep_under_lock", 2, "When the run was stopped, '_work#2' at _Limiter.acquire"),
        ("sleep_under_lock", 3, "it holds that itself"),
        ("permit_held", 2, "'work#5', 'work#6' at _run.<locals>.work"),
        ("permit_held", 3, "(overrun): 'work#4' at _ask_repeatedly"),
        (
            "retry_state_lost",
            3,
            "(livelock): item 'item-2' met a refusal with 429 and asked again, every 1.01s",
        ),
        ("full_queue", 4, "Also blocked at the end: 'work#2', 'work#3' at Queue.put_again"),
        ("poisoned_pool", 2, "2 requests were left by the client before the reply was there"),
        ("swapped_answers", 3, "item 'item-1' was completed with the answer of 'item-3'"),
        ("half_a_body", 1, "trouble began for"),
    ],
)
def test_the_cause_of_a_bug_is_named(specimen: str, number: int, part: str) -> None:
    """In the sentence where a reader looks for it."""
    assert part in sentences(failure_of(specimen))[number - 1]


def test_tasks_that_wait_for_each_other() -> None:
    """It is said of two tasks that each hold what the other waits for."""

    async def main(tank: Tank) -> None:
        locks = [anyio.Lock(), anyio.Lock()]

        async def work(first: int) -> None:
            async with locks[first]:
                await tank.fake_llm.call("x", item=f"item-{first}")
                async with locks[1 - first]:
                    pass

        async with anyio.create_task_group() as group:
            group.start_soon(work, 0)
            group.start_soon(work, 1)

    said = sentences(wavetank.simulate(main, "calm"))
    assert said[1].startswith("When the run was stopped, 'work#")
    assert "they wait for each other" in said[2]


def test_a_task_that_died_unseen_is_named() -> None:
    """In the second sentence, at the end of its line of the drawing, and as a mark of the page."""

    async def worker(tank: Tank) -> None:
        await tank.fake_llm.call("x", item="a")

    async def main(tank: Tank) -> None:
        task = asyncio.create_task(worker(tank), name="worker")
        await asyncio.wait([task])
        del task
        await asyncio.Event().wait()

    run = wavetank.simulate(main, SPECIMENS["full_queue"].scenario)
    second = sentences(run)[1]
    assert second.startswith("'worker' ended with an error that nothing received, at 10ms: RateLimited")
    assert not any("nothing received" in sentence for sentence in sentences(run)[2:])
    assert any(line.startswith("worker ") and line.endswith("E") for line in drawn(run.events))
    model = page_model(run.events)
    ((task, at, text),) = model["died"]
    assert (model["tasks"][task], at) == ("worker", 10_000_000)
    assert "RateLimited" in text


def test_a_run_that_passed_is_explained() -> None:
    """Nobody is blamed."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        tank.ledger.complete("a", (await tank.fake_llm.call("x", item="a")).text)

    said = sentences(wavetank.simulate(main, "calm"))
    assert said[0] == "The provider refused none of 1 request."
    assert said[2].startswith("Nothing went wrong: ")


def test_an_error_of_the_program_is_where_it_went_wrong() -> None:
    """Where no check failed."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("x", item="a")
        raise LookupError("no such row")

    third = sentences(wavetank.simulate(main, "calm"))[2]
    assert third.startswith("It went wrong here: main raised LookupError at ")


def test_a_report_begins_with_the_first_three(second_wave: Run[Any]) -> None:
    """Below what the search found; a report of checks has them below its first line."""
    first = [f"  {line}" for line in numbered(second_wave.logs()[0])[:FIRST]]
    assert second_wave.report().splitlines()[1 : 1 + FIRST] == first

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        with pytest.raises(RateLimited):
            await tank.fake_llm.call("x", item="a")

    scenario = SPECIMENS["full_queue"].scenario
    run = wavetank.simulate(main, scenario)
    with pytest.raises(wavetank.CheckFailed) as caught:
        run.check()
    head, one, _, three = str(caught.value).splitlines()[:4]
    assert head.startswith("exactly_once failed: item 'a' was lost")
    assert one.startswith("  1. At 10ms the provider refused the first request")
    assert three.startswith("  3. It went wrong here: item 'a' was lost")


def test_a_run_without_requests_has_no_beginning() -> None:
    """The report of a program that never asked is as it was."""

    async def main(_: Tank) -> None:
        raise ValueError("broken")

    assert wavetank.simulate(main, "calm").report().splitlines()[0] == "ValueError: broken"


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("account", "asked the whole account to wait 1s"),
        ("model:openai/gpt-4o", "asked model 'openai/gpt-4o' to wait 1s"),
        ("host:llm.example.com", "asked host 'llm.example.com' to wait 1s"),
        ("host:llm.example.com/key:key-1", "asked key 'key-1' at host 'llm.example.com' to wait 1s"),
    ],
)
def test_the_scope_of_a_refusal_is_said(scope: str, said: str) -> None:
    """Also one that holds at one host alone."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    log.append(Event(at=0, kind="arrived", request=1, item="a"))
    log.append(
        Event(at=1, kind="refused", request=1, item="a", status=429, scope=scope, retry_after=1_000_000_000)
    )
    assert said in explained(log)[0].text


def test_a_long_error_is_cut() -> None:
    """A sentence has at most 400 characters and an ellipsis."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    log.append(Event(at=0, kind="arrived", request=1, item="a"))
    log = log.with_notes(Notes(verdicts=(Judged(name="own", passed=False, summary="x" * 900),)))
    assert max(len(each.text) for each in explained(log)) == 401


def test_the_drawing_of_a_deadlock(lost_wakeup: Run[Any]) -> None:
    """A line for each wave, wait and task; the task that nothing wakes is blocked to the end."""
    lines = drawn(lost_wakeup.logs()[0], width=100)
    assert max(map(len, lines[:-1])) <= 100
    by_name = {line[:20].strip(): line[21:] for line in lines}
    assert set(by_name["wave 1"].strip()) == {"="}
    assert by_name["not in FIFO order"].count("^") >= 2
    assert by_name["work_at_gate#2"].startswith("x")
    assert "~" in by_name["work_at_gate#2"]
    stuck = by_name["work_at_gate#5"]
    assert stuck.strip("-").startswith("o#")
    assert stuck.endswith("#")
    assert lines[-1].endswith("time is not to scale)")


@pytest.mark.parametrize("width", [1, 60, 80, 200])
def test_a_drawing_keeps_to_the_width(hammered: Run[Any], width: int) -> None:
    """From the least on; the ticks name instants in order."""
    lines = drawn(hammered.logs()[0], width=width)
    assert max(map(len, lines[:-1])) <= max(LEAST, width)
    assert lines[0].split()[0] == "0s"
    assert any(line.startswith("work#") or "work" in line for line in lines)


def test_the_drawing_of_an_empty_log() -> None:
    """There is an axis, and nothing on it."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    assert drawn(log)[-1] == "(nothing happened; time is not to scale)"
