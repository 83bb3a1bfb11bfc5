"""Counts what `wavetank run` does, and describes it: the progress and the final report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final

from ..processor import ItemResult
from ..processor.batch_result import FailureCounts
from ..processor.journal import EarlierError
from ..text import counted, duration_text

_REASONS_SHOWN: Final = 10
"""More would push the line that resumes off a small terminal."""
_REASON_LENGTH: Final = 160
"""Two lines of a terminal."""


@final
@dataclass(slots=True)
class RowCounts:
    """The counts of all rows of a run, or of those of one model."""

    rows: int
    done: int = 0
    failed: int = 0
    refusals: int = 0
    pauses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def add(self, result: ItemResult[Any]) -> None:
        """Count the outcome of a row."""
        self.done += 1
        self.failed += result.error is not None
        self.input_tokens += result.usage.input_tokens
        self.output_tokens += result.usage.output_tokens
        self.cost += result.cost

    @property
    def answers(self) -> str:
        """How many rows have answers."""
        return f"{self.done - self.failed} of {self.rows} rows have answers"

    @property
    def limited(self) -> str:
        """How many refusals and pauses there were."""
        return f"{counted(self.refusals, 'refusal')}, {counted(self.pauses, 'pause')}"

    @property
    def spent(self) -> str:
        """The tokens, and the cost if there was any."""
        cost = f", {self.cost:.4g} spent" if self.cost else ""
        return f"{self.input_tokens} tokens in, {self.output_tokens} out{cost}"

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.answers}{failed}, {self.limited}, {self.spent}"


@final
class RunStatistics:
    """Counts the outcomes, refusals and pauses of a run, and describes them.

    Args:
        total: the number of rows.
        models: the number of rows of each model, if there are several.
        now: seconds on a clock that never goes back.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        total: int,
        *,
        models: Mapping[str, int] | None = None,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.all: Final = RowCounts(total)
        self.recalled = 0
        self.retries = 0
        self.stopped: str | None = None
        self.stopped_by_provider = False
        """Whether the run was stopped because the provider is away or refuses the key."""
        self._models = {name: RowCounts(rows) for name, rows in (models or {}).items()}
        self._now = now
        self._wall = wall
        self._started = now()
        self._paused_until = now()
        self._reasons: dict[str, tuple[int, float]] = {}
        self._limits = FailureCounts()
        self._left_out: Counter[str] = Counter()

    def add(self, result: ItemResult[Any], model: str = "") -> None:
        """Count the outcome of a row."""
        for counts in self._counts_of(model):
            counts.add(result)
        self.recalled += result.recalled
        if result.error is not None:
            self._add_failure(result)

    def add_left_out(self, result: ItemResult[Any]) -> None:
        """Count a row that is left to another run."""
        self._left_out[result.cause or type(result.error).__name__] += 1

    def add_refusal(self, model: str = "") -> None:
        """Count a refusal."""
        for counts in self._counts_of(model):
            counts.refusals += 1

    def add_pause(self, seconds: float, model: str = "", *, lengthened: bool = False) -> None:
        """Count a pause that ends in so many seconds, unless it only became longer."""
        for counts in self._counts_of(model):
            counts.pauses += not lengthened
        self._paused_until = max(self._paused_until, self._now() + seconds)

    def _counts_of(self, model: str) -> Iterator[RowCounts]:
        yield self.all
        if model in self._models:
            yield self._models[model]

    @property
    def share(self) -> float:
        """The share of rows that are done, from 0 to 1."""
        return self.all.done / self.all.rows if self.all.rows else 1.0

    def progress_text(self) -> str:
        """The progress in words: rows, rate, refusals, pauses, time left."""
        now = self._now()
        seconds = now - self._started
        fresh = self.all.done - self.recalled
        rate = fresh / seconds if seconds > 0 else 0.0
        parts = [f"{self.all.done} of {self.all.rows} rows"]
        if self.all.failed:
            parts.append(f"{self.all.failed} failed")
        parts.append(f"{rate:.3g}/s")
        if self.all.refusals:
            parts.append(f"{self.all.refusals} refused")
        if self.all.pauses:
            parts.append(counted(self.all.pauses, "pause"))
        if self.all.cost:
            parts.append(f"{self.all.cost:.4g} spent")
        if (paused := self._paused_until - now) > 0:
            parts.append(f"paused for {duration_text(paused)}")
        if fresh and self.all.done < self.all.rows:
            parts.append(f"{duration_text((self.all.rows - self.all.done) / rate)} left")
        return ", ".join(parts)

    def report(self) -> list[str]:
        """The report of the run, in lines."""
        earlier = f", {self.recalled} of them in earlier runs" if self.recalled else ""
        lines = [
            f"{self.all.answers}{earlier}; {duration_text(self._now() - self._started)}, "
            f"{self.all.limited}, {self.retries} sent again, {self.all.spent}"
        ]
        lines += [f"{name}: {counts}" for name, counts in self._models.items()]
        lines += [f"{counted(count, 'row')} left for later: {why}" for why, count in self._left_out.items()]
        lines += [
            f"{counted(count, 'row')} failed: {why}" for why, count in self._limits.most_common().items()
        ]
        failures = sorted(self._reasons.items(), key=lambda reason: -reason[1][0])
        for why, (count, at) in failures[:_REASONS_SHOWN]:
            lines.append(f"{counted(count, 'row')} failed: {why} at {clock_time(at)}")
        if (more := len(failures) - _REASONS_SHOWN) > 0:
            lines.append(f"and {counted(more, 'other reason')}")
        if self.stopped is not None:
            lines.append(f"stopped early: {self.stopped}")
        return lines

    def _add_failure(self, result: ItemResult[Any]) -> None:
        if result.limit is not None:
            self._limits.add(result.limit.cause, result.limit)
            return
        text, reason = str(result.error), result.cause or result.reason or type(result.error).__name__
        # The text of an error of an earlier run begins with its class, so its reason is shown.
        if isinstance(result.error, EarlierError) or text in reason:
            text = reason
        why = " ".join((text if text.startswith(reason) else f"{reason}: {text}").split())
        short = why if len(why) <= _REASON_LENGTH else why[: _REASON_LENGTH - 1] + "…"
        count, _ = self._reasons.get(short, (0, 0.0))
        self._reasons[short] = (count + 1, self._wall())


def clock_time(at: float) -> str:
    """An instant in seconds since 1970 on this machine's clock, to the minute."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M")
