"""An item between its start and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from .items import ItemResult, LLMWorkItem, TokenUsage
from .retry_limits import RetryBudget


@final
@dataclass(slots=True)
class InFlightItem:
    """An item that has been started and has no outcome yet.

    `number` is its place in the source, from 0. `request` is the item that is sent for it, as
    `prepare_item` returned it. `began` is its start on anyio's clock. `sent` is the
    item that the latest request sends, as `before_attempt` returned it. `last_error` is why the
    latest request was in vain. `usage` and `cost` are those of answers that were not valid.
    `cut_off` says that its last request was cancelled because it took too long. `stored` says
    that the store has its result.
    """

    number: int
    item: LLMWorkItem[Any]
    request: LLMWorkItem[Any]
    budget: RetryBudget
    began: float
    sent: LLMWorkItem[Any] = field(init=False)
    last_error: BaseException | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: float = 0.0
    holds_permit: bool = False
    cut_off: bool = False
    stored: bool = False
    result: ItemResult[Any] | None = None

    def __post_init__(self) -> None:
        self.sent = self.request
