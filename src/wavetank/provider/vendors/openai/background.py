"""OpenAI's responses in the background: read again by their id, cancelled and deleted.

Sources: the guide on background mode, and `Response.status` of OpenAI's OpenAPI description: `queued`,
`in_progress`, `completed`, `failed`, `cancelled` and `incomplete`.
"""

from __future__ import annotations

import re
from typing import Final

from ...batches.batch import Batch
from ...batches.endpoint import KeptEndpoint, made
from ...batches.results import answer_part, carried, error_body
from ...batches.service import BatchService
from ...dialect_base.shared import InvalidRequest, Values
from ...dialect_base.wire_dialect import Endpoint, Vendor
from ...http import HttpRequest
from ...model import Made
from ...request import Action, Request
from .requests import INVALID
from .responses import IN_BACKGROUND, begun, ended, failed

_STATUSES: Final = {"validating": "queued", "in_progress": "in_progress", "cancelled": "cancelled"}


def response_endpoints(start: str, vendor: Vendor) -> tuple[Endpoint, ...]:
    """The endpoints for one response, whose paths begin like this: a pattern."""
    one = rf"{start}/responses/(?P<id>{IN_BACKGROUND}[^/]+)"

    def retrieve(http: HttpRequest, found: re.Match[str]) -> Action:
        def read(kept: BatchService, request: Request, now: int) -> Made:
            return _now(_found(kept, request, found["id"], now), kept, now, vendor)

        return read

    def cancel(http: HttpRequest, found: re.Match[str]) -> Action:
        def end(kept: BatchService, request: Request, now: int) -> Made:
            response = _found(kept, request, found["id"], now)
            if response.is_over(now) and response.cancelled is None:
                raise InvalidRequest(400, "Cannot cancel a completed response.", kind=INVALID)
            kept.cancel(response, now, at_once=True)
            return _now(response, kept, now, vendor)

        return end

    def delete(http: HttpRequest, found: re.Match[str]) -> Action:
        def drop(kept: BatchService, request: Request, now: int) -> Made:
            kept.drop_batch(_found(kept, request, found["id"], now))
            return made({"id": found["id"], "object": "response", "deleted": True})

        return drop

    return (
        KeptEndpoint("response", re.compile(one), retrieve, "GET"),
        KeptEndpoint("response-delete", re.compile(one), delete, "DELETE"),
        KeptEndpoint("response-cancel", re.compile(rf"{one}/cancel"), cancel),
    )


def _found(kept: BatchService, request: Request, ident: str, now: int) -> Batch:
    response = kept.batch(request.dialect, ident, now)
    if response is None:
        raise InvalidRequest(404, f"Response with id '{ident}' not found.", kind=INVALID)
    return response


def _now(response: Batch, kept: BatchService, now: int, vendor: Vendor) -> Made:
    """A response as it is at an instant."""
    line, page = response.lines[0], answer_part(response.lines[0], kept.epoch_ns)
    status = _STATUSES.get(response.status(now))
    if status is not None:
        return made(begun(page) | {"status": status})
    if line.fate == "answered":
        return made(ended(page), carries=carried([line]))
    body: Values = error_body(vendor, line, kept.epoch_ns) if line.refusal is not None else {}
    return made(failed(begun(page), body))
