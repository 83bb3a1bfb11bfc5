"""The shrinker ends at a schedule that fails still, from which no single step leads closer to FIFO."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import assume, example, given
from hypothesis import strategies as st

from wavetank.sim.choices import Deviation, Fifo, Kind, Recorder
from wavetank.sim.shrink import MOST_RUNS, Deviations, Shrinker

KINDS: tuple[Kind, ...] = ("run", "run", "stall", "provider")
PLACES = 41
WIDTH = 6
Choices = Mapping[int, int]
Fails = Callable[[Choices], bool]

CHOICES = st.dictionaries(st.integers(0, 40), st.integers(1, WIDTH - 1), min_size=1, max_size=12)


def record_of(deviations: Deviations) -> Recorder:
    """What a run of `PLACES` choices records; the kind of a choice depends on its place."""
    record = Recorder(Fifo())
    at = {each.place: each.choice for each in deviations}
    record.taken = [at.get(place, 0) for place in range(PLACES)]
    record.widths = [WIDTH] * PLACES
    record.kinds = [KINDS[place % 4] for place in range(PLACES)]
    return record


def deviations_of(choices: Choices) -> Deviations:
    return tuple(Deviation(place, choices[place], WIDTH) for place in sorted(choices))


class Runs:
    """A program that fails if the choices it made are as `fails` wants them; it keeps what was tried."""

    def __init__(self, fails: Fails) -> None:
        self._fails = fails
        self.tried: list[Deviations] = []

    def fails(self, deviations: Deviations) -> bool:
        return self._fails({each.place: each.choice for each in deviations})

    def __call__(self, deviations: Deviations) -> Recorder | None:
        self.tried.append(deviations)
        record = record_of(deviations)
        return record if self.fails(record.deviations) else None


def shrunk(fails: Fails, found: Choices, *, most: int = MOST_RUNS) -> tuple[Deviations, Runs, Shrinker]:
    runs = Runs(fails)
    shrinker = Shrinker(runs, most=most)
    return shrinker.shrink(record_of(deviations_of(found))).deviations, runs, shrinker


def all_of(needed: Choices) -> Fails:
    return lambda choices: all(choices.get(place, 0) >= least for place, least in needed.items())


@given(st.dictionaries(st.integers(0, 40), st.integers(1, WIDTH - 1), min_size=1, max_size=3), CHOICES)
def test_what_is_needed_is_what_is_left(needed: dict[int, int], more: dict[int, int]) -> None:
    """Of a failure that needs some choices, each at least so large, exactly those are left."""
    found = {**more, **{place: max(least, more.get(place, 0)) for place, least in needed.items()}}
    left, _, shrinker = shrunk(all_of(needed), found)
    assert left == deviations_of(needed)
    assert shrinker.runs <= MOST_RUNS


def odd(modulus: int, rest: int, least: int) -> Fails:
    """A failure with no rhyme or reason: of at least so many choices, by their places and sizes."""

    def fails(choices: Choices) -> bool:
        weight = sum(place * choice for place, choice in choices.items())
        return len(choices) >= least and weight % modulus == rest % modulus

    return fails


@st.composite
def odd_failures(draw: st.DrawFn) -> tuple[Fails, dict[int, int]]:
    found = draw(CHOICES)
    fails = odd(draw(st.integers(1, 4)), draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    assume(fails(found))
    return fails, found


@given(odd_failures())
@example((odd(3, 2, 0), {7: 1, 40: 1}))  # moving the last choice takes it beyond the end of the run
def test_the_end_is_a_local_minimum(case: tuple[Fails, dict[int, int]]) -> None:
    """It fails, has no more deviations than were found, and none can be left out or taken one lower."""
    fails, found = case
    left, runs, shrinker = shrunk(fails, found, most=5_000)
    assert runs.fails(left)
    assert len(left) <= len(found)
    assert sum(each.choice for each in left) <= sum(found.values()) or len(left) < len(found)
    assert shrinker.runs < 5_000
    for number, each in enumerate(left):
        assert not runs.fails(left[:number] + left[number + 1 :])
        if each.choice > 1:
            lower = Deviation(each.place, each.choice - 1, WIDTH)
            assert not runs.fails((*left[:number], lower, *left[number + 1 :]))


@given(odd_failures(), st.integers(0, 30))
def test_its_allowance_is_kept(case: tuple[Fails, dict[int, int]], most: int) -> None:
    """It makes no more runs than it may, none of them twice, and what it then has fails."""
    fails, found = case
    left, runs, shrinker = shrunk(fails, found, most=most)
    assert len(runs.tried) == shrinker.runs <= most
    assert len(set(runs.tried)) == len(runs.tried)
    assert runs.fails(left)


def test_what_needs_nothing_ends_in_fifo_order() -> None:
    """A failure of every schedule shrinks to no deviation at all."""
    left, _, shrinker = shrunk(lambda _: True, {3: 2, 9: 1, 30: 4})
    assert left == ()
    assert shrinker.runs <= 4


def test_one_kind_is_tried_alone() -> None:
    """Where stalls alone will do, all the others go in a single run."""
    left, runs, _ = shrunk(all_of({2: 1}), {0: 1, 1: 3, 2: 5, 3: 1, 4: 1, 5: 2, 6: 3})
    assert left == deviations_of({2: 1})
    assert runs.tried[0] == deviations_of({2: 5, 6: 3})


def test_one_large_choice_may_do_for_two() -> None:
    """Two deviations are joined where a larger choice in one place does what both did."""

    def fails(choices: Choices) -> bool:
        return choices.get(8, 0) >= 4 or (choices.get(8, 0) >= 1 and 12 in choices)

    left, _, _ = shrunk(fails, {8: 1, 12: 3})
    assert left == deviations_of({8: 4})


def test_what_a_deviation_moved_is_followed() -> None:
    """Without an early deviation the later choices come a place earlier, and are looked for there."""

    def fails(choices: Choices) -> bool:
        places = [8, 12] if 1 in choices else [7, 11]
        return all(place in choices for place in places)

    left, _, _ = shrunk(fails, {1: 2, 8: 1, 12: 1})
    assert left == deviations_of({7: 1, 11: 1})
