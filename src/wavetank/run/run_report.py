"""What `wavetank run` says: where it stands while it runs, and what came of it, in words."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, final

from ..processor import ItemResult
from ..processor.batch_result import FailureCounts
from ..processor.counting import counted
from ..processor.journal.outcomes import EarlierError

PROCESSOR: Final = "wavetank.processor"
_REASONS_SHOWN: Final = 10
_REASON_LENGTH: Final = 160


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """Where the standing of a run is shown again and again.

    `show` takes how much is done, from 0 to 1, and the rest in words, and shows it in place of the
    last; `stay` writes a line above that; `close` leaves the place to what comes after.
    """

    show: Callable[[float, str], object]
    stay: Callable[[str], object]
    close: Callable[[], object]

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.stay(printable(line))


@final
@dataclass(slots=True)
class RowCounts:
    """What came of the rows of one model."""

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

    def __str__(self) -> str:
        failed = f"{self.failed} failed, " if self.failed else ""
        return (
            f"{self.done - self.failed} of {self.rows} rows have answers, {failed}"
            f"{counted(self.refusals, 'refusal')}, {counted(self.pauses, 'pause')}, "
            f"{self.input_tokens} tokens in, {self.output_tokens} out"
            + (f", {self.cost:.4g} spent" if self.cost else "")
        )


@final
class RunStatistics:
    """Counts what comes of the rows, and tells it.

    Args:
        total: how many rows there are.
        models: how many rows there are for each model, where there are several.
        now: seconds on a clock that only moves on.
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
        self._shares = {name: RowCounts(rows) for name, rows in (models or {}).items()}
        self.total = total
        self.done = 0
        self.failed = 0
        self.earlier = 0
        self.refusals = 0
        self.pauses = 0
        self.retries = 0
        self.stopped: str | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self._now = now
        self._wall = wall
        self._started = now()
        self._paused_until = now()
        self._reasons: dict[str, tuple[int, float]] = {}
        self._limits = FailureCounts()
        self._left_out: dict[str, int] = {}

    def result(self, result: ItemResult[Any], model: str = "") -> None:
        """Count the outcome of a row."""
        if model in self._shares:
            self._shares[model].add(result)
        self.done += 1
        self.earlier += result.recalled
        self.input_tokens += result.usage.input_tokens
        self.output_tokens += result.usage.output_tokens
        self.cost += result.cost
        if result.error is not None:
            self.failed += 1
            self._failed(result)

    def left_out(self, result: ItemResult[Any]) -> None:
        """Count a row that is left to another run."""
        why = result.cause or type(result.error).__name__
        self._left_out[why] = self._left_out.get(why, 0) + 1

    def refused(self, model: str = "") -> None:
        """Count a refusal."""
        self.refusals += 1
        if model in self._shares:
            self._shares[model].refusals += 1

    def paused(self, seconds: float, model: str = "", *, again: bool = False) -> None:
        """Count a pause that ends in so many seconds, unless it is one that was counted, grown longer."""
        self.pauses += not again
        if model in self._shares:
            self._shares[model].pauses += not again
        self._paused_until = max(self._paused_until, self._now() + seconds)

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        return self.done / self.total if self.total else 1.0

    def progress_text(self) -> str:
        """Where the run stands: rows, rate, refusals, pauses, time left."""
        now = self._now()
        seconds = now - self._started
        fresh = self.done - self.earlier
        rate = fresh / seconds if seconds > 0 else 0.0
        words = [f"{self.done} of {self.total} rows"]
        if self.failed:
            words.append(f"{self.failed} failed")
        words.append(f"{rate:.3g}/s")
        if self.refusals:
            words.append(f"{self.refusals} refused")
        if self.pauses:
            words.append(counted(self.pauses, "pause"))
        if (paused := self._paused_until - now) > 0:
            words.append(f"paused for {duration_text(paused)}")
        if fresh and self.done < self.total:
            words.append(f"{duration_text((self.total - self.done) / rate)} left")
        return ", ".join(words)

    def report(self) -> list[str]:
        """What came of the run, in lines."""
        seconds = self._now() - self._started
        earlier = f", {self.earlier} of them in earlier runs" if self.earlier else ""
        lines = [
            f"{self.done - self.failed} of {self.total} rows have answers{earlier}; "
            f"{duration_text(seconds)}, {counted(self.refusals, 'refusal')}, "
            f"{counted(self.pauses, 'pause')}, {self.retries} sent again, "
            f"{self.input_tokens} tokens in, {self.output_tokens} out"
            + (f", {self.cost:.4g} spent" if self.cost else "")
        ]
        lines += [f"{name}: {share}" for name, share in self._shares.items()]
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

    def _failed(self, result: ItemResult[Any]) -> None:
        if result.limit is not None:
            self._limits.add(result.limit.cause, result.limit)
            return
        said, reason = str(result.error), result.cause or result.reason or type(result.error).__name__
        # An earlier run's error is told by its reason: its text begins with its class.
        if isinstance(result.error, EarlierError) or said in reason:
            said = reason
        why = " ".join((said if said.startswith(reason) else f"{reason}: {said}").split())
        short = why if len(why) <= _REASON_LENGTH else why[: _REASON_LENGTH - 1] + "…"
        count, _ = self._reasons.get(short, (0, 0.0))
        self._reasons[short] = (count + 1, self._wall())


def print_line(line: str) -> None:
    """Write a line that stays, unbroken, so that it can be pasted; the display is closed by then.

    What the terminal has no letters for stands there as its escape.
    """
    print(printable(f"wavetank: {line}"), flush=True)


def printable(line: str) -> str:
    """A line with the escapes of what the terminal has no letters for."""
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)


@final
class WarningCollector(logging.Handler):
    """Keeps the processor's warnings out of the bar, where nobody has set up a log of their own.

    The report tells of what was decided; what went wrong beside it is shown by `print_exceptions`.
    `hide` takes the secrets out of a text.
    """

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        super().__init__(logging.WARNING)
        self._hide = hide
        self._kept: list[logging.LogRecord] = []

    def __enter__(self) -> Self:
        logger = logging.getLogger(PROCESSOR)
        self._used = not logger.hasHandlers()
        if self._used:
            logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._used:
            logging.getLogger(PROCESSOR).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record of an exception."""
        if record.exc_info:
            self._kept.append(record)

    def print_exceptions(self) -> None:
        """Write the exceptions to the standard error."""
        while self._kept:
            print(f"wavetank: {self._hide(self.format(self._kept.pop(0)))}", file=sys.stderr)


def duration_text(seconds: float) -> str:
    """A length of time as people say it.

    >>> duration_text(3.21), duration_text(75), duration_text(7384)
    ('3.2s', '1m15s', '2h03m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def clock_time(at: float) -> str:
    """An instant of Unix time on this machine's clock, to the minute."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M")
