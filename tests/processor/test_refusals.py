"""The batch processor under refusals: pauses, budgets, backoff. Time is virtual where it passes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio
import pytest
import trio
from trio.testing import MockClock

from wavetank.processor import (
    AgentFailed,
    BatchResult,
    Bounds,
    ItemResult,
)
from wavetank.processor.batch_result import FailureCounts
from wavetank.processor.errors.request_failure import LimitMet

from .batches import process, virtually


class Refused(Exception):
    """A refusal as a client raises it."""

    def __init__(self, status: int, retry_after: float | None = None, code: str | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.retry_after = retry_after
        self.code = code


class Provider:
    """Answers by a script for each prompt: what stands there is raised, one for each request, then "ok".

    `latency` is how long each answer takes. `sent` has prompt and instant of each request.
    """

    def __init__(self, latency: float = 0.0, /, **scripts: Sequence[BaseException]) -> None:
        self.latency = latency
        self.scripts = {prompt: list(script) for prompt, script in scripts.items()}
        self.sent: list[tuple[str, float]] = []

    async def __call__(self, prompt: str) -> str:
        self.sent.append((prompt, anyio.current_time()))
        await anyio.sleep(self.latency)
        if script := self.scripts.get(prompt):
            raise script.pop(0)
        return f"ok {prompt}"

    def times(self, prompt: str) -> list[float]:
        """When the prompt was sent, counted from its first time."""
        times = [at for sent, at in self.sent if sent == prompt]
        return [round(at - times[0], 6) for at in times]


class Waves:
    """A provider that refuses all in stretches of time, counted from the first request."""

    def __init__(self, *stretches: tuple[float, float], retry_after: float | None, latency: float) -> None:
        self.stretches = stretches
        self.retry_after = retry_after
        self.latency = latency
        self.start: float | None = None
        self.refused = 0

    async def __call__(self, prompt: str) -> str:
        if self.start is None:
            self.start = anyio.current_time()
        await anyio.sleep(self.latency)
        now = anyio.current_time() - self.start
        if any(begin <= now < end for begin, end in self.stretches):
            self.refused += 1
            raise Refused(429, self.retry_after)
        return f"ok {prompt}"


def only(batch: BatchResult[str]) -> ItemResult[str]:
    """The one result of a batch of one."""
    (result,) = batch.results
    return result


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 503, 529])
async def test_a_refused_item_is_sent_again_after_the_stated_wait(status: int) -> None:
    """On both backends, and it counts its attempts."""
    provider = Provider(a=[Refused(status, 0.01)])
    result = only(await process(provider, ["a"]))
    assert (result.value, result.error, result.attempts) == ("ok a", None, 2)
    assert provider.times("a")[1] >= 0.01


@pytest.mark.anyio
async def test_all_workers_refused_at_once_all_finish() -> None:
    """Eight requests in flight, all refused in one instant: every item succeeds at its second attempt."""
    sent: list[str] = []
    all_are_sent = anyio.Event()

    async def refused_together(prompt: str) -> str:
        sent.append(prompt)
        if len(sent) > 8:
            return prompt
        if len(sent) == 8:
            all_are_sent.set()
        await all_are_sent.wait()
        raise Refused(429, 0.005)

    with anyio.fail_after(600):
        batch = await process(refused_together, list("abcdefgh"), workers=8)
    assert batch.succeeded == 8
    assert [result.attempts for result in batch.results] == [2] * 8


def test_a_refusal_holds_every_worker_back() -> None:
    """Nothing is sent until the wait with its margin is over, then one request, then all."""
    provider = Provider(1.0, a=[Refused(429, 10)])
    batch = virtually(provider, [*"abcdef"], workers=3)
    assert batch.succeeded == 6
    times = sorted(at - provider.sent[0][1] for _, at in provider.sent)
    assert times[:3] == [0, 0, 0]
    assert times[3] == pytest.approx(12)
    assert all(at >= 13 for at in times[4:])


@pytest.mark.parametrize("retry_after", [None, 1.5, 20.0])
@pytest.mark.parametrize("workers", [1, 3, 16])
def test_waves_lose_nothing(workers: int, retry_after: float | None) -> None:
    """Three waves over fifty items: every item succeeds, and no request is made twice but the refused."""
    provider = Waves((2, 5), (9, 12), (30, 90), retry_after=retry_after, latency=1.0)
    batch = virtually(provider, [f"item-{number}" for number in range(50)], workers=workers)
    assert batch.failed == 0
    assert [result.value for result in batch.results] == [f"ok item-{number}" for number in range(50)]
    assert sum(result.attempts for result in batch.results) == 50 + provider.refused


def test_rate_limits_do_not_spend_the_budget_of_errors() -> None:
    """Ten refusals and two errors, mixed, with three attempts for errors: the item succeeds."""
    script = [*[Refused(429, 1)] * 5, ConnectionResetError(), *[Refused(529, 1)] * 5]
    result = only(virtually(Provider(a=[*script, Refused(500)]), ["a"]))
    assert (result.value, result.attempts) == ("ok a", 13)


def test_errors_do_not_spend_the_budget_of_rate_limits() -> None:
    """With no retry left after a rate limit, errors are still retried; then the first refusal ends it."""
    provider = Provider(a=[Refused(500), Refused(502), Refused(429, 1), Refused(429, 1)])
    result = only(virtually(provider, ["a"], max_rate_limit_retries=0))
    assert (result.value, result.attempts) == (None, 3)
    assert result.reason == "rate limited once in 0 s, last: status 429"


def test_max_attempts_counts_errors_other_than_rate_limits() -> None:
    """The third error is the outcome, and the reason counts all three."""
    errors: list[BaseException] = [Refused(500), ConnectionResetError(), TimeoutError()]
    result = only(virtually(Provider(a=[*errors, Refused(500)]), ["a"]))
    assert (result.error, result.attempts) == (errors[2], 3)
    assert result.reason == "3 errors, last: no status, TimeoutError"


def test_the_backoff_after_errors_doubles_up_to_a_cap() -> None:
    """0.5, 1, 2, 4, 8 and 8 s, and it is the item's own: others go on meanwhile."""
    provider = Provider(a=[Refused(500)] * 6)
    batch = virtually(provider, ["a", "b", "c"], workers=2, max_attempts=7)
    assert batch.succeeded == 3
    assert provider.times("a") == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5])
    assert {at for name, at in provider.sent if name != "a"} == {provider.sent[0][1]}


def test_max_rate_limit_retries() -> None:
    """With two retries the third refusal is the outcome."""
    refusals: list[BaseException] = [Refused(429, 1) for _ in range(5)]
    result = only(virtually(Provider(a=refusals), ["a"], max_rate_limit_retries=2))
    assert (result.error, result.attempts) == (refusals[2], 3)
    assert result.reason == "rate limited 3 times in 2.2 s, last: status 429"


def test_max_rate_limit_seconds() -> None:
    """The first refusal that comes more than that long after the first is the outcome."""
    provider = Provider(a=[Refused(429, 10) for _ in range(9)])
    result = only(virtually(provider, ["a"], max_rate_limit_seconds=30))
    assert provider.times("a") == pytest.approx([0, 11, 22, 33])
    assert (result.value, result.attempts) == (None, 4)


def test_a_wait_longer_than_the_budget_is_waited_out() -> None:
    """One Retry-After of a day does not lose the item, and no tenth of a day is lost after it."""
    provider = Provider(a=[Refused(429, 86_400)])
    assert only(virtually(provider, ["a"])).value == "ok a"
    assert provider.times("a")[1] == pytest.approx(86_460)


def test_the_default_budgets_outlast_fifty_refusals() -> None:
    """Fifty refusals in a row are survived, the fifty-first is not."""
    survivor = only(virtually(Provider(a=[Refused(429, 1)] * 50), ["a"]))
    assert (survivor.value, survivor.attempts) == ("ok a", 51)
    assert only(virtually(Provider(a=[Refused(429, 1)] * 51), ["a"])).value is None


@pytest.mark.parametrize(
    "error",
    [
        Refused(400),
        Refused(413),
        Refused(422),
        Refused(429, 10, "context_length_exceeded"),
    ],
    ids=lambda error: f"{error}-{error.code}",
)
def test_a_terminal_refusal_fails_at_once_and_pauses_no_other_item(error: Refused) -> None:
    """One attempt, the exception as the error, the reason in words, and no time lost for the others."""
    batch = virtually(Provider(a=[error]), ["a", "b"], workers=1)
    assert (batch.results[0].error, batch.results[0].attempts) == (error, 1)
    assert f"status {error.status}" in str(batch.results[0].reason)
    assert batch.results[1].value == "ok b"
    assert batch.seconds == 0


def test_an_error_that_states_a_wait_pauses_all_items() -> None:
    """A 500 with Retry-After pauses the gate, but it spends the budget of errors."""
    provider = Provider(1.0, a=[Refused(500, 10)] * 3)
    batch = virtually(provider, ["a", "b", "c"], workers=1)
    assert batch.results[0].reason == "3 errors, last: status 500"
    assert provider.times("a") == pytest.approx([0, 12, 24])
    assert batch.succeeded == 2


def test_a_probe_with_another_error_lets_the_next_item_probe() -> None:
    """After the pause the first to go meets a lost connection: the batch goes on."""
    provider = Provider(0.1, a=[Refused(429, 1), ConnectionResetError()], b=[Refused(429, 1), Refused(422)])
    batch = virtually(provider, [*"abcd"], workers=2)
    assert [result.error is None for result in batch.results] == [True, False, True, True]


def test_time_to_the_first_result_is_taken_when_it_comes() -> None:
    """Two rounds of 3 s: the first results come after 3 s, the last after 6."""
    batch = virtually(Provider(3.0), [*"abcd"], workers=2)
    assert [batch.first_result_seconds, batch.seconds] == pytest.approx([3, 6])


def test_five_workers_take_a_fifth_of_the_time() -> None:
    """Ten items of 30 s each need one minute with five workers and five with one."""
    ids = [f"item-{number}" for number in range(10)]
    assert virtually(Provider(30.0), ids, workers=5).seconds == pytest.approx(60)
    assert virtually(Provider(30.0), ids, workers=1).seconds == pytest.approx(300)


def test_cancelling_the_batch_in_a_pause_ends_it() -> None:
    """No worker waits for the end of the pause once process_all is cancelled."""

    async def main() -> None:
        start = anyio.current_time()
        with anyio.move_on_after(5):
            await process(Provider(**{name: [Refused(429, 1000)] for name in "abc"}), [*"abcdef"], workers=3)
        assert anyio.current_time() - start == pytest.approx(5)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_call_cancelled_by_its_own_timeout_is_retried() -> None:
    """A call with its own timeout raises TimeoutError, also as a probe, and blocks no other item."""
    calls = 0

    async def call(prompt: str) -> str:
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise Refused(429, 1)
        with anyio.fail_after(10):
            await anyio.sleep(1000 if calls == 4 else 1)
        return prompt

    batch = virtually(call, [*"abcdef"], workers=3)
    assert batch.succeeded == 6
    assert calls == 10


AGENTS_LIMIT = "Rate limit from agent: You've hit your limit · resets 4pm (America/Los_Angeles)"


def test_the_report_names_the_limit_and_when_it_resets() -> None:
    """In the zone in which the agent wrote it, once for all items, and in each item's reason."""
    provider = Provider(**{f"r{n}": [AgentFailed(-1, "", AGENTS_LIMIT)] for n in range(15)})
    batch = virtually(provider, [f"r{n}" for n in range(15)], max_rate_limit_retries=0)
    (said,) = batch.failures
    assert re.fullmatch(r"rate limit, resets 16:00 P[SD]T \(plan limit\)", said)
    assert f"15 items failed: {said}" in str(batch)
    assert all("plan limit, resets 20" in str(result.reason) for result in batch.results)
    assert {result.cause for result in batch.results} == {"rate limit (plan limit)"}


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (None, r"rate limit at \d\d:\d\d \S+ \(status 429\)"),
        (5, r"rate limit at \d\d:\d\d \S+ \(status 429\)"),
        (600, r"rate limit, resets \d\d:\d\d \S+ \(status 429\)"),
        (10 * 86_400, r"rate limit, resets \d{4}-\d\d-\d\d \d\d:\d\d \S+ \(status 429\)"),
    ],
)
def test_a_limit_by_status_has_a_time_too(wait: float | None, said: str) -> None:
    """When it resets, with the date if that is days away; a short one when it was met."""
    batch = virtually(
        Provider(a=[Refused(429, wait)], b=[Refused(400)]), ["a", "b"], max_rate_limit_retries=0
    )
    limit, other = batch.failures
    assert re.fullmatch(said, limit)
    assert other == "status 400"
    assert batch.results[0].limit is not None
    assert batch.results[1].limit is None
    assert (", resets " in str(batch.results[0].reason)) == (wait is not None and wait > 60)


def test_the_latest_time_of_a_limit_is_the_one_that_counts() -> None:
    """Whichever of its items failed first."""
    met = datetime(2026, 11, 29, 12, tzinfo=UTC)
    early, late = (LimitMet("status 429", met, met + timedelta(hours=n)) for n in (1, 2))
    for order in ((early, late), (late, early)):
        counts = FailureCounts()
        for limit in order:
            counts.add(limit.cause, limit)
        assert counts.most_common() == {"rate limit, resets 14:00 UTC (status 429)": 2}


def test_a_billing_refusal_counts_as_a_refusal() -> None:
    """It pauses no other item, and requests that were not sent are not counted as refused."""
    spent = Refused(429, code="insufficient_quota")
    batch = virtually(Provider(a=[spent]), ["a", "b", "c"], workers=1)
    assert (batch.refusals, batch.requests, batch.pauses, batch.unfinished) == (1, 1, 0, 3)


def test_only_the_time_of_a_pause_that_passed_is_counted() -> None:
    """A batch that ends at once has waited for nothing."""
    batch = virtually(Provider(a=[Refused(429, 100)]), ["a"], max_rate_limit_retries=0)
    assert (batch.pauses, batch.paused_seconds, batch.seconds) == (1, 0.0, 0.0)
    batch = virtually(Provider(a=[Refused(429, 100)]), ["a"], bounds=Bounds(seconds=30))
    assert (batch.paused_seconds, batch.seconds) == (30, 30)
