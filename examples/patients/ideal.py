"""The ideal: the same batch by a client that knows when every wave ends, and waits until then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from batch import Ask, Patient

from wavetank import ProviderError, Scenario, Tank
from wavetank.clock import SECOND
from wavetank.scenario import Wave


def ideal(tank: Tank) -> Patient:
    """It cannot know which requests a `share` or a barrier refuses: there it waits for the Retry-After."""

    @asynccontextmanager
    async def asking() -> AsyncIterator[Ask]:
        async def ask(item: str) -> object:
            while True:
                await anyio.sleep(seconds_until_calm(tank.scenario, tank.now()))
                try:
                    return (await tank.fake_llm.call(f"Do {item}.", item=item)).text
                except ProviderError as error:
                    await anyio.sleep(error.retry_after or 0.5)

        yield ask

    return Patient(name="the ideal", packages=("wavetank",), settings="", asking=asking)


def seconds_until_calm(scenario: Scenario, now: float) -> float:
    """How long the waves that refuse every request go on."""
    return max((left(wave, now) for wave in scenario.wave if wave.share == 1), default=0.0)


def left(wave: Wave, now: float) -> float:
    """How long this wave goes on, in seconds; 0 when it is not open."""
    since = now - wave.at / SECOND
    if wave.lasts is None or since < 0:
        return 0.0
    if wave.every is not None:
        round_number, since = divmod(since, wave.every / SECOND)
        if wave.times is not None and round_number >= wave.times:
            return 0.0
    return max(0.0, wave.lasts / SECOND - since)
