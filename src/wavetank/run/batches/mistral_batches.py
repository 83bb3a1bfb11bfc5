"""Mistral's batch jobs: files as OpenAI's, and a job whose model is its own.

Source: the guide on batch inference of docs.mistral.ai (a million requests a job, files of 512 MB) and the
types `BatchJob` and `FileSchema` of its SDK.
"""

from __future__ import annotations

from typing import Final, final

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
)
from .batch_http import BatchHttp
from .openai_batches import KEY, find_file, read_files, upload_file

_JOBS: Final = "/batch/jobs"
_PAGE: Final = 100
_STATES: Final[dict[str, State]] = {
    "SUCCESS": "completed",
    "FAILED": "failed",
    "TIMEOUT_EXCEEDED": "expired",
    "CANCELLED": "cancelled",
}
_FILES: Final = ("output_file", "error_file")


@final
class MistralBatches(BatchApi):
    """The batch API of Mistral."""

    limits = BatchLimits(1_000_000, 512 * MB)

    def line(self, custom_id: str, body: Json) -> Json:
        """One line of the input file; the model is the job's."""
        return {"custom_id": custom_id, "body": {name: body[name] for name in body if name != "model"}}

    async def find_file(self, http: BatchHttp, key: str) -> str | None:
        """The file with the name that is made of the key."""
        return await find_file(http, key, {"search": key, "page_size": str(_PAGE)})

    async def upload(self, http: BatchHttp, batch: NewBatch) -> str:
        """Upload the lines."""
        return await upload_file(http, batch.key, self.data(batch))

    async def create(self, http: BatchHttp, batch: NewBatch, file_id: str | None) -> BatchState:
        """Create a job."""
        body = {
            "input_files": [file_id],
            "endpoint": "/v1/chat/completions",
            "model": batch.model,
            "metadata": {KEY: batch.key},
        }
        return _state(await http.create(_JOBS, body))

    async def find(
        self, http: BatchHttp, batch: NewBatch, since: float, others: frozenset[str]
    ) -> BatchState | None:
        """The job with the key in its metadata, on any page."""
        page = 0
        while True:
            jobs = (await http.get(_JOBS, {"page": str(page), "page_size": str(_PAGE)})).get("data") or []
            for job in jobs:
                if (job.get("metadata") or {}).get(KEY) == batch.key:
                    return _state(job)
            oldest = min((job["created_at"] for job in jobs), default=0)
            if len(jobs) < _PAGE or oldest < since - CLOCK_SKEW_SECONDS:
                return None
            page += 1

    async def retrieve(self, http: BatchHttp, batch_id: str) -> BatchState:
        """Ask how a job is."""
        return _state(await http.get(f"{_JOBS}/{batch_id}"))

    async def cancel(self, http: BatchHttp, batch_id: str) -> None:
        """Ask to cancel a job."""
        await http.post(f"{_JOBS}/{batch_id}/cancel")

    async def results(self, http: BatchHttp, state: BatchState) -> list[LineResult]:
        """The lines of both files."""
        return await read_files(http, state)


def _state(job: Json) -> BatchState:
    errors = job.get("errors") or []
    return BatchState(
        id=job["id"],
        state=_STATES.get(job["status"], "under way"),
        lines_done=job.get("completed_requests") or 0,
        error=str(errors[0].get("message")) if errors else "the provider gave no reason",
        files=tuple(job[name] for name in _FILES if job.get(name)),
    )
