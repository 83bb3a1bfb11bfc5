"""A waiter that is cancelled by Ctrl-C just after it was given the permit never releases it."""

from __future__ import annotations

from typing import Final

from ..tank.tank import Tank
from .permit_lost_on_cancel import FixedPermit, Permit
from .specimen import specimen
from .workload import scenario_of, with_workers, work_with_permit


async def _run(tank: Tank, items: list[str], new_permit: type[Permit]) -> None:
    permit = new_permit()
    tank.watch("free permits", lambda: permit.free)
    await with_workers(3, work_with_permit, tank, permit, iter(items))


SPECIMEN: Final = specimen(
    name="permit_lost_on_interrupt",
    row="39",
    kind="C",
    story="A released permit is handed to the first waiter. If the program is interrupted before that one "
    "runs again, it leaves with an exception and keeps the permit: a server that goes on has lost it.",
    seen="issue 947 of anyio",
    run=_run,
    variants=(Permit, FixedPermit),
    interrupt=True,
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms..100ms"}),
    check="permits_returned",
    failure="check",
    items=6,
)
