"""Correct programs that a check of answers could blame by mistake.

Each is `async def main(tank)`, and none of them stores what no whole answer stands behind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import httpx2
import openai

from wavetank import ProviderError, Tank

CHAT: Final = "https://api.openai.com/v1/chat/completions"
ATTEMPTS: Final = 12
ROWS: Final = [f"row-{number}" for number in range(6)]

Ask = Callable[[], Awaitable[object]]
Main = Callable[[Tank], Coroutine[Any, Any, None]]


class NotWhole(Exception):
    """What came is no answer, or not all of one."""


def sdk() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="key", max_retries=1, timeout=60)


def named(item: str) -> dict[str, str]:
    return {"x-wavetank-item": item}


def says(prompt: str) -> list[Any]:
    return [{"role": "user", "content": prompt}]


async def patiently(tank: Tank, item: str, ask: Ask) -> None:
    """Ask until there is a whole answer, and report the item as failed when there is none."""
    error: Exception | None = None
    for attempt in range(ATTEMPTS):
        try:
            tank.ledger.complete(item, await ask())
        except (openai.OpenAIError, httpx2.HTTPError, ProviderError, ValueError, NotWhole) as wrong:
            error = wrong
            await anyio.sleep(min(60, 2**attempt))
        else:
            return
    tank.ledger.fail(item, error)


async def each(tank: Tank, work: Callable[[str], Coroutine[Any, Any, None]], rows: list[str] = ROWS) -> None:
    """All rows at once."""
    for row in rows:
        tank.ledger.submit(row)
    async with anyio.create_task_group() as group:
        for row in rows:
            group.start_soon(work, row)


async def answer(client: openai.AsyncOpenAI, item: str, prompt: str, **options: Any) -> Any:
    """The message of a chat completion, if it is one."""
    reply = await client.chat.completions.create(
        model="gpt-4o", messages=says(prompt), extra_headers=named(item), **options
    )
    if not reply.choices:
        raise NotWhole
    return reply.choices


async def deduplicates(tank: Tank) -> None:
    """Rows with the same prompt share one request, and so its answer."""
    cache: dict[str, str] = {}
    lock = anyio.Lock()

    async def work(row: str) -> None:
        prompt = f"Summarise text {int(row[-1]) % 2}"

        async def ask() -> str:
            async with lock:
                if prompt not in cache:
                    cache[prompt] = (await tank.fake_llm.call(prompt, item=row)).text
                return cache[prompt]

        await patiently(tank, row, ask)

    await each(tank, work)


async def shares_what_comes_first(tank: Tank) -> None:
    """Rows with the same prompt all ask, and one that fails takes the answer of another."""
    answers: dict[str, str] = {}

    async def work(row: str) -> None:
        prompt = f"Summarise text {int(row[-1]) % 2}"

        async def ask() -> str:
            try:
                answers[prompt] = (await tank.fake_llm.call(prompt, item=row)).text
            except ProviderError:
                if prompt not in answers:
                    raise
            return answers[prompt]

        await patiently(tank, row, ask)

    await each(tank, work)


async def falls_back(tank: Tank) -> None:
    """First another model, and in the end a value that is declared as one that no answer stands behind."""
    tank.expect(fallback=True)

    async def work(row: str) -> None:
        value = "unknown"
        for model in ("gpt-4o", "gpt-4o-mini"):
            try:
                value = (await tank.fake_llm.call(f"Do {row}.", item=row, model=model)).text
                break
            except ProviderError:
                await anyio.sleep(0.1)
        tank.ledger.complete(row, value)

    await each(tank, work)


async def hedges(tank: Tank) -> None:
    """A second request goes out when the first is slow; the one that comes later is cancelled."""
    tank.expect(paid_per_item=2 * ATTEMPTS)
    async with sdk() as client:

        async def hedged(row: str) -> str:
            texts: list[str] = []
            errors: list[Exception] = []

            async def one(wait: float) -> None:
                await anyio.sleep(wait)
                try:
                    texts.append((await answer(client, row, f"Do {row}."))[0].message.content)
                except (openai.OpenAIError, ValueError, NotWhole) as error:
                    errors.append(error)
                else:
                    group.cancel_scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(one, 0)
                group.start_soon(one, 0.2)
            if texts:
                return texts[0]
            raise errors[0]

        await each(tank, lambda row: patiently(tank, row, lambda: hedged(row)))


@asynccontextmanager
async def streamed(client: httpx2.AsyncClient, row: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The first choice of each chunk of a stream."""
    body = {"model": "gpt-4o", "stream": True, "messages": says(f"Do {row}.")}
    headers = {"authorization": "Bearer key", **named(row)}
    async with client.stream("POST", CHAT, json=body, headers=headers) as response:
        if response.status_code != 200:
            raise NotWhole

        async def choices() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    chunk = json.loads(line[6:])
                    if "choices" not in chunk:
                        raise NotWhole
                    for choice in chunk["choices"]:
                        yield choice

        yield choices()


async def stops_early(tank: Tank) -> None:
    """The first words are all it wants: it leaves a stream when it has them."""
    tank.expect(paid_per_item=ATTEMPTS)
    async with httpx2.AsyncClient(timeout=60) as client:

        async def first_words(row: str) -> str:
            text = ""
            async with streamed(client, row) as choices:
                async for choice in choices:
                    text += choice["delta"].get("content") or ""
                    if len(text) > 4:
                        return text
            raise NotWhole

        await each(tank, lambda row: patiently(tank, row, lambda: first_words(row)))


async def stops_at_the_finish(tank: Tank) -> None:
    """It needs no terminator: the finish reason says that the answer is whole."""
    tank.expect(paid_per_item=ATTEMPTS)
    async with httpx2.AsyncClient(timeout=60) as client:

        async def until_finished(row: str) -> str:
            text = ""
            async with streamed(client, row) as choices:
                async for choice in choices:
                    text += choice["delta"].get("content") or ""
                    if choice["finish_reason"]:
                        return text
            raise NotWhole

        await each(tank, lambda row: patiently(tank, row, lambda: until_finished(row)))


async def polls(tank: Tank) -> None:
    """It asks in the item's name for the models until the provider is there, and only then for the text."""
    tank.expect(paid_per_item=3 * ATTEMPTS)
    async with sdk() as client:

        async def ask(row: str) -> str:
            while not (await client.models.list(extra_headers=named(row))).data:
                await anyio.sleep(1)
            return str((await answer(client, row, f"Do {row}."))[0].message.content)

        await each(tank, lambda row: patiently(tank, row, lambda: ask(row)))


async def embeds(tank: Tank) -> None:
    """Vectors are no texts: nothing is generated."""
    tank.expect(paid_per_item=ATTEMPTS)
    async with sdk() as client:

        async def ask(row: str) -> object:
            reply = await client.embeddings.create(
                model="text-embedding-3-small", input=row, extra_headers=named(row)
            )
            if not reply.data:
                raise NotWhole
            return reply.data[0].embedding[:3]

        await each(tank, lambda row: patiently(tank, row, lambda: ask(row)))


async def asks_for_all_at_once(tank: Tank) -> None:
    """One prompt for all rows, in the name of the first of them."""
    for row in ROWS:
        tank.ledger.submit(row)
    text = ""
    for attempt in range(ATTEMPTS):
        try:
            text = (await tank.fake_llm.call(f"Do {', '.join(ROWS)}.", item=ROWS[0])).text
            break
        except ProviderError:
            await anyio.sleep(min(60, 2**attempt))
    for row in ROWS:
        if text:
            tank.ledger.complete(row, text)
        else:
            tank.ledger.fail(row)


async def asks_in_chunks(tank: Tank) -> None:
    """Two rows a prompt, in the name of a chunk that is no row; a row that is left out asks by itself."""

    async def work(row: str) -> None:
        async def ask() -> str:
            chunk = int(row[-1]) // 2
            return (await tank.fake_llm.call(f"Do chunk {chunk} for {row}.", item=f"chunk-{row}")).text

        await patiently(tank, row, ask)

    await each(tank, work)


async def scores(tank: Tank) -> None:
    """What is stored is made of the answer: arguments of a tool call, and a vote of several choices."""
    tank.expect(paid_per_item=2 * ATTEMPTS)
    grade = {"type": "object", "properties": {"grade": {"type": "integer"}}, "required": ["grade"]}
    tools = [{"type": "function", "function": {"name": "grade", "parameters": grade}}]
    async with sdk() as client:

        async def ask(row: str) -> object:
            votes = await answer(client, row, f"Grade {row}.", n=3)
            call = await answer(client, row, f"Grade {row}.", tools=tools, tool_choice="required")
            if not call[0].message.tool_calls:
                raise NotWhole
            return json.loads(call[0].message.tool_calls[0].function.arguments)["grade"], len(votes)

        await each(tank, lambda row: patiently(tank, row, lambda: ask(row)))


async def caches(tank: Tank) -> None:
    """Rows with the same question are answered once; the later ones send nothing."""
    known: dict[int, str] = {}

    async def ask(row: str) -> str:
        question = int(row.removeprefix("row-")) % 2
        if question not in known:
            known[question] = (await tank.fake_llm.call(f"Question {question}.", item=row)).text
        return known[question]

    for row in ROWS:
        tank.ledger.submit(row)
        await patiently(tank, row, partial(ask, row))


async def breaks_the_circuit(tank: Tank) -> None:
    """After a refusal no worker sends for a while, whatever row it is for."""
    closed_at = 0.0

    async def ask(row: str) -> str:
        nonlocal closed_at
        while tank.now() < closed_at:
            await anyio.sleep(closed_at - tank.now())
        try:
            return (await tank.fake_llm.call(f"Do {row}.", item=row)).text
        except ProviderError as error:
            closed_at = max(closed_at, tank.now() + (error.retry_after or 5))
            raise

    await each(tank, lambda row: patiently(tank, row, lambda: ask(row)))


async def keeps_a_rate(tank: Tank) -> None:
    """A token bucket holds what it declares: two at once, and one each second."""
    tank.expect(requests_per_minute=60, burst=2)
    free_at = [0.0, 0.0]

    async def ask(row: str) -> str:
        free_at.append(max(tank.now(), free_at.pop(0)) + 2)
        await anyio.sleep(max(0, free_at[-1] - 2 - tank.now()))
        return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

    await each(tank, lambda row: patiently(tank, row, lambda: ask(row)))


async def cancels_the_rest(tank: Tank) -> None:
    """Two answers are enough; the other rows are reported as cancelled."""
    answered: list[str] = []

    async def work(row: str) -> None:
        try:
            await patiently(tank, row, lambda: ask(row))
        except anyio.get_cancelled_exc_class():
            tank.ledger.cancel(row)
            raise
        answered.append(row)
        if len(answered) == 2:
            group.cancel_scope.cancel()

    async def ask(row: str) -> str:
        return (await tank.fake_llm.call(f"Do {row}.", item=row)).text

    for row in ROWS:
        tank.ledger.submit(row)
    async with anyio.create_task_group() as group:
        for row in ROWS:
            group.start_soon(work, row)


PROGRAMS: Final[tuple[Main, ...]] = (
    deduplicates,
    shares_what_comes_first,
    falls_back,
    hedges,
    stops_early,
    stops_at_the_finish,
    polls,
    embeds,
    asks_for_all_at_once,
    asks_in_chunks,
    scores,
    caches,
    breaks_the_circuit,
    keeps_a_rate,
    cancels_the_rest,
)
