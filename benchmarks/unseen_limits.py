"""The processor, told nothing, before 30 limits of kinds that nothing was ever tuned to.

Calendar and sliding windows, refusals that count against the limit, answers that take longer the more
are under way, and limits that wobble. The time is virtual. `times ideal` is the time against the
shortest in which the work can be done by a client that knows everything, also when a window begins.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import anyio
from benchmarks.limits import summary
from benchmarks.programs.limit_worlds import Came

import wavetank
from wavetank import Scenario, Tank
from wavetank.processor import LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario import scenario_from_dict

WORK_SECONDS: Final = 60
LONGEST_SECONDS: Final = 3600
SERVICE_SECONDS: Final = 0.1
MODELS: Final = ("high", "low")


@final
@dataclass(frozen=True, slots=True)
class Unseen:
    """A provider with one limit, and the work of a minute.

    Args:
        kind: what the world is one of.
        rate: requests in a second that the limit amounts to.
        per: the length of a window in seconds, or how much of a bucket may be spent at once.
        window: `bucket`, `calendar` or `sliding`.
        count_refused: whether refusals count against the limit.
        slowdown: how much longer an answer takes for each other request under way, in seconds.
        swing: the limit is higher by this share, and then lower by as much, in turn.
        period: for how long it is either, in seconds.
        workers: how many requests the client may have under way.
    """

    kind: str
    rate: float
    per: float = 1.0
    window: str = "bucket"
    count_refused: bool = False
    slowdown: float = 0.0
    swing: float = 0.0
    period: float = 10.0
    workers: int = 50

    @property
    def name(self) -> str:
        """The kind and the numbers."""
        more = [f"{self.window} of {self.per:g} s"]
        more += [f"slower by {1000 * self.slowdown:g} ms each"] if self.slowdown else []
        more += [f"{100 * self.swing:g} % more or less, {self.period:g} s each"] if self.swing else []
        return ", ".join([self.kind, f"{self.rate:g}/s", *more])

    @property
    def items(self) -> int:
        """What takes a minute beside what may be sent at once."""
        return round(self.rate * (WORK_SECONDS + self.per))

    def seconds_to_slow(self, under_way: int) -> float:
        """How much longer an answer takes than usual."""
        return self.slowdown * (under_way - 1)

    def model(self, now: float) -> str:
        """The model to ask: each has a limit of its own, and so the limit of the client wobbles."""
        return MODELS[int(now / self.period) % 2 if self.swing else 0]

    @property
    def scenario(self) -> Scenario:
        """The provider."""
        table: dict[str, Any] = {
            "title": self.name,
            "latency": {"first_token": f"{1000 * SERVICE_SECONDS:g}ms", "refusal": "10ms"},
        }
        limits = [
            {**self._limit(self.rate * factor), "match": {"model": model}}
            for model, factor in zip(MODELS, (1 + self.swing, 1 - self.swing), strict=True)
        ]
        return scenario_from_dict({**table, "limit": limits}, name="unseen", source="unseen")

    def _limit(self, rate: float) -> dict[str, Any]:
        length = f"{self.per:g}s"
        counted: dict[str, Any] = {"count_refused": self.count_refused}
        if self.window == "bucket":
            return {**counted, "requests_per_minute": round(rate * 60), "burst": length}
        return {**counted, "requests": round(rate * self.per), "per": length, "window": self.window}

    @property
    def ideal_seconds(self) -> float:
        """The shortest time: a window is spent when it begins, a bucket as it refills."""
        if self.window != "bucket":
            windows = math.ceil(self.items / round(self.rate * self.per)) - 1
            return windows * self.per + SERVICE_SECONDS
        # Each of two models has a full bucket of its own when its turn comes.
        left, at, high = float(self.items), 0.0, True
        while True:
            rate = self.rate * (1 + self.swing if high else 1 - self.swing)
            left -= max(1.0, rate * self.per)
            if not self.swing or left <= rate * self.period:
                return at + max(0.0, left) / rate + SERVICE_SECONDS
            left, at, high = left - rate * self.period, at + self.period, not high


def worlds() -> Iterator[Unseen]:
    """Thirty of them, six of each kind."""
    for window in ("calendar", "sliding"):
        for rate, per in ((20, 1), (100, 1), (2, 10), (10, 10), (1, 60), (5, 60)):
            yield Unseen(f"{window} window", rate, per, window)
    for rate, per, window in (
        (2, 1, "bucket"),
        (20, 1, "bucket"),
        (5, 10, "bucket"),
        (5, 10, "calendar"),
        (5, 10, "sliding"),
        (2, 60, "sliding"),
    ):
        yield Unseen("refusals count", rate, per, window, count_refused=True)
    for rate in (5, 20, 50):
        for slowdown in (0.005, 0.015):
            yield Unseen("slower under load", rate, slowdown=slowdown)
    for rate in (5, 40):
        for swing, period in ((0.2, 5), (0.4, 10), (0.6, 20)):
            yield Unseen("limit wobbles", rate, swing=swing, period=period)


def figure(world: Unseen, *, backend: str, seed: int) -> Came:
    """One run."""
    names = [f"i{number:05d}" for number in range(world.items)]

    async def main(tank: Tank) -> int:
        under_way, start = 0, anyio.current_time()

        async def ask(prompt: str) -> str:
            nonlocal under_way
            under_way += 1
            try:
                model = world.model(anyio.current_time() - start)
                text = (await tank.fake_llm.call(prompt, item=prompt, model=model)).text
                await anyio.sleep(world.seconds_to_slow(under_way))
                return text
            finally:
                under_way -= 1

        async with ParallelBatchProcessor(ask, workers=world.workers) as batch:
            for name in names:
                await batch.add_work(LLMWorkItem(id=name, prompt=name))
            return (await batch.process_all()).succeeded

    run = wavetank.simulate(
        main, world.scenario, backend=backend, seed=seed, checks=(), max_virtual_seconds=LONGEST_SECONDS
    )
    paid = Counter(str(one.item) for one in run.events.of("delivered") if one.status == 200)
    astray = sum(paid[name] != 1 for name in names)
    error = None if run.error is None else f"{type(run.error).__name__}: {run.error}"[:150]
    return Came(run.virtual_seconds / world.ideal_seconds, len(run.events.of("refused")), astray, error)


def main() -> None:
    """Print a line for each world, and a summary of each kind and of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="worlds whose name contains this")
    options = parser.parse_args()
    came: dict[str, list[Came]] = {}
    for world in worlds():
        if options.only in world.name:
            began = time.process_time()
            one = figure(world, backend=options.backend, seed=options.seed)
            came.setdefault(world.kind, []).append(one)
            figures = f"{one.times_ideal:.3f} x | {one.refused} refused of {world.items} {one.error or ''}"
            print(f"{world.name} | {figures} | {time.process_time() - began:.1f} s of CPU", flush=True)
    for kind, ones in came.items():
        print(f"{kind}: {summary(ones)}")
    print(f"all: {summary([one for ones in came.values() for one in ones])}")


if __name__ == "__main__":
    main()
