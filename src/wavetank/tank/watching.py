"""Counts of the program's own, looked at with every event and at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ..events import EventLog, Watched

Count = Callable[[], float]


@final
class Watching:
    """What `tank.watch` was given, and what it has seen of each."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._counts: dict[str, Count] = {}
        self._seen: dict[str, list[float]] = {}
        self._changes: dict[str, list[tuple[int, float]]] = {}
        self._before: dict[str, None] = {}
        """Counts of a session that was interrupted: the next one may replace them."""

    def add(self, name: str, count: Count) -> None:
        """Watch a count from here on; its value now is the one it has to come back to.

        Raises:
            TypeError: the name is no text, or the count cannot be called.
            ValueError: a count of that name is watched already.
        """
        if not isinstance(name, str):
            raise TypeError(f"watch({name!r}, ...): give the name of the count first, as text")
        if not callable(count):
            raise TypeError(f"watch({name!r}, {count!r}): give a function that returns the count")
        if name in self._counts and name not in self._before:
            raise ValueError(f"watch({name!r}): a count of that name is watched already; choose another name")
        value = count()
        self._before.pop(name, None)
        if not self._counts:
            self._log.listen(lambda event: self._look(event.at))
        self._counts[name] = count
        self._seen[name] = [value, value, value, value]
        self._changes[name] = []

    def restarted(self) -> None:
        """The program begins again: it may watch counts of the same names."""
        self._before = dict.fromkeys(self._counts)

    def at_the_end(self, at: int) -> dict[str, Watched]:
        """Look a last time, at the instant `at`; what was seen of each count."""
        if self._log.end is None:
            self._look(at)
        return {
            name: Watched(first=first, last=last, least=least, most=most, changes=tuple(self._changes[name]))
            for name, (first, last, least, most) in self._seen.items()
        }

    def _look(self, at: int) -> None:
        for name, count in self._counts.items():
            seen, value = self._seen[name], count()
            if value != seen[1]:
                self._changes[name].append((at, value))
            seen[1:] = value, min(seen[2], value), max(seen[3], value)

    def __repr__(self) -> str:
        return f"<Watching {', '.join(self._counts) or 'nothing'}>"
