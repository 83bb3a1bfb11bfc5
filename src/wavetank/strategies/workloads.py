"""Strategies for the work of a program: when items arrive, how many workers there are, workloads."""

from __future__ import annotations

from hypothesis import strategies as st

from ..tank.workload import Workload, WorkloadItem
from .defaults import given_or
from .ticks import TICK, steps


def arrivals(*, tick: float = TICK, latest: float = 1.0) -> st.SearchStrategy[float]:
    """The instant at which an item arrives, in seconds: whole ticks up to `latest`, the start first."""
    return st.integers(0, steps(tick, most=latest)).map(lambda number: round(number * tick, 9))


def workers(*, most: int = 6) -> st.SearchStrategy[int]:
    """How many workers there are: one first, up to `most`."""
    return st.integers(1, most)


@st.composite
def workloads(
    draw: st.DrawFn,
    *,
    arrivals: st.SearchStrategy[float] | None = None,
    workers: st.SearchStrategy[int] | None = None,
    prompts: st.SearchStrategy[str] | None = None,
    cancellations: st.SearchStrategy[float] | None = None,
    min_items: int = 1,
    max_items: int = 12,
) -> Workload:
    """Items in the order of their arrival, and a number of workers; one item and one worker first.

    Args:
        arrivals: when an item arrives, in seconds.
        workers: how many workers there are.
        prompts: the prompt of an item; by default each has its own.
        cancellations: how many seconds after its arrival an item is cancelled, for some items;
            by default none is.
        min_items: the fewest items.
        max_items: the most.
    """
    number = draw(given_or(workers, _workers))
    instants = draw(st.lists(given_or(arrivals, _arrivals), min_size=min_items, max_size=max_items))
    plain = Workload.of(sorted(instants), workers=number)
    if prompts is None and cancellations is None:
        return plain
    items = tuple(
        WorkloadItem(
            id=item.id,
            prompt=item.prompt if prompts is None else draw(prompts),
            arrives_at=item.arrives_at,
            cancelled_at=_after(item, draw(st.none() | cancellations)) if cancellations is not None else None,
        )
        for item in plain.items
    )
    return Workload(items=items, workers=number)


# The arguments of `workloads` have the names of the strategies.
_arrivals, _workers = arrivals, workers


def _after(item: WorkloadItem, seconds: float | None) -> float | None:
    return None if seconds is None else round(item.arrives_at + seconds, 9)
