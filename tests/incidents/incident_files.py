"""The same requests in each kind of file that can be learned from, with prompts and keys in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

SECRETS: Final = (
    "sk-proj-Zq81LmPvX3RtYw",
    "AKIAQ7ZXW5TN2EXAMPLE",
    "hunter2-horse-battery",
    "the patient is called Jane Roe",
)
"""What is planted wherever a file has room for it; none of it may come out."""

START: Final = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Sent:
    """One request: `at` and `lasted` in seconds, `retry_after` in whole seconds."""

    at: float
    status: int = 200
    retry_after: int | None = None
    model: str = "gpt-4o-mini"
    lasted: float = 0.25
    tokens: tuple[int, int] = (120, 30)


def one_wave() -> list[Sent]:
    """A request each half second for 20 seconds; from 5 s until 9 s they are refused."""
    times = [number / 2 for number in range(40)]
    return [Sent(at, 429, int(9 - at - 0.25) + 1) if 5 <= at < 9 else Sent(at) for at in times]


def iso(seconds: float) -> str:
    """A time in ISO 8601, in UTC."""
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def csv(sent: Sequence[Sent]) -> str:
    """A CSV file with names of columns that are not the plainest."""
    rows = [
        "Timestamp,HTTP Status,Retry-After,Model,prompt_tokens,completion_tokens,latency_ms,prompt,api_key"
    ]
    for each in sent:
        rows.append(
            f"{iso(each.at)},{each.status},{each.retry_after or ''},{each.model},{each.tokens[0]},"
            f'{each.tokens[1]},{each.lasted * 1000},"{SECRETS[3]}, and\nmore",{SECRETS[0]}'
        )
    return "\n".join(rows) + "\n"


def _headers(each: Sent) -> list[dict[str, str]]:
    headers = [
        {"name": "content-type", "value": "application/json"},
        {"name": "set-cookie", "value": SECRETS[2]},
    ]
    if each.retry_after is not None:
        headers.append({"name": "Retry-After", "value": str(each.retry_after)})
    return headers


def har(sent: Sequence[Sent]) -> str:
    """A HAR file as browsers write it, with a page and a picture among the requests."""
    entries: list[dict[str, Any]] = [
        {
            "startedDateTime": iso(0),
            "time": 5,
            "request": {"method": "GET", "url": "https://example.com/logo.png"},
            "response": {"status": 200, "headers": [], "content": {"size": 3}},
        }
    ]
    for each in sent:
        body = {"model": each.model, "messages": [{"role": "user", "content": SECRETS[3]}]}
        entries.append(
            {
                "startedDateTime": iso(each.at),
                "time": each.lasted * 1000,
                "request": {
                    "method": "POST",
                    "url": f"https://user:{SECRETS[2]}@api.openai.com/v1/chat/completions?key={SECRETS[1]}",
                    "headers": [{"name": "Authorization", "value": f"Bearer {SECRETS[0]}"}],
                    "postData": {"mimeType": "application/json", "text": json.dumps(body)},
                },
                "response": {
                    "status": each.status,
                    "headers": _headers(each),
                    "content": {"text": json.dumps({"error": {"message": f"slow down, {SECRETS[0]}"}})},
                },
            }
        )
    return json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=2)


def _nanoseconds(seconds: float) -> int:
    return int(START.timestamp()) * 10**9 + round(seconds * 10**9)


def _attributes(each: Sent) -> dict[str, Any]:
    values: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": each.model,
        "gen_ai.usage.input_tokens": each.tokens[0],
        "gen_ai.input.messages": SECRETS[3],
        "http.request.header.authorization": [f"Bearer {SECRETS[0]}"],
    }
    if each.status != 200:
        values |= {"error.type": str(each.status), "http.response.status_code": each.status}
    if each.retry_after is not None:
        values["http.response.header.retry-after"] = [str(each.retry_after)]
    return values


def _otlp_value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_otlp_value(each) for each in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _otlp_spans(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    return [
        {
            "traceId": f"{number:032x}",
            "spanId": f"{number + 1:016x}",
            "parentSpanId": "",
            "name": f"chat {SECRETS[2]}",
            "startTimeUnixNano": str(_nanoseconds(each.at)),
            "endTimeUnixNano": str(_nanoseconds(each.at + each.lasted)),
            "attributes": [
                {"key": key, "value": _otlp_value(value)} for key, value in _attributes(each).items()
            ],
            "status": {"code": 2 if each.status != 200 else 0, "message": SECRETS[0]},
        }
        for number, each in enumerate(sent)
    ]


def _otlp_export(spans: list[dict[str, Any]]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "api_key", "value": {"stringValue": SECRETS[0]}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": spans}]}]}


def otlp(sent: Sequence[Sent]) -> str:
    """One export in OTLP/JSON, indented."""
    return json.dumps(_otlp_export(_otlp_spans(sent)), indent=1)


def otlp_lines(sent: Sequence[Sent]) -> str:
    """An export of OTLP/JSON a line, as the collector's file exporter writes them."""
    spans = _otlp_spans(sent)
    exports = (json.dumps(_otlp_export(spans[at : at + 7])) for at in range(0, len(spans), 7))
    return "\n".join(exports) + "\n"


def _sdk_span(number: int, each: Sent) -> dict[str, Any]:
    return {
        "name": "chat",
        "context": {"trace_id": f"0x{number:032x}", "span_id": f"0x{number + 1:016x}", "trace_state": "[]"},
        "kind": "SpanKind.CLIENT",
        "parent_id": None,
        "start_time": iso(each.at),
        "end_time": iso(each.at + each.lasted),
        "status": {"status_code": "ERROR" if each.status != 200 else "UNSET", "description": SECRETS[0]},
        "attributes": _attributes(each),
        "events": [{"name": "exception", "attributes": {"exception.message": SECRETS[2]}}],
    }


def span_lines(sent: Sequence[Sent]) -> str:
    """A span a line, as the Python SDK's `to_json(indent=None)` gives it."""
    return "\n".join(json.dumps(_sdk_span(number, each)) for number, each in enumerate(sent)) + "\n"


def console_spans(sent: Sequence[Sent]) -> str:
    """Spans over several lines, as the Python SDK's console exporter prints them."""
    return "\n".join(json.dumps(_sdk_span(number, each), indent=4) for number, each in enumerate(sent)) + "\n"


def _litellm_row(each: Sent) -> dict[str, Any]:
    failed = each.status != 200
    return {
        "id": "chatcmpl-1",
        "call_type": "acompletion",
        "status": "failure" if failed else "success",
        "model": each.model,
        "startTime": START.timestamp() + each.at,
        "endTime": START.timestamp() + each.at + each.lasted,
        "response_time": each.lasted,
        "prompt_tokens": each.tokens[0],
        "completion_tokens": each.tokens[1],
        "total_tokens": sum(each.tokens),
        "messages": [{"role": "user", "content": SECRETS[3]}],
        "error_str": f"litellm.RateLimitError: key {SECRETS[0]}" if failed else None,
        "error_information": {"error_code": str(each.status), "error_class": "RateLimitError"}
        if failed
        else {},
        "metadata": {"user_api_key": SECRETS[0]},
    }


def litellm(sent: Sequence[Sent]) -> str:
    """litellm's standard logging payload, one a line."""
    return "\n".join(json.dumps(_litellm_row(each)) for each in sent) + "\n"


def litellm_list(sent: Sequence[Sent]) -> str:
    """The same as a list in JSON."""
    return json.dumps([_litellm_row(each) for each in sent], indent=2)


FILES: Final[dict[str, Callable[[Sequence[Sent]], str]]] = {
    "requests.csv": csv,
    "session.har": har,
    "traces.json": otlp,
    "export.jsonl": otlp_lines,
    "spans.jsonl": span_lines,
    "console.txt": console_spans,
    "litellm.jsonl": litellm,
    "litellm.json": litellm_list,
}
