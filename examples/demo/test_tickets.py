"""Run with `pytest --llm-scenario=cascade`: the same tickets, two ways to treat a refusal."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable

import pytest
from tickets import Report, Ticket, summarise_hastily, summarise_patiently

from wavetank import CheckFailed, Tank

TICKETS = [Ticket(f"ticket-{number}", "the printer is on fire") for number in range(1, 61)]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def run_in(tank: Tank, pipeline: Callable[[Iterable[Ticket], Report], Awaitable[None]]) -> None:
    tank.fake_llm.item_of = lambda request: re.findall(r"ticket-\d+", request.prompt)[0]
    for ticket in TICKETS:
        tank.ledger.submit(ticket.id)
    await pipeline(TICKETS, tank.ledger.complete)


async def test_a_patient_client_gets_every_ticket_through(tank: Tank) -> None:
    await run_in(tank, summarise_patiently)


@pytest.mark.xfail(
    raises=CheckFailed, strict=True, reason="the SDK's retries run out and the ticket is dropped"
)
async def test_a_hasty_client_is_caught_losing_tickets(tank: Tank) -> None:
    await run_in(tank, summarise_hastily)
