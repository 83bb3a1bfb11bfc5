"""OpenAI's batches: made of an uploaded file, polled, and read as files of results and of errors.

Sources: `Batch`, `BatchRequestInput` and `BatchRequestOutput` of OpenAI's OpenAPI description, the types of
its SDK (`openai.types.Batch`), the guide on the Batch API (what expires, what is out of order), and
failed batches that its users have quoted: the codes `invalid_json_line`, `missing_required_parameter`,
`invalid_url`, `duplicate_custom_id`, `model_mismatch`, `empty_file` and `token_limit_exceeded`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from ....clock import DAY
from ...batches.batch import Batch, Line
from ...batches.endpoint import KeptEndpoint, line_of, made
from ...batches.results import answer_body, carried, error_body, json_lines
from ...batches.service import BatchService, StoredFile
from ...dialect_base.shared import InvalidRequest, Values, json_object
from ...dialect_base.wire_dialect import Endpoint, Vendor
from ...http import HttpRequest
from ...model import Made
from ...request import Action, Request
from ...wire_formats import hexadecimal
from .requests import INVALID, missing, payload_of, query_of
from .uploads import found_file, listed, new_file_id, page_limit, page_of

_MOST_LINES: Final = 50_000
_NOT_SERVED: Final = ("/v1/moderations", "/v1/images/generations", "/v1/images/edits", "/v1/videos")
"""What OpenAI's batches may ask as well (`openai.types.BatchCreateParams`), and the fake's may not."""

"""Requests in a batch (the guide on the Batch API)."""
_FIELDS: Final = ("custom_id", "method", "url", "body")
_ENDED: Final = ("completed", "expired", "cancelled", "failed")
_EXPIRED: Final = "This request could not be executed before the completion window expired."
_CANCELLED: Final = "This request could not be executed before the batch was cancelled."
_REASONS: Final = {"expired": ("batch_expired", _EXPIRED), "cancelled": ("batch_cancelled", _CANCELLED)}
_DUPLICATE: Final = (
    "The custom_id for this request is a duplicate of another request. "
    "The custom_id parameter must be unique for each request in a batch."
)
_WRONG_URL: Final = "The URL provided for this request does not match the batch endpoint."

Asked = Mapping[str, Endpoint]
"""What the lines of a batch may ask, by the paths that they have in their `url`."""


@final
@dataclass(frozen=True, slots=True)
class OpenAIBatches:
    """The endpoints for batches of a vendor with OpenAI's format.

    `asked` are the endpoints that lines may ask. `organization` stands in the error of a full queue.
    """

    vendor: Vendor
    asked: Asked
    organization: str = "org-wavetank"

    def endpoints(self, start: str) -> tuple[Endpoint, ...]:
        """The endpoints whose paths begin like this: a pattern."""
        many, one = rf"{start}/batches", rf"{start}/batches/(?P<id>[^/]+)"
        return (
            KeptEndpoint("batches", re.compile(many), self._create),
            KeptEndpoint("batches-list", re.compile(many), self._list, "GET"),
            KeptEndpoint("batch", re.compile(one), self._retrieve, "GET"),
            KeptEndpoint("batch-cancel", re.compile(rf"{one}/cancel"), self._cancel),
        )

    def _create(self, http: HttpRequest, found: re.Match[str]) -> Action:
        payload = payload_of(http)
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not payload.get(name):
                raise missing(name)
        if payload["endpoint"] in _NOT_SERVED:
            message = f"wavetank doesn't serve batches of {payload['endpoint']}."
            raise InvalidRequest(400, message, kind=INVALID, param="endpoint", code="invalid_value")
        _one_of("endpoint", payload["endpoint"], tuple(self.asked))
        _one_of("completion_window", payload["completion_window"], ("24h",))

        def begin(kept: BatchService, request: Request, now: int) -> Made:
            ident = str(payload["input_file_id"])
            file = found_file(kept, request.dialect, ident, now, param="input_file_id")
            lines, errors = self._read(http, file.data, payload["endpoint"])
            full = kept.over_limit(request.dialect, lines, now) if not errors else None
            if full is not None:
                errors = (self._full_queue(full, kept),)
            batch = kept.take_on(
                request,
                now,
                ident=f"batch_{kept.digits(32, 'batch')}",
                lines=lines,
                facts={"payload": payload, "model": lines[0].request.model if lines else None},
                window=DAY,
                errors=errors,
                writes=lambda kept, batch: put_out(kept, batch, self.vendor),
            )
            return made(batch_object(batch, kept, now))

        return begin

    def _list(self, http: HttpRequest, found: re.Match[str]) -> Action:
        query = query_of(http)
        limit = page_limit(query, 20, 100)

        def listing(kept: BatchService, request: Request, now: int) -> Made:
            batches = [one for one in kept.batches_of(request.dialect, now) if "payload" in one.facts]
            page, more = page_of(batches[::-1], lambda one: one.id, query.get("after", ""), limit)
            return listed([batch_object(one, kept, now) for one in page], more)

        return listing

    def _retrieve(self, http: HttpRequest, found: re.Match[str]) -> Action:
        return lambda kept, request, now: made(
            batch_object(_found(kept, request, found["id"], now), kept, now)
        )

    def _cancel(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def cancel(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            status = batch.status(now)
            if status in _ENDED:
                message = f"Cannot cancel a batch with status '{status}'."
                raise InvalidRequest(409, message, kind=INVALID)
            kept.cancel(batch, now)
            return made(batch_object(batch, kept, now))

        return cancel

    def _read(self, http: HttpRequest, data: bytes, path: str) -> tuple[list[Line], tuple[Values, ...]]:
        """The lines of an input file, and what is wrong with them."""
        lines: list[Line] = []
        errors: list[Values] = []
        seen: set[str] = set()
        for number, raw in enumerate(data.splitlines(), start=1):
            if not raw.strip():
                continue
            value = json_object(raw)
            wrong = _wrong(value, path, seen, number)
            errors += wrong
            if value is not None and not wrong:
                lines.append(line_of(self.asked[path], http, path, value["body"], value["custom_id"]))
        if not errors:
            errors += _wrong_together(lines)
        return lines, tuple(errors)

    def _full_queue(self, model: str, kept: BatchService) -> Values:
        message = (
            f"Enqueued token limit reached for {model} in organization {self.organization}. "
            f"Limit: {kept.rules.enqueued_tokens:,} enqueued tokens. "
            "Please try again once some in_progress batches have been completed."
        )
        return _error("token_limit_exceeded", message)


def _error(code: str, message: str, line: int | None = None, param: str | None = None) -> Values:
    return {"code": code, "line": line, "message": message, "param": param}


def _one_of(name: str, value: object, options: Sequence[str]) -> None:
    if value not in options:
        names = ", ".join(repr(option) for option in options)
        message = f"Invalid value: {value!r}. Supported values are: {names}."
        raise InvalidRequest(400, message, kind=INVALID, param=name, code="invalid_value")


def _found(kept: BatchService, request: Request, ident: str, now: int) -> Batch:
    batch = kept.batch(request.dialect, ident, now)
    if batch is None or "payload" not in batch.facts:
        raise InvalidRequest(404, f"No batch found with id '{ident}'.", kind=INVALID)
    return batch


def _wrong(value: Values | None, path: str, seen: set[str], number: int) -> list[Values]:
    """What is wrong with one line of an input file; `seen` has the ids of the lines before."""
    if value is None:
        return [_error("invalid_json_line", "This line is not parseable as valid JSON.", number)]
    missed = [
        _error("missing_required_parameter", f"Missing required parameter: '{name}'.", number, name)
        for name in _FIELDS
        if not value.get(name)
    ]
    if missed:
        return missed
    errors = [] if value["url"] == path else [_error("invalid_url", _WRONG_URL, number, "url")]
    if not isinstance(value["custom_id"], str):
        message = "Invalid type for 'custom_id': expected a string."
        errors.append(_error("invalid_type", message, number, "custom_id"))
    elif value["custom_id"] in seen:
        errors.append(_error("duplicate_custom_id", _DUPLICATE, number, "custom_id"))
    else:
        seen.add(value["custom_id"])
    return errors


def _wrong_together(lines: Sequence[Line]) -> list[Values]:
    """What is wrong with an input file as a whole."""
    if not lines:
        return [_error("empty_file", "The input file is empty: a batch needs at least one request.")]
    if len(lines) > _MOST_LINES:
        message = f"The batch has {len(lines)} requests, and the limit is {_MOST_LINES}."
        return [_error("too_many_tasks", message)]
    models = list(dict.fromkeys(line.request.model for line in lines))
    if len(models) > 1:
        message = f"All requests of a batch must have the same model, not {models[0]!r} and {models[1]!r}."
        return [_error("model_mismatch", message)]
    return []


# -- what clients read -------------------------------------------------------------------------------


def batch_object(batch: Batch, kept: BatchService, now: int) -> Values:
    """A batch as OpenAI describes it, at an instant."""
    status, payload, results = batch.status(now), batch.facts["payload"], batch.facts.get("results", {})
    counts, over = batch.counts(now), status in _ENDED
    begun = now >= batch.begins
    failed = counts["failed"] + counts["expired"] + counts["cancelled"]
    times = {
        "in_progress_at": batch.begins if begun and not batch.errors else None,
        "expires_at": batch.expires,
        "finalizing_at": batch.done if now >= batch.done and not batch.errors and begun else None,
        "completed_at": batch.ends if status == "completed" else None,
        "failed_at": batch.begins if status == "failed" else None,
        "expired_at": batch.ends if status == "expired" else None,
        "cancelling_at": batch.cancelled,
        "cancelled_at": batch.ends if status == "cancelled" else None,
    }
    if batch.cancelled is not None:
        times["finalizing_at"] = None
    stamps = {name: None if at is None else kept.seconds(at) for name, at in times.items()}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": payload["endpoint"],
        "model": batch.facts["model"],
        "errors": {"object": "list", "data": list(batch.errors)} if status == "failed" else None,
        "input_file_id": payload["input_file_id"],
        "completion_window": payload["completion_window"],
        "status": status,
        "output_file_id": results.get("output"),
        "error_file_id": results.get("error"),
        "created_at": kept.seconds(batch.created),
        **stamps,
        "request_counts": {
            "total": len(batch.lines) if begun else 0,
            "completed": counts["answered"],
            "failed": failed if over else counts["failed"],
        },
        "usage": _usage(batch, now) if over else None,
        "metadata": payload.get("metadata"),
    }


def _usage(batch: Batch, now: int) -> Values:
    """What was charged for the lines that have an answer."""
    answered = [line for line in batch.lines if line.fate == "answered" and line.at <= now]
    prompt = sum(line.request.prompt_tokens for line in answered)
    completion = sum(line.content.tokens * line.request.copies for line in answered)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }


def put_out(
    kept: BatchService,
    batch: Batch,
    vendor: Vendor,
    new_id: Callable[[BatchService], str] = new_file_id,
) -> None:
    """Write the results of a batch that has ended into its files; one that would be empty is not there.

    A line that is missing is in neither.
    """
    lines = batch.ended_lines(batch.ends)
    good = [line for line in lines if line.fate == "answered"]
    bad = [line for line in lines if line.fate in ("failed", "expired", "cancelled")]
    results = batch.facts.setdefault("results", {})
    for kind, written in (("output", good), ("error", bad)):
        if not written:
            continue
        values = [result_of(line, batch, vendor, kept.epoch_ns) for line in written]
        file = StoredFile(
            id=new_id(kept),
            dialect=batch.dialect,
            name=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            data=json_lines(values),
            created=batch.ends,
            carries=carried(written),
        )
        results[kind] = kept.keep(file).id


def result_of(line: Line, batch: Batch, vendor: Vendor, epoch_ns: int) -> Values:
    """The result of one line."""
    key = (batch.id, line.request.id)
    result: Values = {"id": f"batch_req_{hexadecimal(32, *key)}", "custom_id": line.custom_id}
    if line.fate in _REASONS:
        code, message = _REASONS[line.fate]
        return result | {"response": None, "error": {"code": code, "message": message}}
    answered = line.fate == "answered"
    body: Any = answer_body(line, epoch_ns) if answered else error_body(vendor, line, epoch_ns)
    status = 200 if answered or line.refusal is None else line.refusal.status
    response = {"status_code": status, "request_id": hexadecimal(32, "request", *key), "body": body}
    return result | {"response": response, "error": None}
