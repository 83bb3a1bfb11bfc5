"""Gemini's batch mode: a file of lines is uploaded, and a job is made of it.

Sources: the pages on the batch mode and the Files API of ai.google.dev (files of 2 GB, which are deleted
after 48 hours; a job is late after 48 hours and has no results then), and `google.genai.batches`.
"""

from __future__ import annotations

from typing import Any, Final, final
from urllib.parse import quote, urlsplit

from ..providers import Json
from ..run_errors import ApiError, UnreadableAnswer
from .batch_api import (
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

_FILES: Final = "/v1beta/files"
_TYPE: Final = "application/jsonl"
_STATES: Final[dict[str, State]] = {
    "SUCCEEDED": "completed",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "CANCELLED": "cancelled",
}
_STATUSES: Final = {3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}
"""The HTTP statuses of the codes in the errors of lines (`google.rpc.Code`)."""


@final
class GeminiBatches(BatchApi):
    """The batch API of Gemini."""

    limits = BatchLimits(1_000_000, 2000 * MB)

    def line(self, custom_id: str, body: Json) -> Json:
        """One line of the input file."""
        return {"key": custom_id, "request": body}

    async def find_file(self, http: BatchHttp, key: str) -> str | None:
        """The file of a key, which is its name; the API does not tell a missing file from a foreign one."""
        try:
            return str((await http.get(f"{_FILES}/{key}"))["name"])
        except ApiError as error:
            if error.status_code in (403, 404):
                return None
            raise

    async def upload(self, http: BatchHttp, batch: NewBatch) -> str:
        """Upload the lines: a first request is answered with the address of the second."""
        data = self.data(batch)
        begin = {
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(data)),
            "x-goog-upload-header-content-type": _TYPE,
            "content-type": "application/json",
        }
        end = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
        about = f'{{"file":{{"name":"files/{batch.key}","displayName":"{batch.key}","mimeType":"{_TYPE}"}}}}'

        async def attempt() -> Any:
            started = await http.send("POST", f"/upload{_FILES}", begin, about.encode())
            address = started.headers["x-goog-upload-url"]
            if http.has_own_address:
                # A gateway is asked for this step, too.
                address = f"/upload{_FILES}?{urlsplit(address).query}"
            return await http.send("POST", address, end, data)

        await http.again(attempt)
        return f"files/{batch.key}"

    async def create(self, http: BatchHttp, batch: NewBatch, file_id: str | None) -> BatchState:
        """Create a job."""
        model = quote(batch.model.removeprefix("models/"), safe="")
        body = {"batch": {"displayName": batch.key, "inputConfig": {"fileName": file_id}}}
        return _state(await http.create(f"/v1beta/models/{model}:batchGenerateContent", body))

    async def find(
        self, http: BatchHttp, batch: NewBatch, since: float, others: frozenset[str]
    ) -> BatchState | None:
        """The job whose display name is the key, on any page."""
        token: dict[str, str] = {}
        while True:
            page = await http.get("/v1beta/batches", {"pageSize": "100", **token})
            for each in page.get("operations") or []:
                if each["metadata"].get("displayName") == batch.key:
                    return _state(each)
            if not page.get("nextPageToken"):
                return None
            token = {"pageToken": page["nextPageToken"]}

    async def retrieve(self, http: BatchHttp, batch_id: str) -> BatchState:
        """Ask how a job is."""
        return _state(await http.get(f"/v1beta/{batch_id}"))

    async def cancel(self, http: BatchHttp, batch_id: str) -> None:
        """Ask to cancel a job."""
        await http.post(f"/v1beta/{batch_id}:cancel", {})

    async def results(self, http: BatchHttp, state: BatchState) -> list[LineResult]:
        """The lines of the file of results."""
        results = []
        for file in state.files:
            data = await http.download(f"/download/v1beta/{file}:download", {"alt": "media"})
            results += [_result(line) for line in json_lines(data)]
        return results


def _state(operation: Json) -> BatchState:
    about = operation["metadata"]
    stats = about.get("batchStats") or {}
    done = [int(stats.get(name, 0)) for name in ("successfulRequestCount", "failedRequestCount")]
    error = operation.get("error") or {}
    name = about["state"].rpartition("BATCH_STATE_")[2]
    output = operation.get("response") or about.get("output") or {}
    return BatchState(
        id=operation["name"],
        state=_STATES.get(name, "under way"),
        lines_done=sum(done),
        error=error.get("message") or "the provider gave no reason",
        files=(output["responsesFile"],) if output.get("responsesFile") else (),
    )


def _result(line: Any) -> LineResult:
    if "key" not in line:
        raise UnreadableAnswer(200, str(line))
    if error := line.get("error"):
        status = _STATUSES.get(error.get("code"), 500)
        return LineResult(custom_id=line["key"], error=line_error(status, error))
    return LineResult(custom_id=line["key"], body=line.get("response"))
