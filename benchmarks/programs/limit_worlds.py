"""Providers with one limit each, the work for a minute, and the shortest time in which it can be done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, final

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import parse_duration
from wavetank.processor import (
    CallResult,
    Limits,
    LLMWorkItem,
    ParallelBatchProcessor,
    RateInfo,
    TokenUsage,
    rate_info,
)
from wavetank.scenario import scenario_from_dict

MEAN_TOKENS: Final = 200
"""What a request takes on the average, where they are of different size."""
LONGEST_SECONDS: Final = 3600
URLS: Final = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "anthropic": "https://api.anthropic.com/v1/messages",
}

USUAL_SERVICE: Final = "50ms..150ms"

Call = Callable[[str], Awaitable[Any]]
Client = Callable[[Tank, "World"], Awaitable[int]]
"""Sends all prompts of a world, and returns how many were answered."""


@final
@dataclass(frozen=True, slots=True)
class World:
    """A provider with one limit.

    Args:
        kind: worlds of the same kind are summed up together.
        rate: how many requests of the mean size a second the limit amounts to.
        burst: how much of the limit may be spent at once, as a time; `1ns` is a bucket of one.
        tokens: whether the limit counts tokens; then requests are of different size.
        service: how long answers take.
        refusal: how long a refusal takes.
        workers: how many requests the client may have under way.
        dialect: whose HTTP API it is; `None` for calls without HTTP, which state no limits.
        more: more keys of the scenario's table of limits.
    """

    kind: str
    rate: float
    burst: str = "1s"
    tokens: bool = False
    service: str = USUAL_SERVICE
    refusal: str = "10ms"
    workers: int = 50
    dialect: str | None = None
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The kind and the numbers."""
        words = [self.kind, f"{self.rate:g}/s", f"burst {self.burst}"]
        words += (
            [f"answers {self.service}"]
            if self.service != World.__dataclass_fields__["service"].default
            else []
        )
        words += [f"refusals {self.refusal}"] if self.refusal != "10ms" else []
        words += [self.dialect] if self.dialect else []
        return ", ".join([*words, *(f"{key} {value}" for key, value in self.more)])

    @property
    def burst_seconds(self) -> float:
        """How much of the limit may be spent at once, in seconds."""
        return float(parse_duration(self.burst)) / 1e9

    @property
    def items(self) -> int:
        """The work of a minute, beside what may be sent at once; at least 60."""
        return max(60, round(self.rate * (60 + self.burst_seconds)))

    @property
    def prompts(self) -> list[str]:
        """The prompts; those of a limit on tokens have from a tenth to three times the mean."""
        if not self.tokens:
            return [f"i{number:05d}" for number in range(self.items)]
        return [f"i{number:05d} ".ljust(_size(number)) for number in range(self.items)]

    @property
    def scenario(self) -> Scenario:
        """The provider."""
        what, unit = ("tokens", MEAN_TOKENS) if self.tokens else ("requests", 1)
        limits = {f"{what}_per_minute": round(self.rate * 60 * unit), "burst": self.burst, **dict(self.more)}
        if "window" in limits:
            del limits["burst"]  # what a window holds may be spent at once
        latency = {"first_token": self.service, "refusal": self.refusal}
        table: dict[str, Any] = {"latency": latency, "limits": limits}
        if self.tokens:
            table["answers"] = {"tokens": f"{MEAN_TOKENS // 4}..{MEAN_TOKENS // 4 * 3}"}
        return scenario_from_dict({"title": self.name, **table}, name="limit", source="limit")


def _size(number: int) -> int:
    """Characters of a prompt: four for a token; most are short, and a few ten times as long."""
    part = number * 0.6180339887 % 1
    return round(4 * MEAN_TOKENS * (0.08 + 1.26 * part**2))


@final
class Came(NamedTuple):
    """How a client did: time against the shortest, requests refused, items lost or paid twice."""

    times_ideal: float
    refused: int
    astray: int
    error: str | None


def figure(world: World, client: Client, *, backend: str = "asyncio", seed: int = 0) -> Came:
    """One run."""

    async def main(tank: Tank) -> int:
        return await client(tank, world)

    run = wavetank.simulate(
        main, world.scenario, backend=backend, seed=seed, checks=(), max_virtual_seconds=3600
    )
    paid = Counter(str(one.item) for one in run.events.of("delivered") if one.status == 200)
    astray = sum(paid[name[:6]] != 1 for name in world.prompts)
    error = None if run.error is None else f"{type(run.error).__name__}: {run.error}"[:150]
    seconds = ideal_seconds(world)
    return Came(run.virtual_seconds / seconds, len(run.events.of("refused")), astray, error)


def ideal_seconds(world: World) -> float:
    """The shortest time: all that goes beyond the bucket has to be earned, and then an answer comes."""
    last = sum(float(part) for part in map(_seconds, world.service.split(".."))) / 2
    if not world.tokens:
        return last + max(0.0, (world.items - max(1, world.rate * world.burst_seconds)) / world.rate)
    rate = world.rate * MEAN_TOKENS
    cost = sum(len(prompt) / 4 for prompt in world.prompts) + world.items * MEAN_TOKENS / 2
    return last + max(0.0, (cost - max(MEAN_TOKENS, rate * world.burst_seconds)) / rate)


def _seconds(text: str) -> float:
    return float(parse_duration(text)) / 1e9


def call_of(tank: Tank, world: World, *, tells: bool) -> Call:
    """Asks the provider of the world; `tells` passes the limits on that the headers of an answer state."""
    if world.dialect is None:

        async def direct(prompt: str) -> CallResult[str]:
            answer = await tank.fake_llm.call(prompt, item=prompt[:6])
            usage = TokenUsage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
            return CallResult(answer.text, usage)

        return direct
    import httpx

    client = httpx.AsyncClient(transport=tank.fake_llm.httpx_transport(), timeout=None)
    keys = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}

    async def over_http(prompt: str) -> CallResult[str]:
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        if world.dialect == "anthropic":
            body["max_tokens"] = MEAN_TOKENS * 3 // 4
        headers = {**keys, "x-wavetank-item": prompt[:6]}
        answer = await client.post(URLS[world.dialect or ""], json=body, headers=headers)
        answer.raise_for_status()
        info: RateInfo | None = rate_info(answer.headers, now=time.time()) if tells else None
        counted = answer.json()["usage"]
        into, out = (counted.get(a, counted.get(b, 0)) for a, b in _USAGE)
        return CallResult("", TokenUsage(into, out), info=info)

    return over_http


_USAGE: Final = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


def processor(*, tells: bool = False, configured: bool = False) -> Client:
    """The reference processor: told by headers, configured, or neither."""

    async def client(tank: Tank, world: World) -> int:
        ask = call_of(tank, world, tells=tells)
        options: dict[str, Any] = {"limits": known(world)} if configured else {}
        async with ParallelBatchProcessor(ask, workers=world.workers, **options) as batch:
            for prompt in world.prompts:
                await batch.add_work(LLMWorkItem(id=prompt[:6], prompt=prompt))
            return (await batch.process_all()).succeeded

    return client


def known(world: World) -> Limits:
    """The limit as a caller would configure it."""
    depth = world.rate * world.burst_seconds
    if world.tokens:
        most = max(3.0, depth) * MEAN_TOKENS
        return Limits(tokens_per_minute=world.rate * 60 * MEAN_TOKENS, token_burst=most)
    return Limits(requests_per_minute=world.rate * 60, burst=max(1.0, depth))


def worlds(*, everything: bool = False) -> list[World]:
    """A quick sample, or all."""
    return [*_sample(), *_others()] if everything else list(_sample())


def _sample() -> Iterator[World]:
    """One of each kind, at rates that are quick to simulate."""
    yield World("bucket of one", 5, "1ns")
    yield World("bucket of a second", 20)
    yield World("deep bucket", 5, "60s")
    yield World("slow answers", 5, service="8s")
    yield World("late refusals", 5, refusal="2s")
    yield World("penalty", 5, more=(("penalty", "20s"),))
    yield World("no wait stated", 5, more=(("retry_after", "none"),))
    yield World("calendar minute", 2, "60s", more=(("window", "calendar"),))
    yield World("sliding minute", 2, "60s", more=(("window", "sliding"),))
    yield World("refusals that count", 5, more=(("count_refused", True),))
    yield World("tokens", 5, tokens=True)
    yield World("tokens, deep bucket", 5, "60s", tokens=True)


def _others() -> Iterator[World]:
    """More rates and depths, and limits that headers state."""
    for rate in (1, 40, 200):
        for burst in ("1ns", "1s", "10s"):
            yield World("other rates", rate, burst)
    for rate in (10, 40):
        yield World("slow answers", rate, service="1s..15s", workers=300)
        yield World("late refusals", rate, refusal="2s")
        yield World("tokens", rate, "10s", tokens=True)
    yield from stated()


def stated() -> Iterator[World]:
    """Limits that the headers of an answer state, in two dialects, for requests and for tokens."""
    for dialect in URLS:
        for tokens in (False, True):
            for burst in ("1s", "10s", "60s"):
                kind = "tokens in headers" if tokens else "requests in headers"
                yield World(kind, 5, burst, tokens=tokens, dialect=dialect)
