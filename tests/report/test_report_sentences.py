"""What happened in ten sentences, and the drawing in text."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import anyio
import pytest

import wavetank
from wavetank import RateLimited, Tank
from wavetank.events import Event, EventKind, EventLog, Header, Judged, Notes, RunEnd, TaskEnd
from wavetank.fault_kinds import KINDS, FaultKind
from wavetank.museum import SPECIMENS
from wavetank.report.page_model import page_model
from wavetank.report.sentence import rounded
from wavetank.report.sentences import FIRST, explained, numbered, passing_of, where_it_went_wrong
from wavetank.report.spans import bands, counts
from wavetank.report.text import LEAST, _Axis, drawn
from wavetank.scenario import scenario_from_dict
from wavetank.tank.runs.finished_run import Run


def sentences(run: Run[Any]) -> list[str]:
    return [each.text for each in explained(run.logs()[0])]


@cache
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
    assert third.startswith("It went wrong here (deadlock): 'work_at_gate#4' at _Gate.enter")
    assert "nothing can wake them" in third
    assert third.endswith(
        "it is resume#2, made at 70ms by 'work_at_gate#3' (wavetank/museum/lost_wakeup.py:23), and "
        "nothing has been done to it since."
    )
    assert rest[0] == (
        "'work_at_gate#4' waits for resume#2; before it, resume was set at 70ms by 'work_at_gate#2' "
        "(wavetank/museum/lost_wakeup.py:30); resume#3 took its place, made at 70ms by "
        "'work_at_gate#6' (wavetank/museum/lost_wakeup.py:23)."
    )
    joined = " ".join(rest)
    assert "Tasks: 5 returned, 2 blocked." in joined
    assert "11 completed" in joined
    assert "Wave 1 from 0s to 20ms, 2 refused" in joined
    assert "at 1 step, last" in joined
    assert "a stall from" in joined
    assert "'item-9' has no outcome" in joined
    assert len(rest) <= 7


def test_a_storm_is_explained(second_wave: Run[Any]) -> None:
    """How many came too early, the first of them, and the check that failed."""
    _, second, third = sentences(second_wave)[:FIRST]
    assert second.startswith(
        "199 requests were sent while the provider still asked to wait (8 of them were answered): "
        "the first was request 14 for "
    )
    assert second.endswith(
        "sent 971.799536ms too early after the refusal of request 13 (of 'item-10', for the whole account)."
    )
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
        ("full_queue", 3, "'main' waits in Queue.put_again (wavetank/museum/workload.py:138), there in "),
        ("full_queue", 3, "on _changed, and so do 'work#2', 'work#3'; only the tasks that wait for it"),
        ("full_queue", 3, "; 6 items have no outcome."),
        ("sentinel_overtakes", 3, "'main' waits in Queue.join (wavetank/museum/workload.py:"),
        ("sentinel_overtakes", 3, "; '_Pool.worker#2', '_Pool.worker#3' had ended by then; 2 items have no"),
        ("poisoned_pool", 4, "Tasks: 1 raised _Killed ('_process#2'), 2 cancelled."),
        ("all_resume_at_once", 3, "6 of 6 items that had to wait until 1.01s were sent again within 1ms"),
        ("error_inside_200", 2, "No request took any time."),
        ("poisoned_pool", 2, "2 requests were left by the client before the reply was there"),
        ("swapped_answers", 3, "item 'item-1' was completed with the answer of 'item-3'"),
        ("half_a_body", 1, "trouble began for"),
    ],
)
def test_the_cause_of_a_bug_is_named(specimen: str, number: int, part: str) -> None:
    """In the sentence where a reader looks for it."""
    assert part in sentences(failure_of(specimen))[number - 1]


@pytest.mark.parametrize(
    ("specimen", "part"),
    [
        (
            "swapped_answers",
            "the value was '[wt:item-3] is the item this answer belongs to.', at 2.01s by 'main'",
        ),
        (
            "error_as_empty_text",
            "the value was '', at 10ms by 'main' at wavetank/museum/error_as_empty_text.py",
        ),
        (
            "poisoned_pool",
            "and 3 more: 'item-13', 'item-14', 'item-15'; the last done for it: request 12 was",
        ),
        ("count_not_released", "it last changed at 1.01s, to 2, when 'item-4' was reported as completed by"),
        ("limit_not_enforced", "the last of them was request 3 for 'item-3' by 'work_with_permit#4' at"),
        ("second_wave", "request 14 for 'item-11' by 'work_at_gate#4' at wavetank/museum/workload.py:26"),
    ],
)
def test_a_finding_names_value_line_and_moment(specimen: str, part: str) -> None:
    """And the items of which the same was found, in one sentence."""
    third = sentences(failure_of(specimen))[2]
    assert part in third
    assert "more finding(s)" not in third


def test_what_the_passing_run_does_as_well_is_not_accused(lost_wakeup: Run[Any]) -> None:
    """Requests that come too early in both runs are no cause."""
    early = failure_of("early_reset")
    failed, passing = early.logs()
    begin = "Also seen: 3 requests were sent while the provider still asked to wait (3 of them were answered)"
    assert explained(failed)[2].text.startswith(f"{begin}: the first was request ")
    with_both = explained(failed, passing)[2].text
    assert with_both.startswith(f"{begin}. That is not the cause: the run that passes has ")
    assert with_both.endswith(("1 such request too.", " such requests too."))
    assert any("That is not the cause" in line for line in early.report().splitlines()[:4])
    for lines in (numbered(failed), numbered(failed, passing)):
        assert [line.partition(" ")[0] for line in lines[:4]] == ["1.", "2.", "Also", "3."]
    assert passing_of((failed, passing)) is passing
    assert passing_of((passing, failed)) is None
    assert passing_of(lost_wakeup.logs()[:1]) is None


def test_requests_without_an_end_are_named() -> None:
    """With the item, who sent the first of them, where and when."""

    async def main(tank: Tank) -> None:
        with anyio.move_on_after(5):
            await tank.fake_llm.call("x", item="a")
        await tank.fake_llm.call("x", item="b")

    scenario = scenario_from_dict(
        {"fault": [{"kind": "no-answer", "match": {"item": "b"}}]}, name="s", source="s"
    )
    said = " ".join(sentences(wavetank.simulate(main, scenario, max_virtual_seconds=60)))
    assert "1 request was still open at the end: the first is request 2 for 'b' by 'main' at " in said


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("at 971.799536ms", "at 971.8ms"),
        ("took 89.163412ms, not 1.5s", "took 89.16ms, not 1.5s"),
        ("at 12345.678901s", "at 12346s"),
        (
            "at 4m59.973000001s in version 1.234567 of app.1.23456s",
            "at 4m59.97s in version 1.234567 of app.1.23456s",
        ),
        ("since 1h2m3.000000004s", "since 1h2m3s"),
        ("'cut at 1.234567" + "ms'", "'cut at 1.235ms'"),
    ],
)
def test_times_are_rounded_for_reading(text: str, short: str) -> None:
    """To four digits; nothing else is a time."""
    assert rounded(text) == short


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


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_sentence_says_what_each_kind_of_fault_sent(kind: FaultKind) -> None:
    """In words, behind what became of the request."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    log.append(Event(at=0, kind="arrived", request=1, item="a"))
    log.append(Event(at=1, kind="left", request=1, item="a", fault=0, reason=kind))
    begun, happened, words = explained(log)[0].text.split(": ")
    assert begun == "At 1ns trouble began for 'a'"
    assert happened.startswith("request 1 ended")
    assert len(words.split()) > 2


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
    assert by_name["not in FIFO order"].count("^") >= 1
    assert by_name["work_at_gate#2"].startswith("x")
    assert "~" in by_name["work_at_gate#2"]
    stuck = by_name["work_at_gate#4"]
    assert stuck.strip("-").startswith("o#")
    assert stuck.endswith("#")
    assert by_name["work_at_gate#5"].endswith("o|")
    assert "| task returned" in lines[-1]
    assert lines[-1].endswith("time is not to scale)")


def test_what_is_repeated_is_left_out_of_the_drawing() -> None:
    """The middle of a livelock is one column; before it and after it each instant has its own."""
    lines = drawn(failure_of("retry_state_lost").logs()[0], width=80)
    row = next(line[21:] for line in lines if line.startswith("_work#3"))
    before, folded, after = row.partition("…")
    assert folded
    assert before.count("~x") >= 3
    assert after.count("~x") >= 1
    assert "… the same again and again" in lines[-1]


def test_where_it_went_wrong_has_a_column_for_each_instant(hammered: Run[Any]) -> None:
    """A run with more instants than columns is drawn more widely around the one that decides."""
    log = hammered.logs()[0]
    decisive = log[len(log) // 2].at
    item = next(event.item for event in log if event.at == decisive and event.item)
    failed = log.with_notes(
        Notes(verdicts=(Judged(name="own", passed=False, summary=f"item {item!r} was odd"),))
    )
    at = where_it_went_wrong(failed)
    assert at is not None
    near, plain = _Axis(failed, 80), _Axis(log, 80)
    after = sorted({event.at for event in log if event.at > at})[:5]
    assert [near.column(each) - near.column(at) for each in after] == [1, 2, 3, 4, 5]
    assert plain.column(after[-1]) - plain.column(at) < 5
    assert near.column(log.end.at if log.end else 0) == 79


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


@pytest.mark.parametrize(
    ("specimen", "at", "request_number"),
    [
        ("poisoned_pool", 766_266_000, 12),  # the end of a run that lost items
        ("first_deadline_kept", 1_200_000_000, 5),  # the request that came too early, not the refused one
        ("http_date_ignored", 1_010_000_000, 4),
        ("all_resume_at_once", 1_010_000_000, 7),  # the first of a herd, which evidence alone names
        ("retry_state_lost", 299_980_000_000, 300),  # the latest of what a livelock repeats
        ("swapped_answers", 2_010_000_000, None),  # when the wrong value was reported
    ],
)
def test_it_went_wrong_at_the_instant_of_the_failure(
    specimen: str, at: int, request_number: int | None
) -> None:
    """And not at the first event of the item: the flag and the link of the third sentence lead there."""
    log = failure_of(specimen).logs()[0]
    third = explained(log)[FIRST - 1]
    assert third.at == pytest.approx(at, abs=20_000_000)
    assert request_number in (None, third.request)
    assert where_it_went_wrong(log) == third.at


def entry(kind: EventKind, at: int, request: int, item: str = "a", **more: Any) -> Event:
    return Event(at=at, kind=kind, request=request, item=item, **more)


def ended(*events: Event, at: int, tasks: tuple[TaskEnd, ...] = ()) -> EventLog:
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    for event in events:
        log.append(event)
    log.finish(RunEnd(how="returned", at=at, tasks=tasks))
    return log


def test_a_reply_that_nobody_read_is_named_first() -> None:
    """As the check has it, and nowhere as a request that is still open; it stays in flight."""
    answered = [entry("arrived", 0, 1, task="w"), entry("answered", 5, 1, status=200)]
    log = ended(*answered, at=9)
    said = [each.text for each in explained(log)]
    assert said[0] == (
        "The provider refused none of 1 request, but the reply to request 1 for 'a' by 'w', sent at 5ns, "
        "was neither read to its end nor closed."
    )
    assert not any("still open" in each for each in said)
    assert next(counts(log)).points[-1] == (0, 1)
    read = ended(*answered, entry("delivered", 6, 1, status=200), at=9)
    assert explained(read)[0].text == "The provider refused none of 1 request."
    assert explained(ended(*answered, at=5))[0].text == "The provider refused none of 1 request."


def test_a_reply_that_nobody_read_is_named_beside_a_refusal() -> None:
    """Once, in the second sentence."""
    refused = entry("refused", 1, 1, status=429, scope="account")
    log = ended(
        entry("arrived", 0, 1),
        refused,
        entry("delivered", 1, 1, status=429),
        entry("arrived", 2, 2, "b"),
        entry("answered", 3, 2, "b", status=200),
        at=9,
    )
    said = [each.text for each in explained(log)]
    assert said[1] == "The reply to request 2 for 'b', sent at 3ns, was neither read to its end nor closed."
    assert sum("neither read" in each for each in said) == 1


def test_requests_of_one_instant_are_counted() -> None:
    """One after the other at 0s is one in flight, and not none."""
    events = [
        entry(kind, 0, number, status=200)
        for number in (1, 2)
        for kind in ("arrived", "answered", "delivered")
    ]
    assert next(counts(ended(*events, at=0))).points == ((0, 1), (0, 0))


def test_an_item_that_got_part_of_an_answer_is_no_contradiction() -> None:
    """Where one check misses an answer and another says what came, the sentence has the latter."""
    log = ended(entry("arrived", 0, 1), entry("completed", 7, 1, value="hal"), at=9)
    judged = (
        Judged(name="exactly_once", passed=False, summary="item 'a' got no answer"),
        Judged(
            name="answered",
            passed=False,
            summary="item 'a' was completed, but no whole answer came to the client, and 1 more item(s)",
            evidence=("at 0s: submitted", "the same of: 'b'"),
        ),
    )
    third = explained(log.with_notes(Notes(verdicts=judged)))[2]
    assert third.text == (
        "It went wrong here: item 'a' was completed, but no whole answer came to the client, "
        "and the same of 'b'; the value was 'hal', at 7ns."
    )
    assert third.at == 7
    alone = explained(log.with_notes(Notes(verdicts=judged[:1])))[2]
    assert alone.text == "It went wrong here: item 'a' got no answer; the value was 'hal', at 7ns."


def test_items_whose_outcome_a_check_condemns() -> None:
    """Named in its summary or in its list; those that another kind of check names are not."""
    log = ended(*(entry("completed", 1, number, item) for number, item in enumerate("abc", start=1)), at=9)
    wrong = Judged(
        name="answered", passed=False, summary="item 'a' was completed, but …", evidence=("the same of: 'c'",)
    )
    early = Judged(name="retry_after", passed=False, summary="item 'b' asked again 1s too early: request 2 …")
    model = page_model(log.with_notes(Notes(verdicts=(wrong, early))))
    assert [model["items"][number] for number in model["accused"]] == ["a", "c"]


def test_a_task_that_only_waited_has_its_end() -> None:
    """Of a task without an event, of which a quiet stretch tells, the end is known as well."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("x", item="a")
        late = anyio.Event()

        async def waiter() -> None:
            await late.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(waiter, name="waiter")
            await anyio.sleep(60)
            late.set()

    run = wavetank.simulate(main, "calm")
    assert run.events.end is not None
    waited = {task for wait in run.events.end.waits for task in wait.tasks}
    assert any(task.startswith("waiter") for task in waited)
    assert waited - {"main"} <= {each.task for each in run.events.end.tasks}


def test_a_task_that_holds_what_another_waits_for_says_so() -> None:
    """The cause is in one sentence, not in two."""

    async def main(tank: Tank) -> None:
        lock = anyio.Lock()

        async def hold() -> None:
            async with lock:
                await anyio.Event().wait()

        async def want() -> None:
            await tank.fake_llm.call("x", item="a")
            async with lock:
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(hold, name="holder")
            group.start_soon(want, name="wanter")

    third = sentences(wavetank.simulate(main, "calm"))[2]
    assert third.startswith("It went wrong here (deadlock): 'holder")
    assert "; it holds what 'wanter" in third


def test_a_wait_that_is_made_of_two_shows_both_ends() -> None:
    """A band of overlapping waits knows where the shorter one ends."""
    second = 1_000_000_000
    log = ended(
        *(entry("arrived", 0, number) for number in (1, 2)),
        *(entry("refused", 1, n, status=429, scope="account", retry_after=n * second) for n in (1, 2)),
        *(entry("delivered", 1, number, status=429) for number in (1, 2)),
        at=5 * second,
    )
    ((span,),) = [band.spans for band in bands(log)]
    assert (span.begin, span.end, span.parts) == (1, 2 * second + 1, (second + 1,))
    assert "shorter waits in it end at 1.000000001s" in span.text


def test_a_blocked_stretch_does_not_begin_before_what_it_waits_for_was_made() -> None:
    """The last wait of a task that waited before is not drawn from its last event on."""
    model = page_model(failure_of("sentinel_overtakes").logs()[0])
    (stuck,) = model["blocked"]
    assert [model["tasks"][task] for task in stuck["tasks"]] == ["main"]
    assert stuck["since"] == [1_010_000_000]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_count_that_an_interruption_leaves_changed(backend: str) -> None:
    """The finding names the interruption at which the count last changed, and the await that was cut."""

    async def main(tank: Tank) -> None:
        free = [2]
        tank.watch("free", lambda: free[0])
        tank.ledger.submit("row-1")
        try:
            tank.ledger.complete("row-1", (await tank.fake_llm.call("Do it.", item="row-1")).text)
        except BaseException:
            free[0] += 1
            raise

    failure = wavetank.search(main, schedules=50, backend=backend, interrupt=True).failure
    assert failure is not None
    with pytest.raises(
        wavetank.CheckFailed, match=r"when the program was interrupted; main waited at \S+:\d+"
    ):
        failure.check()
