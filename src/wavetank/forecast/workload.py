"""The rows of a batch: tokens in, tokens out, how long each answer takes, when each row arrives."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, final

from ..scenario import TokenRange, UsageRow
from ..sim.dice import dice

_NEAREST: Final = 0.05
"""Of a usage log the rows nearest in length are drawn from: so large a part of it, wide enough to vary."""
_FEWEST: Final = 20
"""From no fewer rows than these, where the log has them: fewer would repeat a few latencies."""


@final
@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of all rows of one run, by the number of the row.

    `lasts` is in nanoseconds from the request to the end of its answer, -1 where the scenario's latency
    says it. `arrives` is in nanoseconds from the start, ascending; `None`: all rows are there at the start.
    """

    input: Sequence[int]
    output: Sequence[int]
    lasts: Sequence[int] | None = None
    arrives: Sequence[int] | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is known of the rows of a batch; each seed draws the rest.

    Args:
        rows: how many there are.
        input: the tokens of a prompt, where `counted` has none.
        output: the tokens of an answer, where `usage` does not say it.
        counted: the tokens of each prompt.
        usage: rows of a log. Lengths and latencies of a row are drawn together.
        arrival: over how many nanoseconds the rows arrive, at random instants; 0: all at the start.
    """

    rows: int
    input: TokenRange
    output: TokenRange
    counted: Sequence[int] | None = None
    usage: tuple[UsageRow, ...] = field(default=(), repr=False)
    arrival: int = 0

    def drawn(self, seed: int) -> Lengths:
        """The rows of the run with this seed."""
        random = dice("forecast", seed, "rows").random
        picked = [self._picked(number, random) for number in range(self.rows)] if self.usage else None
        spread = dice("forecast", seed, "arrival").random
        return Lengths(
            input=array("q", (self._input(number, picked, random) for number in range(self.rows))),
            output=array("q", (self._output(number, picked, random) for number in range(self.rows))),
            lasts=None if picked is None else array("q", map(_lasts, picked)),
            arrives=array("q", sorted(int(spread() * self.arrival) for _ in range(self.rows)))
            if self.arrival
            else None,
        )

    def _input(self, number: int, picked: Sequence[UsageRow] | None, random: Callable[[], float]) -> int:
        if self.counted is not None:
            return self.counted[number]
        known = None if picked is None else picked[number].prompt_tokens
        return _within(self.input, random) if known is None else known

    def _output(self, number: int, picked: Sequence[UsageRow] | None, random: Callable[[], float]) -> int:
        return _within(self.output, random) if picked is None else picked[number].completion_tokens

    def _picked(self, number: int, random: Callable[[], float]) -> UsageRow:
        """A row of the log; if the prompt's length is known, one of those nearest to it."""
        rows = self._by_length
        if self.counted is None or rows[0].prompt_tokens is None:
            return rows[int(random() * len(rows))]
        near = min(len(rows), max(_FEWEST, int(len(rows) * _NEAREST)))
        place = bisect_left(rows, self.counted[number], key=lambda row: row.prompt_tokens or 0)
        first = min(max(0, place - near // 2), len(rows) - near)
        return rows[first + int(random() * near)]

    @cached_property
    def _by_length(self) -> tuple[UsageRow, ...]:
        return tuple(
            sorted(self.usage, key=lambda row: -1 if row.prompt_tokens is None else row.prompt_tokens)
        )

    @property
    def smallest(self) -> int:
        """The fewest tokens, in and out, that a row may need."""
        inputs = self.counted or [row.prompt_tokens for row in self.usage if row.prompt_tokens is not None]
        outputs = [row.completion_tokens for row in self.usage]
        return min(inputs or [self.input.low]) + min(outputs or [self.output.low])


def _lasts(row: UsageRow) -> int:
    return -1 if row.lasts is None else int(row.lasts)


def _within(span: TokenRange, random: Callable[[], float]) -> int:
    return span.low + int(random() * (span.high - span.low + 1))
