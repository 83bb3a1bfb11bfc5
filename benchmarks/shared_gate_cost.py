"""What a request costs at a shared gate over a Redis of this machine, beside a gate of one process.

Each round lets 2,000 requests of ten workers through, with a limit that never binds and answers that
come at once. The figure is the wall time of a request, in which its process and the server take turns.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from typing import Final

import anyio
import anyio.lowlevel

from wavetank.processor import Limits
from wavetank.processor.gate.gate import Gate
from wavetank.processor.shared.address import parse_address
from wavetank.processor.shared.redis_store import RedisStore
from wavetank.processor.shared.shared_gate import SharedGate

REQUESTS: Final = 2_000
WORKERS: Final = 10
ROUNDS: Final = 5
GOAL_MS: Final = 0.5
LIMITS: Final = Limits(requests_per_minute=60_000_000)


async def through(gate: Gate) -> float:
    """Milliseconds of a request, enter and success."""

    async def work() -> None:
        for _ in range(REQUESTS // WORKERS):
            ticket = await gate.enter()
            await anyio.lowlevel.checkpoint()
            gate.succeeded(ticket)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(work)
    return (time.perf_counter() - began) / REQUESTS * 1e3


async def alone() -> float:
    """A gate of this process."""
    return await through(Gate(limits=LIMITS))


async def shared(url: str) -> float:
    """A gate whose state is in the server."""
    gate = SharedGate(RedisStore(parse_address(url), "benchmark"), limits=LIMITS)
    async with anyio.create_task_group() as group:
        group.start_soon(gate.run)
        gate.succeeded(await gate.enter())
        cost = await through(gate)
        group.cancel_scope.cancel()
    return cost


def main() -> None:
    """Print both, and whether the goal is met."""
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        print("left out: there is no redis-server or valkey-server")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        words = [server, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            next(line for line in process.stdout if b"eady to accept connections" in line)
            try:
                rounds = [
                    (anyio.run(alone), anyio.run(shared, f"redis://127.0.0.1:{port}")) for _ in range(ROUNDS)
                ]
            finally:
                process.kill()
    by_itself, over_redis = (statistics.median(each) for each in zip(*rounds, strict=True))
    met = "met" if over_redis - by_itself <= GOAL_MS else "missed"
    print(f"a gate of one process {by_itself:.3f} ms a request, over Redis {over_redis:.3f} ms")
    print(f"at most {GOAL_MS:g} ms more: {met}")


if __name__ == "__main__":
    main()
