"""An item between its start and its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from .items import ItemResult, LLMWorkItem
from .retry_limits import RetryBudget


@final
@dataclass(slots=True)
class InFlightItem:
    """An item that has been started and has no outcome yet.

    `number` is its place in the source, from 0. `request` is the item that is sent for it, as
    `prepare_item` returned it. `began` is its start on anyio's clock. `cut_off` says that its
    last request was cancelled because it took too long. `stored` says that the store has its
    result.
    """

    number: int
    item: LLMWorkItem[Any]
    request: LLMWorkItem[Any]
    budget: RetryBudget
    began: float
    holds_permit: bool = False
    cut_off: bool = False
    stored: bool = False
    result: ItemResult[Any] | None = None
