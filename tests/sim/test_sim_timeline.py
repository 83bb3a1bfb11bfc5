"""The virtual clock: what is due comes out in order, once, and never early."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from wavetank.sim.timers import Timeline, Timer

INSTANTS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30)


def fire_everything(timeline: Timeline) -> None:
    """Move from one due instant to the next until nothing is left."""
    while (due := timeline.next_due()) is not None:
        timeline.advance(due)
        while (entry := timeline.pop_due()) is not None:
            entry.fire()


def note(fired: list[tuple[int, int]], number: int, timeline: Timeline) -> Callable[[], None]:
    return lambda: fired.append((timeline.now(), number))


@given(INSTANTS)
def test_fires_by_instant_then_by_insertion(wanted: list[tuple[int, bool]]) -> None:
    """Timers fire at their instants, ties in the order they were set, cancelled ones never."""
    timeline, fired = Timeline(), list[tuple[int, int]]()
    for number, (when, cancelled) in enumerate(wanted):
        timer = timeline.call_at(when, note(fired, number, timeline))
        if cancelled:
            timer.cancel()
    fire_everything(timeline)
    assert fired == sorted((when, number) for number, (when, off) in enumerate(wanted) if not off)


def test_time_only_moves_forward() -> None:
    """An instant that has passed leaves the clock alone."""
    timeline = Timeline()
    timeline.advance(5)
    timeline.advance(3)
    assert timeline.now() == 5


def test_a_timer_in_the_past_is_due_at_once() -> None:
    """A timer set for an instant that has passed comes out without time moving."""
    timeline, fired = Timeline(), list[tuple[int, int]]()
    timeline.advance(10)
    timeline.call_at(3, note(fired, 1, timeline))
    fire_everything(timeline)
    assert fired == [(10, 1)]


def test_nothing_is_due_when_all_is_cancelled() -> None:
    """Cancelled timers do not make time move."""
    timeline = Timeline()
    timeline.call_at(3, lambda: None).cancel()
    assert timeline.next_due() is None
    assert timeline.pop_due() is None
    assert repr(timeline) == "<Timeline at 0 ns, 0 held>"


def test_a_timer_fires_once() -> None:
    """Firing again, or cancelling what has fired, does nothing."""
    fired: list[int] = []
    timer = Timer(7, lambda: fired.append(1))
    assert repr(timer) == "<Timer due at 7 ns>"
    timer.fire()
    timer.fire()
    timer.cancel()
    assert fired == [1]
    assert repr(timer) == "<Timer cancelled>"
