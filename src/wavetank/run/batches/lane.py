"""The batches of one model: how its rows become lines, and how results of lines become those of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from ...processor import CallResult, ItemResult, LLMWorkItem
from ...processor.errors.classify import classify
from ...processor.journal import StoredBatch
from ...processor.token_estimate import CHARACTERS_PER_TOKEN
from ...shown import Secrets
from ..provider_strategy import priced, read_answer
from ..providers import Prices, RequestSettings
from ..run_errors import ApiError, UnreadableAnswer
from ..run_plan import ModelRoute
from .batch_api import LONGEST_CUSTOM_ID, BatchApi, BatchState, LineResult, NewBatch, json_line
from .batch_http import BatchHttp
from .splitting import Bounds, LineSize, split

Item = LLMWorkItem[Any]

BATCH_PRICE: Final = 0.5
"""OpenAI, Azure, Anthropic, Gemini and Mistral all charge half in batches (their pages on prices)."""
_ROOM_BYTES: Final = 1000
"""What a request has around its lines, at most."""


@final
class NotProcessed(Exception):
    """A row has no answer, because its batch ended without one."""


@final
@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of a row in a batch.

    `may_succeed` says that the row may have an answer in a next batch. `left` says that the row was not
    processed, and is left to a later run. `unknown` says that the row may have been paid for.
    """

    result: ItemResult[str]
    may_succeed: bool = False
    left: bool = False
    unknown: bool = False


@final
@dataclass(slots=True)
class Lane:
    """One model of a run with its batch API.

    `enqueued_tokens` is the limit of its queue at the provider, if it is known.
    """

    route: ModelRoute
    api: BatchApi
    http: BatchHttp
    settings: RequestSettings
    secrets: Secrets
    most_rows: int | None
    enqueued_tokens: int | None
    _prices: Prices | None = field(init=False)

    def __post_init__(self) -> None:
        prices = self.route.prices
        self._prices = prices and Prices(prices.input * BATCH_PRICE, prices.output * BATCH_PRICE)

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.route.target.name

    def tokens(self, items: Sequence[Item]) -> int:
        """The tokens that these rows have in the queue, as estimated."""
        return sum(self._size(item).tokens for item in items)

    def split(self, items: Sequence[Item], *, most_tokens: int | None = None) -> list[tuple[str, ...]]:
        """The ids of rows by batch."""
        limits = self.api.limits
        lines = min(limits.lines, self.most_rows or limits.lines)
        bounds = Bounds(lines, limits.bytes - _ROOM_BYTES, most_tokens or self.enqueued_tokens)
        return split(map(self._size, items), bounds)

    def _size(self, item: Item) -> LineSize:
        body = self.route.provider.body(self.settings, item.prompt)
        line = json_line(self.api.line("x" * LONGEST_CUSTOM_ID, body))
        characters = len(item.prompt) + len(self.settings.system or "")
        return LineSize(item.id, len(line) + 1, -(-characters // CHARACTERS_PER_TOKEN))

    def new_batch(self, stored: StoredBatch, items: Mapping[str, Item]) -> NewBatch:
        """A batch with the bodies of its lines."""
        bodies = {
            custom_id: self.route.provider.body(self.settings, items[id].prompt)
            for custom_id, id in self.custom_ids(stored).items()
        }
        return NewBatch(key=stored.key, model=self.settings.model, bodies=bodies)

    def custom_ids(self, stored: StoredBatch) -> dict[str, str]:
        """The ids of the rows of a batch by the `custom_id` of their lines."""
        return {
            self.api.custom_id(stored.key, number, id): id for number, id in enumerate(stored.ids, start=1)
        }

    def outcome(self, item: Item, line: LineResult | None, state: BatchState) -> RowOutcome:
        """What became of a row; `line` is its result, if the batch has one."""
        if line is None:
            return self._without_result(item, state)
        if line.body is not None:
            return self._answered(item, line.body)
        if line.cancelled:
            return _cancelled(item)
        if line.expired or line.error is None:
            return _expired(item)
        error = line.error
        self.secrets.hide_in(error)
        failure = classify(error)
        if failure.closes:
            # A quota or the credit is spent: as in a run without batches, the row is left to a later run.
            return _left(item, error, failure.reason)
        return _failed(item, error, failure.reason, may_succeed=failure.kind != "terminal")

    def _answered(self, item: Item, body: Any) -> RowOutcome:
        try:
            answer: CallResult[str] = read_answer(self.route.provider, body, 200, str(body), self.secrets)
        except ApiError as error:
            return _failed(item, error, f"status {error.status_code}")
        except UnreadableAnswer as error:
            return _failed(item, error, "an unreadable answer", may_succeed=True)
        answer = priced(item.prompt, answer, self._prices)
        return RowOutcome(ItemResult(item.id, answer.value, attempts=1, usage=answer.usage, cost=answer.cost))

    def _without_result(self, item: Item, state: BatchState) -> RowOutcome:
        if state.state == "failed":
            return self.refused(item, NotProcessed(f"the batch failed: {self.secrets.hide(state.error)}"))
        if state.state == "cancelled":
            return _cancelled(item)
        if state.state == "expired" and not state.files:
            return _expired(item)
        error = NotProcessed(f"the batch {state.id} has no result for the row")
        failed = _failed(item, error, "no result", may_succeed=True)
        return RowOutcome(failed.result, may_succeed=True, unknown=True)

    def refused(self, item: Item, error: Exception) -> RowOutcome:
        """A row whose batch the provider refused."""
        return _failed(item, error, "the batch was refused")


def _failed(item: Item, error: Exception, reason: str, *, may_succeed: bool = False) -> RowOutcome:
    result: ItemResult[str] = ItemResult(item.id, error=error, attempts=1, reason=reason, cause=reason)
    return RowOutcome(result, may_succeed=may_succeed)


def _expired(item: Item) -> RowOutcome:
    error = NotProcessed("the batch expired before the row was processed")
    return _failed(item, error, "expired", may_succeed=True)


def _cancelled(item: Item) -> RowOutcome:
    error = NotProcessed("the batch was cancelled before the row was processed")
    return _left(item, error, "the batch was cancelled")


def _left(item: Item, error: Exception, cause: str) -> RowOutcome:
    result: ItemResult[str] = ItemResult(item.id, error=error, cause=cause, unfinished=True)
    return RowOutcome(result, left=True)
