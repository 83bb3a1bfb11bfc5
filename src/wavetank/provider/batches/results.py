"""What the lines of a batch are answered: the very body that the same request would get by itself."""

from __future__ import annotations

from typing import Any

import msgspec

from ..dialect_base.wire_dialect import AnswerPart, Refused, Vendor
from ..http import HttpRequest
from ..model import NO_LIMITS, Made, Reply, Success
from ..wire_formats import json_bytes
from .batch import Line

JSON_LINES = "application/jsonl"


def answer_part(line: Line, epoch_ns: int) -> AnswerPart:
    """The answer of a line, still to be written; `epoch_ns` is the Unix time of the instant 0."""
    request = line.request
    answer = Success(line.content, request.prompt_tokens, NO_LIMITS, None, request.copies)
    return AnswerPart(request, Reply(request.id, answer, 0, 1, line.at), answer, epoch_ns)


def answer_body(line: Line, epoch_ns: int) -> msgspec.Raw:
    """The body of the answer of a line."""
    return msgspec.Raw(line.endpoint.plain(answer_part(line, epoch_ns)))


def error_body(vendor: Vendor, line: Line, epoch_ns: int) -> Any:
    """The error of a line that failed, in the words of its vendor."""
    refusal, number = line.refusal, vendor.number(line.request.id)
    assert refusal is not None
    if line.invalid is not None:
        http = HttpRequest(method="POST", host=line.request.host, path=line.request.path, headers={})
        return vendor.invalid_request(line.invalid, number, http)[1]
    return vendor.refusal(Refused(line.request, refusal, number, epoch_ns + line.at))


def json_lines(values: list[Any]) -> bytes:
    """Values as JSON, one a line."""
    return b"".join(json_bytes(value) + b"\n" for value in values)


def carried(lines: list[Line]) -> tuple[int, ...]:
    """The numbers of the requests that have an answer, of these lines."""
    return tuple(line.request.id for line in lines if line.fate == "answered")


def as_json_lines(values: list[Any], lines: list[Line]) -> Made:
    """The answer that has the results of these lines, one a line."""
    return Made(json_lines(values), JSON_LINES, carries=carried(lines))
