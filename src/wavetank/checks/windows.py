"""The windows that refusals open: from the first one sent to the instant its client may ask again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

from .exchanges import Exchange, scope_covers


@final
@dataclass(slots=True)
class Window:
    """What a scope's refusals have in common: the `first`, when it `reached` its client, when it ends.

    `refused` are all requests of the scope that were refused in it, its last instant included.
    """

    first: Exchange
    reached: int
    end: int
    refused: list[Exchange] = field(default_factory=list)

    @property
    def scope(self) -> str:
        """The scope that the refusals cover."""
        return (self.first.refused.scope if self.first.refused is not None else None) or ""

    @property
    def begin(self) -> int:
        """When the first refusal was sent."""
        return self.first.refused.at if self.first.refused is not None else self.first.arrived.at

    @property
    def length(self) -> int:
        """The Retry-After of the first refusal."""
        return self.end - self.reached

    def covers(self, request: Exchange) -> bool:
        """Whether the window's refusals cover this request."""
        return scope_covers(self.scope, request.arrived)


def windows(requests: list[Exchange]) -> Iterator[Window]:
    """The windows of each scope, in order; a refusal that reached no client opens none."""
    refused = [one for one in requests if one.refused is not None and one.refused.scope is not None]
    refused.sort(key=lambda one: one.refused.at if one.refused is not None else 0)
    latest: dict[str, Window] = {}
    for one in refused:
        assert one.refused is not None
        scope = one.refused.scope or ""
        window = latest.get(scope)
        if window is None or one.refused.at > window.end:
            if one.heard_at is None:
                continue
            if window is not None:
                yield window
            window = Window(one, one.heard_at, one.heard_at + max(0, one.refused.retry_after or 0))
            latest[scope] = window
        window.refused.append(one)
    yield from latest.values()
