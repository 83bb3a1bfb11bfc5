"""Each check has a correct client that comes as near to it as its definition allows, and passes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

import anyio
import httpx
import pytest

import wavetank
from wavetank import ProviderError, RateLimited, Scenario, Tank
from wavetank.checks import STRICT
from wavetank.clock import SECOND, Duration
from wavetank.scenario import RetryAfter, Wave

from ..depth import in_turn

Client = Callable[[Tank, float], Awaitable[None]]

WAVE: Final = Scenario(
    name="one-wave",
    wave=(Wave(lasts=Duration(SECOND), retry_after=RetryAfter(value=Duration(SECOND))),),
)
"""Everything is refused for a second, ten milliseconds after it came, with a Retry-After of a second."""

FREE: Final = 1.0
"""So long after its refusal a request may be sent again."""


async def ask(tank: Tank, item: str) -> None:
    """One request that is entered in the ledger when it is answered."""
    tank.ledger.complete(item, (await tank.fake_llm.call(f"Do {item}.", item=item)).text)


async def refused(tank: Tank, *items: str) -> None:
    """Submit the items and have each refused once, all at the same instant."""

    async def one(item: str) -> None:
        with suppress(RateLimited):
            await ask(tank, item)

    async with anyio.create_task_group() as group:
        for item in items:
            tank.ledger.submit(item)
            group.start_soon(one, item)


async def returns_after(_: Tank, seconds: float) -> None:
    """`liveness`: the budget is ten seconds."""
    await anyio.sleep(seconds)


async def pays(tank: Tank, times: float) -> None:
    """`exactly_once`: two answers are declared."""
    tank.expect(paid_per_item=2)
    tank.ledger.submit("a")
    await anyio.sleep(2)
    answers = [await tank.fake_llm.call("Do a.", item="a") for _ in range(int(times))]
    tank.ledger.complete("a", answers[0].text)


async def joins(tank: Tank, answers: float) -> None:
    """`right_answer`: a value may hold the answers of others, as long as its own is among them."""
    texts = []
    for item in ("a", "b", "c"):
        tank.ledger.submit(item)
        await anyio.sleep(2)
        texts.append((await tank.fake_llm.call(f"Do {item}.", item=item)).text)
    for item in ("a", "b", "c"):
        tank.ledger.complete(item, "\n".join(texts[: int(answers)]))


async def asks_again_after(tank: Tank, seconds: float) -> None:
    """`retry_after`: the wait counts from when the refusal was sent, with a millisecond of tolerance."""
    await refused(tank, "a")
    await anyio.sleep(seconds)
    await ask(tank, "a")


async def another_goes_after(tank: Tank, seconds: float) -> None:
    """`shared_pause` and `no_storm`: what is sent soon after a refusal was decided before it."""
    await refused(tank, "a")
    await anyio.sleep(seconds)
    await refused(tank, "b")
    for item in ("a", "b"):
        await anyio.sleep(FREE)
        await ask(tank, item)


async def another_goes_at_the_end(tank: Tank, seconds: float) -> None:
    """`shared_pause`: the wait of one is over for all, with a millisecond of tolerance."""
    await refused(tank, "a")
    tank.ledger.submit("b")
    await anyio.sleep(seconds)
    await ask(tank, "b")
    await ask(tank, "a")


async def takes_requests(tank: Tank, count: float) -> None:
    """`no_storm`: three requests for an item are declared."""
    tank.expect(requests_per_item=3, paid_per_item=4)
    await refused(tank, "a")
    await anyio.sleep(FREE)
    for _ in range(int(count) - 1):
        answer = await tank.fake_llm.call("Do a.", item="a")
    tank.ledger.complete("a", answer.text)


async def comes_back(tank: Tank, at_once: float) -> None:
    """`no_herd`: half of the items may come back at one instant."""
    tank.expect(herd=0.5)
    items = [f"item-{number}" for number in range(6)]
    await refused(tank, *items)
    await anyio.sleep(FREE)

    async def one(number: int) -> None:
        await anyio.sleep(0.002 * max(0, number + 1 - at_once))
        await ask(tank, items[number])

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(one, number)


async def has_in_flight(tank: Tank, most: float) -> None:
    """`in_flight_limit`: four are declared, and the next starts in the step in which one ends."""
    tank.expect(in_flight=4)
    items = iter([f"item-{number}" for number in range(12)])

    async def work() -> None:
        for item in items:
            await refused(tank, item)
            tank.ledger.fail(item, "refused")

    async with anyio.create_task_group() as group:
        for _ in range(int(most)):
            group.start_soon(work)


async def gives_back(tank: Tank, permits: float) -> None:
    """`permits_returned`: two are taken, and given back when all else is done."""
    left = anyio.Semaphore(2)
    tank.watch("permits", lambda: left.value)
    await left.acquire()
    await left.acquire()
    await refused(tank, "a")
    tank.ledger.fail("a", "refused")
    for _ in range(int(permits)):
        left.release()


async def computes_for(tank: Tank, seconds: float) -> None:
    """`loop_responsive`: a tenth of a second may pass within a step, time after time."""
    tank.ledger.submit("a")
    for _ in range(20):
        time.sleep(seconds)
        await anyio.sleep(0)
    await ask(tank, "a")


async def lets_go_ahead(tank: Tank, others: float) -> None:
    """`starvation`: four outcomes are declared; the item that came first asks again after those of others."""
    tank.expect(starvation=4)
    await refused(tank, "a")
    await anyio.sleep(FREE)
    for number in range(int(others)):
        tank.ledger.submit(f"item-{number}")
        await ask(tank, f"item-{number}")
    await ask(tank, "a")


async def answers_in_turn(tank: Tank, first: float) -> None:
    """`order`: a result that is ready sooner waits for its turn."""
    tank.expect(order="input")
    await refused(tank, "a", "b", "c")
    await anyio.sleep(FREE)
    answers = {item: (await tank.fake_llm.call(f"Do {item}.", item=item)).text for item in "cba"}
    for item in ("abc", "bac")[int(first)]:
        tank.ledger.complete(item, answers[item])


async def gives_up_at(tank: Tank, instant: float) -> None:
    """`answered`: the last request comes when the wave has just ended; without it there is no answer."""
    tank.ledger.submit("a")
    text = ""
    for wait in (0.0, instant):
        await anyio.sleep(wait)
        with suppress(RateLimited):
            text = (await tank.fake_llm.call("Do a.", item="a")).text
    tank.ledger.complete("a", text)


async def fails_some(tank: Tank, count: float) -> None:
    """`outcomes`: two items may fail."""
    tank.expect(failed=2, completed=1)
    await refused(tank, "a", "b", "c", "d")
    await anyio.sleep(FREE)
    for item in "abcd"[int(count) :]:
        await ask(tank, item)
    for item in "abcd"[: int(count)]:
        tank.ledger.fail(item, "refused")


async def takes(tank: Tank, seconds: float) -> None:
    """`within`: two seconds are declared."""
    tank.expect(within="2s")
    await anyio.sleep(3)
    tank.ledger.submit("a")
    await anyio.sleep(seconds)
    tank.ledger.complete("a")


async def sends_after(tank: Tank, seconds: float) -> None:
    """`request_rate`: three at once are declared, and one a second; the wire takes a millisecond off."""
    tank.expect(requests_per_minute=60, burst=3)
    await anyio.sleep(2)
    for item, wait in zip("abcd", (0, 0, 0, seconds), strict=True):
        tank.ledger.submit(item)
        await anyio.sleep(wait)
        async with anyio.create_task_group() as group:
            group.start_soon(ask, tank, item)


async def moves(tank: Tank, pauses: float) -> None:
    """`always`: what is taken from one side is on the other before the step ends."""
    sides = [1, 1]
    tank.always(lambda: sum(sides) == 2, name="conserved")
    await anyio.sleep(1)
    sides[0] -= 1
    for _ in range(int(pauses)):
        await anyio.sleep(0)
    sides[1] += 1


async def reports_to(tank: Tank, an_llm: float) -> None:
    """`hosts`: telemetry may be refused."""
    await anyio.sleep(2)
    tank.ledger.submit("a")
    await ask(tank, "a")
    async with httpx.AsyncClient() as client:
        with suppress(wavetank.UnknownHost):
            await client.post(f"https://other.example/{'v1/messages' if an_llm else 'v1/capture'}")


class Near(NamedTuple):
    """A check, a client, what still passes, and what is a shade too much."""

    check: str
    client: Client
    passes: float
    fails: float


NEAR: Final = (
    Near("liveness", returns_after, 9.999, 10.001),
    Near("exactly_once", pays, 2, 3),
    Near("right_answer", joins, 3, 2),
    Near("retry_after", asks_again_after, FREE - 0.00099, FREE - 0.00101),
    Near("shared_pause", another_goes_after, 0.00999, 0.01001),
    Near("shared_pause", another_goes_at_the_end, FREE - 0.00099, FREE - 0.00101),
    Near("no_storm", another_goes_after, 0.00999, 0.01001),
    Near("no_storm", takes_requests, 3, 4),
    Near("no_herd", comes_back, 3, 4),
    Near("in_flight_limit", has_in_flight, 4, 5),
    Near("permits_returned", gives_back, 2, 1),
    Near("loop_responsive", computes_for, 0.1, 0.1001),
    Near("order", answers_in_turn, 0, 1),
    Near("hosts", reports_to, 0, 1),
    Near("answered", gives_up_at, 0.99, 0.9),
    Near("outcomes", fails_some, 2, 3),
    Near("within", takes, 2, 2.001),
    Near("always", moves, 0, 1),
    Near("request_rate", sends_after, 0.999, 0.998),
    Near("starvation", lets_go_ahead, 3, 4),
)

each = pytest.mark.parametrize(
    "near", [pytest.param(near, id=f"{near.check}-{near.client.__name__}") for near in NEAR]
)
BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)


@on_both
@each
def test_a_client_that_comes_near_passes(near: Near, backend: str) -> None:
    """It is judged, and blamed in no schedule, stalls included, of one backend or the other."""

    async def main(tank: Tank) -> None:
        await near.client(tank, near.passes)

    run = wavetank.simulate(main, WAVE, backend=backend, max_virtual_seconds=10, checks=near.check)
    assert run.verdicts[near.check].passed is True
    if backend in in_turn(NEAR.index(near), BACKENDS):
        wavetank.search(
            main, WAVE, schedules=20, backend=backend, max_virtual_seconds=10, checks=("default", near.check)
        ).check()


@on_both
@each
def test_a_shade_more_is_too_much(near: Near, backend: str) -> None:
    """So the client that passes was as near as can be."""

    async def main(tank: Tank) -> None:
        with suppress(ProviderError):
            await near.client(tank, near.fails)

    run = wavetank.simulate(main, WAVE, backend=backend, max_virtual_seconds=10, checks=near.check)
    assert run.verdicts[near.check].passed is False


def test_every_strict_check_has_a_near_client() -> None:
    """None is left out."""
    assert [name for name in STRICT if name not in {near.check for near in NEAR}] == []
