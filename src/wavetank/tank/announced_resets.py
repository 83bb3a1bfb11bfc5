"""Refusals that announce a reset far away: a client that waits for it is not too slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..clock import DAY, HOUR
from ..events import Event

LONG_WAIT: Final = HOUR
"""Shorter waits fit into the budget of virtual time; those of quotas that come back once a day do not."""

MOST_TIME: Final = 366 * DAY
"""No run is given more than a year: one that goes on asking for new items each day would never end."""


@final
class AnnouncedResets:
    """Calls `put_off` with the length of a long wait that a refusal announces, if there was progress.

    Progress is an item's first answer or outcome since the last such call: a client that waits again and
    again for nothing still comes to the end of its budget.
    """

    def __init__(self, put_off: Callable[[int], object]) -> None:
        self._put_off = put_off
        self._done: set[str] = set()
        self._progress = False

    def entered(self, event: Event) -> None:
        """Something was logged."""
        if event.kind == "refused":
            if self._progress and (event.retry_after or 0) >= LONG_WAIT:
                self._progress = False
                self._put_off(event.retry_after or 0)
        elif event.item is not None and event.item not in self._done and _is_progress(event):
            self._done.add(event.item)
            self._progress = True

    def __repr__(self) -> str:
        return f"<AnnouncedResets [{len(self._done)} items done]>"


def _is_progress(event: Event) -> bool:
    return event.kind in ("completed", "failed") or (event.kind == "delivered" and event.status == 200)
