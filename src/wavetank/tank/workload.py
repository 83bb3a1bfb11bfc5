"""A workload: the items a program is given, when they come, and how many workers it may have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, final

from ..sim.fingerprint import fingerprint
from ..sim.token import checksum


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadItem:
    """One unit of work.

    `arrives_at` is when it comes and `cancelled_at` when its owner calls it off, both in seconds
    since the start of the run; `None` is never.
    """

    id: str
    prompt: str
    arrives_at: float = 0.0
    cancelled_at: float | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Workload:
    """The items, in the order in which they come, and the number of workers; a plain value.

    >>> Workload.of([0.0, 0.05], workers=2).items[1].id
    'item-2'

    Raises:
        ValueError: there is no worker, or two items have one id.
    """

    items: tuple[WorkloadItem, ...] = field(default=())
    workers: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.workers, int) or self.workers < 1:
            raise ValueError(f"workers={self.workers!r}: a workload has at least 1 worker")
        object.__setattr__(self, "items", tuple(self.items))
        if len({item.id for item in self.items}) < len(self.items):
            raise ValueError("two items of the workload have one id: give every item its own")

    @classmethod
    def of(cls, arrivals: int | Iterable[float], *, workers: int = 1) -> Workload:
        """So many items at once, or one for each instant in seconds; they are called `item-1`, `item-2`, …"""
        instants = (0.0,) * arrivals if isinstance(arrivals, int) else tuple(arrivals)
        return cls(items=tuple(_plain(number, at) for number, at in enumerate(instants, 1)), workers=workers)

    def first(self, items: int = 0, workers: int = 0) -> Workload:
        """The same with only the first `items` and no more than so many `workers`; 0 keeps them all."""
        return replace(
            self,
            items=self.items[: items or len(self.items)],
            workers=min(self.workers, workers or self.workers),
        )

    def __repr__(self) -> str:
        arrivals = [float(item.arrives_at) for item in self.items]
        if self != Workload.of(arrivals, workers=self.workers):
            return f"Workload(items={self.items!r}, workers={self.workers})"
        return f"Workload.of({arrivals if any(arrivals) else len(arrivals)}, workers={self.workers})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Let pretty printers, that of Hypothesis among them, print the call."""
        printer.text(repr(self))


def program_number(main: Any, workload: Workload | None) -> int:
    """A fingerprint of a program and its workload: sixteen bits, as a token keeps them."""
    return fingerprint(main) ^ (checksum(repr(workload).encode()) if workload is not None else 0)


def _plain(number: int, arrives_at: float) -> WorkloadItem:
    return WorkloadItem(id=f"item-{number}", prompt=f"Say {number}.", arrives_at=arrives_at)
