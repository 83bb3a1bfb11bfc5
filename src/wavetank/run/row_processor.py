"""One pass over the rows: strategy, journal and output around the processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    RunStopped,
    Sink,
)
from ..processor.journal import Journal
from .provider_strategy import with_prompt
from .run_report import RunStatistics

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
"""How many rows may be taken up whose results wait for their turn; a slow row holds back no more."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPace:
    """How fast, how far and in which order a run goes."""

    parallel: int = 10
    limits: Limits | Mapping[Any, Limits] | None = None
    bounds: Bounds | None = None
    on_quota: Literal["fail", "wait"] = "fail"
    fail_fast: bool = False
    order: Literal["input", "completed"] = "completed"


@final
class RowProcessor:
    """Processes rows, keeps each outcome before anybody hears of it, and tells the statistics.

    Args:
        strategy: sends the items that bring no strategy of their own.
        pace: how fast, how far and in which order.
        statistics: counts what happens.
        journal: keeps it for a run that resumes.
        output: gets each result, one at a time.
        models: the name of the model of each item, by its id, for the statistics.
        say: shows decisions in words.
        verbose: which: none, those of limits and retries (1), or all (2).
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

    async def process(self, items: Sequence[Item]) -> None:
        """Process every item that has no outcome yet, and hand all outcomes to the output.

        Raises:
            Exception: what the journal or the output raised; nothing is sent after it.
        """
        pace = self._pace
        processor: ParallelBatchProcessor[str] = ParallelBatchProcessor(
            self._strategy,
            workers=pace.parallel,
            limits=pace.limits,
            bounds=pace.bounds,
            on_quota=pace.on_quota,
            fail_fast=pace.fail_fast,
            prepare_item=with_prompt,
            order=pace.order,
            batch_size=max(ROWS_AHEAD, 2 * pace.parallel),
            observer=self._observe,
            store=self._journal,
            sinks=() if self._output is None else (self._output,),
            on_result=self._count,
        )
        async with processor:
            async for _ in processor.process(items):
                pass

    def _count(self, result: ItemResult[str]) -> None:
        if not result.unfinished:
            self._statistics.result(result, self._models.get(result.id, ""))
        elif not isinstance(result.error, RunStopped):
            self._statistics.left_out(result)

    def _observe(self, decision: Decision) -> None:
        if self._say is not None and decision.kind in self._shown_kinds:
            self._say(str(decision))
        if decision.kind == "refused":
            self._statistics.refused(decision.scope)
        elif decision.kind == "retried":
            self._statistics.retries += 1
        elif decision.kind == "paused" and decision.until is not None:
            # A refusal that was under way may lengthen a pause; it is still the same one.
            lasts = decision.at < self._paused_until.get(decision.scope, 0.0)
            self._paused_until[decision.scope] = decision.until
            self._statistics.paused(decision.until - decision.at, decision.scope, again=lasts)
        elif decision.kind == "stopped":
            self._statistics.stopped = decision.reason
