"""What a search says of the runs it made."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

import wavetank
from wavetank import Tank


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_runs_to_shrink_are_some_of_those_after_the_failure(backend: str) -> None:
    """A failure that needs a deviation takes runs to shrink, and no more than were made after it."""

    async def main(_: Tank) -> None:
        order: list[int] = []

        async def note(number: int) -> None:
            await anyio.lowlevel.checkpoint()
            order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(note, number)
        assert order != [3, 2, 1, 0]

    result = wavetank.search(main, schedules=500, policy="random", backend=backend)
    assert result.failure is not None
    assert 0 < result.shrinking <= result.after
