"""Mistral's files and batch jobs.

Sources: the guide on batch inference of docs.mistral.ai and the types of its SDK (`BatchJob`, `FileSchema`,
`CreateBatchJobRequest`): the model is the job's, a line has only a body, and an id if it likes; small jobs
may bring their requests with them and have their results in `outputs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ....clock import HOUR
from ...batches.batch import Batch, Line
from ...batches.endpoint import KeptEndpoint, line_of, made
from ...batches.results import carried
from ...batches.service import BatchService, StoredFile
from ...dialect_base.shared import InvalidRequest, Values, as_list, as_mapping, json_object, whole_number
from ...dialect_base.wire_dialect import Endpoint, Vendor
from ...http import HttpRequest
from ...model import Made
from ...request import Action, Request
from ..openai.batches import put_out, result_of
from ..openai.models import page_size
from ..openai.requests import missing, payload_of, query_of, wrong_type
from ..openai.uploads import Files, file_object, found_file

_DEFAULT_HOURS: Final = 24
_MOST_HOURS: Final = 7 * 24
"""The longest `timeout_hours` (the guide on batch inference)."""
_JOBS: Final = r"/v1/batch/jobs"
_STATUSES: Final = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "finalizing": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelling": "CANCELLATION_REQUESTED",
    "cancelled": "CANCELLED",
}
_QUEUE_FULL: Final = "Batch queue is full: {model} has a limit of {limit:,} enqueued tokens"


def _uuid(kept: BatchService) -> str:
    digits = kept.digits(32, "mistral")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _file(file: StoredFile, kept: BatchService) -> Values:
    """A file (`FileSchema` of the SDK)."""
    own = file_object(file, kept)
    result = file.purpose == "batch_output"
    kind = "batch_error" if file.name.endswith("_error.jsonl") else "batch_result"
    return {
        **{name: own[name] for name in ("id", "object", "bytes", "created_at", "filename", "expires_at")},
        "purpose": "batch" if result else file.purpose,
        "sample_type": kind if result else "batch_request",
        "source": "mistral" if result else "upload",
        "num_lines": len([line for line in file.data.splitlines() if line.strip()]),
        "mimetype": "application/jsonl",
    }


def _listed(entries: list[Values], more: bool) -> Made:
    return made({"object": "list", "data": entries, "total": len(entries)})


@final
@dataclass(frozen=True, slots=True)
class MistralBatches:
    """The endpoints for files and batch jobs; `asked` are those that lines may ask, by their paths."""

    vendor: Vendor
    asked: Mapping[str, Endpoint]

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        many, one = re.compile(_JOBS), re.compile(rf"{_JOBS}/(?P<id>[^/]+)")
        return (
            *Files(_file, _uuid, _listed).endpoints("/v1"),
            KeptEndpoint("batches", many, self._create),
            KeptEndpoint("batches-list", many, self._list, "GET"),
            KeptEndpoint("batch", one, self._retrieve, "GET"),
            KeptEndpoint("batch-delete", one, self._delete, "DELETE"),
            KeptEndpoint("batch-cancel", re.compile(rf"{one.pattern}/cancel"), self._cancel),
        )

    def _create(self, http: HttpRequest, found: re.Match[str]) -> Action:
        payload = payload_of(http)
        path, hours = payload.get("endpoint"), payload.get("timeout_hours", _DEFAULT_HOURS)
        files, requests = as_list(payload.get("input_files")), as_list(payload.get("requests"))
        if path not in self.asked:
            raise wrong_type("endpoint", f"one of {', '.join(self.asked)}") if path else missing("endpoint")
        if not files and not requests:
            raise missing("input_files")
        if not whole_number(hours) or hours > _MOST_HOURS:
            raise wrong_type("timeout_hours", f"an integer from 1 to {_MOST_HOURS}")

        def begin(kept: BatchService, request: Request, now: int) -> Made:
            raw: list[tuple[int | None, Any]] = [(None, each) for each in requests]
            raw += _lines(kept, request, files, now)
            lines = [self._line(http, payload, each) for _, each in raw if _body_of(each) is not None]
            errors = tuple(wrong for number, each in raw if (wrong := _wrong(number, each)) is not None)
            full = None if errors else kept.over_limit(request.dialect, lines, now)
            if full is not None:
                message = _QUEUE_FULL.format(model=full, limit=kept.rules.enqueued_tokens)
                raise InvalidRequest(429, message)
            batch = kept.take_on(
                request,
                now,
                ident=_uuid(kept),
                lines=lines,
                facts={"payload": payload, "total": len(raw)},
                window=hours * HOUR,
                errors=errors,
                writes=lambda kept, batch: put_out(kept, batch, self.vendor, _uuid),
            )
            return made(_job(batch, kept, now))

        return begin

    def _line(self, http: HttpRequest, payload: Mapping[str, Any], value: Any) -> Line:
        """A line, which has the model of its job unless it names one."""
        own = {"model": payload["model"]} if payload.get("model") else {}
        ident = value.get("custom_id")
        custom_id = ident if isinstance(ident, str) and ident else None
        path = payload["endpoint"]
        return line_of(self.asked[path], http, path, own | value["body"], custom_id)

    def _list(self, http: HttpRequest, found: re.Match[str]) -> Action:
        query = query_of(http)
        size, page = page_size(query, "page_size", 100), query.get("page") or "0"
        if not page.isdecimal():
            raise wrong_type("page", "an integer of at least 0")
        start = int(page) * size

        def listing(kept: BatchService, request: Request, now: int) -> Made:
            jobs = [_job(batch, kept, now) for batch in kept.batches_of(request.dialect, now)[::-1]]
            if query.get("status"):
                jobs = [job for job in jobs if job["status"] == query["status"]]
            return made({"object": "list", "data": jobs[start : start + size], "total": len(jobs)})

        return listing

    def _retrieve(self, http: HttpRequest, found: re.Match[str]) -> Action:
        inline = query_of(http).get("inline") == "true"

        def read(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            job = _job(batch, kept, now)
            if not inline or not batch.is_over(now):
                return made(job)
            lines = [line for line in batch.ended_lines(now) if line.fate in ("answered", "failed")]
            job["outputs"] = [result_of(line, batch, self.vendor, kept.epoch_ns) for line in lines]
            return made(job, carries=carried(lines))

        return read

    def _cancel(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def cancel(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            kept.cancel(batch, now)
            return made(_job(batch, kept, now))

        return cancel

    def _delete(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def drop(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            if not batch.is_over(now):
                raise InvalidRequest(409, f"Batch job {batch.id} is still running.")
            kept.drop_batch(batch)
            return made({"id": batch.id, "object": "batch", "deleted": True})

        return drop


def _lines(
    kept: BatchService, request: Request, files: list[Any], now: int
) -> Iterator[tuple[int, Values | None]]:
    """The lines of the input files with their numbers; `None` is one that is no JSON object."""
    for ident in files:
        data = found_file(kept, request.dialect, str(ident), now, param="input_files").data
        for number, raw in enumerate(data.splitlines(), start=1):
            if raw.strip():
                yield number, json_object(raw)


def _body_of(value: Any) -> dict[str, Any] | None:
    body = as_mapping(value).get("body")
    return body if isinstance(body, dict) else None


def _wrong(number: int | None, value: Any) -> Values | None:
    """What is wrong with a line; `number` is its number in the file."""
    if _body_of(value) is not None:
        return None
    what = "is not a JSON object" if value is None else "has no 'body'"
    return {"message": f"{'A request' if number is None else f'Line {number}'} {what}", "count": 1}


def _found(kept: BatchService, request: Request, ident: str, now: int) -> Batch:
    batch = kept.batch(request.dialect, ident, now)
    if batch is None:
        raise InvalidRequest(404, f"Batch job {ident} not found")
    return batch


def _job(batch: Batch, kept: BatchService, now: int) -> Values:
    """A batch job (`BatchJob` of the SDK), at an instant."""
    payload, results, counts = batch.facts["payload"], batch.facts.get("results", {}), batch.counts(now)
    status, over = batch.status(now), batch.is_over(now)
    failed = counts["failed"] + (counts["expired"] + counts["cancelled"] if over else 0)
    return {
        "id": batch.id,
        "object": "batch",
        "input_files": as_list(payload.get("input_files")),
        "endpoint": payload["endpoint"],
        "model": payload.get("model"),
        "agent_id": None,
        "metadata": payload.get("metadata"),
        "errors": list(batch.errors) if status == "failed" else [],
        "status": _STATUSES[status],
        "created_at": kept.seconds(batch.created),
        "started_at": kept.seconds(batch.begins) if now >= batch.begins and not batch.errors else None,
        "completed_at": kept.seconds(batch.ends) if over else None,
        "total_requests": batch.facts["total"],
        "completed_requests": counts["answered"] + failed,
        "succeeded_requests": counts["answered"],
        "failed_requests": failed,
        "output_file": results.get("output"),
        "error_file": results.get("error"),
        "outputs": None,
    }
