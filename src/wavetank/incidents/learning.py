"""From the requests of an incident to a scenario that refuses the same ones again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from ..clock import MILLISECOND, Duration
from ..scenario import DurationRange, Latency, ProviderClock, Scenario
from .collected import Collected, collect
from .exchange import Exchange
from .limit_search import LearnedLimit, learned_limits
from .replay import Replayed, replay
from .rounding import round_time
from .stretches import LearnedWave, Stretch, stretches, wave_of
from .values import Instant

MOST_WAVES: Final = 400
"""A file with more of them is read by nobody; requests that are refused by chance make one wave each."""

_MOST_MODELS: Final = 20
_DIGITS: Final = 20
"""A length of time is rounded by up to a twentieth."""


@final
@dataclass(frozen=True, slots=True)
class Learned:
    """A scenario and where each part of it comes from."""

    collected: Collected
    scenario: Scenario
    limits: tuple[LearnedLimit, ...]
    waves: tuple[LearnedWave, ...]
    replayed: Replayed
    put_together: bool


def learn(
    paths: Sequence[Path],
    *,
    name: str = "incident",
    since: Instant | None = None,
    until: Instant | None = None,
    most_waves: int = MOST_WAVES,
) -> Learned:
    """Read logs, and find the limits and the waves that refuse what was refused.

    Limits are taken only if the scenario then refuses exactly the same requests; else there are waves.

    Args:
        paths: event logs, HAR files, spans, JSON Lines or CSV files; they are merged by time.
        name: what the scenario is called.
        since: leave out what was sent before.
        until: leave out what was sent from then on.
        most_waves: put neighbouring waves together where there are more.

    Raises:
        IncidentError: a file cannot be used; the text names the line and the fix.
    """
    collected = collect(paths, since=since, until=until)
    limits = learned_limits(collected.exchanges, collected.start)
    learned = _learned(collected, limits, name, most_waves)
    if limits and not learned.replayed.exact:
        without = _learned(collected, [], name, most_waves)
        return without if without.replayed.same > learned.replayed.same else learned
    return learned


def _learned(collected: Collected, limits: list[LearnedLimit], name: str, most_waves: int) -> Learned:
    explained = frozenset[int]().union(*(each.refusals for each in limits))
    rest = [
        each
        for place, each in enumerate(collected.exchanges)
        if place not in explained and (each.served or each.refused)
    ]
    waves, put_together = _waves(rest, most_waves)
    served = _usual_range([each.lasted for each in collected.exchanges if each.served and each.lasted])
    refused = _usual_range([each.lasted for each in collected.exchanges if each.refused and each.lasted])
    usual = Latency()
    latency = Latency(first_token=served or usual.first_token, refusal=refused or usual.refusal)
    count = sum(each.refused for each in collected.exchanges)
    scenario = Scenario(
        name=name,
        title=f"Learned from {', '.join(each.name for each in collected.files)}",
        story=f"{count} of {len(collected.exchanges)} requests are refused, as they were.",
        clock=ProviderClock(ahead=Duration(max([0, *(each.ahead for each in limits)]))),
        latency=latency,
        limit=tuple(each.limits for each in limits),
        wave=tuple(each.wave for each in waves),
    )
    replayed = replay(scenario, collected.exchanges)
    return Learned(collected, scenario, tuple(limits), tuple(waves), replayed, put_together)


def _waves(exchanges: Sequence[Exchange], most: int) -> tuple[list[LearnedWave], bool]:
    """The waves by time, and whether some were put together."""
    by_model = _by_model(exchanges)
    chosen = min(by_model, key=_weight)
    total = sum(map(len, chosen.values()))
    if total > most:
        chosen = {
            model: stretches(_of_model(exchanges, model), max(1, most * len(part) // total), model=model)
            for model, part in chosen.items()
        }
    waves = [wave_of(stretch) for part in chosen.values() for stretch in part]
    return sorted(waves, key=lambda each: (each.wave.at, each.stretch.model)), total > most


def _by_model(exchanges: Sequence[Exchange]) -> list[dict[str, list[Stretch]]]:
    """The stretches of all models together, and where models differ those of each one that was refused."""
    ways = [{"": stretches(exchanges)}]
    models = sorted({each.model for each in exchanges if each.refused})
    several = len({each.model for each in exchanges}) > 1
    if several and "" not in models and len(models) <= _MOST_MODELS:
        ways.append({model: stretches(_of_model(exchanges, model), model=model) for model in models})
    return ways


def _of_model(exchanges: Sequence[Exchange], model: str) -> list[Exchange]:
    return [each for each in exchanges if model in ("", each.model)]


def _weight(way: dict[str, list[Stretch]]) -> tuple[int, int]:
    """How many requests are served in the middle of a stretch, and how many stretches there are."""
    found = [each for part in way.values() for each in part]
    return sum(each.served for each in found), len(found)


def _usual_range(lengths: list[int]) -> DurationRange | None:
    """From the 10th to the 90th percentile, in round numbers; `None` where nothing took a millisecond."""
    ordered = sorted(lengths)
    if not ordered or ordered[len(ordered) * 9 // 10] < MILLISECOND:
        return None
    low, high = (ordered[(len(ordered) - 1) * part // 10] for part in (1, 9))
    return DurationRange(*(Duration(round_time(each - each // _DIGITS, each)) for each in (low, high)))


def by_status(exchanges: Sequence[Exchange]) -> Counter[str]:
    """How many requests ended how."""
    counts: Counter[str] = Counter()
    for each in exchanges:
        if each.served:
            counts["served"] += 1
        elif each.refused:
            counts[f"refused with {each.status}"] += 1
        elif each.own_mistake:
            counts[f"wrong by themselves ({each.status})"] += 1
        else:
            counts["without an answer"] += 1
    return counts
