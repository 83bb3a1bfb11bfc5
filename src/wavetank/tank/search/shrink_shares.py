"""Shrink what the provider refuses: a wave spares, or meets, all requests but those the schedule names.

By its seed a wave with a share meets some requests. A failure that needs one refusal alone would take
a deviation for each of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from ...scenario import MEETS, SPARES, cut_down, treated
from ...sim.choices import Deviation, Recorder
from ...sim.shrink import Deviations
from ..runs.trial_runs import TrialMaker

WORTH: Final = 2
"""So many deviations of one wave or fault are worth the runs: a single one needs no simpler words."""


def shrink_shares(
    trials: TrialMaker,
    record: Recorder,
    attempt: Callable[[Deviations], Recorder | None],
    shrink: Callable[[Recorder], Recorder],
) -> tuple[Recorder, int]:
    """The failing run with the fewest deviations, and how `cut_down` has to treat the scenario for it.

    The scenario of the trials is left cut down so. `attempt` makes a run with deviations, and `shrink`
    shrinks what it recorded.
    """
    cut = 0
    for number, deviations in sorted(_shares(record).items()):
        if deviations < WORTH:
            continue
        written, ways = trials.scenario, [(record, cut)]
        for how in (SPARES, MEETS):
            trials.scenario = cut_down(written, treated(0, number, how))
            trials.shrinking += 1
            same = attempt(tuple(_against(record, number, hits=how == MEETS)))
            if same is not None:
                ways.append((shrink(same), treated(cut, number, how)))
            if len(ways[-1][0].deviations) < WORTH:
                break
        record, chosen = min(ways, key=lambda way: len(way[0].deviations))
        trials.scenario = cut_down(written, chosen ^ cut)
        cut = chosen
    return record, cut


def _shares(record: Recorder) -> Counter[int]:
    """How many deviations are about each wave or fault."""
    return Counter(record.meets[each.place][0] for each in record.deviations if each.place in record.meets)


def _against(record: Recorder, number: int, *, hits: bool) -> Iterator[Deviation]:
    """The deviations of the same run where a wave or fault hits all requests by itself, or none."""
    for place, (choice, width) in enumerate(zip(record.taken, record.widths, strict=True)):
        part, seeded = record.meets.get(place, (None, False))
        taken = choice if part != number else int((seeded != bool(choice)) != hits)
        if taken:
            yield Deviation(place, taken, width)
