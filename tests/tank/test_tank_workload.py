"""Workloads: plain values, given to a program, and shrunk with its failure."""

from __future__ import annotations

from functools import cache

import anyio
import pytest

import wavetank
from wavetank import Tank, TokenError, Workload, WorkloadItem

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def loses_the_third(tank: Tank) -> None:
    """Two workers that read and write a counter with a step between; from three items on they lose one."""
    assert tank.workload is not None
    work, done = iter(tank.workload.items), 0

    async def worker() -> None:
        nonlocal done
        for item in work:
            tank.ledger.submit(item.id)
            seen = done
            await anyio.sleep(0)
            done = seen + 1
            if done == seen + 1 and tank.workload is not None and len(tank.workload.items) > 2:
                raise RuntimeError("lost")
            tank.ledger.cancel(item.id)

    async with anyio.create_task_group() as group:
        for _ in range(tank.workload.workers):
            group.start_soon(worker)


async def needs_two(tank: Tank) -> None:
    """Fails when the second worker's turn comes before the first one's."""
    assert tank.workload is not None
    turns: list[int] = []

    async def worker(number: int) -> None:
        turns.append(number)
        await anyio.sleep(0)
        if turns[:2] == [1, 0] and len(tank.workload.items if tank.workload else ()) >= 2:
            raise ValueError("out of turn")

    async with anyio.create_task_group() as group:
        for number in range(tank.workload.workers):
            group.start_soon(worker, number)


SEVEN_WORKERS = Workload.of(9, workers=7)


@cache
def failure_out_of_turn(backend: str) -> wavetank.Run[None]:
    """What a search finds."""
    run = wavetank.search(needs_two, backend=backend, schedules=200, workload=SEVEN_WORKERS).failure
    assert run is not None
    return run


def test_a_workload_prints_as_a_call_that_makes_it(backend: str) -> None:
    """The repr of a workload can be pasted, whether its items are plain or not."""
    del backend
    odd = Workload(items=(WorkloadItem(id="a", prompt="b", cancelled_at=1.0),), workers=2)
    for each in (Workload.of(3), Workload.of([0, 0.5], workers=2), odd, Workload()):
        assert eval(repr(each)) == each


@pytest.mark.parametrize(("items", "workers"), [(("a", "a"), 1), (("a",), 0)])
def test_a_workload_that_cannot_be_is_refused(backend: str, items: tuple[str, ...], workers: int) -> None:
    """Every item has an id of its own, and there is at least one worker."""
    del backend
    with pytest.raises(ValueError, match=r"id|worker"):
        Workload(items=tuple(WorkloadItem(id=id, prompt="") for id in items), workers=workers)


def test_a_run_without_a_workload_has_none(backend: str) -> None:
    """The tank of an ordinary run has no workload."""

    async def main(tank: Tank) -> object:
        return tank.workload

    assert wavetank.simulate(main, backend=backend).value is None
    given = Workload.of(2)
    assert wavetank.simulate(main, backend=backend, workload=given).value == given


def test_a_fifo_failure_keeps_no_item_it_does_not_need(backend: str) -> None:
    """A failure in FIFO order is reported with the fewest items and workers, and its token keeps them."""
    work = Workload.of(11, workers=5)
    failure = wavetank.search(loses_the_third, backend=backend, schedules=2, workload=work).failure
    assert failure is not None
    assert "it needs 3 of 11 items and 1 of 5 workers" in failure.report()
    again = wavetank.simulate(loses_the_third, backend=backend, schedule=failure.schedule, workload=work)
    assert len(again.events.of("submitted")) == 1
    assert again.kind == failure.kind == "error"


def test_the_schedule_is_searched_again_in_a_smaller_workload(backend: str) -> None:
    """A failure that needs an order is found in the smaller workload, in as few deviations."""
    work, failure = SEVEN_WORKERS, failure_out_of_turn(backend)
    assert len(failure.deviations) == 1
    assert "it needs 2 of 9 items and 2 of 7 workers" in failure.report()
    assert f"workload={work!r}" in failure.replay
    again = wavetank.simulate(needs_two, backend=backend, schedule=failure.schedule, workload=work)
    assert again.events.to_ndjson() == failure.events.to_ndjson()


def test_a_token_of_another_workload_is_refused(backend: str) -> None:
    """A token replays the workload it was made with, not another one."""
    failure = failure_out_of_turn(backend)
    with pytest.raises(TokenError, match="workload"):
        wavetank.simulate(
            needs_two, backend=backend, schedule=failure.schedule, workload=Workload.of(8, workers=7)
        )
