"""Gemini's batch mode: requests in the body or in a file, worked off as a long-running operation.

Sources: the page on the batch mode and `GenerateContentBatch` of the reference of ai.google.dev, and what
Google's SDK sends and reads (`google.genai.batches`). Inlined responses are in the order of their requests;
a batch that is not done after 48 hours has expired, and has no results.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, final

from ....clock import HOUR
from ...batches.batch import Batch, Line
from ...batches.endpoint import KeptEndpoint, line_of, made
from ...batches.results import answer_body, carried, error_body, json_lines
from ...batches.service import BatchService, StoredFile
from ...dialect_base.shared import InvalidRequest, Values, as_list, as_mapping, json_object
from ...dialect_base.wire_dialect import Endpoint, Vendor
from ...http import HttpRequest
from ...model import Made
from ...request import Action, Request
from ...wire_formats import rfc3339
from ..openai.models import page_size
from ..openai.requests import query_of
from .files import found_file

_WINDOW: Final = 48 * HOUR
_START: Final = r"/v1(?:alpha|beta)?"
_TYPE: Final = "type.googleapis.com/google.ai.generativelanguage.v1main."
_STATES: Final = {
    "validating": "PENDING",
    "in_progress": "RUNNING",
    "finalizing": "RUNNING",
    "cancelling": "RUNNING",
    "completed": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "expired": "EXPIRED",
}
_QUEUE_FULL: Final = (
    "You exceeded your current quota of {limit:,} enqueued tokens of batch jobs for {model}. "
    "Please try again once some of them have been completed."
)
# Codes of google.rpc.Code, which are in the errors of lines.
_INVALID_ARGUMENT, _INTERNAL = 3, 13
_RPC_CODES: Final = {400: _INVALID_ARGUMENT, 404: 5, 429: 8, 503: 14, 504: 4}


@final
@dataclass(frozen=True, slots=True)
class GeminiBatches:
    """The endpoints for batches; `generate` and `embed` write what their lines are answered."""

    vendor: Vendor
    generate: Endpoint
    embed: Endpoint

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        many, one = rf"{_START}/batches", rf"{_START}/(?P<name>batches/[^/:]+)"
        model = rf"{_START}/models/(?P<model>[^/:]+)"
        create = rf"{model}:(?P<verb>batchGenerateContent|asyncBatchEmbedContent)"
        return (
            KeptEndpoint("batches", re.compile(create), self._create),
            KeptEndpoint("batches-list", re.compile(many), self._list, "GET"),
            KeptEndpoint("batch", re.compile(one), self._retrieve, "GET"),
            KeptEndpoint("batch-cancel", re.compile(rf"{one}:cancel"), self._cancel),
            KeptEndpoint("batch-delete", re.compile(one), self._delete, "DELETE"),
        )

    def _create(self, http: HttpRequest, found: re.Match[str]) -> Action:
        payload = json_object(http.body)
        if payload is None:
            raise InvalidRequest(400, "Invalid JSON payload received.")
        said = as_mapping(payload.get("batch"))
        source = as_mapping(said.get("inputConfig", said.get("input_config")))
        inlined = as_list(as_mapping(source.get("requests")).get("requests"))
        file_name = source.get("fileName", source.get("file_name"))
        if not inlined and not file_name:
            raise InvalidRequest(400, "batch.input_config: requests or file_name must be set.")
        endpoint = self.generate if found["verb"] == "batchGenerateContent" else self.embed
        verb = "generateContent" if endpoint is self.generate else "embedContent"
        path = f"/v1beta/models/{found['model']}:{verb}"
        facts = {"model": found["model"], "said": said, "inlined": not file_name, "embeds": verb[0] == "e"}

        def begin(kept: BatchService, request: Request, now: int) -> Made:
            if file_name:
                file = found_file(kept, request.dialect, str(file_name), now)
                lines, errors = _of_file(endpoint, http, path, file.data)
            else:
                lines, errors = [_inlined(endpoint, http, path, each) for each in inlined], ()
            full = kept.over_limit(request.dialect, lines, now)
            if full is not None:
                message = _QUEUE_FULL.format(limit=kept.rules.enqueued_tokens, model=full)
                raise InvalidRequest(429, message)
            batch = kept.take_on(
                request,
                now,
                ident=f"batches/{kept.letters(36, 'gemini-batch').lower()}",
                lines=lines,
                facts=dict(facts),
                window=_WINDOW,
                errors=errors,
                writes=None if facts["inlined"] else self._put_out,
                all_expire=True,
            )
            return made(self._operation(batch, kept, now))

        return begin

    def _list(self, http: HttpRequest, found: re.Match[str]) -> Action:
        query = query_of(http)
        size = page_size(query, "pageSize", 50, most=1000)
        token = query.get("pageToken") or "0"
        if not token.isdecimal():
            raise InvalidRequest(400, "Invalid page token.")
        start, end = int(token), int(token) + size

        def listing(kept: BatchService, request: Request, now: int) -> Made:
            batches = kept.batches_of(request.dialect, now)[::-1]
            page, more = batches[start:end], {"nextPageToken": str(end)} if end < len(batches) else {}
            carries = tuple(number for batch in page for number in _carried(batch, now))
            operations = [self._operation(batch, kept, now) for batch in page]
            return made({"operations": operations, **more}, carries=carries)

        return listing

    def _retrieve(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def read(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["name"], now)
            return made(self._operation(batch, kept, now), carries=_carried(batch, now))

        return read

    def _cancel(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def cancel(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["name"], now)
            if batch.is_over(now):
                state = _STATES[batch.status(now)]
                raise InvalidRequest(400, f"The batch has ended: its state is BATCH_STATE_{state}.")
            kept.cancel(batch, now)
            return made({})

        return cancel

    def _delete(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def drop(kept: BatchService, request: Request, now: int) -> Made:
            kept.drop_batch(_found(kept, request, found["name"], now))
            return made({})

        return drop

    def _put_out(self, kept: BatchService, batch: Batch) -> None:
        """Write the results of a batch that was made of a file into a file of their own."""
        lines = [line for line in batch.ended_lines(batch.ends) if line.fate in ("answered", "failed")]
        if not lines:
            return
        file = StoredFile(
            id=f"files/{batch.id.replace('batches/', 'batch-')}",
            dialect=batch.dialect,
            name="",
            purpose="generated",
            data=json_lines([_keyed(line) | self._result(line, kept.epoch_ns) for line in lines]),
            created=batch.ends,
            carries=carried(lines),
        )
        batch.facts["file"] = kept.keep(file).id

    def _result(self, line: Line, epoch_ns: int) -> Values:
        if line.fate == "answered":
            return {"response": answer_body(line, epoch_ns)}
        error = as_mapping(as_mapping(error_body(self.vendor, line, epoch_ns)).get("error"))
        code = _RPC_CODES.get(line.refusal.status if line.refusal is not None else 500, _INTERNAL)
        return {"error": {"code": code, "message": error.get("message", "")}}

    def _operation(self, batch: Batch, kept: BatchService, now: int) -> Values:
        """A batch as the long-running operation that it is, at an instant."""

        def date(at: int) -> str:
            return rfc3339(kept.epoch_ns + at)

        over, said, status = batch.is_over(now), batch.facts["said"], batch.status(now)
        counts, kind = batch.counts(now), "EmbedContent" if batch.facts["embeds"] else "GenerateContent"
        failed = counts["failed"] + counts["expired"] + counts["cancelled"]
        pending = len(batch.lines) - counts["answered"] - failed
        numbers = {
            "requestCount": len(batch.lines),
            "pendingRequestCount": pending,
            "successfulRequestCount": counts["answered"],
            "failedRequestCount": failed,
        }
        output = self._output(batch, kept) if over and not batch.errors else {}
        metadata = {
            "@type": f"{_TYPE}{kind}Batch",
            "model": f"models/{batch.facts['model']}",
            "displayName": said.get("displayName", said.get("display_name", "")),
            "createTime": date(batch.created),
            "updateTime": date(min(now, batch.ends)),
            **({"endTime": date(batch.ends)} if over else {}),
            "batchStats": {name: str(number) for name, number in numbers.items() if number},
            "state": f"BATCH_STATE_{_STATES[status]}",
            "name": batch.id,
            **({"output": output} if output else {}),
        }
        operation: Values = {"name": batch.id, "metadata": metadata}
        if over:
            operation["done"] = True
        if output:
            operation["response"] = {"@type": f"{_TYPE}{kind}BatchOutput", **output}
        elif status == "failed":
            operation["error"] = {"code": _INVALID_ARGUMENT, "message": batch.errors[0]}
        return operation

    def _output(self, batch: Batch, kept: BatchService) -> Values:
        """Where the results are: in a file, or here, in the order of the requests."""
        if not batch.facts["inlined"]:
            return {"responsesFile": batch.facts["file"]} if "file" in batch.facts else {}
        results = [
            self._result(line, kept.epoch_ns) | ({"metadata": line.facts} if line.facts else {})
            for line in batch.lines
            if line.fate in ("answered", "failed")
        ]
        if not results:
            return {}
        name = "inlinedEmbedContentResponses" if batch.facts["embeds"] else "inlinedResponses"
        return {name: {"inlinedResponses": results}}


def _carried(batch: Batch, now: int) -> tuple[int, ...]:
    """The numbers of the requests whose answers are in the operation itself."""
    return carried(batch.lines) if batch.facts["inlined"] and batch.is_over(now) else ()


def _keyed(line: Line) -> Values:
    return {} if line.custom_id is None else {"key": line.custom_id}


def _found(kept: BatchService, request: Request, ident: str, now: int) -> Batch:
    batch = kept.batch(request.dialect, ident, now)
    if batch is None:
        raise InvalidRequest(404, f"Requested entity was not found: {ident}")
    return batch


def _inlined(endpoint: Endpoint, http: HttpRequest, path: str, value: Any) -> Line:
    """A request in the body; its key, if it has one, is in its metadata."""
    metadata = as_mapping(as_mapping(value).get("metadata"))
    key = metadata.get("key")
    custom_id = key if isinstance(key, str) and key else None
    body = as_mapping(value).get("request") or {}
    return line_of(endpoint, http, path, body, custom_id, facts=dict(metadata))


def _of_file(
    endpoint: Endpoint, http: HttpRequest, path: str, data: bytes
) -> tuple[list[Line], tuple[str, ...]]:
    """The lines of an input file, and what is wrong with them."""
    lines: list[Line] = []
    errors: list[str] = []
    for number, raw in enumerate(data.splitlines(), start=1):
        if not raw.strip():
            continue
        value = json_object(raw)
        if value is None:
            errors.append(f"Failed to parse line {number} of the input file as a JSON object.")
        elif not isinstance(value.get("request"), dict):
            errors.append(f"Line {number} of the input file has no 'request'.")
        else:
            key = value.get("key")
            custom_id = key if isinstance(key, str) and key else None
            lines.append(line_of(endpoint, http, path, value["request"], custom_id))
    if not lines and not errors:
        errors.append("The input file has no requests.")
    return lines, tuple(errors)
