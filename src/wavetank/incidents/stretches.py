"""Stretches in which requests were refused, and the waves that refuse them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Final, NamedTuple, cast, final

from msgspec.structs import replace

from ..clock import MILLISECOND, SECOND, Duration
from ..scenario import Match, RefusalError, RetryAfter, RetryAfterForm, ScopeKind, Wave, wave_scope
from .exchange import Exchange
from .rounding import round_time

_SLACK: Final = SECOND
"""So much, at most, a wave begins before its first refusal and ends after its last where the log leaves
it open: clients that are a little early or late meet the same."""

_SHARE_DIGITS: Final = 6
_SCOPES: Final = ("account", "host", "key", "model", "item")


class Kind(NamedTuple):
    """What refusals have in common."""

    status: int
    error: RefusalError | None
    form: RetryAfterForm
    scope: str


@final
@dataclass(slots=True)
class Stretch:
    """Refusals of one kind in a row: of the first and of the last the instant, how many, what they state.

    `before` is the instant of the request before, `after` of the one after; `served` is how many were served
    in between, and `closes` says that the one after was served.
    """

    kind: Kind
    model: str
    first: int
    last: int
    before: int | None
    after: int | None = None
    closes: bool = False
    refused: int = 0
    served: int = 0
    waits: list[tuple[int, int]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """The part of the requests that was refused."""
        return self.refused / (self.refused + self.served)

    @property
    def stated(self) -> list[int]:
        """The waits that refusals stated, the shortest first."""
        return sorted(wait for _, wait in self.waits)


@final
@dataclass(frozen=True, slots=True)
class LearnedWave:
    """A wave, and what of it was assumed."""

    wave: Wave
    stretch: Stretch
    comment: str


def stretches(exchanges: Sequence[Exchange], most: int | None = None, *, model: str = "") -> list[Stretch]:
    """The stretches of refusals; where there are more than `most`, neighbours are put together."""
    found = list(_stretches(exchanges, model))
    if most is None or len(found) <= most:
        return found
    joined = _put_together(found, most)
    _count_served(joined, exchanges)
    return joined


def _kind(exchange: Exchange) -> Kind:
    assert exchange.status is not None
    form = "none" if exchange.retry_after is None else exchange.form
    return Kind(exchange.status, exchange.error, form, exchange.scope)


def _stretches(exchanges: Iterable[Exchange], model: str) -> Iterator[Stretch]:
    """By instants: where requests of one instant were both served and refused, that instant is a stretch."""
    open_one: Stretch | None = None
    before: int | None = None
    for at, together in groupby(exchanges, key=lambda each: each.at):
        group = list(together)
        served = sum(each.served for each in group)
        refused = sorted((each for each in group if each.refused), key=_kind_key)
        if served and open_one is not None:
            open_one.after, open_one.closes = at, True
            yield open_one
            open_one = None
        for kind, same in groupby(refused, key=_kind):
            if open_one is not None and (open_one.kind != kind or open_one.served):
                open_one.after = at
                yield open_one
                open_one = None
            if open_one is None:
                open_one = Stretch(kind, model, at, at, before, served=served)
            _add(open_one, same, at)
            before = at
        if served:
            before = at
    if open_one is not None:
        yield open_one


def _kind_key(exchange: Exchange) -> tuple[int, str, str, str]:
    kind = _kind(exchange)
    return kind.status, kind.error or "", kind.form, kind.scope


def _add(stretch: Stretch, exchanges: Iterable[Exchange], at: int) -> None:
    for each in exchanges:
        stretch.refused += 1
        stretch.last = at
        stretch.reasons[each.reason] += 1
        if each.retry_after is not None:
            stretch.waits.append((at + (each.lasted or 0), each.retry_after))


def _put_together(found: list[Stretch], most: int) -> list[Stretch]:
    """Close the smallest gaps, between stretches of the same status if possible."""
    gaps = [
        (left.kind.status != right.kind.status, right.first - left.last, number)
        for number, (left, right) in enumerate(pairwise(found))
    ]
    closed = {number for _, _, number in sorted(gaps)[: len(found) - most]}
    joined = [found[0]]
    for number, right in enumerate(found[1:]):
        if number not in closed:
            joined.append(right)
            continue
        left = joined[-1]
        left.last, left.after, left.closes = right.last, right.after, right.closes
        left.refused += right.refused
        left.served += right.served
        left.waits += right.waits
        left.reasons += right.reasons
        if right.refused > left.refused - right.refused:
            left.kind = right.kind
    return joined


def _count_served(found: Sequence[Stretch], exchanges: Iterable[Exchange]) -> None:
    """Count the requests that were served inside stretches that were put together."""
    served = iter([each.at for each in exchanges if each.served])
    at = next(served, None)
    for stretch in found:
        stretch.served = 0
        while at is not None and at < stretch.first:
            at = next(served, None)
        while at is not None and at <= stretch.last:
            stretch.served += 1
            at = next(served, None)


def wave_of(stretch: Stretch) -> LearnedWave:
    """The wave that refuses what was refused in a stretch."""
    start = _start(stretch)
    end, stated = _end(stretch)
    kind = stretch.kind
    retry_after: RetryAfter | None
    if kind.form == "none":
        retry_after = RetryAfter(form="none")
    elif stated:
        usual = kind.form == "seconds" and kind.status == 429 and kind.error is None
        retry_after = None if usual else RetryAfter(form=kind.form)
    else:
        retry_after = RetryAfter(form=kind.form, value=Duration(_usual_wait(stretch)))
    plain = Wave(
        at=Duration(start),
        lasts=Duration(end - start),
        status=kind.status,
        error=kind.error,
        retry_after=retry_after,
        share=round(stretch.share, _SHARE_DIGITS) if stretch.served else 1.0,
        match=Match(model=stretch.model) if stretch.model else Match(),
    )
    return LearnedWave(_scoped(plain, kind.scope), stretch, _comment(stretch, stated=stated))


def _scoped(wave: Wave, scope: str) -> Wave:
    known = scope in _SCOPES and scope != wave_scope(wave)
    return replace(wave, scope=cast(ScopeKind, scope)) if known else wave


def _start(stretch: Stretch) -> int:
    if stretch.before is None:
        return round_time(max(0, stretch.first - _SLACK), stretch.first)
    slack = min((stretch.first - stretch.before) // 2, _SLACK)
    return round_time(stretch.first - slack, stretch.first - slack // 4)


def _end(stretch: Stretch) -> tuple[int, bool]:
    """Where it ends, and whether that is what its refusals state."""
    low, after = stretch.last + 1, stretch.after
    stated = _stated_end(stretch)
    if stated is not None and (stretch.closes or after is None):
        earliest, latest = max(stated[0], low), stated[1] if after is None else min(stated[1], after)
        if earliest <= latest:
            return round_time(earliest, latest), True
    if after is None:
        return round_time(low, stretch.last + _SLACK), False
    slack = min((after - stretch.last) // 2, _SLACK)
    return round_time(low + slack // 4, max(low, stretch.last + slack)), False


def _stated_end(stretch: Stretch) -> tuple[int, int] | None:
    """Between which instants the end lies that all refusals state: they round up what is left."""
    unit = MILLISECOND if stretch.kind.form == "ms" else SECOND
    if not stretch.waits or stretch.served or any(wait % unit for _, wait in stretch.waits):
        return None
    ends = [ended + wait for ended, wait in stretch.waits]
    earliest, latest = max(ends) - unit + 1, min(ends)
    return (earliest, latest) if earliest <= latest else None


def _usual_wait(stretch: Stretch) -> int:
    counts = Counter(wait for _, wait in stretch.waits)
    return min(counts, key=lambda wait: (-counts[wait], wait))


def _comment(stretch: Stretch, *, stated: bool) -> str:
    many = stretch.refused + stretch.served
    what = f"{stretch.refused} refused" if not stretch.served else f"{stretch.refused} of {many} refused"
    parts = [what]
    reason, _ = stretch.reasons.most_common(1)[0]
    if reason not in ("", "wave"):
        parts.append(f"by {reason}")
    if stated:
        parts.append("ends when their Retry-After says")
    elif (waits := stretch.stated) and waits[0] != waits[-1]:
        parts.append(f"stated Retry-After from {Duration(waits[0])} to {Duration(waits[-1])}")
    return ", ".join(parts)
