"""Answers that are validated, requests that change, and fallbacks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from wavetank.processor import (
    Attempt,
    Bounds,
    CallResult,
    Decision,
    ItemResult,
    Limits,
    LLMCallStrategy,
    LLMWorkItem,
    ParallelBatchProcessor,
    TokenUsage,
)

from .stepping import one_batch, stepped

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Status(Exception):
    """An error with a status, as a client raises it."""

    def __init__(self, status: int, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{status}")
        self.status_code = status
        self.code = code
        self.retry_after = retry_after


class Model(LLMCallStrategy[str]):
    """Answers with its name after a second, or raises what `error` returns."""

    def __init__(self, name: str, error: Callable[[], Exception | None] = lambda: None) -> None:
        self.name = name
        self.error = error
        self.sent: list[str] = []
        self.times: list[float] = []
        self.prepared = 0
        self.cleaned = 0

    async def prepare(self) -> None:
        self.prepared += 1

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        self.sent.append(item.id)
        self.times.append(anyio.current_time())
        if (error := self.error()) is not None:
            await anyio.sleep(0.1)
            raise error
        await anyio.sleep(1)
        return f"{self.name} {item.prompt}"

    async def cleanup(self) -> None:
        self.cleaned += 1


def rows(count: int) -> list[str]:
    return [f"row-{number}" for number in range(count)]


# -- validation ------------------------------------------------------------------------------------


class Talker:
    """Gives as many answers that are no JSON as an item's prompt says, and then JSON; each costs."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    async def __call__(self, prompt: str) -> CallResult[str]:
        self.sent[prompt] += 1
        await anyio.sleep(1)
        good = self.sent[prompt] > int(prompt.partition("-")[0])
        return CallResult('{"label": 1}' if good else "Sure!", TokenUsage(10, 1), cost=0.25)


def is_json(_: LLMWorkItem[Any], value: str) -> None:
    json.loads(value)


@on_both
def test_an_answer_that_is_not_valid_is_asked_for_again(backend: str) -> None:
    """Without a wait; every answer is paid for and counted, and the attempts for errors are not used."""
    seen: list[Decision] = []
    batch = one_batch(
        backend, ["0-a", "1-b", "2-c"], Talker(), validate=is_json, max_attempts=1, observer=seen.append
    )
    assert [(one.attempts, one.usage.total, one.cost) for one in batch.results] == [
        (1, 11, 0.25),
        (2, 22, 0.5),
        (3, 33, 0.75),
    ]
    assert {one.value for one in batch.results} == {'{"label": 1}'}
    assert (batch.seconds, batch.usage, batch.cost, batch.retries) == (3, TokenUsage(60, 6), 1.5, 3)
    assert "invalid answer, JSONDecodeError" in str([one.reason for one in seen if one.kind == "retried"])
    assert batch.pauses == 0


@on_both
def test_too_many_invalid_answers_are_the_items_error(backend: str) -> None:
    """The error is that of the validation; what was paid stays in the result."""

    async def check(_: LLMWorkItem[Any], value: str) -> None:
        await anyio.sleep(0)
        if value == "Sure!":
            raise ValueError("no label")

    batch = one_batch(backend, ["5-a", "0-b"], Talker(), validate=check, max_validation_retries=1)
    (failed, good) = batch.results
    assert isinstance(failed.error, ValueError)
    assert (failed.attempts, failed.cost, good.attempts) == (2, 0.5, 1)
    assert failed.reason == "2 invalid answers, last: ValueError: no label"
    assert failed.unfinished is False
    assert batch.cost == 0.75


def test_invalid_answers_count_against_the_bounds() -> None:
    """An item that never gets a valid answer cannot spend more than the run may."""
    batch = one_batch(
        "trio", ["99-a"], Talker(), validate=is_json, max_validation_retries=90, bounds=Bounds(cost=1)
    )
    assert (batch.requests, batch.stopped) == (4, "its cost of 1 was reached")


# -- requests that change --------------------------------------------------------------------------


@on_both
def test_each_request_may_be_another_one(backend: str) -> None:
    """Before every request the function gets the item and what came of the earlier requests."""
    attempts: list[Attempt] = []
    prompts: list[str] = []

    async def call(prompt: str) -> str:
        prompts.append(prompt)
        if len(prompts) == 1:
            raise Status(500)
        if len(prompts) == 2:
            raise Status(429, retry_after=1)
        return "Sure!" if len(prompts) == 3 else '{"a": 1}'

    async def change(item: LLMWorkItem[Any], attempt: Attempt) -> LLMWorkItem[Any]:
        attempts.append(attempt)
        return replace(item, prompt=f"{item.prompt} at temperature {(attempt.number - 1) / 10}")

    batch = one_batch(backend, ["a"], call, before_attempt=change, validate=is_json)
    assert batch.results[0].value == '{"a": 1}'
    assert prompts == [f"a at temperature {number / 10}" for number in range(4)]
    assert [(one.number, one.errors, one.invalid) for one in attempts] == [
        (1, 0, 0),
        (2, 1, 0),
        (3, 1, 0),
        (4, 1, 1),
    ]
    assert [type(one.last_error).__name__ for one in attempts] == [
        "NoneType",
        "Status",
        "Status",
        "JSONDecodeError",
    ]


@on_both
def test_another_model_for_the_second_attempt_has_its_own_gate(backend: str) -> None:
    """It is prepared when it is first needed, cleaned up at the end, and not held back by the first one."""
    first, second = Model("first", lambda: Status(429, retry_after=1000)), Model("second")
    first.scope, second.scope = "first", "second"  # type: ignore[attr-defined]

    def change(item: LLMWorkItem[Any], attempt: Attempt) -> LLMWorkItem[Any]:
        return item if attempt.last_error is None else replace(item, strategy=second)

    batch = one_batch(backend, ["a"], first, before_attempt=change)
    assert (batch.results[0].value, batch.seconds) == ("second a", 1.1)
    assert [(one.prepared, one.cleaned) for one in (first, second)] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item, _: item.nothing, "before_attempt failed: AttributeError"),
        (
            lambda item, _: replace(item, id="x"),
            "before_attempt must return an LLMWorkItem with the id",
        ),
        (lambda *_: None, "not None"),
    ],
)
def test_a_change_that_fails_is_the_error_of_its_item(change: Any, said: str) -> None:
    """The reason names the argument, and the others are sent."""

    def some(item: LLMWorkItem[Any], attempt: Attempt) -> LLMWorkItem[Any]:
        return change(item, attempt) if item.id == "row-0" else item

    batch = one_batch("trio", rows(3), Model("m"), before_attempt=some)
    assert (batch.succeeded, batch.results[0].attempts) == (2, 0)
    assert said in (batch.results[0].reason or "")


# -- fallbacks -------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize("status", [400, 401, 402, 500])
def test_an_item_that_would_fail_goes_to_the_fallback(status: int, backend: str) -> None:
    """For its own error, a refused key or a spent budget: with new attempts, and the run is not stopped."""
    first, second = Model("first", lambda: Status(status)), Model("second")
    batch = one_batch(backend, rows(20), first, fallbacks=[second], workers=4)
    assert [one.value for one in batch.results] == [f"second {name}" for name in rows(20)]
    assert batch.stopped is None
    assert (first.cleaned, second.prepared, second.cleaned) == (1, 1, 1)


@on_both
def test_while_the_provider_is_away_all_go_to_the_fallback(backend: str) -> None:
    """Nobody waits for it but one probe for each pause; when it is back it is used again."""
    began: list[float] = []

    def error() -> Exception | None:
        began.append(anyio.current_time())
        return ConnectionRefusedError(111, "no") if 3 <= anyio.current_time() - began[0] < 20 else None

    first, second = Model("first", error), Model("second")
    batch = one_batch(backend, rows(200), first, fallbacks=[second], workers=4)
    values = Counter(str(one.value).partition(" ")[0] for one in batch.results)
    assert values["first"] + values["second"] == 200
    assert values["second"] > 50
    assert min(time - first.times[0] for time in second.times) < 4
    # Those under way when it went away, and one for each of the pauses of 1, 2, 4, 8 and 16 s.
    assert len(first.sent) - values["first"] <= 4 + 4 + 5
    assert batch.seconds < 60
    assert first.times[-1] - first.times[0] > 40


@on_both
def test_a_provider_that_hangs_is_asked_by_one_probe_at_a_time(backend: str) -> None:
    """Its requests end after 30 s; meanwhile all other items go to the fallback."""

    class Hangs(Model):
        async def execute(self, item: LLMWorkItem[Any]) -> str:
            self.sent.append(item.id)
            self.times.append(anyio.current_time())
            if anyio.current_time() - self.times[0] >= 3:
                await anyio.sleep(30)
                raise TimeoutError
            await anyio.sleep(1)
            return f"first {item.prompt}"

    first, second = Hangs("first"), Model("second")
    batch = one_batch(backend, rows(400), first, fallbacks=[second], workers=4)
    assert batch.succeeded == 400
    # Four hang at 3 s, are tried again until they are known for an outage, and then a probe every 30 s.
    assert sum(time - first.times[0] > 100 for time in first.times) <= 5
    assert batch.seconds < 100 + 400 / 3 + 30


@on_both
def test_a_rate_limit_is_waited_for(backend: str) -> None:
    """It is no failure: the fallback is not asked."""
    errors = [Status(429, retry_after=30)]
    first, second = Model("first", lambda: errors.pop() if errors else None), Model("second")
    batch = one_batch(backend, rows(4), first, fallbacks=[second])
    assert batch.succeeded == 4
    assert second.sent == []


@on_both
def test_when_all_providers_fail_both_reasons_are_given(backend: str) -> None:
    """An item for which one of them may still work later is left open."""
    batch = one_batch(
        backend, ["a"], Model("x", lambda: Status(400)), fallbacks=[Model("y", lambda: Status(422))]
    )
    assert batch.results[0].reason == "status 400; then fallback: status 422"
    assert batch.results[0].unfinished is False
    broke = Model("x", lambda: Status(429, code="insufficient_quota"))
    batch = one_batch(backend, ["a"], broke, fallbacks=[Model("y", lambda: Status(422))])
    assert batch.results[0].unfinished is True


@on_both
def test_fallbacks_have_their_own_gates_and_limits(backend: str) -> None:
    """Each may have limits under its name, is used in turn, and may be a plain function."""

    async def last(prompt: str) -> str:
        times.append(anyio.current_time())
        return f"last {prompt}"

    times: list[float] = []
    first, second = Model("first", lambda: Status(500)), Model("second", lambda: Status(500))
    batch = one_batch(
        backend,
        rows(10),
        first,
        fallbacks=(second, last),
        max_outage_seconds=5,
        limits={"fallback 2": Limits(requests_per_minute=60, burst=1)},
    )
    assert {str(one.value).partition(" ")[0] for one in batch.results} == {"last"}
    assert 8.9 < times[-1] - times[0] < 9.3


@on_both
def test_a_stream_uses_fallbacks(backend: str) -> None:
    """The same in a stream."""
    results: list[ItemResult[str]] = []

    async def main() -> None:
        first, second = Model("first", lambda: Status(502)), Model("second")
        async with ParallelBatchProcessor(first, workers=2, fallbacks=[second]) as processor:
            items = (LLMWorkItem(name, name) for name in rows(15))
            results.extend([result async for result in processor.process(items)])

    stepped(main, backend)
    assert sorted(one.id for one in results) == sorted(rows(15))
    assert all(str(one.value).startswith("second") for one in results)


@on_both
def test_what_waits_for_a_model_goes_on_to_the_next_one_as_a_worker(backend: str) -> None:
    """Items that wait out a refusal give others their place; at an outage no more than `workers` go on."""

    class First(LLMCallStrategy[str]):
        async def execute(self, item: LLMWorkItem[Any]) -> str:
            if item.id == "row-000":
                await anyio.sleep(0.1)
                raise Status(429, retry_after=60)
            await anyio.sleep(1)
            raise ConnectionError

    class Second(LLMCallStrategy[str]):
        under_way = most = 0

        async def execute(self, item: LLMWorkItem[Any]) -> str:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await anyio.sleep(1)
            self.under_way -= 1
            return item.id

    second = Second()
    ids = [f"row-{number:03}" for number in range(40)]
    batch = one_batch(backend, ids, First(), workers=8, fallbacks=[second])
    assert batch.succeeded == 40
    assert second.most == 8


def test_a_fallback_that_is_none_is_refused() -> None:
    """The error says what it must be."""
    with pytest.raises(TypeError, match="a fallback must be an async function or have the methods"):
        ParallelBatchProcessor(Model("m"), fallbacks=["gpt-4o"])  # type: ignore[list-item]
