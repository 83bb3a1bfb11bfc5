"""A loop that is run inside one of its own steps, once the program has allowed it by `nest_asyncio`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wavetank
from wavetank import Tank


async def ticked(seconds: int, times: int) -> int:
    """Wait several times."""
    for _ in range(times):
        await asyncio.sleep(seconds)
    return seconds * times


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nest_asyncio.apply()` marks it."""
    monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)


async def nested(tank: Tank) -> Any:
    """A run inside a run, while another task goes on."""
    loop = asyncio.get_running_loop()
    other = asyncio.create_task(ticked(1, 3))

    async def in_between() -> int:
        return loop.run_until_complete(ticked(1, 1)) + 1

    inner = loop.run_until_complete(in_between())
    task = asyncio.current_task()
    assert task is not None
    return inner, tank.now(), task.done(), await other, tank.now()


@pytest.mark.usefixtures("allowed")
def test_time_passes_and_other_tasks_go_on() -> None:
    """The step that runs the loop goes on when its own task is done, and the run ends as ever."""
    run = wavetank.simulate(nested)
    assert (run.error, run.value) == (None, (2, 1, False, 3, 3))


@pytest.mark.usefixtures("allowed")
def test_a_search_repeats_it() -> None:
    """The order of nested steps is chosen like that of others."""

    async def main(tank: Tank) -> Any:
        return (await asyncio.gather(*(nested(tank) for _ in range(3))))[-1][-1]

    assert wavetank.search(main, schedules=20, checks=()).failure is None
    runs = {wavetank.simulate(main, checks=()).value for _ in range(2)}
    assert len(runs) == 1


@pytest.mark.usefixtures("allowed")
def test_a_nested_deadlock_is_found() -> None:
    """A future that nothing sets ends the run."""

    async def main(_: Tank) -> None:
        loop = asyncio.get_running_loop()
        loop.run_until_complete(loop.create_future())

    assert wavetank.simulate(main).kind == "deadlock"


def test_it_is_refused_as_ever_otherwise() -> None:
    """asyncio's own error."""

    async def main(_: Tank) -> None:
        loop = asyncio.get_running_loop()
        loop.run_until_complete(loop.create_future())

    assert "already running" in str(wavetank.simulate(main).error)
