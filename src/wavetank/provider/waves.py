"""Waves by time: which one refuses a request, and when each opens and closes."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal, final

from ..scenario import RetryAfter, Scenario, ScopeKind, Wave, wave_retry_after, wave_scope, window_at
from .matching import fits, scope_of
from .model import Notice
from .picks import Picks
from .request import Request

_CLOSED: Final = 0
_OPENED: Final = 1
_HELD: Final = 2
_KINDS: Final[tuple[Literal["wave-closed", "wave-opened", "held"], ...]] = (
    "wave-closed",
    "wave-opened",
    "held",
)


@final
@dataclass(frozen=True, slots=True)
class Script:
    """A wave with its number in the scenario and what the scenario leaves to its defaults."""

    number: int
    wave: Wave
    scope: ScopeKind
    retry_after: RetryAfter

    def meets(self, request: Request, nth: int, picks: Picks) -> bool:
        """Whether the wave means this request: its match fits and the pick falls in its share."""
        return fits(self.wave.match, request) and picks.hits(
            self.wave.share, "share", self.number, request.item or "", nth
        )

    def scope_of(self, request: Request) -> str:
        """The scope that a refusal of a request covers."""
        path = self.wave.match.path
        if path != "*" and self.scope == "account":
            # Other paths are open, and the log does not say which paths a pattern means.
            return f"path:{path}" if request.item is None else scope_of("item", self.wave.match, request)
        return scope_of(self.scope, self.wave.match, request)

    def staggered(self, request: Request, occurrence: int, picks: Picks) -> tuple[int, int] | None:
        """How much later this wave opens for a request's scope, and how much earlier it closes.

        `None` when it does not mean the request. All requests of a scope get the same within one
        occurrence of the wave.
        """
        stagger, number = self.wave.stagger or 0, self.number
        who = self.scope_of(request)
        if not fits(self.wave.match, request):
            return None
        if not picks.hits(self.wave.share, "share", number, who, occurrence):
            return None
        return (
            picks.between(0, stagger, "opens-later", number, who, occurrence),
            picks.between(0, stagger, "closes-earlier", number, who, occurrence),
        )


def scripts(scenario: Scenario) -> tuple[Script, ...]:
    """The waves of a scenario in file order."""
    return tuple(
        Script(number, wave, wave_scope(wave), wave_retry_after(wave))
        for number, wave in enumerate(scenario.wave)
    )


@final
class Windows:
    """The waves that run by time."""

    def __init__(self, waves: tuple[Script, ...], picks: Picks) -> None:
        self._waves = tuple(script for script in waves if script.wave.when_in_flight is None)
        self._picks = picks
        self._steady = picks.steady()

    def refusing(self, request: Request, nth: int, now: int) -> tuple[Script, int] | None:
        """The first open wave that means the request, and the instant at which it closes for it."""
        for script in self._waves:
            window = window_at(script.wave, now)
            closes = self._closes(script, window, request, nth, now) if window is not None else None
            if closes is not None:
                return script, closes
        return None

    def _closes(
        self, script: Script, window: tuple[int, int, int], request: Request, nth: int, now: int
    ) -> int | None:
        occurrence, opens, closes = window
        if script.wave.stagger is None:
            return closes if script.meets(request, nth, self._picks) else None
        offsets = script.staggered(request, occurrence, self._steady)
        if offsets is None or not opens + offsets[0] <= now < closes - offsets[1]:
            return None
        return closes - offsets[1]


@final
class NoticeBoard:
    """What the provider does by itself, in time order; at one instant, closing comes first."""

    def __init__(self, waves: tuple[Script, ...]) -> None:
        self._pending: list[tuple[int, int, int, int, int]] = []
        self._waves = {script.number: script.wave for script in waves}
        self._arrivals = count()
        for script in waves:
            if script.wave.when_in_flight is None and script.wave.lasts is not None:
                self._announce(script.number, 0)

    def held(self, wave: int, request_id: int, now: int) -> None:
        """A barrier holds a request."""
        heapq.heappush(self._pending, (now, _HELD, next(self._arrivals), wave, request_id))

    def next(self) -> int | None:
        """The instant of the next notice, also if it lies ahead."""
        return self._pending[0][0] if self._pending else None

    def until(self, now: int) -> list[Notice]:
        """The notices up to now that were not given out before."""
        notices: list[Notice] = []
        while self._pending and self._pending[0][0] <= now:
            at, rank, occurrence, wave, request_id = heapq.heappop(self._pending)
            notices.append(Notice(_KINDS[rank], at, wave, request_id if rank == _HELD else None))
            if rank == _OPENED:
                self._close(wave, occurrence, at)
        return notices

    def _close(self, number: int, occurrence: int, opened: int) -> None:
        """Having opened, a wave will close and may open again."""
        lasts = self._waves[number].lasts
        assert lasts is not None
        heapq.heappush(self._pending, (opened + lasts, _CLOSED, occurrence, number, 0))
        self._announce(number, occurrence + 1)

    def _announce(self, number: int, occurrence: int) -> None:
        wave = self._waves[number]
        at = wave.at + occurrence * (wave.every or 0)
        window = window_at(wave, at)
        if window is not None and window[0] == occurrence:
            heapq.heappush(self._pending, (int(at), _OPENED, occurrence, number, 0))
