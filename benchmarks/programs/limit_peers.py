"""Other tools before a limit that they do not know, and one that knows it; imported only when asked for.

Each sends again what is refused, after the Retry-After where the tool itself states no wait. This runs in
the environment of the other tools: `python -m benchmarks.programs.limit_peers NAME WORLD …` prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final

from wavetank import RateLimited, Tank

from .limit_worlds import MEAN_TOKENS, Client, World, call_of, figure, worlds

MOST_PER_SECOND: Final = 2000.0
"""The bound that some tools want: above all limits of the worlds."""

Attempt = Callable[[str], Awaitable[Any]]


async def _by_workers(world: World, attempt: Attempt) -> int:
    """As many tasks as there are workers, each with one prompt after the other."""
    prompts, done = iter(world.prompts), 0

    async def worker() -> None:
        nonlocal done
        for prompt in prompts:
            await attempt(prompt)
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(world.workers):
            group.create_task(worker())
    return done


async def aimd_limiter(tank: Tank, world: World) -> int:
    """A rate that grows with each success and is halved by a refusal."""
    ask = call_of(tank, world, tells=False)
    limiter = import_module("aimd_limiter").AIMDAsyncLimiter(MOST_PER_SECOND)

    async def attempt(prompt: str) -> None:
        while True:
            try:
                async with limiter.acquire():
                    await ask(prompt)
            except RateLimited as refusal:
                await asyncio.sleep(refusal.retry_after or 1.0)
            else:
                return

    return await _by_workers(world, attempt)


async def adaptio(tank: Tank, world: World) -> int:
    """A number of requests under way that follows the refusals."""
    tool = import_module("adaptio")
    ask = call_of(tank, world, tells=False)

    @tool.with_adaptive_retry(
        overload_exception=RateLimited, max_concurrency=world.workers, log_level="ERROR"
    )  # type: ignore[untyped-decorator]
    async def attempt(prompt: str) -> Any:
        return await ask(prompt)

    return await _by_workers(world, attempt)


async def tenacity(tank: Tank, world: World) -> int:
    """Each task by itself waits longer and longer, at random."""
    tool = import_module("tenacity")
    ask = call_of(tank, world, tells=False)
    attempt = tool.retry(
        retry=tool.retry_if_exception_type(RateLimited),
        wait=tool.wait_random_exponential(multiplier=1, max=60),
    )(ask)
    return await _by_workers(world, attempt)


async def aiolimiter(tank: Tank, world: World) -> int:
    """Knows the limit, and keeps it."""
    ask = call_of(tank, world, tells=False)
    burst = max(1.0, world.rate * world.burst_seconds)
    limiter = import_module("aiolimiter").AsyncLimiter(burst, burst / world.rate)

    async def attempt(prompt: str) -> None:
        size = (len(prompt) / 4 + MEAN_TOKENS / 2) / MEAN_TOKENS if world.tokens else 1.0
        await limiter.acquire(min(size, burst))
        while True:
            try:
                await ask(prompt)
            except RateLimited as refusal:
                await asyncio.sleep(refusal.retry_after or 1.0)
            else:
                return

    return await _by_workers(world, attempt)


PEERS: Final[dict[str, Client]] = {
    "aimd-limiter": aimd_limiter,
    "adaptio": adaptio,
    "tenacity": tenacity,
    "aiolimiter, told": aiolimiter,
}


def main() -> None:
    """Print the figures of one tool, world by world, as lines of JSON."""
    logging.disable(logging.CRITICAL)
    name, *wanted = sys.argv[1:]
    for world in worlds(everything=True):
        if world.name in wanted:
            print(json.dumps(figure(world, PEERS[name])), flush=True)


if __name__ == "__main__":
    main()
