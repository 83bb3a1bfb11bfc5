"""A run as a whole: permits, scopes, phases, bounds, and what it keeps and shows of itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import (
    Bounds,
    CallResult,
    Decision,
    ExponentialDelay,
    ItemResult,
    ItemTooLarge,
    Limits,
    LLMWorkItem,
    ParallelBatchProcessor,
    Quota,
    RateInfo,
    RunStopped,
    Store,
    TokenUsage,
)

from .batches import process, virtually

on_both = pytest.mark.anyio


class Refused(Exception):
    """A refusal as a client raises it."""

    def __init__(self, status: int = 429, retry_after: float | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.retry_after = retry_after


class Provider:
    """Answers by a script for each prompt: what stands there is raised, then "ok"; takes `latency`."""

    def __init__(self, latency: float = 0.0, /, **scripts: Sequence[BaseException]) -> None:
        self.latency = latency
        self.scripts = {prompt: list(script) for prompt, script in scripts.items()}
        self.sent: list[tuple[str, float]] = []
        self.under_way = self.peak = 0

    async def __call__(self, prompt: str) -> str:
        self.sent.append((prompt, anyio.current_time()))
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await anyio.sleep(self.latency)
        finally:
            self.under_way -= 1
        if script := self.scripts.get(prompt):
            raise script.pop(0)
        return f"ok {prompt}"

    def times(self, prompt: str) -> list[float]:
        """When the prompt was sent, counted from the first request of all."""
        return [round(at - self.sent[0][1], 6) for sent, at in self.sent if sent == prompt]


class Memory:
    """A store in memory that records its calls."""

    def __init__(
        self, known: Mapping[str, Any] | None = None, until: Mapping[str, float] | None = None
    ) -> None:
        self.known = dict(known or {})
        self.until = dict(until or {})
        self.log: list[tuple[Any, ...]] = []
        self.fails_in = ""

    async def limited_until(self) -> Mapping[str, float]:
        return self.until

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> Mapping[str, ItemResult[Any]]:
        await anyio.lowlevel.checkpoint()
        return {item.id: ItemResult(item.id, self.known[item.id]) for item in items if item.id in self.known}

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        await self.note("started", item.id, attempt)

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        await self.note("settled", item.id, result.value)

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        await self.note("ended", item.id, attempts)

    async def paused(self, scope: str, until: float, count: int) -> None:
        await self.note("paused", scope, until, count)

    async def note(self, *what: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append(what)
        if self.fails_in in what:
            raise OSError("disk full")


def test_with_one_worker_another_item_runs_while_the_first_backs_off() -> None:
    """The permit is returned during the backoff, and one request at a time is under way all the same."""
    provider = Provider(1.0, a=[ConnectionResetError(), ConnectionResetError()])
    batch = virtually(provider, "abcd", workers=1)
    assert batch.succeeded == 4
    assert provider.times("a")[:2] == [0, 2]
    assert provider.times("b") == [1]
    assert provider.peak == 1


def test_workers_are_not_multiplied_by_backoff() -> None:
    """However many items back off, no more requests are under way than there are workers."""
    provider = Provider(0.5, **{name: [Refused(500)] * 2 for name in "abcdefghijklmnop"})
    batch = virtually(provider, "abcdefghijklmnop", workers=3)
    assert batch.succeeded == 16
    assert provider.peak == 3


def test_each_scope_has_a_gate_of_its_own() -> None:
    """A pause of one model holds no item of another, even when its items hold all the workers."""
    provider = Provider(1.0, **{f"slow{n}": [Refused(429, 100)] for n in range(3)})
    ids = [*(f"slow{n}" for n in range(6)), *(f"fast{n}" for n in range(6))]
    batch = virtually(provider, ids, workers=3, scope=lambda item: item.id[:4])
    assert batch.succeeded == 12
    assert max(max(provider.times(f"fast{n}")) for n in range(6)) < 10
    assert all(provider.times(f"slow{n}")[-1] > 100 for n in range(6))


def test_the_line_of_one_scope_holds_no_permit_of_another() -> None:
    """Two scopes of 2 requests a second take as long side by side as one, in whatever order items come."""
    ids = [*(f"a{n}" for n in range(40)), *(f"b{n}" for n in range(40))]
    limits = Limits(requests_per_minute=120, burst=1)
    batch = virtually(Provider(0.05), ids, workers=10, limits=limits, scope=lambda item: item.id[0])
    assert batch.succeeded == 80
    assert batch.seconds < 20.5


def test_a_long_pause_of_one_scope_does_not_hold_back_later_items() -> None:
    """Many more items than workers wait for it, and those of the other scope are done meanwhile."""
    ids = [*(f"a{n}" for n in range(60)), *(f"b{n}" for n in range(20))]
    provider = Provider(0.05, a0=[Refused(429, 100)])
    batch = virtually(provider, ids, workers=3, scope=lambda item: item.id[0])
    assert batch.succeeded == 80
    assert provider.peak <= 3
    assert max(max(provider.times(f"b{n}")) for n in range(20)) < 10
    assert all(provider.times(f"a{n}")[-1] > 100 for n in range(4, 60))


@on_both
async def test_closing_a_scope_releases_the_items_in_its_line() -> None:
    """They fail without a request, and their permits are there for the others."""
    spent = Refused(402)
    provider = Provider(0.01, **{f"a{n}": [spent] for n in range(8)})
    ids = [*(f"a{n}" for n in range(8)), *(f"b{n}" for n in range(8))]
    limits = Limits(requests_per_minute=6000, burst=1)
    batch = await process(provider, ids, workers=2, limits=limits, scope=lambda item: item.id[0])
    assert [result.value for result in batch.results[8:]] == [f"ok b{n}" for n in range(8)]
    assert [result.unfinished for result in batch.results[:8]] == [True] * 8
    assert provider.peak <= 2


def test_equal_keys_are_one_scope_whatever_object_carries_them() -> None:
    """The key counts, not its identity."""
    provider = Provider(1.0, a=[Refused(429, 10)])
    batch = virtually(provider, "abcdef", workers=2, scope=lambda _: "".join(["gp", "t"]))
    assert batch.pauses == 1
    assert batch.succeeded == 6


@on_both
@pytest.mark.parametrize("later", [False, True])
async def test_an_item_that_cannot_be_prepared_fails_and_no_other(later: bool) -> None:
    """It is never sent, its reason says so, and the others are sent as they were prepared."""

    def prepare(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
        if item.id == "b":
            raise ValueError("no such row")
        return LLMWorkItem(item.id, prompt=item.prompt.upper())

    async def prepare_later(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
        await anyio.lowlevel.checkpoint()
        return prepare(item)

    provider = Provider()
    batch = await process(provider, "abc", prepare_item=prepare_later if later else prepare)
    assert [result.value for result in batch.results] == ["ok A", None, "ok C"]
    assert batch.results[1].reason == "preparation failed: ValueError: no such row"
    assert sorted(sent for sent, _ in provider.sent) == ["A", "C"]


@on_both
async def test_everything_is_prepared_before_anything_is_sent() -> None:
    """The first request comes after the last preparation."""
    log: list[str] = []

    async def call(prompt: str) -> str:
        await anyio.lowlevel.checkpoint()
        log.append(f"send {prompt}")
        return prompt

    def prepare(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
        log.append(f"prepare {item.id}")
        return item

    await process(call, "abc", prepare_item=prepare)
    assert log[:3] == ["prepare a", "prepare b", "prepare c"]


@on_both
async def test_a_preparation_may_not_change_the_id() -> None:
    """Such an item fails with the fix in its reason."""
    batch = await process(Provider(), "a", prepare_item=lambda _: LLMWorkItem(id="z", prompt="z"))
    assert "must return an LLMWorkItem with the id 'a'" in str(batch.results[0].reason)


@on_both
@pytest.mark.parametrize("order", ["input", "completed"])
async def test_post_processing_in_input_order_or_as_completed(order: str) -> None:
    """Each value goes through it once, in the order asked for; sinks and the callback come after it."""
    seen: list[str] = []
    received: list[str] = []

    heard_of = {name: anyio.Event() for name in "abcd"}
    awaited = {"a": "b", "b": "c", "c": "d"} if order == "completed" else {}

    async def call(prompt: str) -> str:
        if prompt in awaited:
            await heard_of[awaited[prompt]].wait()
        await anyio.lowlevel.checkpoint()
        return prompt

    def receive(result: ItemResult[str]) -> None:
        received.append(str(result.value))
        heard_of[result.id].set()

    def post(item: LLMWorkItem[Any], value: str) -> str:
        seen.append(item.id)
        return value * 2

    batch = await process(call, "abcd", post_process=post, order=order, on_result=receive)
    assert [result.value for result in batch.results] == ["aa", "bb", "cc", "dd"]
    assert seen == list("abcd" if order == "input" else "dcba")
    assert received == [name * 2 for name in seen]


@on_both
async def test_an_error_in_post_processing_fails_only_its_item() -> None:
    """The reason says where it failed; failed items are not post-processed."""

    async def post(item: LLMWorkItem[Any], value: str) -> str:
        await anyio.lowlevel.checkpoint()
        return {"a": value}[item.id]

    batch = await process(Provider(0.0, c=[ValueError("bad")]), "abc", post_process=post)
    assert batch.results[0].value == "ok a"
    assert batch.results[1].reason == "post-processing failed: KeyError: 'b'"
    assert batch.results[2].reason == "no status, ValueError"


def test_fail_fast_sends_nothing_more_and_brings_home_what_is_under_way() -> None:
    """After the first failed item the others are not started, and say why."""
    provider = Provider(1.0, b=[ValueError("bad row")])
    batch = virtually(provider, "abcdef", workers=3, fail_fast=True)
    assert [result.error is None for result in batch.results] == [True, False, True, False, False, False]
    assert sorted(sent for sent, _ in provider.sent) == list("abc")
    assert isinstance(batch.results[3].error, RunStopped)
    assert batch.stopped == "item 'b' failed: no status, ValueError"
    assert "stopped early: item 'b' failed" in str(batch)


def test_fail_fast_ends_waits() -> None:
    """A stop ends the waits of items for a pause, a backoff or a permit."""
    provider = Provider(
        1.0, a=[Refused(429, 1000)], b=[ConnectionResetError()], c=[ValueError("bad")], d=[Refused(500)]
    )
    batch = virtually(provider, "abcdefgh", workers=4, fail_fast=True)
    assert batch.failed == 8
    assert batch.seconds == pytest.approx(1)


def test_a_bound_on_requests() -> None:
    """So many requests are sent and not one more; the rest says that the bound was reached."""
    provider = Provider(1.0, a=[Refused(429, 1)])
    batch = virtually(provider, "abcdef", workers=2, bounds=Bounds(requests=4))
    assert len(provider.sent) == 4
    assert batch.succeeded == 3
    assert batch.stopped == "its 4 requests were sent"


@pytest.mark.parametrize(
    ("bounds", "stopped"),
    [(Bounds(tokens=25), "its 25 tokens were spent"), (Bounds(cost=0.5), "its cost of 0.5 was reached")],
)
def test_bounds_on_tokens_and_cost(bounds: Bounds, stopped: str) -> None:
    """When the answers have taken so much, nothing more is sent."""

    async def call(prompt: str) -> CallResult[str]:
        await anyio.sleep(1)
        return CallResult(prompt, usage=TokenUsage(8, 2), cost=0.2)

    batch = virtually(call, "abcdef", workers=1, bounds=bounds)
    assert batch.succeeded == 3
    assert batch.stopped == stopped
    assert batch.usage.total == 30
    assert batch.cost == pytest.approx(0.6)


def test_a_bound_on_time_cancels_what_is_under_way() -> None:
    """The batch returns at that instant, with all outcomes until then."""
    batch = virtually(Provider(2.0), "abcdef", workers=2, bounds=Bounds(seconds=5))
    assert batch.seconds == pytest.approx(5)
    assert (batch.succeeded, batch.failed) == (4, 2)
    assert [result.attempts for result in batch.results] == [1] * 6
    assert batch.stopped == "its time was up"


def test_request_seconds_cuts_a_request_and_tries_again() -> None:
    """A request that takes longer counts as a transient error."""
    slow = {"a": 2}

    async def call(prompt: str) -> str:
        slow[prompt] = slow.get(prompt, 0) - 1
        await anyio.sleep(1000 if slow[prompt] >= 0 else 1)
        return prompt

    batch = virtually(call, "ab", request_seconds=10)
    assert [result.attempts for result in batch.results] == [3, 1]
    assert batch.seconds == pytest.approx(10 + 0.5 + 10 + 1 + 1)


@pytest.mark.parametrize(
    "options", [{"request_seconds": 0}, {"batch_size": 0}, {"order": "backwards"}], ids=str
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    """The error names the option."""
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be"):
        ParallelBatchProcessor(Provider(), **options)


@pytest.mark.parametrize("name", ["seconds", "requests", "tokens", "cost"])
def test_bounds_out_of_range(name: str) -> None:
    """The error names the bound."""
    with pytest.raises(ValueError, match=f"^{name} must be above 0, not 0"):
        Bounds(**{name: 0})


def test_an_item_dearer_than_the_burst_is_refused_up_front() -> None:
    """It is never sent, its error says what it needs, and the others go."""
    provider = Provider()
    batch = virtually(
        provider,
        ["a", "b" * 4000, "c"],
        limits=Limits(tokens_per_minute=60_000, token_burst=1000),
        estimate_tokens=lambda item: float(len(item.prompt)),
    )
    assert isinstance(batch.results[1].error, ItemTooLarge)
    assert "needs 4000 tokens, and the limit lets through 1000 at once" in str(batch.results[1].reason)
    assert batch.results[1].attempts == 0
    assert len(provider.sent) == 2


def test_tokens_are_paced_and_the_estimate_is_corrected_by_the_answer() -> None:
    """At 100 tokens a second items thought to take 100 go one a second, and sooner when they take 50."""
    for took, seconds in ((100, 9.0), (50, 4.5)):
        sent: list[float] = []

        async def call(_: str, took: int = took, sent: list[float] = sent) -> CallResult[str]:
            sent.append(anyio.current_time())
            await anyio.sleep(0.001)
            return CallResult("", usage=TokenUsage(took, 0))

        limits = Limits(tokens_per_minute=6000, token_burst=100)
        virtually(call, "abcdefghij", limits=limits, estimate_tokens=lambda _: 100, workers=2)
        assert sent[-1] - sent[0] == pytest.approx(seconds, rel=0.02, abs=0.1)


def test_a_configured_limit_is_kept_to_the_second() -> None:
    """At 120 a minute and one at a time forty requests take twenty seconds, and never two at once."""
    provider = Provider(0.1)
    virtually(provider, [str(n) for n in range(40)], limits=Limits(requests_per_minute=120, burst=1))
    gaps = [b[1] - a[1] for a, b in zip(provider.sent, provider.sent[1:], strict=False)]
    assert min(gaps) >= 0.5
    assert max(gaps) == pytest.approx(0.5, rel=0.01)


@on_both
async def test_a_store_records_each_start_and_each_outcome() -> None:
    """Before the request is sent, and before the result is delivered."""
    memory = Memory()
    assert isinstance(memory, Store)

    async def call(prompt: str) -> str:
        await memory.note("sent", prompt)
        return prompt

    await process(
        call,
        "ab",
        workers=1,
        store=memory,
        on_result=lambda result: memory.log.append(("received", result.id)),
    )
    assert memory.log == [
        ("started", "a", 1),
        ("sent", "a"),
        ("settled", "a", "a"),
        ("received", "a"),
        ("started", "b", 1),
        ("sent", "b"),
        ("settled", "b", "b"),
        ("received", "b"),
    ]


@on_both
async def test_what_a_store_recalls_is_not_sent_again() -> None:
    """Its result is there, marked, with no attempt; it is not settled twice."""
    memory, provider = Memory({"b": "from before"}), Provider()
    batch = await process(provider, "abc", store=memory)
    assert [result.value for result in batch.results] == ["ok a", "from before", "ok c"]
    assert [result.recalled for result in batch.results] == [False, True, False]
    assert sorted(sent for sent, _ in provider.sent) == ["a", "c"]
    assert sorted(what[1] for what in memory.log if what[0] == "settled") == ["a", "c"]


@on_both
async def test_a_stream_recalls_too() -> None:
    """Also item by item what was done is not sent again."""
    memory, provider = Memory({"b": "from before"}), Provider()
    async with ParallelBatchProcessor(provider, store=memory, order="input") as processor:
        items = [LLMWorkItem(id=name, prompt=name) for name in "abc"]
        values = [result.value async for result in processor.process(items)]
    assert values == ["ok a", "from before", "ok c"]


def test_a_store_records_pauses_and_holds_the_next_run_back() -> None:
    """The end of a pause is in seconds since 1970, and the next run waits for it."""
    memory = Memory()
    virtually(Provider(a=[Refused(429, 10)]), "a", store=memory)
    ((_, scope, until, count),) = [what for what in memory.log if what[0] == "paused"]
    assert (scope, count) == ("account", 1)
    assert until > 1.7e9
    later = Memory(until={"account": time.time() + 100})
    batch = virtually(Provider(a=[Refused(429, 10)]), "a", store=later)
    assert batch.seconds == pytest.approx(111, abs=1)
    assert batch.pauses == 2
    assert [what[3] for what in later.log if what[0] == "paused"] == [1]


def test_a_stored_pause_that_is_over_holds_nothing_back() -> None:
    """It has no pause, and none of its time was spent in one."""
    earlier = Memory(until={"account": time.time() - 100})
    seen: list[Decision] = []
    batch = virtually(Provider(), "a", store=earlier, observer=seen.append)
    assert (batch.pauses, batch.paused_seconds, batch.seconds) == (0, 0.0, 0.0)
    assert [decision.kind for decision in seen if "pause" in decision.kind] == []


@on_both
@pytest.mark.parametrize("fails_in", ["started", "settled"])
async def test_a_store_that_fails_stops_the_run(fails_in: str) -> None:
    """Its error leaves process_all as it is, and nothing more is sent."""
    memory, provider = Memory(), Provider()
    memory.fails_in = fails_in
    with pytest.raises(OSError, match="disk full"):
        await process(provider, "abcdef", workers=1, store=memory)
    assert len(provider.sent) <= 1


class Shelf:
    """A sink in memory; the k-th write fails if asked for."""

    def __init__(self, fails_at: int = 0) -> None:
        self.fails_at = fails_at
        self.written: list[str] = []
        self.busy = False

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        assert not self.busy
        self.busy = True
        await anyio.lowlevel.checkpoint()
        self.busy = False
        assert item.id == result.id
        if len(self.written) + 1 == self.fails_at:
            raise OSError("disk full")
        self.written.append(result.id)


@on_both
async def test_sinks_get_one_result_at_a_time() -> None:
    """Each result once, in input order if asked for, also those of failed items."""
    shelf = Shelf()
    await process(Provider(0.0, c=[ValueError()]), "abcdefgh", sinks=(shelf,), order="input")
    assert shelf.written == list("abcdefgh")


@on_both
async def test_a_sink_that_fails_stops_the_run_and_loses_nothing() -> None:
    """What is under way is settled in the store, nothing more is sent, and the error comes out."""
    memory, provider, shelf = Memory(), Provider(), Shelf(fails_at=2)
    with pytest.raises(OSError, match="disk full"):
        await process(provider, "abcdefghij", workers=2, store=memory, sinks=(shelf,))
    sent = sorted(sent for sent, _ in provider.sent)
    assert sorted(what[1] for what in memory.log if what[0] == "settled") == sent
    assert len(sent) < 10


def test_a_sink_that_fails_at_the_end_loses_only_its_own_row() -> None:
    """Rows that waited for a slow one when the time was up are all written but the one that fails."""
    written: list[str] = []

    class Slow:
        async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
            assert result.value
            await anyio.sleep(100 if item.id == "a" else 0)
            if item.id == "b":
                raise OSError("disk full")
            written.append(item.id)

    async def call(prompt: str) -> str:
        await anyio.sleep("abcd".index(prompt))
        return prompt

    with pytest.raises(OSError, match="disk full"):
        virtually(call, "abcd", sinks=(Slow(),), bounds=Bounds(seconds=5))
    assert written == ["a", "c", "d"]


def test_each_decision_is_an_event() -> None:
    """Refused, paused, resumed, retried, cut, done: with item, scope, instant and reason."""
    seen: list[Decision] = []
    provider = Provider(1.0, a=[Refused(429, 10)], b=[ConnectionResetError()])
    batch = virtually(provider, "abc", workers=3, observer=seen.append)
    assert batch.succeeded == 3
    seen_decisions = [(one.kind, one.item, round(one.at, 3)) for one in seen]
    assert ("refused", "a", 1.0) in seen_decisions
    assert ("retried", "b", 1.0) in seen_decisions
    assert [one.until for one in seen if one.kind == "paused"] == [pytest.approx(12)]
    assert ("resumed", None, 12.0) in seen_decisions
    assert sorted(one.item or "" for one in seen if one.kind == "done") == list("abc")
    assert str(seen[0]).startswith("1.000 s ")


@on_both
async def test_an_observer_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the batch is whole."""

    def broken(decision: Decision) -> None:
        raise ValueError(f"cannot draw {decision.kind}")

    with caplog.at_level(logging.ERROR):
        batch = await process(Provider(), "ab", observer=broken)
    assert batch.succeeded == 2
    assert "cannot draw done" in caplog.text


@on_both
async def test_pauses_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A pause and its end are in the log at the level INFO, each step at DEBUG."""
    delays = ExponentialDelay(0.001)
    with caplog.at_level(logging.INFO, "wavetank.processor"):
        await process(Provider(0.0, a=[Refused()]), "a", delays=delays)
    assert [record.message.split()[2] for record in caplog.records[:2]] == ["paused", "resumed"]
    with caplog.at_level(logging.DEBUG, "wavetank.processor"):
        await process(Provider(0.0, a=[Refused()]), "a", delays=delays)
    assert "refused account item 'a' (status 429)" in caplog.text


def test_a_batch_says_what_happened() -> None:
    """Counts, causes, refusals and pauses, in words."""
    provider = Provider(1.0, a=[Refused(429, 10)], b=[Refused(422)], c=[Refused(422)])
    batch = virtually(provider, "abcd", workers=4)
    assert str(batch).splitlines() == [
        "2 items of 4 succeeded in 13.0 s",
        "2 items failed: status 422",
        "refused once, 1 pause of 11.0 s together",
        "5 requests, 1 of them retries",
    ]
    assert batch.failures == {"status 422": 2}
    assert (batch.requests, batch.refusals, batch.retries, batch.pauses) == (5, 1, 1, 1)
    assert batch.paused_seconds == pytest.approx(11)
    assert batch.seconds_per_request == pytest.approx(13 / 5)


def test_a_summary_names_a_pause_stated_by_a_good_answer() -> None:
    """No request was refused, and still the batch waited ten minutes."""
    spent = RateInfo(requests=Quota(10, 0, 600))

    async def call(prompt: str) -> CallResult[str]:
        return CallResult(prompt, info=spent if prompt == "a" else None)

    batch = virtually(call, "abc", workers=1)
    assert str(batch).splitlines() == [
        "3 items of 3 succeeded in 600.0 s",
        "1 pause of 600.0 s together",
    ]


def test_percentiles() -> None:
    """The seconds within which so many items had their outcome."""

    async def call(prompt: str) -> str:
        await anyio.sleep(float(prompt))
        return prompt

    batch = virtually(call, [str(n) for n in range(1, 6)], workers=5)
    assert [batch.percentile(p) for p in (0, 20, 50, 100)] == pytest.approx([1, 1, 3, 5])
    assert virtually(call, []).percentile(50) == 0
    with pytest.raises(ValueError, match="from 0 to 100"):
        batch.percentile(101)


def picky(item: LLMWorkItem[Any]) -> Any:
    """A callback of the caller that raises only for `b`."""
    if item.id == "b":
        raise ValueError("special token")
    return 10


@on_both
@pytest.mark.parametrize("rule", ["scope", "estimate_tokens"])
@pytest.mark.parametrize("limits", [None, Limits(tokens_per_minute=600_000)], ids=["learnt", "known"])
async def test_a_callback_that_raises_for_an_item_fails_only_that_item(
    rule: str, limits: Limits | None
) -> None:
    """Nothing is sent for it, it says which rule failed, a store keeps that, and the others go on."""
    provider, memory = Provider(), Memory()
    batch = await process(provider, "abc", limits=limits, store=memory, workers=2, **{rule: picky})
    assert sorted(prompt for prompt, _ in provider.sent) == ["a", "c"]
    assert batch.failures == {f"{rule} failed: ValueError: special token": 1}
    assert isinstance(batch.results[1].error, ValueError)
    assert [what for what in memory.log if what[:2] == ("settled", "b")] == [("settled", "b", None)]


@on_both
@pytest.mark.parametrize("tokens", [-5, float("nan"), float("inf"), "many"])
async def test_an_estimate_that_is_no_number_of_tokens_fails_its_item(tokens: Any) -> None:
    """It never reaches the pace, which it would derange for all others."""
    batch = await process(
        Provider(),
        "ab",
        limits=Limits(tokens_per_minute=600_000),
        estimate_tokens=lambda item: tokens if item.id == "a" else 5,
    )
    assert [result.value for result in batch.results] == [None, "ok b"]
    assert str(batch.results[0].reason).startswith("estimate_tokens failed: ")


@on_both
@pytest.mark.parametrize("answer", [None, KeyError("code")], ids=["no failure", "raises"])
async def test_a_classifier_that_fails_costs_the_item_it_judges(answer: Any) -> None:
    """The item fails with the classifier's error, which holds what it was to judge."""
    refusal = Refused()

    def judge(error: BaseException) -> Any:
        if answer is not None:
            raise answer
        assert error is refusal

    batch = await process(Provider(b=[refusal]), "abc", classifier=judge, workers=1)
    assert [result.value for result in batch.results] == ["ok a", None, "ok c"]
    failed = batch.results[1]
    assert str(failed.reason).startswith("classifier failed: ")
    assert failed.error is not None
    assert failed.error.__context__ is refusal
    assert (batch.requests, batch.refusals) == (3, 0)


@on_both
async def test_a_store_records_no_start_of_a_request_that_a_bound_prevents() -> None:
    """An item that was never sent is not marked as one that may have been."""
    memory, provider = Memory(), Provider()
    batch = await process(provider, "abcdef", workers=4, store=memory, bounds=Bounds(requests=3))
    assert batch.requests == 3
    started = [name for what, name, *_ in memory.log if what == "started"]
    ended = [name for what, name, *_ in memory.log if what in ("ended", "settled")]
    assert sorted(set(started)) == sorted(set(ended))
    assert len(started) <= 4


@on_both
async def test_a_start_that_is_recorded_during_a_cancellation_is_not_marked() -> None:
    """It was not sent, and the store records that."""

    class Slow(Memory):
        async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
            await super().started(item, attempt)
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    memory, provider = Slow(), Provider()
    with anyio.CancelScope() as scope:
        await process(provider, "a", store=memory)
    assert provider.sent == []
    assert memory.log == [("started", "a", 1), ("ended", "a", 0)]


def test_a_store_records_a_limit_stated_by_a_good_answer() -> None:
    """A budget that is spent with the last answer holds the next run back, too."""
    memory = Memory()

    async def call(prompt: str) -> CallResult[str]:
        return CallResult(prompt, info=RateInfo(requests=Quota(remaining=0, resets_in=3600.0)))

    virtually(call, "a", store=memory)
    kept = [what for what, *_ in memory.log]
    assert kept == ["started", "settled", "paused"]
    _, scope, until, _ = memory.log[-1]
    assert scope == "account"
    assert until - time.time() == pytest.approx(3600, abs=5)
