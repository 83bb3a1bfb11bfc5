"""Outages: one pause for all, a probe, no attempt spent; and errors that belong to one item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.processor import (
    BatchResult,
    Decision,
    Gate,
    ItemResult,
    LLMWorkItem,
    NotSent,
    ParallelBatchProcessor,
    RunStopped,
)
from wavetank.processor.journal import Journal, fingerprint
from wavetank.processor.outages import OutageWatch
from wavetank.processor.retry_limits import RetryBudget, RetryLimits

from ..depth import by_turns
from .stepping import one_batch, stepped

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)


class Status(Exception):
    """An error with a status, as a client raises it."""

    def __init__(self, status: int, words: str = "") -> None:
        super().__init__(words or f"status {status}")
        self.status_code = status


def refused() -> Exception:
    return ConnectionRefusedError(111, "refused")


def broken() -> Exception:
    return ConnectionResetError(104, "reset")


def status(number: int) -> Callable[[], Exception]:
    return lambda: Status(number)


class Provider:
    """Answers after a second, except while it is away: then each request fails after `failing` seconds."""

    def __init__(
        self,
        *away: tuple[float, float],
        error: Callable[[], Exception] = refused,
        failing: float = 0.0,
        seconds: float = 1.0,
    ) -> None:
        self.away = away
        self.error = error
        self.failing = failing
        self.seconds = seconds
        self.poisoned: dict[str, Callable[[], Exception]] = {}
        self.sent: list[tuple[float, str]] = []
        self.served: Counter[str] = Counter()

    def is_away(self) -> bool:
        now = anyio.current_time() - self.sent[0][0]
        return any(begin <= now < end for begin, end in self.away)

    async def __call__(self, prompt: str) -> str:
        self.sent.append((anyio.current_time(), prompt))
        if self.is_away():
            await anyio.sleep(self.failing)
            raise self.error()
        if (poison := self.poisoned.get(prompt)) is not None:
            await anyio.sleep(0.1)
            raise poison()
        await anyio.sleep(self.seconds)
        if self.is_away():
            raise broken()
        self.served[prompt] += 1
        return f"ok {prompt}"

    def failed_requests(self) -> int:
        return len(self.sent) - sum(self.served.values())


def rows(count: int) -> list[str]:
    return [f"row-{number}" for number in range(count)]


def all_once(batch: BatchResult[Any], provider: Provider, ids: list[str]) -> None:
    """Each item has its own answer and was answered once."""
    assert [result.value for result in batch.results] == [f"ok {name}" for name in ids], str(batch)
    assert provider.served == Counter(ids)


KINDS = {
    "refused connections": (refused, 0.0),
    "resets": (broken, 0.3),
    "timeouts": (TimeoutError, 20.0),
    "status 500": (status(500), 0.1),
    "status 502": (status(502), 0.1),
    "status 529": (status(529), 0.1),
    "status 503": (status(503), 0.1),
}


@by_turns(kind=[*KINDS], begin=[0.0, 2.5], workers=[1, 10], backend=BACKENDS)
def test_an_outage_costs_no_item_and_no_attempt(kind: str, begin: float, workers: int, backend: str) -> None:
    """At the start or in the middle, with any kind of failure: each item is answered once after it."""
    error, failing = KINDS[kind]
    provider = Provider((begin, begin + 60), error=error, failing=failing)
    batch = one_batch(backend, rows(30), provider, workers=workers, max_attempts=2)
    all_once(batch, provider, rows(30))
    # What was under way when it began fails, then one probe for each pause: 1, 2, 4, 8, 16, 32 s.
    assert provider.failed_requests() <= workers + 4 + 8
    assert batch.seconds <= 60 + 60 + 30 / workers + 10


@on_both
def test_one_pause_holds_back_all_and_a_probe_looks_first(backend: str) -> None:
    """The pauses have a reason, double up to a minute, and one request at a time asks whether it is over."""
    seen: list[Decision] = []
    provider = Provider((3.0, 100.0))
    batch = one_batch(backend, rows(100), provider, workers=10, observer=seen.append)
    all_once(batch, provider, rows(100))
    pauses = [one for one in seen if one.kind == "paused"]
    assert all("outage: no status, Connection" in str(one.reason) for one in pauses)
    lengths = [round((one.until or 0) - one.at, 3) for one in pauses]
    assert lengths == [1, 2, 4, 8, 16, 32, 60]
    during = Counter(round(at - provider.sent[0][0], 1) for at, _ in provider.sent)
    assert [during[moment] for moment in sorted(during) if 4.0 <= moment < 100] == [1] * 6
    # An outage says nothing about the rate, so the ten workers soon send at full speed.
    assert not [one for one in seen if one.kind == "cut"]
    assert batch.seconds < 130 + 10


@on_both
def test_a_flapping_provider_loses_nothing(backend: str) -> None:
    """Away for 5 s in every 10 s: every item is answered, once."""
    provider = Provider(*((begin, begin + 5.0) for begin in range(0, 400, 10)), error=status(500))
    all_once(one_batch(backend, rows(60), provider, workers=5), provider, rows(60))


@on_both
@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("error", [status(500), refused, TimeoutError], ids=["500", "refused", "timeout"])
def test_one_poisoned_item_is_that_items_error(workers: int, error: Any, backend: str) -> None:
    """While others succeed an item that always fails has its own attempts, and holds nothing back."""
    provider = Provider()
    provider.poisoned = {"row-3": error}
    batch = one_batch(backend, rows(40), provider, workers=workers)
    assert [result.id for result in batch.results if result.error is not None] == ["row-3"]
    assert batch.results[3].attempts == 3
    assert (batch.pauses, batch.unfinished) == (0, 0)
    assert provider.served == Counter(set(rows(40)) - {"row-3"})


@by_turns(seconds=[0.2, 8.0], backend=BACKENDS)
def test_many_poisoned_items_are_no_outage(seconds: float, backend: str) -> None:
    """One item in five always fails at once: with slow answers, too, that pauses nothing."""
    provider = Provider(seconds=seconds)
    bad = [f"row-{number}" for number in range(2, 200, 5)]
    provider.poisoned = dict.fromkeys(bad, status(500))
    batch = one_batch(backend, rows(200), provider, workers=20)
    assert [result.id for result in batch.results if result.error is not None] == bad
    assert {result.attempts for result in batch.results if result.error is not None} == {3}
    assert batch.pauses == 0


@pytest.mark.anyio
async def test_five_failures_of_new_items_are_many() -> None:
    """One in ten fails until there is experience, so that five in a row are exactly the coincidence."""
    gate = Gate()
    watch = OutageWatch(gate)
    for number in range(5):
        assert not watch.many_failed
        watch.failed(number, RetryBudget(RetryLimits(3, 5, 600.0)), await gate.enter(), 0.0)
    assert watch.many_failed


@on_both
def test_the_last_items_may_fail_alone(backend: str) -> None:
    """Items that failed before, while others succeeded, are no evidence of an outage at the end."""
    provider = Provider()
    provider.poisoned = {"row-7": status(500), "row-8": status(500), "row-9": status(500)}
    # Only what is sent after the first failure is evidence, so there are more items than workers.
    batch = one_batch(backend, rows(13), provider, workers=10)
    assert {prompt for _, prompt in provider.sent[-3:]} == set(provider.poisoned)
    assert (batch.succeeded, batch.failed, batch.unfinished, batch.pauses) == (10, 3, 0, 0)


@on_both
def test_the_last_items_stay_open_if_nothing_sent_later_succeeded(backend: str) -> None:
    """Answers to earlier requests do not show whose error it is, so the items are left for later."""
    provider, first = Provider(), set[str]()

    async def call(prompt: str) -> str:
        if len(first) < 7:
            first.add(prompt)
        elif prompt not in first:
            provider.poisoned[prompt] = status(500)
        return await provider(prompt)

    batch = one_batch(backend, rows(10), call, workers=10, max_outage_seconds=60)
    assert (batch.succeeded, batch.failed, batch.unfinished) == (7, 3, 3)


@on_both
def test_a_poisoned_item_after_an_outage_still_fails(backend: str) -> None:
    """An outage saves no item from its own error."""
    provider = Provider((2.0, 40.0), error=status(500))
    provider.poisoned = {"row-5": status(500)}
    batch = one_batch(backend, rows(50), provider, workers=5)
    assert [result.id for result in batch.results if result.error is not None] == ["row-5"]
    assert batch.unfinished == 0


@on_both
def test_a_single_item_outlives_refused_connections_and_overload(backend: str) -> None:
    """No other item is needed to see that a host which takes no connection, or is overloaded, is away."""
    for error in (refused, status(529), status(503)):
        provider = Provider((0.0, 100.0), error=error)
        all_once(one_batch(backend, ["only"], provider, max_rate_limit_retries=2), provider, ["only"])


@on_both
def test_a_single_item_with_status_500_has_its_attempts(backend: str) -> None:
    """With nothing to compare it to, an answer with an error is the item's."""
    provider = Provider((0.0, 100.0), error=status(500))
    batch = one_batch(backend, ["only"], provider)
    assert (batch.results[0].attempts, batch.unfinished, batch.stopped) == (3, 0, None)


@by_turns(error=[refused, TimeoutError, status(500), status(503)], scoped=[False, True], backend=BACKENDS)
def test_too_long_an_outage_stops_the_run(error: Any, scoped: bool, backend: str) -> None:
    """After `max_outage_seconds` nothing more is sent; the rows are open, those that were done stay done."""
    provider = Provider((3.0, 1e9), error=error, failing=0.1)
    options: dict[str, Any] = {"scope": lambda _: "host"} if scoped else {}
    batch = one_batch(backend, rows(100), provider, workers=10, max_outage_seconds=100, **options)
    done = sum(provider.served.values())
    assert 0 < done < 100
    assert (batch.succeeded, batch.unfinished, batch.failed) == (done, 100 - done, 100 - done)
    assert 100 <= batch.seconds < 106
    left = [result for result in batch.results if result.error is not None]
    assert all("outage: no request succeeded for 10" in str(one.reason) for one in left)
    if not scoped:
        assert (batch.stopped or "").startswith("outage: no request succeeded for 10")
        assert {type(one.error) for one in left} == {RunStopped}


def test_zero_seconds_stop_at_once_and_infinity_never() -> None:
    """0 stops when it is seen that the provider is away; infinity waits for any length of time."""
    provider = Provider((0.0, 1e9))
    batch = one_batch("trio", rows(20), provider, max_outage_seconds=0)
    assert batch.seconds < 0.1
    assert batch.unfinished == 20
    provider = Provider((0.0, 9_000.0))
    all_once(one_batch("trio", rows(20), provider, max_outage_seconds=float("inf")), provider, rows(20))


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_a_negative_outage_is_refused(wrong: float) -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match="max_outage_seconds must be at least 0"):
        ParallelBatchProcessor(Provider(), max_outage_seconds=wrong)


@on_both
def test_one_model_of_two_is_away(backend: str) -> None:
    """Its items wait or are left open, and those of the other model are not held back by it."""

    class TwoModels(Provider):
        def is_away(self) -> bool:
            return self.sent[-1][1].startswith("a") and super().is_away()

        async def __call__(self, prompt: str) -> str:
            if prompt.startswith("b"):
                await anyio.sleep(1)
                self.served[prompt] += 1
                return f"ok {prompt}"
            return await super().__call__(prompt)

    ids = [f"{model}-{number}" for number in range(40) for model in "ab"]
    provider = TwoModels((0.0, 1e9))
    ends: dict[str, float] = {}

    def note(result: ItemResult[Any]) -> None:
        if result.error is None:
            ends[result.id] = anyio.current_time()

    batch = one_batch(
        backend,
        ids,
        provider,
        workers=4,
        scope=lambda item: item.id[0],
        max_outage_seconds=60,
        on_result=note,
    )
    assert batch.succeeded == 40
    assert batch.unfinished == 40
    assert {type(one.error) for one in batch.results if one.attempts == 0 and one.error} == {NotSent}
    assert max(ends.values()) - min(ends.values()) < 15


@on_both
def test_long_answers_from_before_say_nothing(backend: str) -> None:
    """Answers that were under way when the provider went away still come, and make no item fail."""

    class Draining(Provider):
        async def __call__(self, prompt: str) -> str:
            self.sent.append((anyio.current_time(), prompt))
            if self.is_away():
                await anyio.sleep(0.05)
                raise self.error()
            await anyio.sleep(2 + 3 * (int(prompt[4:]) % 5))
            self.served[prompt] += 1
            return f"ok {prompt}"

    provider = Draining((3.0, 50.0), error=status(502))
    all_once(one_batch(backend, rows(100), provider, workers=10), provider, rows(100))


@on_both
@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refused_key_stops_the_run_at_once(code: int, backend: str) -> None:
    """Before anything succeeded: no more is sent than was under way, and the provider's words are given."""
    provider = Provider(
        (0.0, 1e9), error=lambda: Status(code, f"Incorrect key provided, {code}"), failing=0.3
    )
    batch = one_batch(backend, rows(300), provider, workers=10)
    assert len(provider.sent) <= 10
    assert (batch.unfinished, batch.failed) == (300, 300)
    assert batch.stopped == f"status {code}: Incorrect key provided, {code}"


@on_both
def test_a_key_that_is_revoked_stops_the_run_after_five(backend: str) -> None:
    """After successes five refusals in a row, of five items, stop it; one among successes is that item's."""
    provider = Provider((5.5, 1e9), error=status(401))
    batch = one_batch(backend, rows(100), provider, workers=1)
    assert (batch.succeeded, batch.failed - batch.unfinished) == (5, 4)
    assert batch.stopped == "status 401"
    provider = Provider()
    provider.poisoned = {"row-3": status(403), "row-9": status(404)}
    batch = one_batch(backend, rows(20), provider, workers=3)
    assert (batch.succeeded, batch.failed, batch.unfinished, batch.stopped) == (18, 2, 0, None)


@on_both
def test_a_refused_key_of_one_model_leaves_the_other(backend: str) -> None:
    """With scopes only the items of the scope are left open."""

    async def call(prompt: str) -> str:
        await anyio.sleep(0.1)
        if prompt.startswith("a"):
            raise Status(401, "bad key")
        return prompt

    ids = [f"{model}-{number}" for number in range(10) for model in "ab"]
    batch = one_batch(backend, ids, call, workers=2, scope=lambda item: item.id[0])
    assert (batch.succeeded, batch.unfinished, batch.stopped) == (10, 10, None)
    assert "not asked: status 401: bad key" in str(batch)


@on_both
def test_a_stream_outlives_an_outage(backend: str) -> None:
    """An outage does not end a stream, and its results come afterwards."""
    provider = Provider((2.0, 30.0))
    results: list[ItemResult[str]] = []

    async def main() -> None:
        async with ParallelBatchProcessor(provider, workers=3, batch_size=5) as processor:
            items = (LLMWorkItem(name, name) for name in rows(40))
            results.extend([result async for result in processor.process(items)])

    stepped(main, backend)
    assert sorted(result.id for result in results) == sorted(rows(40))
    assert provider.served == Counter(rows(40))


@on_both
@pytest.mark.parametrize("code", [401, 403])
def test_a_prompt_that_is_forbidden_does_not_stop_each_run_that_resumes(
    code: int, backend: str, tmp_path: Path
) -> None:
    """It stops the first run, if it comes first; later its own 403 is known for one. A 401 stops each run."""

    async def call(prompt: str) -> str:
        sent.append(prompt)
        await anyio.sleep(0.1 if prompt == "row-0" else 1)
        if prompt == "row-0":
            raise Status(code, "flagged")
        return prompt

    def run() -> BatchResult[Any]:
        with Journal(tmp_path / "run.db", resume=True) as journal:
            journal.register((name, fingerprint(name)) for name in rows(20))
            return one_batch(backend, rows(20), call, workers=2, store=journal)

    sent: list[str] = []
    first = run()
    assert (first.succeeded, first.unfinished, first.stopped) == (1, 19, f"status {code}: flagged")
    second = run()
    if code == 401:
        assert second.stopped == "status 401: flagged"
    else:
        assert (second.succeeded, second.failed, second.unfinished, second.stopped) == (19, 1, 0, None)
        assert sent.count("row-0") == 2


@by_turns(failures=[(10, 0), (30, 0), (70, 8)], load=[(10, 8.0), (50, 1.0)], backend=BACKENDS)
def test_requests_that_often_fail_are_no_outage(
    failures: tuple[int, int], load: tuple[int, float], backend: str
) -> None:
    """Errors come at once and answers late: with one request in ten or three failing nothing is paused."""
    (percent, most), (workers, seconds) = failures, load
    calls = [0]

    async def call(prompt: str) -> str:
        calls[0] = calls[0] * 1_664_525 + 1_013_904_223 & 0xFFFF_FFFF
        failing = (calls[0] >> 16) % 100 < percent
        await anyio.sleep(0.05 if failing else seconds)
        if failing:
            raise Status(500)
        return prompt

    batch = one_batch(backend, rows(300), call, workers=workers, max_attempts=60)
    assert batch.succeeded == 300
    assert batch.pauses <= most
