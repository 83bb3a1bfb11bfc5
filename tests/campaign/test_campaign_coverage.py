"""What a campaign counts: distinct schedules and choice points."""

from __future__ import annotations

from hashlib import blake2b

import anyio
import pytest

import wavetank
from wavetank.campaign.coverage import KEPT, ChoicePoints, Coverage, DistinctCount, schedule_digest
from wavetank.sim.choices import Fifo, Level, Recorder
from wavetank.tank.runs.run_options import SearchOptions
from wavetank.tank.search.made_schedule import Made
from wavetank.tank.search.search import BLOCK, NOTHING, Earlier, ScheduleSearch, search

from ..depth import in_turn


class Last:
    """Takes the last option."""

    def choose(self, _kind: object, n: int, _who: object, /) -> int:
        return n - 1


def record(*widths: int, chooser: Fifo | Last | None = None) -> Recorder:
    """A run with choices of these widths."""
    made = Recorder(chooser or Fifo())
    for width in widths:
        made.choose("run", width, range(width))
    return made


def digests(count: int) -> list[int]:
    return [int.from_bytes(blake2b(str(n).encode(), digest_size=8).digest(), "big") for n in range(count)]


def test_a_few_digests_are_counted_exactly() -> None:
    """Below its size a counter counts each digest once, and gives them back in order."""
    counter = DistinctCount(digests(100) * 2)
    assert (counter.count, counter.exact) == (100, True)
    assert counter.digests == sorted(digests(100))


def test_many_digests_are_estimated() -> None:
    """Beyond its size a counter is right within a few percent, in little memory, also when it was merged."""
    many = digests(50_000)
    whole, halves = DistinctCount(many), DistinctCount(DistinctCount(many[::2]).digests)
    for digest in DistinctCount(many[1::2]).digests:
        halves.add(digest)
    assert not whole.exact
    assert abs(whole.count - 50_000) < 2_500
    assert len(whole.digests) == KEPT
    assert halves.digests == whole.digests


def test_a_schedule_depends_on_level_choices_and_widths() -> None:
    """Two runs are one schedule only if level, choices and widths agree."""
    level = Level()
    assert schedule_digest(record(2, 3), level) == schedule_digest(record(2, 3), level)
    others = [
        schedule_digest(record(2, 3), Level("fifo")),
        schedule_digest(record(3, 2), level),
        schedule_digest(record(2, 3, chooser=Last()), level),
        schedule_digest(record(2, 3), level),
    ]
    assert len({*others}) == 4


def test_choice_points_are_added_up() -> None:
    """The points of several workers add up to those of one worker; each change is reported once."""
    one, other, whole = ChoicePoints(), ChoicePoints(), ChoicePoints()
    one.add_run(record(2, 3))
    other.add_run(record(2, 5, 4, chooser=Last()))
    for news in (one.take_changes(), other.take_changes()):
        whole.merge(news)
    assert one.take_changes() == {}
    assert whole.coverage() == {"run": Coverage(points=3, deviated=3, options=11, taken=5)}
    assert ChoicePoints(whole.points).coverage() == whole.coverage()


async def busy(tank: wavetank.Tank) -> None:  # noqa: ARG001
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(anyio.sleep, 0.01 * number)


def courses(until: int, earlier: Earlier = NOTHING, *, policy: str) -> tuple[list[int], ScheduleSearch]:
    """The courses of a part of a search, and the search itself."""
    seen: list[int] = []

    def watch(made: Made) -> None:
        assert made.record is not None
        seen.append(schedule_digest(made.record, made.level))

    options = SearchOptions(schedules=until, policy=policy)
    searching = ScheduleSearch.of_program(busy, "calm", options, watch=watch, earlier=earlier)
    assert searching.until_failure() is None
    return seen, searching


@pytest.mark.parametrize(
    ("policy", "cuts"),
    [
        (policy, cuts)
        for turn, policy in enumerate(("portfolio", "pct", "urw"))
        for cuts in in_turn(turn, [(1, 17, 64, 100, 128), (64, 128), (40, 64)])
    ],
)
def test_a_search_in_parts_makes_the_same_schedules(policy: str, cuts: tuple[int, ...]) -> None:
    """Wherever a campaign is cut, the next part goes on with the schedules that were next."""
    whole, _ = courses(200, policy=policy)
    parts: list[int] = []
    longest = seen = (0, 0)
    for end in (*cuts, 200):
        made, searching = courses(end, Earlier(len(parts), longest), policy=policy)
        parts += made
        seen = max(seen[0], searching.longest[0]), max(seen[1], searching.longest[1])
        longest = seen if end % BLOCK == 0 else longest
    assert parts == whole


def test_a_part_within_a_block_ends_with_it() -> None:
    """What the first schedules of the block have shown is not known, and the next block depends on it."""
    with pytest.raises(ValueError, match="end with the block"):
        courses(65, Earlier(40), policy="portfolio")


def test_a_watch_ends_a_search() -> None:
    """A search ends after the run that was enough."""
    result = search(busy, schedules=40, watch=lambda made: made.record)
    assert result.schedules == 1
