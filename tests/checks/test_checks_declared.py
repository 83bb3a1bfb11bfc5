"""What `tank.expect`, `tank.always` and checks of a program's own make of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import wavetank
from wavetank import CheckFailed, EventLog, Scenario, Tank, Verdict
from wavetank.checks import DEFAULT, UnknownCheck, judge, named, request_rate
from wavetank.clock import SECOND, Duration
from wavetank.events import Event
from wavetank.scenario import Wave
from wavetank.tank.search.made_schedule import Made

from .event_logs import happened, log_of

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

REFUSED_FOR_A_SECOND = Scenario(wave=(Wave(lasts=Duration(SECOND)),))


def expecting(*, gives_up: bool = False, **expectations: Any) -> Callable[[Tank], Any]:
    """Three items, refused for a second: one is cancelled, the others are patient, or give up."""

    async def main(tank: Tank) -> None:
        tank.expect(**expectations)
        for item in ("a", "b", "c"):
            tank.ledger.submit(item)
        tank.ledger.cancel("c")
        for item in ("a", "b"):
            for _ in range(2):
                try:
                    answer = await tank.fake_llm.call(f"Do {item}.", item=item)
                except wavetank.RateLimited as error:
                    if gives_up:
                        tank.ledger.fail(item, error)
                        break
                    await anyio.sleep(1)
                else:
                    tank.ledger.complete(item, answer.text)
                    break

    return main


# -- outcomes ----------------------------------------------------------------------------------------


@on_both
def test_a_run_says_what_became_of_its_items(backend: str) -> None:
    """Submitted, completed, failed by the type of the error, and cancelled; the report says it, too."""
    run = wavetank.simulate(expecting(), REFUSED_FOR_A_SECOND, backend=backend)
    assert (run.outcomes.submitted, run.outcomes.completed, run.outcomes.cancelled) == (3, 2, 1)
    assert (run.outcomes.failed, run.outcomes.errors) == (0, {})
    run = wavetank.simulate(expecting(gives_up=True, failed=1), REFUSED_FOR_A_SECOND, backend=backend)
    assert (run.outcomes.failed, run.outcomes.errors) == (2, {"RateLimited": 2})
    assert "items: 3 submitted, 0 completed, 2 failed (2 RateLimited), 1 cancelled" in run.report()


async def texts_and_types(tank: Tank) -> None:
    """Errors of all kinds."""
    for number, error in enumerate(("no", None, ValueError, KeyError("x"), KeyError("y"))):
        tank.ledger.submit(str(number))
        tank.ledger.fail(str(number), error)
    tank.ledger.submit("open")


def test_errors_are_counted_by_their_types() -> None:
    """A text and no error at all have their places, and so has an item without an outcome."""
    outcomes = wavetank.simulate(texts_and_types).outcomes
    assert outcomes.errors == {"KeyError": 2, "None": 1, "ValueError": 1, "str": 1}
    assert str(outcomes).endswith("1 with a text for an error), 1 without an outcome")


@pytest.mark.parametrize(
    ("expectations", "gives_up", "summary"),
    [
        ({"failed": 0, "completed": 2, "refused": 1, "tokens": 21}, False, None),
        ({"failed": 2, "refused": 2, "tokens": 0}, True, None),
        ({"failed": 1}, True, "2 item(s) failed (declared: at most 1)"),
        ({"completed": 3}, False, "2 item(s) were completed (declared: at least 3)"),
        ({"refused": 0}, False, "1 request(s) were refused (declared: at most 0)"),
        ({"tokens": 19}, False, "20 tokens were charged (declared: at most 19)"),
    ],
)
def test_outcomes_are_compared_with_what_was_declared(
    expectations: dict[str, Any], gives_up: bool, summary: str | None
) -> None:
    """`completed` is the least there must be, the others are the most there may be."""
    run = wavetank.simulate(expecting(gives_up=gives_up, **expectations), REFUSED_FOR_A_SECOND)
    verdict = run.verdicts["outcomes"]
    assert verdict.passed is (summary is None), verdict
    assert summary is None or verdict.summary == summary


def test_a_request_that_is_wrong_in_itself_is_no_refusal() -> None:
    """A 400 is the program's own fault."""

    async def main(tank: Tank) -> None:
        import openai

        tank.expect(refused=0)
        with pytest.raises(openai.BadRequestError):
            await openai.AsyncOpenAI(api_key="key").chat.completions.create(model="m", messages=[])

    wavetank.simulate(main).check()


def test_an_item_without_an_outcome_is_not_within() -> None:
    """Time is only kept when everything is done; with stalls nothing is said."""

    async def main(tank: Tank) -> None:
        tank.expect(within="1s")
        tank.ledger.submit("a")

    verdict = wavetank.simulate(main, checks="within").verdicts["within"]
    assert (verdict.passed, verdict.summary) == (False, "1 item(s) came to no outcome within 1s")


@on_both
def test_the_retries_of_an_sdk_are_requests(backend: str) -> None:
    """What openai's SDK sends by itself counts."""

    async def main(tank: Tank) -> None:
        import openai

        tank.expect(requests_per_minute=1, burst=1)
        async with openai.AsyncOpenAI(api_key="key", max_retries=3) as client:
            message: Any = [{"role": "user", "content": "hi"}]
            await client.chat.completions.create(model="m", messages=message)

    run = wavetank.simulate(main, REFUSED_FOR_A_SECOND, backend=backend)
    assert run.verdicts["request_rate"].passed is False
    assert run.verdicts["request_rate"].summary.startswith("2 requests were sent in ")
    assert (
        run.verdicts["request_rate"]
        .evidence[0]
        .startswith("at 0s: 'hi': request 1 arrived at api.openai.com")
    )


@pytest.mark.parametrize("at", [0.5, 1.0])
def test_a_request_in_an_instant_of_a_stall_has_no_rate(at: float) -> None:
    """The first and the last instant of a stall are in no stretch; without the stall the rate is broken."""
    near = 0.0 if at == 0.5 else 1.5
    requests = [happened("arrived", sent, request=number) for number, sent in enumerate(sorted((at, near)))]
    stall = Event(at=SECOND, kind="stalled", since=SECOND // 2)
    expects = {"requests_per_minute": 60, "burst": 1}
    assert request_rate.judge(log_of(requests, expects=expects)).passed is False
    verdict = request_rate.judge(log_of(requests, stall, expects=expects))
    assert verdict.passed is True
    assert verdict.summary.startswith("1 request(s)")


@pytest.mark.parametrize(
    ("expectations", "error", "text"),
    [
        ({"fail": 0}, TypeError, "no check judges the expectation 'fail'; did you mean 'failed'?"),
        ({"failed": -1}, ValueError, "expect(failed=-1): it must be a whole number of at least 0"),
        ({"completed": True}, ValueError, "expect(completed=True): it must be a whole number"),
        ({"within": 600}, ValueError, "expect(within=600): it must be a duration with its unit"),
        ({"within": "10 minutes"}, ValueError, "expect(within='10 minutes'): '10 minutes' is not a duration"),
        ({"burst": 3}, ValueError, "expect(burst=3): it needs requests_per_minute beside it"),
        ({"fallback": "yes"}, ValueError, "expect(fallback='yes'): it must be True or False"),
        ({"order": "output"}, ValueError, "expect(order='output'): there is: 'input'"),
    ],
)
def test_a_wrong_expectation_names_its_place(
    expectations: dict[str, Any], error: type[Exception], text: str
) -> None:
    """The name, the value, and what would be right."""
    run = wavetank.simulate(expecting(**expectations))
    assert isinstance(run.error, error)
    assert text in str(run.error)


# -- the budget of virtual time ------------------------------------------------------------------------


@on_both
def test_a_program_sets_its_own_budget(backend: str) -> None:
    """`tank.max_virtual_seconds` counts from the start of the run, in a search as well."""

    async def main(tank: Tank) -> None:
        await anyio.sleep(5)
        tank.max_virtual_seconds = 600
        assert tank.max_virtual_seconds == 600
        await anyio.sleep(700)

    run = wavetank.simulate(main, backend=backend)
    assert (run.kind, run.virtual_seconds) == ("overrun", 600)
    failure = wavetank.search(main, backend=backend, schedules=3).failure
    assert failure is not None
    assert (failure.kind, failure.virtual_seconds) == ("overrun", 600)

    async def wrong(tank: Tank) -> None:
        with pytest.raises(ValueError, match="a number of seconds above 0"):
            tank.max_virtual_seconds = 0

    wavetank.simulate(wrong, backend=backend).check()


# -- checks of one's own ---------------------------------------------------------------------------


def few_requests(log: EventLog) -> Verdict:
    count = len(log.of("arrived"))
    return Verdict("", count <= 2, f"{count} requests")


@on_both
def test_a_check_of_ones_own_stands_beside_the_others(backend: str) -> None:
    """In `checks=`, or added by the program; its name is the verdict's, or the function's."""
    own = wavetank.simulate(
        expecting(), REFUSED_FOR_A_SECOND, backend=backend, checks=["order", few_requests]
    )
    assert list(own.verdicts) == ["order", "few_requests"]
    with pytest.raises(CheckFailed, match="few_requests failed: 3 requests"):
        own.check()

    async def main(tank: Tank) -> None:
        tank.add_check(lambda log: Verdict("quiet", not len(log), f"{len(log)} events"))
        tank.add_check(lambda _: Verdict("quiet", True, "fine"))
        tank.ledger.submit("a")
        tank.ledger.complete("a")

    run = wavetank.simulate(main, backend=backend, checks="liveness")
    assert [*run.verdicts] == ["liveness", "quiet", "quiet (2)"]
    failure = wavetank.search(main, backend=backend, schedules=3, checks=few_requests).failure
    assert failure is not None
    assert failure.verdicts["quiet"].summary == "2 events"


def test_names_with_a_sign_change_the_default_set() -> None:
    """Added and taken out, in texts and lists, also from another set."""
    assert named("+no_storm") == (*DEFAULT[:5], "no_storm", *DEFAULT[5:])
    assert named("-right_answer, +no_herd") == named(["-right_answer", "+no_herd"])
    assert "right_answer" not in named("-right_answer")
    assert named("strict,-order") == tuple(name for name in named("strict") if name != "order")
    assert named(["+no_storm", few_requests])[-1] is few_requests
    assert named(few_requests) == (few_requests,)
    with pytest.raises(UnknownCheck, match="no check 'no_strom'; did you mean 'no_storm'"):
        named("-no_strom")
    with pytest.raises(UnknownCheck, match="3 is no check: give the name of one, or a callable"):
        named([3])  # type: ignore[list-item]


def says_nothing(log: EventLog) -> None:
    del log


async def waits(log: EventLog) -> Verdict:
    del log
    return Verdict("waits", True, "")


@pytest.mark.parametrize(("check", "what"), [(says_nothing, "None"), (waits, "a coroutine"), (len, "a int")])
def test_a_check_without_a_verdict_is_named(check: Any, what: str) -> None:
    """The error has the callable, its place, and what to return."""
    with pytest.raises(TypeError, match=rf"the check '\w+'.* returned {what}: return wavetank\.Verdict"):
        wavetank.simulate(texts_and_types, checks=[check])


# -- always ----------------------------------------------------------------------------------------


def moves(*, gap: bool, wrong: Callable[[int], object]) -> Callable[[Tank], Any]:
    """Two accounts whose sum must stay the same; with a gap a step ends between the two changes."""

    async def main(tank: Tank) -> None:
        books = {"a": 5, "b": 5}
        tank.always(lambda: wrong(sum(books.values())), name="conserved")

        async def move() -> None:
            books["a"] -= 1
            if gap:
                await anyio.sleep(0)  # the gap
            books["b"] += 1

        async with anyio.create_task_group() as group:
            group.start_soon(move)
            group.start_soon(move)

    return main


def equal(total: int) -> bool:
    return total == 10


def asserted(total: int) -> None:
    assert total == 10, f"it is {total}"


def line_of(text: str) -> int:
    lines = Path(__file__).read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(text))


@on_both
@pytest.mark.parametrize("wrong", [equal, asserted])
def test_an_invariant_is_looked_at_after_every_step(backend: str, wrong: Callable[[int], object]) -> None:
    """A step that ends with it broken is named, with its task and its line; without a gap none does."""
    whole = wavetank.simulate(moves(gap=False, wrong=wrong), backend=backend)
    assert whole.verdicts["always"].passed is True
    torn = wavetank.simulate(moves(gap=True, wrong=wrong), backend=backend)
    event = torn.events.of("violated")[0]
    assert (event.reason, event.line) == ("conserved", line_of("# the gap"))
    assert event.file is not None
    assert event.file.endswith("tests/checks/test_checks_declared.py")
    assert (event.task or "").startswith("move#")
    assert torn.verdicts["always"].summary.startswith(
        "'conserved' did not hold at 0s, after a step of 'move#"
    )
    assert torn.kind == "check"
    again = EventLog.from_ndjson(torn.events.to_ndjson())
    assert again.to_ndjson() == torn.events.to_ndjson()


@on_both
def test_looking_does_not_change_the_run(backend: str) -> None:
    """The same schedules, steps and events, but for those of what did not hold."""

    def steps(watched: bool) -> list[int]:
        async def main(tank: Tank) -> None:
            if watched:
                tank.always(lambda: True, name="nothing")
            await expecting()(tank)

        seen: list[int] = []

        def note(made: Made) -> None:
            assert made.trial is not None
            seen.append(hash((made.trial.end.steps, len(made.trial.log))))

        wavetank.search(
            main,
            REFUSED_FOR_A_SECOND,
            backend=backend,
            schedules=20,
            watch=note,
        )
        return seen

    assert steps(True) == steps(False)


@on_both
def test_threads_are_looked_at_when_they_give_way(backend: str) -> None:
    """A thread that sleeps with it broken is caught."""

    async def main(tank: Tank) -> None:
        counted = [0]
        tank.always(lambda: counted[0] % 2 == 0, name="even")

        def work() -> None:
            counted[0] += 1
            time.sleep(1)  # odd
            counted[0] += 1

        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()

    run = wavetank.simulate(main, backend=backend)
    event = run.events.of("violated")[0]
    assert (event.at, event.line, event.error) == (0, line_of("# odd"), "it was False")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda _: Verdict("mine", "no", "s"), "returned a verdict with passed='no'"),  # type: ignore[arg-type]
        (lambda _: Verdict("mine", 0, "s"), "returned a verdict with passed=0"),  # type: ignore[arg-type]
    ],
)
def test_a_verdict_that_is_neither_true_nor_false_is_refused(check: Any, message: str) -> None:
    """It would count as a pass."""
    with pytest.raises(TypeError, match=rf"the check '<lambda>' \(test_checks_declared.py:\d+\) {message}"):
        wavetank.simulate(expecting(), checks=[check])


@pytest.mark.parametrize("check", [lambda log: len(log) // 0, lambda _log, _more: None])
def test_an_error_in_a_check_says_whose_it_is(check: Any) -> None:
    """A note names the callable and its place; one that takes more than the log has no frame of its own."""
    with pytest.raises((ZeroDivisionError, TypeError)) as caught:
        wavetank.simulate(expecting(), checks=[check])
    assert "raised by the check '<lambda>' (test_checks_declared.py:" in caught.value.__notes__[0]


def test_past_errors_the_other_checks_judge() -> None:
    """A check that raises, or returns no verdict, has not judged; a test's report asks in this way."""

    def stops(_: EventLog) -> Verdict:
        pytest.fail("no Exception")

    def mine(_: EventLog) -> Verdict:
        return Verdict("mine", False, "seen")

    checks: list[Any] = [lambda log: len(log) // 0, lambda _: True, stops, mine]
    verdicts = judge(log_of(), checks, past_errors=True)
    assert [(each.name, each.passed) for each in verdicts.values()] == [
        ("<lambda>", None),
        ("<lambda> (2)", None),
        ("stops", None),
        ("mine", False),
    ]
    assert verdicts["<lambda>"].summary.startswith("it raised ZeroDivisionError: ")
    assert "returned a bool" in verdicts["<lambda> (2)"].summary


@pytest.mark.parametrize("checks", [None, 3, [3]])
def test_checks_that_are_no_checks_are_refused(checks: Any) -> None:
    """A value of another kind is named, alone or in a list."""
    with pytest.raises(UnknownCheck, match=r"(3|None) is no check: give the name of one, or a callable"):
        wavetank.simulate(expecting(), checks=checks)


@pytest.mark.parametrize("later", [lambda: (_ for _ in ()), lambda: anyio.sleep(0)])
def test_an_invariant_that_never_runs_does_not_hold(later: Callable[[], object]) -> None:
    """A coroutine or generator is always true, whatever is in it."""

    async def main(tank: Tank) -> None:
        tank.always(later, name="never run")

    summary = wavetank.simulate(main).verdicts["always"].summary
    assert "which never ran: give a plain function" in summary


def test_other_wrong_declarations_are_refused() -> None:
    """A budget in words, a count that is none, and one item where a list is meant."""

    async def main(tank: Tank) -> None:
        with pytest.raises(ValueError, match="max_virtual_seconds='10m': the budget is a number of seconds"):
            tank.max_virtual_seconds = "10m"  # type: ignore[assignment]
        with pytest.raises(TypeError, match=r"watch\('lent', 3\): give a function that returns the count"):
            tank.watch("lent", 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"check\(exactly_once='row-1'\): give a list of items"):
            tank.fake_llm.check(exactly_once="row-1")

    wavetank.simulate(main).check()


def test_a_wrong_invariant_is_refused() -> None:
    """One that has to be awaited, takes arguments or cannot be called, and a second of one name."""

    async def later() -> bool:
        return True

    def of_books(books: dict[str, int]) -> bool:
        return bool(books)

    async def main(tank: Tank) -> None:
        for wrong in (later, of_books, 3):
            with pytest.raises(TypeError, match="give a plain function without arguments"):
                tank.always(wrong)  # type: ignore[arg-type]
        tank.always(lambda: True, name="one")
        with pytest.raises(ValueError, match="another invariant has that name"):
            tank.always(lambda: True, name="one")
        with pytest.raises(TypeError, match="give a callable that takes the event log"):
            tank.add_check("order")  # type: ignore[arg-type]

    wavetank.simulate(main).check()


# -- whatever is declared is judged ------------------------------------------------------------------


async def four_at_once(tank: Tank) -> None:
    """Four items, each refused once, that come back together; the last one is done first."""

    async def ask(item: str, wait: float) -> None:
        for _ in range(2):
            try:
                answer = await tank.fake_llm.call(f"Do {item}.", item=item)
            except wavetank.RateLimited:
                await anyio.sleep(1)
            else:
                await anyio.sleep(wait)
                tank.ledger.complete(item, answer.text)

    for item in "abcd":
        tank.ledger.submit(item)
    async with anyio.create_task_group() as group:
        for place, item in enumerate("abcd"):
            group.start_soon(ask, item, 4 - place)


DECLARED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "in_flight_limit": ({"in_flight": 3}, {"in_flight": 4}),
    "no_herd": ({"herd": 0.5}, {"herd": 1}),
    "order": ({"order": "input"}, {}),
    "no_storm": ({"requests_per_item": 1}, {"requests_per_item": 2}),
}


@on_both
@pytest.mark.parametrize("name", DECLARED)
def test_the_default_checks_judge_whatever_is_declared(name: str, backend: str) -> None:
    """The check need not be named as well; what is kept passes, and what is not declared is not judged."""
    broken, kept = DECLARED[name]
    run = wavetank.simulate(declaring(four_at_once, **broken), REFUSED_FOR_A_SECOND, backend=backend)
    assert [verdict.name for verdict in run.verdicts.values() if verdict.passed is False] == [name]
    run = wavetank.simulate(declaring(four_at_once, **kept), REFUSED_FOR_A_SECOND, backend=backend)
    assert run.kind is None
    assert (name in run.verdicts) is bool(kept)


def test_a_list_of_names_judges_no_more_than_it_names() -> None:
    """Someone who chose the checks gets those."""
    main = declaring(four_at_once, in_flight=1)
    run = wavetank.simulate(main, REFUSED_FOR_A_SECOND, checks="liveness,exactly_once")
    assert [*run.verdicts] == ["liveness", "exactly_once"]


def declaring(program: Callable[[Tank], Any], **expectations: Any) -> Callable[[Tank], Any]:
    """The program after a declaration."""

    async def main(tank: Tank) -> None:
        tank.expect(**expectations)
        await program(tank)

    return main
