"""Processes the rows of a table: the batch processor with strategy, journal, output and statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, final

from ..processor import (
    Bounds,
    Decision,
    DecisionKind,
    ItemResult,
    Limits,
    LLMCallStrategy,
    LLMWorkItem,
    ParallelBatchProcessor,
    Progress,
    RunStopped,
    SharedLimits,
    Sink,
)
from ..processor.journal import Journal
from .provider_strategy import with_prompt
from .run_statistics import RunStatistics

Item = LLMWorkItem[Any]

_LIMIT_KINDS: Final[frozenset[DecisionKind]] = frozenset(
    ("refused", "paused", "resumed", "closed", "retried", "stopped")
)
_KINDS_SHOWN: Final[tuple[frozenset[DecisionKind], ...]] = (
    frozenset(),
    _LIMIT_KINDS,
    _LIMIT_KINDS | {"cut", "grown", "done"},
)
"""The decisions that are shown, by how often `--verbose` is given."""
ROWS_AHEAD: Final = 1000
"""How many rows may be started while the result of an earlier row is missing; bounds the memory."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPace:
    """The rate, the bounds and the order of a run."""

    parallel: int = 10
    limits: Limits | Mapping[Any, Limits] | None = None
    shared: SharedLimits | None = None
    bounds: Bounds | None = None
    on_quota: Literal["fail", "wait"] = "fail"
    fail_fast: bool = False
    max_outage_seconds: float = 600.0
    order: Literal["input", "completed"] = "completed"


@final
class RowProcessor:
    """Processes rows: each outcome is stored in the journal, written to the output and counted.

    Args:
        strategy: sends the items that have no strategy of their own.
        pace: the rate, the bounds and the order.
        statistics: counts the outcomes and decisions.
        journal: stores the outcomes for a run that resumes.
        output: gets each result, one at a time.
        models: the name of the model of each item, by its id, for the statistics.
        say: shows decisions as text.
        verbose: which ones: none (0), those of limits and retries (1), or all (2).
    """

    def __init__(
        self,
        strategy: LLMCallStrategy[str],
        *,
        pace: RunPace,
        statistics: RunStatistics,
        journal: Journal | None = None,
        output: Sink | None = None,
        models: Mapping[str, str] | None = None,
        say: Callable[[str], object] | None = None,
        verbose: int = 0,
    ) -> None:
        self._strategy = strategy
        self._pace = pace
        self._statistics = statistics
        self._journal = journal
        self._output = output
        self._models = models or {}
        self._say = say
        self._shown_kinds = _KINDS_SHOWN[min(verbose, len(_KINDS_SHOWN) - 1)]
        self._paused_until: dict[str, float] = {}
        self._processor: ParallelBatchProcessor[str] | None = None

    async def process(self, items: Sequence[Item]) -> None:
        """Process every item that has no outcome yet, and write all outcomes to the output.

        Raises:
            Exception: any error of the journal or the output; nothing is sent after it.
        """
        pace = self._pace
        processor: ParallelBatchProcessor[str] = ParallelBatchProcessor(
            self._strategy,
            workers=pace.parallel,
            limits=pace.limits,
            shared=pace.shared,
            bounds=pace.bounds,
            on_quota=pace.on_quota,
            fail_fast=pace.fail_fast,
            max_outage_seconds=pace.max_outage_seconds,
            prepare_item=with_prompt,
            order=pace.order,
            batch_size=max(ROWS_AHEAD, 2 * pace.parallel),
            observer=self._observe,
            store=self._journal,
            sinks=() if self._output is None else (self._output,),
            on_result=self._count,
        )
        self._processor = processor
        async with processor:
            async for _ in processor.process(items):
                pass

    async def retune(
        self,
        *,
        parallel: int | None = None,
        rates: Mapping[str | None, Mapping[str, Any]] | None = None,
        bounds: Mapping[Any, Any] | None = None,
        max_outage_seconds: float | None = None,
    ) -> None:
        """Change the pace while the rows are processed; what is not given stays as it is.

        Args:
            parallel: requests under way at once.
            rates: the limits to change, as arguments of `Limits`, for each scope; `None` is every scope.
            bounds: the bounds to change, as arguments of `Bounds`.
            max_outage_seconds: how long the provider may be away.

        Raises:
            ValueError: a number is too small.
            RuntimeError: no row is processed yet.
        """
        if self._processor is None:
            raise RuntimeError("the run has sent no row yet; try again in a moment")
        changed = replace(self._pace.bounds or Bounds(), **(bounds or {}))
        for limits in (rates or {}).values():
            # Before anything is changed.
            Limits(**limits)
        await self._processor.retune(
            workers=parallel, bounds=changed if bounds else None, max_outage_seconds=max_outage_seconds
        )
        self._pace = replace(self._pace, bounds=changed)
        for scope, limits in (rates or {}).items():
            await self._processor.retune(**limits, scope=scope)

    @property
    def progress(self) -> Progress:
        """What the processor has done so far."""
        return Progress() if self._processor is None else self._processor.progress

    def _count(self, result: ItemResult[str]) -> None:
        if not result.unfinished:
            self._statistics.add(result, self._models.get(result.id, ""))
        elif not isinstance(result.error, RunStopped):
            self._statistics.add_left_out(result)

    def _observe(self, decision: Decision) -> None:
        if self._say is not None and decision.kind in self._shown_kinds:
            self._say(str(decision))
        if decision.kind == "refused":
            self._statistics.add_refusal(decision.scope)
        elif decision.kind == "retried":
            self._statistics.retries += 1
        elif decision.kind == "paused" and decision.until is not None:
            # A later refusal may make a pause longer; it is still the same one.
            lasts = decision.at < self._paused_until.get(decision.scope, 0.0)
            self._paused_until[decision.scope] = decision.until
            self._statistics.add_pause(decision.until - decision.at, decision.scope, lengthened=lasts)
        elif decision.kind == "stopped":
            self._statistics.stopped = decision.reason
            self._statistics.stopped_by_provider = bool(decision.scope)
