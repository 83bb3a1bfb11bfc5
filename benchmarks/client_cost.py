"""What an explored run costs with a client that it makes for itself, and with what can be made once.

Each run of a search makes one request in the scenario `calm`. The figures are CPU time a run, the least
of several rounds that take turns, so that other work on the machine disturbs all of them alike. The
last column says what is left of the cost of making a client: the difference to the shared one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2
import openai

import wavetank
from wavetank import Tank

CHAT: Final[Any] = [{"role": "user", "content": "row-1"}]
URL: Final = "https://api.openai.com/v1/chat/completions"
CONTEXT: Final = httpx2.create_ssl_context()
SHARED: Final = openai.AsyncOpenAI(api_key="key")


async def direct(tank: Tank) -> None:
    """No client."""
    await tank.fake_llm.call("row-1", item="row-1")


async def _posted(client: httpx2.AsyncClient) -> None:
    async with client:
        headers = {"authorization": "Bearer key"}
        await client.post(URL, json={"model": "m", "messages": CHAT}, headers=headers)


async def httpx2_made(_: Tank) -> None:
    """A client of httpx2 in each run."""
    await _posted(httpx2.AsyncClient())


async def httpx2_context(_: Tank) -> None:
    """The same, with one TLS context for all runs and no look at the environment's proxies."""
    await _posted(httpx2.AsyncClient(verify=CONTEXT, trust_env=False))


async def sdk_made(_: Tank) -> None:
    """A client of the SDK in each run."""
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(model="m", messages=CHAT)


async def sdk_context(_: Tank) -> None:
    """The same, over an httpx2 client with one TLS context for all runs."""
    http = openai.DefaultAsyncHttpxClient(verify=CONTEXT, trust_env=False)
    async with openai.AsyncOpenAI(http_client=http) as client:
        await client.chat.completions.create(model="m", messages=CHAT)


async def sdk_shared(_: Tank) -> None:
    """One client of the SDK for all runs."""
    await SHARED.chat.completions.create(model="m", messages=CHAT)


PROGRAMS: Final[tuple[Callable[[Tank], Awaitable[None]], ...]] = (
    direct,
    httpx2_made,
    httpx2_context,
    sdk_made,
    sdk_context,
    sdk_shared,
)


def spent(program: Callable[[Tank], Awaitable[None]], runs: int) -> float:
    """Milliseconds of CPU time a run."""
    before = time.process_time()
    result = wavetank.search(program, scenario="calm", schedules=runs)
    assert result.failure is None
    return (time.process_time() - before) / result.schedules * 1e3


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for program in PROGRAMS:
        spent(program, 20)  # imports, caches, and the SDK's first look at the platform
    rounds = [[spent(program, options.runs) for program in PROGRAMS] for _ in range(options.rounds)]
    print(f"{'a run with':<18}{'ms':>8}{'direct':>8}")
    least = [min(each) for each in zip(*rounds, strict=True)]
    for program, took in zip(PROGRAMS, least, strict=True):
        print(f"{program.__name__:<18}{took:>8.2f}{took / least[0]:>8.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
