"""The limits in the headers of every dialect, and how a run keeps them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from datetime import UTC, datetime

import anyio
import pytest
import trio
from trio.testing import MockClock

from wavetank.processor import (
    CallResult,
    Gate,
    Limits,
    LLMWorkItem,
    ParallelBatchProcessor,
    Quota,
    RateInfo,
    TokenUsage,
    rate_info,
)

from ...depth import by_turns

NOW = 1_755_780_000.0  # 2025-08-21T12:40:00Z


@pytest.mark.parametrize(
    ("headers", "requests", "tokens", "wait"),
    [
        pytest.param(
            {
                "x-ratelimit-limit-requests": "5000",
                "x-ratelimit-remaining-requests": "4999",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-limit-tokens": "160000",
                "x-ratelimit-remaining-tokens": "159976",
                "x-ratelimit-reset-tokens": "9ms",
            },
            Quota(5000, 4999, 0.012, 5000 / 60),
            Quota(160_000, 159_976, 0.009, 160_000 / 60),
            None,
            id="openai",
        ),
        pytest.param(
            {"x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984",
             "x-ratelimit-reset-tokens": "6m0s"},
            None,
            Quota(150_000, 149_984, 360, None),
            None,
            id="openai-with-a-reset-that-fits-no-window",
        ),
        pytest.param(
            {"X-RateLimit-Limit-Requests": "14400", "X-RateLimit-Remaining-Requests": "14370",
             "X-RateLimit-Reset-Requests": "2m59.56s"},
            Quota(14_400, 14_370, 179.56, 14_400 / 86_400),
            None,
            None,
            id="groq-counts-requests-by-the-day",
        ),
        pytest.param(
            {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1",
             "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7"},
            None,
            Quota(None, 0, 7, None),
            None,
            id="azure",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-limit": "1000",
                "anthropic-ratelimit-requests-remaining": "999",
                "anthropic-ratelimit-requests-reset": "2025-08-21T12:40:59Z",
                "anthropic-ratelimit-tokens-limit": "96000",
                "anthropic-ratelimit-tokens-remaining": "96000",
                "anthropic-ratelimit-tokens-reset": "2025-08-21T12:39:59Z",
            },
            Quota(1000, 999, 59, 1000 / 60),
            Quota(96_000, 96_000, 0, 1600),
            None,
            id="anthropic",
        ),
        pytest.param(
            {"anthropic-ratelimit-unified-status": "rejected",
             "anthropic-ratelimit-unified-reset": str(int(NOW) + 300)},
            None,
            None,
            300.0,
            id="anthropic-subscription",
        ),
        pytest.param(
            {"anthropic-ratelimit-unified-status": "allowed_warning",
             "anthropic-ratelimit-unified-reset": str(int(NOW) + 300)},
            None,
            None,
            None,
            id="anthropic-subscription-that-is-not-spent",
        ),
        pytest.param(
            {"x-ratelimit-limit-req-minute": "720", "x-ratelimit-remaining-req-minute": "700",
             "x-ratelimit-limit-tokens-minute": "5000000"},
            Quota(720, 700, None, 12),
            Quota(5_000_000, None, None, 5_000_000 / 60),
            None,
            id="mistral",
        ),
        pytest.param(
            {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0",
             "X-RateLimit-Reset": str(int(NOW + 60) * 1000)},
            Quota(50, 0, 60),
            None,
            None,
            id="openrouter-in-milliseconds",
        ),
        pytest.param(
            {"RateLimit-Limit": "100", "RateLimit-Remaining": "7", "RateLimit-Reset": "30"},
            Quota(100, 7, 30),
            None,
            None,
            id="ietf-draft",
        ),
        pytest.param(
            {"x-codex-primary-used-percent": "100.0", "x-codex-primary-reset-at": str(int(NOW) + 90),
             "x-codex-secondary-used-percent": "12.5", "x-codex-secondary-reset-at": str(int(NOW) + 9000)},
            None,
            None,
            90.0,
            id="codex",
        ),
        pytest.param({"date": "now", "x-ratelimit-limit": "many"}, None, None, None, id="none"),
    ],
)  # fmt: skip
def test_limit_headers(
    headers: Mapping[str, str], requests: Quota | None, tokens: Quota | None, wait: float | None
) -> None:
    """Limit, rest, time to the reset, and the rate if it can be computed."""
    info = rate_info(headers, now=NOW)
    if (requests, tokens, wait) == (None, None, None):
        assert info is None
    else:
        assert info is not None
        assert info.requests == requests
        assert info.tokens == tokens
        assert info.wait == wait


class Bucket:
    """A provider with a bucket of requests; with `states_limits` its headers state it as OpenAI's do."""

    def __init__(self, per_second: float, burst: float, *, states_limits: bool = True) -> None:
        self.per_second = per_second
        self.burst = burst
        self.states_limits = states_limits
        self.level = burst
        self.at = 0.0
        self.refused = 0

    async def __call__(self, prompt: str) -> CallResult[str]:
        now = anyio.current_time()
        self.level = min(self.burst, self.level + (now - self.at) * self.per_second)
        self.at = now
        over = self.level < 1 - 1e-9
        if not over:
            self.level -= 1
        stated = Quota(self.per_second * 60, self.level, None, self.per_second)
        await anyio.sleep(0.05)
        if over:
            self.refused += 1
            error = RuntimeError("429")
            error.status = 429  # type: ignore[attr-defined]
            error.retry_after = 1.0  # type: ignore[attr-defined]
            raise error
        return CallResult(prompt, info=RateInfo(requests=stated) if self.states_limits else None)


def seconds_for(call: Bucket, count: int, **options: object) -> float:
    """How long so many items take, in virtual time, without a failure."""

    async def main() -> float:
        call.at = anyio.current_time()
        async with ParallelBatchProcessor(call, workers=20, **options) as processor:  # type: ignore[call-overload]
            for number in range(count):
                await processor.add_work(LLMWorkItem(id=str(number), prompt="x"))
            batch = await processor.process_all()
        assert batch.failed == 0
        return float(batch.seconds)

    return trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("per_second", [2.0, 30.0, 200.0])
def test_a_limit_in_headers_is_kept_from_the_first_answer_on(per_second: float) -> None:
    """No request is refused, and the time is close to what the limit allows."""
    call = Bucket(per_second, burst=6)
    seconds = seconds_for(call, 300)
    assert call.refused == 0
    assert seconds <= 294 / per_second * 1.05 + 0.5


class Stated:
    """A bucket whose headers are those of a dialect; it counts requests, or tokens, 150 on the average."""

    def __init__(self, dialect: str, per_second: float, burst_seconds: float, *, tokens: bool) -> None:
        unit = 150 if tokens else 1
        self.dialect, self.what = dialect, "tokens" if tokens else "requests"
        self.rate, self.depth = per_second * unit, per_second * burst_seconds * unit
        self.level, self.at, self.refused, self.tokens = self.depth, 0.0, 0, tokens

    def headers(self, now: float) -> dict[str, str]:
        """What an answer states of the bucket as it is now."""
        reset = (self.depth - self.level) / self.rate
        if self.dialect == "openai":
            stated = {"limit": f"{self.rate * 60:.0f}", "remaining": f"{int(self.level)}"}
            stated["reset"] = f"{reset * 1000:.0f}ms"
            return {f"x-ratelimit-{name}-{self.what}": value for name, value in stated.items()}
        whole = datetime.fromtimestamp(math.ceil(NOW + now + reset), tz=UTC)
        stated = {
            "limit": f"{self.rate * 60:.0f}",
            "remaining": f"{int(self.level)}",
            "reset": whole.isoformat(),
        }
        return {f"anthropic-ratelimit-{self.what}-{name}": value for name, value in stated.items()}

    async def __call__(self, prompt: str) -> CallResult[str]:
        now, size = anyio.current_time(), len(prompt)
        cost = size if self.tokens else 1
        self.level = min(self.depth, self.level + (now - self.at) * self.rate)
        self.at = now
        over = self.level < cost - 1e-9
        self.level -= 0 if over else cost
        info = rate_info(self.headers(now), now=NOW + now)
        await anyio.sleep(0.1)
        if over:
            self.refused += 1
            error = RuntimeError("429")
            error.status = 429  # type: ignore[attr-defined]
            error.retry_after = 1.0  # type: ignore[attr-defined]
            raise error
        return CallResult("", usage=TokenUsage(size // 2, size - size // 2), info=info)


@by_turns(burst_seconds=[1, 60], tokens=[False, True], dialect=["openai", "anthropic"])
def test_a_stated_bucket_of_any_depth_is_used_whole(dialect: str, burst_seconds: int, tokens: bool) -> None:
    """In 1.05 times the shortest time; a few requests are refused before answers have shown the rate."""
    call = Stated(dialect, 3.0, burst_seconds, tokens=tokens)
    sizes = [20 + number * 97 % 261 for number in range(3 * (60 + burst_seconds))]

    async def main() -> float:
        call.at = anyio.current_time()
        async with ParallelBatchProcessor(
            call, workers=50, estimate_tokens=lambda item: len(item.prompt)
        ) as processor:
            for number, size in enumerate(sizes):
                await processor.add_work(LLMWorkItem(id=str(number), prompt="x" * size))
            batch = await processor.process_all()
        assert batch.failed == 0
        return float(batch.seconds)

    seconds = trio.run(main, clock=MockClock(autojump_threshold=0))
    work = sum(sizes) if tokens else len(sizes)
    assert seconds <= 1.05 * ((work - call.depth) / call.rate + 0.1)
    assert call.refused <= 5


def test_headers_do_not_raise_a_configured_limit() -> None:
    """What the caller configured stays the bound."""
    call = Bucket(200.0, burst=6)
    assert seconds_for(call, 50, limits=Limits(requests_per_minute=600, burst=1)) >= 4.9


def test_a_token_limit_in_headers_is_kept() -> None:
    """At a hundred tokens a second, items that take fifty go two a second once the limit is known."""
    sent: list[float] = []

    async def call(prompt: str) -> CallResult[str]:
        sent.append(anyio.current_time())
        await anyio.sleep(0.01)
        stated = RateInfo(tokens=Quota(100, None, None, 100.0))
        return CallResult(prompt, usage=TokenUsage(40, 10), info=stated)

    async def main() -> None:
        async with ParallelBatchProcessor(call, workers=1, estimate_tokens=lambda _: 50) as processor:
            for number in range(12):
                await processor.add_work(LLMWorkItem(id=str(number), prompt="x"))
            assert (await processor.process_all()).succeeded == 12

    trio.run(main, clock=MockClock(autojump_threshold=0))
    gaps = [after - before for before, after in itertools.pairwise(sent[4:])]
    assert gaps == pytest.approx([0.5 / 0.995] * 7, rel=0.01)


def gate_after(info: RateInfo) -> tuple[float, Gate]:
    """A gate that may send five at once and has learnt limits, and the time until it opens."""
    found: list[float] = []
    gate = []

    async def main() -> None:
        gate.append(Gate(limits=Limits(burst=5)))
        gate[0].leave(await gate[0].enter())
        gate[0].learn(info)
        start = anyio.current_time()
        gate[0].leave(await gate[0].enter())
        found.append(anyio.current_time() - start)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return found[0], gate[0]


@pytest.mark.parametrize(
    ("info", "seconds"),
    [
        (RateInfo(wait=30), 30),
        (RateInfo(requests=Quota(50, 0, 60)), 60),
        (RateInfo(tokens=Quota(None, 0, 7)), 7),
        (RateInfo(requests=Quota(50, 1, 60)), 0),
        (RateInfo(requests=Quota(60, 0, 60, 1.0)), 1 / 0.995),
        (RateInfo(requests=Quota(60, None, None, 1.0)), 0),
    ],
)
def test_a_spent_budget_is_waited_for_before_it_is_refused(info: RateInfo, seconds: float) -> None:
    """Nothing is sent before the reset, nor before the bucket holds a request again, without a refusal."""
    waited, gate = gate_after(info)
    assert waited == pytest.approx(seconds)
    assert gate.generation == 0
