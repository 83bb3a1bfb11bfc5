"""A spent quota: asked for once, the rest is left for later, other scopes are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.processor import (
    BatchResult,
    Bounds,
    Decision,
    ItemResult,
    LLMWorkItem,
    NotSent,
    ParallelBatchProcessor,
    RunStopped,
)
from wavetank.processor.journal import Journal, fingerprint

from .stepping import one_batch, stepped

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class ClientError(Exception):
    """A refusal as a client raises it."""

    def __init__(self, status: int, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.code = code
        self.retry_after = retry_after


class Account:
    """Serves `quota` requests for each key, the part of an id before its dash, until it is `filled` again."""

    def __init__(self, quota: int, *, retry_after: float | None = None, seconds: float = 1.0) -> None:
        self.quota = quota
        self.retry_after = retry_after
        self.seconds = seconds
        self.used: dict[str, int] = {}
        self.asked: list[tuple[str, float]] = []

    async def __call__(self, prompt: str) -> str:
        key = prompt.partition("-")[0]
        self.used[key] = self.used.get(key, 0) + 1
        spent = self.used[key] > self.quota and key == "a"
        self.asked.append((prompt, anyio.current_time()))
        # A refusal comes sooner than an answer.
        await anyio.sleep(self.seconds / 2 if spent else self.seconds)
        if spent:
            raise ClientError(429, "insufficient_quota", self.retry_after)
        return f"ok {prompt}"


def process(call: Any, ids: list[str], backend: str = "trio", **options: Any) -> BatchResult[Any]:
    """One batch in virtual time, each id its own prompt."""
    return one_batch(backend, ids, call, **options)


def names(key: str, count: int) -> list[str]:
    """So many ids of a key."""
    return [f"{key}-{number}" for number in range(count)]


@on_both
def test_a_spent_quota_is_refused_once(backend: str) -> None:
    """The refused item and those not sent fail at once with its reason; requests under way are finished."""
    seen: list[Decision] = []
    account = Account(5)
    batch = process(account, names("a", 20), backend, workers=3, observer=seen.append)
    # Five are served, among them one that was under way when the refusal came.
    assert (batch.succeeded, batch.failed, batch.unfinished, batch.requests) == (5, 15, 15, 6)
    (refused,) = [result for result in batch.results if isinstance(result.error, ClientError)]
    assert (refused.attempts, refused.cause) == (1, "status 429, insufficient_quota: used up")
    left = [result for result in batch.results if isinstance(result.error, NotSent)]
    assert {(one.attempts, one.reason) for one in left} == {(0, f"not asked: {refused.cause}")}
    assert len(left) == 14
    assert batch.pauses == 0
    assert batch.stopped is None
    assert "14 items failed: not asked: status 429, insufficient_quota: used up" in str(batch)
    (closed,) = [one for one in seen if one.kind == "closed"]
    assert str(closed) == "1.500 s closed account (status 429, insufficient_quota: used up)"


@on_both
@pytest.mark.parametrize("order", ["input", "completed"])
def test_a_stream_comes_to_its_end(backend: str, order: Any) -> None:
    """Each of its items has a result, however many come after the quota is spent."""
    results: list[ItemResult[str]] = []

    async def main() -> None:
        async with ParallelBatchProcessor(Account(5), workers=3, order=order, batch_size=7) as processor:
            items = (LLMWorkItem(name, name) for name in names("a", 200))
            results.extend([result async for result in processor.process(items)])

    stepped(main, backend)
    assert sorted(result.id for result in results) == sorted(names("a", 200))
    assert sum(result.error is None for result in results) == 5


def test_a_spent_quota_of_one_key_does_not_affect_the_others() -> None:
    """All items of another key are served, also while those of the spent one hold the workers."""
    account = Account(2)
    ids = [*names("a", 20), *names("b", 20)]
    batch = process(account, ids, workers=2, scope=lambda item: item.id[0])
    assert [result.error is None for result in batch.results[20:]] == [True] * 20
    assert (batch.succeeded, batch.unfinished) == (22, 18)
    assert account.used == {"a": 4, "b": 20}


@pytest.mark.parametrize("scoped", [False, True])
def test_a_spent_quota_ends_the_waits_of_other_items(scoped: bool) -> None:
    """A quota that turns out to be spent ends their waits, also those of items that were sent before."""
    script: dict[str, list[Exception]] = {
        "pause": [ClientError(429, retry_after=1000)],
        "backoff": [ClientError(500)],
        "spent": [ClientError(402)],
    }

    async def call(prompt: str) -> str:
        await anyio.sleep({"pause": 1.0, "backoff": 1.8}.get(prompt, 2.0))
        raise script[prompt].pop()

    options: dict[str, Any] = {"scope": lambda _: "key"} if scoped else {}
    batch = process(call, ["pause", "backoff", "spent", "next"], workers=3, **options)
    assert batch.seconds == pytest.approx(2)
    assert [result.attempts for result in batch.results] == [1, 1, 1, 0]
    assert batch.unfinished == 4
    assert {result.cause for result in batch.results} == {
        "status 402, payment required",
        "not asked: status 402, payment required",
    }


def test_a_quota_that_resets_is_waited_for_where_asked() -> None:
    """`wait` makes a pause of it, of any length; without a time there is nothing to wait for."""

    class Filled(Account):
        async def __call__(self, prompt: str) -> str:
            if anyio.current_time() - start[0] > 86_400 and self.used["a"] > self.quota:
                self.used["a"] = 0
            return await super().__call__(prompt)

    start = [0.0]

    async def call(prompt: str) -> str:
        if not account.asked:
            start[0] = anyio.current_time()
        return await account(prompt)

    account = Filled(4, retry_after=86_400)
    batch = process(call, names("a", 6), workers=2, on_quota="wait", max_rate_limit_seconds=10)
    assert batch.succeeded == 6
    assert batch.pauses == 1
    assert 86_460 < batch.seconds < 86_470
    batch = process(Account(4), names("a", 6), workers=2, on_quota="wait")
    assert (batch.succeeded, batch.unfinished, batch.pauses) == (4, 2, 0)
    with pytest.raises(ValueError, match="on_quota must be 'fail' or 'wait', not 'ask'"):
        ParallelBatchProcessor(Account(4), on_quota="ask")  # type: ignore[call-overload]


@on_both
def test_a_scope_that_comes_after_the_end_of_the_run_sends_nothing(backend: str) -> None:
    """An item that was in preparation when the run was stopped is the first of its scope, and is not sent."""
    asked: list[str] = []

    async def call(prompt: str) -> str:
        asked.append(prompt)
        raise ValueError(prompt)

    async def prepare(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
        if item.id == "late":
            await anyio.sleep(5)
        return item

    async def main() -> None:
        async with ParallelBatchProcessor(
            call, workers=2, prepare_item=prepare, scope=lambda item: item.id, fail_fast=True
        ) as processor:
            items = [LLMWorkItem(name, name) for name in ("late", "bad")]
            results = [result async for result in processor.process(items)]
        assert [type(result.error) for result in results] == [ValueError, RunStopped]

    stepped(main, backend)
    assert asked == ["bad"]


class Rows:
    """A sink that lists what it gets."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        assert not result.unfinished
        self.ids.append(item.id)


@on_both
@pytest.mark.parametrize("order", ["input", "completed"])
def test_a_run_that_resumes_asks_for_what_was_left(tmp_path: Path, backend: str, order: Any) -> None:
    """Neither journal nor sink takes a refused or unsent item for done, and none is marked as paid twice."""
    ids, rows = names("a", 12), Rows()
    with Journal(tmp_path / "run.db") as journal:
        batch = process(Account(5), ids, backend, workers=3, store=journal, sinks=(rows,), order=order)
        assert batch.unfinished == 7
        assert journal.counts() == (5, 0, 7)
    written = list(rows.ids)
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.repeats() == ()
        batch = process(Account(99), ids, backend, workers=3, store=journal, sinks=(rows,), order=order)
        assert batch.succeeded == 12
        assert batch.requests == 7
        assert max(outcome.attempts for outcome in journal.outcomes()) == 2
    # Those of the first run come again; a sink that is a file knows its rows.
    fresh = [id for id in rows.ids[len(written) :] if id not in written]
    assert sorted(written + fresh) == sorted(ids)
    assert order == "completed" or written + fresh == ids


@on_both
def test_what_a_run_did_not_send_is_not_counted(tmp_path: Path, backend: str) -> None:
    """A start that was noted but not made, since a bound was reached, leaves no mark and no attempt."""
    with Journal(tmp_path / "run.db") as journal:
        bounds = Bounds(requests=2)
        batch = process(Account(99), names("a", 5), backend, workers=3, store=journal, bounds=bounds)
        assert (batch.succeeded, batch.unfinished) == (2, 3)
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.repeats() == ()
        batch = process(Account(99), names("a", 5), backend, workers=3, store=journal)
        assert batch.succeeded == 5
        assert [outcome.attempts for outcome in journal.outcomes()] == [1] * 5


@on_both
def test_a_bound_hides_no_outcome_of_an_earlier_run(tmp_path: Path, backend: str) -> None:
    """Outcomes in the journal are in the batch, also if the run is stopped before it reaches their items."""
    ids = names("a", 4)
    with Journal(tmp_path / "run.db") as journal:
        journal.register((id, fingerprint(id)) for id in ids)
        anyio.run(journal.settled, LLMWorkItem("a-3", "a-3"), ItemResult("a-3", "from before"))
        bounds = Bounds(requests=1)
        batch = process(Account(99), ids, backend, workers=1, store=journal, bounds=bounds)
    assert [result.value for result in batch.results] == ["ok a-0", None, None, "from before"]
    assert [result.recalled for result in batch.results] == [False, False, False, True]
    assert (batch.failed, batch.unfinished) == (2, 2)
