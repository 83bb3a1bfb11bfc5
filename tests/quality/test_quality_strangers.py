"""A search finds bugs that were written without knowing how it works, and never blames their twins."""

from __future__ import annotations

import pytest

import wavetank

from ..depth import DEEP, in_turn, n_of
from .strangers import STRANGERS

TWINS = n_of(20, 2000)
SEEDS = range(n_of(1, 5))


def cases(first: int) -> list[tuple[str, str]]:
    """The programs with their backends, which take turns outside the deep tests, from this one on."""
    return [
        (name, backend)
        for turn, (name, stranger) in enumerate(STRANGERS.items(), start=first)
        for backend in in_turn(turn, stranger.backends)
    ]


def searched(name: str, backend: str, fixed: bool, schedules: int, seed: int = 0) -> wavetank.Result[object]:
    """The search of one program; a plain function runs on neither backend."""
    stranger = STRANGERS[name]
    main, again = stranger.make(fixed)
    return wavetank.search(
        main,
        schedules=schedules,
        seed=seed,
        backend="asyncio" if backend == "threads" else backend,
        interrupt=stranger.interrupt,
        after_interrupt=again,
    )


@pytest.mark.parametrize(("name", "backend"), cases(0))
def test_the_bug_is_found(name: str, backend: str) -> None:
    """Within four times the median of what a search needs, and the report says what went wrong."""
    stranger = STRANGERS[name]
    found = [searched(name, backend, False, 3000 if DEEP else stranger.within, seed) for seed in SEEDS]
    for result in found:
        with pytest.raises(Exception, match=stranger.says):
            result.check()
    needed = sorted(result.schedules for result in found)
    assert needed[len(needed) // 2] <= stranger.within


@pytest.mark.parametrize(("name", "backend"), cases(1))
def test_the_twin_is_not_blamed(name: str, backend: str) -> None:
    """The same program without the bug passes all schedules."""
    searched(name, backend, True, TWINS).check()
