"""The virtual clock: what is due comes out in order, once, and never early."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from wavetank.sim.timers import Timer, Timers

INSTANTS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30)


def fire_everything(timers: Timers) -> None:
    """Move from one due instant to the next until nothing is left."""
    while (due := timers.next_due()) is not None:
        timers.advance(due)
        while (entry := timers.pop_due()) is not None:
            entry.fire()


def note(fired: list[tuple[int, int]], number: int, timers: Timers) -> Callable[[], None]:
    return lambda: fired.append((timers.now(), number))


@given(INSTANTS)
def test_fires_by_instant_then_by_insertion(wanted: list[tuple[int, bool]]) -> None:
    """Timers fire at their instants, ties in the order they were set, cancelled ones never."""
    timers, fired = Timers(), list[tuple[int, int]]()
    for number, (when, cancelled) in enumerate(wanted):
        timer = timers.call_at(when, note(fired, number, timers))
        if cancelled:
            timer.cancel()
    fire_everything(timers)
    assert fired == sorted((when, number) for number, (when, off) in enumerate(wanted) if not off)


def test_time_only_moves_forward() -> None:
    """An instant that has passed leaves the clock alone."""
    timers = Timers()
    timers.advance(5)
    timers.advance(3)
    assert timers.now() == 5


def test_a_timer_in_the_past_is_due_at_once() -> None:
    """A timer set for an instant that has passed comes out without time moving."""
    timers, fired = Timers(), list[tuple[int, int]]()
    timers.advance(10)
    timers.call_at(3, note(fired, 1, timers))
    fire_everything(timers)
    assert fired == [(10, 1)]


def test_what_is_taken_back_has_its_old_place() -> None:
    """A timer that was lent and has not fired comes before those that were set later for its instant."""
    timers, fired = Timers(), list[tuple[int, int]]()
    for number in range(4):
        timers.call_at(3, note(fired, number, timers))
    timers.advance(3)
    lent = [timers.lend_due() for _ in range(3)]
    timers.call_at(3, note(fired, 4, timers))
    assert lent[0] is not None
    lent[0].fire()
    assert lent[1] is not None
    lent[1].cancel()
    timers.take_back()
    timers.take_back()
    fire_everything(timers)
    assert fired == [(3, 0), (3, 2), (3, 3), (3, 4)]


def test_nothing_is_due_when_all_is_cancelled() -> None:
    """Cancelled timers do not make time move."""
    timers = Timers()
    timers.call_at(3, lambda: None).cancel()
    assert timers.next_due() is None
    assert timers.pop_due() is None
    assert repr(timers) == "<Timers at 0 ns, 0 held>"


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
