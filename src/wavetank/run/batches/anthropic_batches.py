"""Anthropic's message batches: the lines are in the request that creates the batch.

Sources: the pages on batch processing of docs.claude.com (100,000 requests or 256 MB a batch, 24 hours) and
`anthropic.types.messages.MessageBatch`. A batch has no name or metadata of the caller's, so the key is in
the `custom_id` of each line, which only the results show.
"""

from __future__ import annotations

from typing import Any, Final, final

from ..providers import Json
from .batch_api import (
    CLOCK_SKEW_SECONDS,
    MB,
    BatchApi,
    BatchLimits,
    BatchState,
    LineResult,
    NewBatch,
    Undecided,
    as_epoch,
    json_lines,
    line_error,
)
from .batch_http import BatchHttp

_BATCHES: Final = "/v1/messages/batches"
_DONE: Final = ("succeeded", "errored", "canceled", "expired")
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses of the errors of lines, which have only a type (the page on errors)."""


@final
class AnthropicBatches(BatchApi):
    """The batch API of Anthropic."""

    limits = BatchLimits(100_000, 256 * MB)
    has_files = False

    def custom_id(self, key: str, number: int, id: str) -> str:
        """The key and the number: the key is how the batch is known again."""
        return f"{key}-{number}"

    def line(self, custom_id: str, body: Json) -> Json:
        """One of the requests."""
        return {"custom_id": custom_id, "params": body}

    async def create(self, http: BatchHttp, batch: NewBatch, file_id: str | None) -> BatchState:
        """Create a batch."""
        lines = [self.line(custom_id, body) for custom_id, body in batch.bodies.items()]
        return _state(await http.create(_BATCHES, {"requests": lines}))

    async def find(
        self, http: BatchHttp, batch: NewBatch, since: float, others: frozenset[str]
    ) -> BatchState | None:
        """The batch whose results have the key in their ids.

        Batches of that time with as many lines may be it. Whether one is can be seen once it has ended.
        """
        undecided = False
        for each in await self._candidates(http, batch, since, others):
            if each["processing_status"] != "ended":
                undecided = True
            elif await self._has_key(http, each["id"], batch.key):
                return _state(each)
        if undecided:
            raise Undecided
        return None

    async def _candidates(
        self, http: BatchHttp, batch: NewBatch, since: float, others: frozenset[str]
    ) -> list[Any]:
        found: list[Any] = []
        after: dict[str, str] = {}
        while True:
            page = await http.get(_BATCHES, {"limit": "100", **after})
            recent = [
                each for each in page["data"] if as_epoch(each["created_at"]) >= since - CLOCK_SKEW_SECONDS
            ]
            found += [
                each
                for each in recent
                if each["id"] not in others and sum(each["request_counts"].values()) == len(batch.bodies)
            ]
            if not page.get("has_more") or len(recent) < len(page["data"]):
                return found
            after = {"after_id": page["last_id"]}

    async def _has_key(self, http: BatchHttp, batch_id: str, key: str) -> bool:
        results = await self._lines(http, batch_id)
        return any(line["custom_id"].startswith(f"{key}-") for line in results)

    async def _lines(self, http: BatchHttp, batch_id: str) -> list[Any]:
        return list(json_lines(await http.download(f"{_BATCHES}/{batch_id}/results")))

    async def retrieve(self, http: BatchHttp, batch_id: str) -> BatchState:
        """Ask how a batch is."""
        return _state(await http.get(f"{_BATCHES}/{batch_id}"))

    async def cancel(self, http: BatchHttp, batch_id: str) -> None:
        """Ask to cancel a batch."""
        await http.post(f"{_BATCHES}/{batch_id}/cancel")

    async def results(self, http: BatchHttp, state: BatchState) -> list[LineResult]:
        """The results, which there are only once the batch has ended."""
        return [_result(line) for line in await self._lines(http, state.id)]


def _state(batch: Json) -> BatchState:
    counts = batch["request_counts"]
    ended = batch["processing_status"] == "ended"
    return BatchState(
        id=batch["id"],
        # Of a batch that was cancelled, or is late, each line says so.
        state="completed" if ended else "under way",
        lines_done=sum(counts.get(name, 0) for name in _DONE),
    )


def _result(line: Any) -> LineResult:
    custom_id, result = line["custom_id"], line["result"]
    kind = result["type"]
    if kind == "succeeded":
        return LineResult(custom_id=custom_id, body=result["message"])
    if kind == "errored":
        # The error is inside an object of the type `error`.
        error = result["error"].get("error") or result["error"]
        return LineResult(custom_id=custom_id, error=line_error(_STATUSES.get(error.get("type"), 500), error))
    return LineResult(custom_id=custom_id, expired=kind == "expired", cancelled=kind == "canceled")
