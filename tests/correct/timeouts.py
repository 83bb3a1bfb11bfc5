"""Correct programs with time-outs, shields, retries and clean-up, which a search may cancel anywhere.

Each is `async def main(tank)` and bears that one of its own deadlines passes at any await inside it, and that
the whole program is interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import anyio
import openai

from wavetank import ProviderError, Tank

ROWS: Final = [f"row-{number}" for number in range(5)]
ATTEMPTS: Final = 8

Work = Callable[[str], Coroutine[Any, Any, None]]


async def each(tank: Tank, work: Work) -> None:
    """All rows at once."""
    for row in ROWS:
        tank.ledger.submit(row)
    async with anyio.create_task_group() as group:
        for row in ROWS:
            group.start_soon(work, row)


async def save(kept: dict[str, str], row: str, text: str) -> None:
    """A store that takes a while, and keeps all of a row or nothing."""
    await anyio.sleep(0.1)
    kept[row] = text


async def patiently(tank: Tank, row: str, attempt: Callable[[], Awaitable[str]]) -> None:
    """Try until there is an answer; after many attempts the row is reported as failed."""
    error: Exception | None = None
    for number in range(ATTEMPTS):
        try:
            text = await attempt()
        except (ProviderError, TimeoutError, openai.OpenAIError) as wrong:
            error = wrong
            await anyio.sleep(min(60, 2**number))
        else:
            tank.ledger.complete(row, text)
            return
    tank.ledger.fail(row, error)


async def times_out_call_and_save(tank: Tank) -> None:
    """One deadline for the request and for the store: a row whose store was cut is asked for again."""
    kept: dict[str, str] = {}

    async def work(row: str) -> None:
        async def attempt() -> str:
            with anyio.fail_after(30):
                answer = await tank.fake_llm.call(f"Do {row}.", item=row)
                await save(kept, row, answer.text)
            return answer.text

        await patiently(tank, row, attempt)

    await each(tank, work)


async def shields_the_save(tank: Tank) -> None:
    """What has been paid for is stored whatever is cancelled."""
    kept: dict[str, str] = {}

    async def work(row: str) -> None:
        async def attempt() -> str:
            with anyio.fail_after(30):
                answer = await tank.fake_llm.call(f"Do {row}.", item=row)
                with anyio.CancelScope(shield=True):
                    await save(kept, row, answer.text)
            return kept[row]

        await patiently(tank, row, attempt)

    await each(tank, work)


async def gives_permits_back(tank: Tank) -> None:
    """A permit is taken inside the deadline and given back whatever happens."""
    limiter = anyio.CapacityLimiter(2)
    tank.watch("permits", lambda: limiter.borrowed_tokens)

    async def work(row: str) -> None:
        async def attempt() -> str:
            with anyio.fail_after(45):
                async with limiter:
                    return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

        await patiently(tank, row, attempt)

    await each(tank, work)


async def counts_by_hand(tank: Tank) -> None:
    """The same with a semaphore and a count of its own."""
    slots, used = anyio.Semaphore(2), [0]
    tank.watch("used", lambda: used[0])
    tank.always(lambda: 0 <= used[0] <= 2, name="at most two")

    async def work(row: str) -> None:
        async def attempt() -> str:
            with anyio.fail_after(45):
                await slots.acquire()
                used[0] += 1
                try:
                    return (await tank.fake_llm.call(f"Do {row}.", item=row)).text
                finally:
                    used[0] -= 1
                    slots.release()

        await patiently(tank, row, attempt)

    await each(tank, work)


async def has_a_budget_for_each_row(tank: Tank) -> None:
    """A short deadline for each attempt inside a long one for the row; a late row is reported as failed."""

    async def work(row: str) -> None:
        with anyio.move_on_after(600) as budget:
            for number in range(ATTEMPTS):
                try:
                    with anyio.fail_after(20):
                        text = (await tank.fake_llm.call(f"Do {row}.", item=row)).text
                except (ProviderError, TimeoutError):
                    await anyio.sleep(2**number)
                else:
                    tank.ledger.complete(row, text)
                    return
        tank.ledger.fail(row, "budget" if budget.cancelled_caught else "attempts")

    await each(tank, work)


async def is_a_test_with_a_deadline(tank: Tank) -> None:
    """The outermost deadline is the test's own; it must never be what fails."""
    with anyio.fail_after(1000):
        await times_out_call_and_save(tank)


async def tries_one_after_another(tank: Tank) -> None:
    """No tasks: `main` itself sets one deadline after another."""
    for row in ROWS[:3]:
        tank.ledger.submit(row)

        async def attempt(row: str = row) -> str:
            with anyio.fail_after(30):
                return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

        await patiently(tank, row, attempt)


async def drains_a_stream(tank: Tank) -> None:
    """Workers that leave when nothing has come for a while, and a deadline for each attempt."""
    send, receive = anyio.create_memory_object_stream[str](len(ROWS))
    for row in ROWS:
        tank.ledger.submit(row)
        send.send_nowait(row)

    async def worker() -> None:
        while True:
            row = None
            with anyio.move_on_after(90):
                row = await receive.receive()
            if row is None:
                if receive.statistics().current_buffer_used:
                    continue  # it was late, not the row
                return

            async def attempt(row: str = row) -> str:
                with anyio.fail_after(30):
                    return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

            await patiently(tank, row, attempt)

    async with send, receive, anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(worker)


async def waits_for_a_turn(tank: Tank) -> None:
    """A condition that is waited for with a deadline, and looked at again whatever came first."""
    ready, turn = anyio.Condition(), [1]

    async def work(row: str) -> None:
        while True:
            with anyio.move_on_after(60):
                async with ready:
                    while not turn[0]:
                        await ready.wait()
                    turn[0] -= 1
                    break
        try:
            await patiently(tank, row, lambda: asked(row))
        finally:
            with anyio.CancelScope(shield=True):
                async with ready:
                    turn[0] += 1
                    ready.notify()

    async def asked(row: str) -> str:
        return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

    await each(tank, work)


async def reports_what_was_cancelled(tank: Tank) -> None:
    """A row that is cancelled is reported as such, and the cancellation goes on."""

    async def work(row: str) -> None:
        async def attempt() -> str:
            with anyio.fail_after(30):
                return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

        try:
            await patiently(tank, row, attempt)
        except anyio.get_cancelled_exc_class():
            tank.ledger.cancel(row)
            raise

    await each(tank, work)


async def asks_by_an_sdk(tank: Tank) -> None:
    """The deadlines of an SDK, its retries, and one of the program's own around them."""
    async with openai.AsyncOpenAI(api_key="key", timeout=20, max_retries=2) as client:

        async def work(row: str) -> None:
            async def attempt() -> str:
                with anyio.fail_after(120):
                    reply = await client.chat.completions.create(
                        model="gpt-4o",
                        messages=[{"role": "user", "content": f"Do {row}."}],
                        extra_headers={"x-wavetank-item": row},
                    )
                    return str(reply.choices[0].message.content)

            await patiently(tank, row, attempt)

        await each(tank, work)


async def waits_with_asyncio(tank: Tank) -> None:
    """asyncio's own: `wait_for`, `timeout` and `shield`, in a task group."""
    kept: dict[str, str] = {}

    async def work(row: str) -> None:
        async def attempt() -> str:
            async with asyncio.timeout(60):
                answer = await asyncio.wait_for(tank.fake_llm.call(f"Do {row}.", item=row), 20)
                await asyncio.shield(asyncio.ensure_future(save(kept, row, answer.text)))
            return answer.text

        await patiently(tank, row, attempt)

    for row in ROWS:
        tank.ledger.submit(row)
    async with asyncio.TaskGroup() as group:
        for row in ROWS:
            group.create_task(work(row))


def resumes() -> tuple[Callable[[Tank], Awaitable[None]], Callable[[Tank], Awaitable[None]]]:
    """A program that keeps each answer before it reports the row, and what goes on after an interruption."""
    kept: dict[str, str] = {}

    async def main(tank: Tank) -> None:
        kept.clear()
        await session(tank)

    async def session(tank: Tank) -> None:
        async def work(row: str) -> None:
            async def attempt() -> str:
                with anyio.fail_after(30):
                    answer = await tank.fake_llm.call(f"Do {row}.", item=row)
                    kept[row] = answer.text
                    await anyio.sleep(0.05)
                return kept[row]

            if row in kept:
                tank.ledger.complete(row, kept[row])
            else:
                await patiently(tank, row, attempt)

        await each(tank, work)

    return main, session


PROGRAMS: Final[tuple[Callable[[Tank], Awaitable[Any]], ...]] = (
    times_out_call_and_save,
    shields_the_save,
    gives_permits_back,
    counts_by_hand,
    has_a_budget_for_each_row,
    is_a_test_with_a_deadline,
    tries_one_after_another,
    drains_a_stream,
    waits_for_a_turn,
    reports_what_was_cancelled,
    asks_by_an_sdk,
)
ON_ASYNCIO: Final = (waits_with_asyncio,)
