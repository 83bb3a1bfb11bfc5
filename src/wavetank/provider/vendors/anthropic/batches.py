"""Anthropic's message batches.

Sources: the pages on batch processing and the API reference of docs.claude.com, and the types of its SDK
(`anthropic.types.messages`): counts stay at `processing` until the whole batch has ended, results come in any
order, and a batch expires after 24 hours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ....clock import DAY
from ...batches.batch import Batch, Line
from ...batches.endpoint import KeptEndpoint, line_of, made
from ...batches.results import answer_body, as_json_lines, error_body
from ...batches.service import BatchService
from ...dialect_base.shared import InvalidRequest, Values, as_mapping, json_object
from ...dialect_base.wire_dialect import Endpoint, Vendor
from ...http import HttpRequest
from ...model import Made
from ...request import Action, Request
from ...wire_formats import rfc3339
from ..openai.models import page_size
from ..openai.requests import query_of
from .vendor import INVALID

_PATH: Final = "/v1/messages"
_MOST: Final = 100_000
"""Requests in a batch (the page on batch processing)."""
_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_RESULTS: Final = {
    "answered": "succeeded",
    "failed": "errored",
    "expired": "expired",
    "cancelled": "canceled",
    # A line that is missing is counted, and has no result.
    "missing": "succeeded",
}
_QUEUE_FULL: Final = (
    "This request would exceed your organization's limit of {limit:,} tokens in the processing queue of "
    "message batches. Please try again later."
)


@final
@dataclass(frozen=True, slots=True)
class MessageBatches:
    """The endpoints for message batches; `messages` writes what their lines are answered."""

    vendor: Vendor
    messages: Endpoint

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        many = re.compile(rf"{_PATH}/batches")
        one = re.compile(rf"{_PATH}/batches/(?P<id>[^/]+)")
        return (
            KeptEndpoint("batches", many, self._create),
            KeptEndpoint("batches-list", many, self._list, "GET"),
            KeptEndpoint("batch", one, self._retrieve, "GET"),
            KeptEndpoint("batch-delete", one, self._delete, "DELETE"),
            KeptEndpoint("batch-cancel", re.compile(rf"{one.pattern}/cancel"), self._cancel),
            KeptEndpoint("batch-results", re.compile(rf"{one.pattern}/results"), self._results, "GET"),
        )

    def _create(self, http: HttpRequest, found: re.Match[str]) -> Action:
        lines_of = _checked(http)

        def begin(kept: BatchService, request: Request, now: int) -> Made:
            lines = [
                line_of(self.messages, http, _PATH, each["params"], each["custom_id"]) for each in lines_of
            ]
            if kept.over_limit(request.dialect, lines, now) is not None:
                message = _QUEUE_FULL.format(limit=kept.rules.enqueued_tokens)
                raise InvalidRequest(429, message, kind="rate_limit_error")
            ident = f"msgbatch_01{kept.letters(22, 'msgbatch')}"
            batch = kept.take_on(
                request, now, ident=ident, lines=lines, facts={"url": _url(http)}, window=DAY
            )
            return made(batch_object(batch, kept, now))

        return begin

    def _list(self, http: HttpRequest, found: re.Match[str]) -> Action:
        query = query_of(http)
        limit = page_size(query, "limit", 20)

        def listing(kept: BatchService, request: Request, now: int) -> Made:
            newest_first = kept.batches_of(request.dialect, now)[::-1]
            page, more = _page(newest_first, query, limit)
            entries = [batch_object(batch, kept, now) for batch in page]
            ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
            none: Values = {"first_id": None, "last_id": None}
            return made({"data": entries, "has_more": more, **none, **ends})

        return listing

    def _retrieve(self, http: HttpRequest, found: re.Match[str]) -> Action:
        return lambda kept, request, now: made(
            batch_object(_found(kept, request, found["id"], now), kept, now)
        )

    def _cancel(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def cancel(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            kept.cancel(batch, now)
            return made(batch_object(batch, kept, now))

        return cancel

    def _delete(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def drop(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            if not batch.is_over(now):
                message = f"Message batch {batch.id} is still in progress: cancel it before you delete it."
                raise InvalidRequest(400, message, kind=INVALID)
            kept.drop_batch(batch)
            return made({"id": batch.id, "type": "message_batch_deleted"})

        return drop

    def _results(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def read(kept: BatchService, request: Request, now: int) -> Made:
            batch = _found(kept, request, found["id"], now)
            if not batch.is_over(now):
                message = f"Message batch {batch.id} has no results yet: it is still processing."
                raise InvalidRequest(400, message, kind=INVALID)
            lines = [line for line in batch.ended_lines(now) if line.fate != "missing"]
            return as_json_lines([self._result(line, kept.epoch_ns) for line in lines], lines)

        return read

    def _result(self, line: Line, epoch_ns: int) -> Values:
        result: Values = {"type": _RESULTS[line.fate]}
        if line.fate == "answered":
            result["message"] = answer_body(line, epoch_ns)
        elif line.fate == "failed":
            result["error"] = error_body(self.vendor, line, epoch_ns)
        return {"custom_id": line.custom_id, "result": result}


def _url(http: HttpRequest) -> str:
    return f"https://{http.host}"


def _checked(http: HttpRequest) -> list[Mapping[str, Any]]:
    """The requests of a batch.

    Raises:
        InvalidRequest: there are none, or one has no `custom_id` of its own.
    """
    payload = json_object(http.body)
    if payload is None:
        raise InvalidRequest(400, "The request body is not valid JSON: expected an object", kind=INVALID)
    requests = payload.get("requests")
    if not isinstance(requests, list) or not requests:
        what = "Field required" if requests is None else "List should have at least 1 item"
        raise InvalidRequest(400, f"requests: {what}", kind=INVALID)
    if len(requests) > _MOST:
        raise InvalidRequest(400, f"requests: List should have at most {_MOST} items", kind=INVALID)
    seen: set[str] = set()
    for number, each in enumerate(requests):
        _check_one(as_mapping(each), f"requests.{number}", seen)
    return requests


def _check_one(each: Mapping[str, Any], place: str, seen: set[str]) -> None:
    ident = each.get("custom_id")
    if ident is None:
        raise InvalidRequest(400, f"{place}.custom_id: Field required", kind=INVALID)
    if not isinstance(ident, str) or _ID.fullmatch(ident) is None:
        message = f"{place}.custom_id: String should match pattern '^{_ID.pattern}$'"
        raise InvalidRequest(400, message, kind=INVALID)
    if ident in seen:
        raise InvalidRequest(400, f"{place}.custom_id: Duplicate custom_id: {ident}", kind=INVALID)
    seen.add(ident)
    if not isinstance(each.get("params"), dict):
        raise InvalidRequest(400, f"{place}.params: Field required", kind=INVALID)


def _found(kept: BatchService, request: Request, ident: str, now: int) -> Batch:
    batch = kept.batch(request.dialect, ident, now)
    if batch is None:
        raise InvalidRequest(404, f"Message batch not found: {ident}", kind="not_found_error")
    return batch


def _page(batches: list[Batch], query: Mapping[str, str], limit: int) -> tuple[list[Batch], bool]:
    idents = [batch.id for batch in batches]
    after, before = query.get("after_id"), query.get("before_id")
    for cursor in filter(None, (after, before)):
        if cursor not in idents:
            raise InvalidRequest(400, f"there is no message batch {cursor}", kind=INVALID)
    if before:
        rest = batches[: idents.index(before)]
        return rest[-limit:], len(rest) > limit
    rest = batches[idents.index(after) + 1 :] if after else batches
    return rest[:limit], len(rest) > limit


def batch_object(batch: Batch, kept: BatchService, now: int) -> Values:
    """A message batch as Anthropic describes it, at an instant."""

    def date(at: int) -> str:
        return rfc3339(kept.epoch_ns + at)

    over = batch.is_over(now)
    counts = Counter(_RESULTS[line.fate] for line in batch.lines) if over else Counter[str]()
    status = "ended" if over else "in_progress" if batch.cancelled is None else "canceling"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {
            "processing": 0 if over else len(batch.lines),
            **{name: counts[name] for name in ("succeeded", "errored", "canceled", "expired")},
        },
        "ended_at": date(batch.ends) if over else None,
        "created_at": date(batch.created),
        "expires_at": date(batch.expires),
        "archived_at": None,
        "cancel_initiated_at": None if batch.cancelled is None else date(batch.cancelled),
        "results_url": f"{batch.facts['url']}{_PATH}/batches/{batch.id}/results" if over else None,
    }
