"""What a search may decide in the provider's place, and how a report describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from ..clock import format_duration

_LATENCIES: Final = {"first-token": "the answer", "refusal": "the refusal"}


@final
@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """One pick of the provider: what it is for, whose, and the options; the first is what the seed says."""

    purpose: str
    item: str | None
    options: Sequence[int]

    def describe(self, choice: int) -> str:
        """The choice in words."""
        seeded, chosen = self.options[0], self.options[choice]
        if self.purpose == "reply":
            return f"the fake replies to request {chosen} before request {seeded}"
        if self.purpose in _LATENCIES:
            return (
                f"{_LATENCIES[self.purpose]} to {self.item!r} takes {format_duration(chosen)}, "
                f"not {format_duration(seeded)}"
            )
        thing = "fault" if self.purpose == "fault" else "wave"
        return f"the {thing} {'meets' if chosen else 'spares'} {self.item!r}"
