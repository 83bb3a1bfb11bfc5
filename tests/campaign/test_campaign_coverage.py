"""What a campaign counts: distinct schedules and choice points."""

from __future__ import annotations

from hashlib import blake2b

import anyio

import wavetank
from wavetank.campaign.coverage import KEPT, ChoicePoints, Coverage, DistinctCount, schedule_digest
from wavetank.sim.choices import Fifo, Level, Recorder
from wavetank.tank.runs.trial_runs import Trial
from wavetank.tank.search.search import search


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


def courses(shard: int) -> list[int]:
    """The courses of a short search."""
    seen: list[int] = []

    def watch(trial: Trial) -> None:
        assert trial.record is not None
        seen.append(schedule_digest(trial.record, trial.level))

    search(busy, schedules=40, shard=shard, watch=watch)
    return seen


def test_shards_take_schedules_of_their_own() -> None:
    """A shard repeats itself exactly; two shards share FIFO and little else; shard 0 is the plain search."""
    first, second = courses(0), courses(1)
    assert first == courses(0)
    assert first[0] == second[0]
    assert len({*first} & {*second}) < len({*second}) / 2
    plain = search(busy, schedules=40)
    assert plain.distinct == len({*first})


def test_a_watch_ends_a_search() -> None:
    """A search ends after the run that was enough."""
    result = search(busy, schedules=40, watch=lambda trial: trial.record)
    assert result.schedules == 1
