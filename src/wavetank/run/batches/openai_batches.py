"""OpenAI's batches: a file of lines is uploaded, and a batch is made of it.

Sources: the guide on the Batch API of platform.openai.com (50,000 requests and 200 MB a batch; results in
any order, errors in a file of their own) and `openai.types.Batch`. Azure OpenAI has the same API under
`/openai/v1`.
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
    State,
    json_lines,
    line_error,
)
from .batch_http import BatchHttp

KEY: Final = "wavetank_batch"
"""The name of the metadata that has the key of a batch."""
_ENDPOINT: Final = "/v1/chat/completions"
_QUEUE_FULL: Final = "token_limit_exceeded"
_STATES: Final[dict[str, State]] = {
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}
# The answers and the errors of a batch; either may be missing.
_FILES: Final = ("output_file_id", "error_file_id")


@final
class OpenAIBatches(BatchApi):
    """The batch API of OpenAI and of those with its format."""

    limits = BatchLimits(50_000, 200 * MB)

    def line(self, custom_id: str, body: Json) -> Json:
        """One line of the input file."""
        return {"custom_id": custom_id, "method": "POST", "url": _ENDPOINT, "body": body}

    async def find_file(self, http: BatchHttp, key: str) -> str | None:
        """The file with the name that is made of the key."""
        return await find_file(http, key, {"purpose": "batch", "limit": "10000"})

    async def upload(self, http: BatchHttp, batch: NewBatch) -> str:
        """Upload the lines."""
        return await upload_file(http, batch.key, self.data(batch))

    async def create(self, http: BatchHttp, batch: NewBatch, file_id: str | None) -> BatchState:
        """Create a batch."""
        body = {
            "input_file_id": file_id,
            "endpoint": _ENDPOINT,
            "completion_window": "24h",
            "metadata": {KEY: batch.key},
        }
        return _state(await http.create("/batches", body))

    async def find(
        self, http: BatchHttp, batch: NewBatch, since: float, others: frozenset[str]
    ) -> BatchState | None:
        """The batch with the key in its metadata; the list has the newest first."""
        after: dict[str, str] = {}
        while True:
            page = await http.get("/batches", {"limit": "100", **after})
            for each in page["data"]:
                if (each.get("metadata") or {}).get(KEY) == batch.key:
                    return _state(each)
            oldest = min((each["created_at"] for each in page["data"]), default=0)
            if not page.get("has_more") or oldest < since - CLOCK_SKEW_SECONDS:
                return None
            after = {"after": page["data"][-1]["id"]}

    async def retrieve(self, http: BatchHttp, batch_id: str) -> BatchState:
        """Ask how a batch is."""
        return _state(await http.get(f"/batches/{batch_id}"))

    async def cancel(self, http: BatchHttp, batch_id: str) -> None:
        """Ask to cancel a batch."""
        await http.post(f"/batches/{batch_id}/cancel")

    async def results(self, http: BatchHttp, state: BatchState) -> list[LineResult]:
        """The lines of both files."""
        return await read_files(http, state)


def _state(batch: Json) -> BatchState:
    counts = batch.get("request_counts") or {}
    errors = (batch.get("errors") or {}).get("data") or []
    status = batch["status"]
    return BatchState(
        id=batch["id"],
        state=_STATES.get(status, "under way"),
        lines_done=counts.get("completed", 0) + counts.get("failed", 0),
        error=_described(errors) if status == "failed" else "",
        queue_is_full=any(error.get("code") == _QUEUE_FULL for error in errors),
        files=tuple(batch[name] for name in _FILES if batch.get(name)),
    )


def _described(errors: list[Json]) -> str:
    if not errors:
        return "the provider gave no reason"
    first = errors[0]
    line = f"line {first['line']}: " if first.get("line") else ""
    return f"{line}{first.get('message') or first.get('code')}"


async def find_file(http: BatchHttp, key: str, query: dict[str, str]) -> str | None:
    """The newest file with the name that is made of a key, if there is one on the first page."""
    page = await http.get("/files", query)
    found = (file["id"] for file in page["data"] if file.get("filename") == f"{key}.jsonl")
    return next(found, None)


async def upload_file(http: BatchHttp, key: str, data: bytes) -> str:
    """Upload lines as a file whose name is made of a key; return its id."""
    file = await http.upload("/files", {"purpose": "batch"}, f"{key}.jsonl", data)
    return str(file["id"])


async def read_files(http: BatchHttp, state: BatchState) -> list[LineResult]:
    """The lines of the files of a batch."""
    results = []
    for file in state.files:
        data = await http.download(f"/files/{file}/content")
        results += [_result(line) for line in json_lines(data)]
    return results


def _result(line: Any) -> LineResult:
    custom_id, error, response = line["custom_id"], line.get("error"), line.get("response")
    if error:
        code = error.get("code") if isinstance(error, dict) else None
        return LineResult(
            custom_id=custom_id,
            error=line_error(0, error),
            expired=code == "batch_expired",
            cancelled=code == "batch_cancelled",
        )
    status, body = response["status_code"], response["body"]
    if status >= 400:
        inner = body.get("error", body) if isinstance(body, dict) else body
        return LineResult(custom_id=custom_id, error=line_error(status, inner))
    return LineResult(custom_id=custom_id, body=body)
