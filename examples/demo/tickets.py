"""A small batch job: summarise support tickets with an LLM, several at a time.

Nothing in this file knows of wavetank; it is the kind of code that runs at 3 a.m.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anthropic
import openai

WORKERS = 10


@dataclass(frozen=True)
class Ticket:
    id: str
    text: str

    @property
    def prompt(self) -> str:
        return f"Summarise {self.id}: {self.text}"


Report = Callable[[str, str], None]


async def summarise_hastily(tickets: Iterable[Ticket], report: Report) -> None:
    """Trusts the SDK's own two retries; a ticket that is still refused is skipped."""
    async with openai.AsyncOpenAI() as client:

        async def summarise(ticket: Ticket) -> None:
            try:
                answer = await client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": ticket.prompt}]
                )
            except openai.RateLimitError:
                return  # the ticket is skipped
            report(ticket.id, answer.choices[0].message.content or "")

        await _in_parallel(tickets, summarise)


async def summarise_patiently(tickets: Iterable[Ticket], report: Report) -> None:
    """Asks again until there is an answer, and never sooner than the provider allows."""
    async with anthropic.AsyncAnthropic(max_retries=0) as client:

        async def summarise(ticket: Ticket) -> None:
            while True:
                try:
                    answer = await client.messages.create(
                        model="claude-opus-4-6",
                        max_tokens=100,
                        messages=[{"role": "user", "content": ticket.prompt}],
                    )
                except (anthropic.RateLimitError, anthropic.InternalServerError) as refusal:
                    await asyncio.sleep(_pause(refusal.response.headers.get("retry-after", "5")))
                else:
                    report(ticket.id, "".join(block.text for block in answer.content if block.type == "text"))
                    return

        await _in_parallel(tickets, summarise)


async def _in_parallel(tickets: Iterable[Ticket], work: Callable[[Ticket], Awaitable[None]]) -> None:
    waiting = iter(list(tickets))

    async def worker() -> None:
        for ticket in waiting:
            await work(ticket)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())


def _pause(retry_after: str) -> float:
    """The seconds that a Retry-After asks for, which is a number of them or a date."""
    if retry_after.replace(".", "").isdecimal():
        return float(retry_after)
    return (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
