"""OpenTelemetry spans of LLM requests: OTLP/JSON, or one span a line as the SDKs' exporters write it.

Attributes are those of the semantic conventions for generative AI (`gen_ai.*`) and HTTP clients, in
their present and their earlier names, see https://opentelemetry.io/docs/specs/semconv/gen-ai/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, final

import msgspec

from ..provider.vendor_registry import vendor_at
from .exchange import Exchange, IncidentError, is_mistake, model_name, refuses
from .lines import Line
from .values import count, instant, refusal_error, stated, status

_TIMES: Final = ("startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
_ENDS: Final = ("endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")
_MODELS: Final = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "llm.request.model")
_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT: Final = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_STATUSES: Final = ("http.response.status_code", "http.status_code", "error.type", "exception.type")
_HOSTS: Final = ("server.address", "net.peer.name", "http.host")
_REPEATED: Final = "raw_gen_ai_request"
"""The name of a span in which litellm says again what the span around it says."""
_NO_REQUESTS: Final = ("execute_tool", "invoke_agent", "create_agent", "invoke_workflow")
"""Operations that are no requests to a model; those that they make have spans of their own."""
_HEADER: Final = "http.response.header."
_ERROR: Final = (2, "2", "ERROR", "STATUS_CODE_ERROR", "Error")


@final
class Span(msgspec.Struct, frozen=True):
    """One span, whatever wrote it."""

    id: str
    parent: str
    exchange: Exchange


def is_span(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object looks like a span, or like many in OTLP's form."""
    return "resourceSpans" in value or (
        "attributes" in value and ("trace_id" in value or "traceId" in value or "context" in value)
    )


def exchanges(lines: Iterable[tuple[Line, Mapping[str, Any]]]) -> Iterator[Exchange | None]:
    """The requests in spans; `None` stands for a span that is none.

    Of spans inside each other the innermost are the requests: an SDK that tries more than once has a span
    for all tries, and those of its HTTP client are inside.

    Raises:
        IncidentError: a span of a request has no time; names the line.
    """
    found: dict[str, Span] = {}
    for line, value in lines:
        for raw in _raw_spans(value):
            span = _span(line, raw)
            if span is None:
                yield None
            else:
                found[span.id or f"{line.number}-{len(found)}"] = span
    outer = {span.parent for span in found.values()}
    for number, span in found.items():
        if number not in outer:
            around = found.get(span.parent)
            model = span.exchange.model or (around.exchange.model if around is not None else "")
            yield msgspec.structs.replace(span.exchange, model=model)


def _raw_spans(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "resourceSpans" not in value:
        yield value
        return
    for resource in _list(value["resourceSpans"]):
        for scope in _list(resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans")):
            yield from _list(scope.get("spans"))


def _list(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _span(line: Line, raw: Mapping[str, Any]) -> Span | None:
    if raw.get("name") == _REPEATED:
        return None
    names = dict(_attributes(raw.get("attributes")))
    for event in _list(raw.get("events")):
        names = {**dict(_attributes(event.get("attributes"))), **names}
    if not _is_request(names):
        return None
    started = next((found for name in _TIMES if (found := instant(raw.get(name)))), None)
    if started is None or not started.is_date:
        raise IncidentError(
            f"{line.place}: this span has no time: none of {', '.join(_TIMES)} is there and a date; "
            "remove the span, or export it once more"
        )
    ended = next((found.ns for name in _ENDS if (found := instant(raw.get(name)))), None)
    context = raw.get("context") if isinstance(raw.get("context"), dict) else raw
    number, parent = (
        str(each.get(one) or each.get(other) or "")
        for each, one, other in (
            (context or raw, "spanId", "span_id"),
            (raw, "parentSpanId", "parent_id"),
        )
    )
    return Span(number, parent, _exchange(raw, names, started.ns, ended))


def _exchange(raw: Mapping[str, Any], names: Mapping[str, Any], at: int, ended: int | None) -> Exchange:
    found = next((code for name in _STATUSES if (code := status(names.get(name)))), None)
    said = raw.get("status")
    outcome = said.get("code", said.get("status_code")) if isinstance(said, dict) else None
    if found is None and outcome not in _ERROR:
        found = 200
    refused = refuses(found)
    headers = (
        (name[len(_HEADER) :], _first(value)) for name, value in names.items() if name.startswith(_HEADER)
    )
    told = stated(headers, at if ended is None else ended)
    return Exchange(
        at=at,
        status=found,
        refused=refused,
        own_mistake=is_mistake(found),
        retry_after=told.retry_after,
        form=told.form,
        error=refusal_error(str(names.get("exception.message", ""))) if refused else None,
        lasted=None if ended is None else max(0, ended - at),
        model=model_name(_of(names, _MODELS) or ""),
        prompt_tokens=count(_of(names, _INPUT)),
        completion_tokens=count(_of(names, _OUTPUT)),
        limit=told.limit,
    )


def _is_call(names: Mapping[str, Any]) -> bool:
    return any(name.startswith(("gen_ai.", "llm.")) for name in names)


def _is_request(names: Mapping[str, Any]) -> bool:
    if _is_call(names):
        return names.get("gen_ai.operation.name") not in _NO_REQUESTS
    return any(vendor_at(str(names[host])) is not None for host in _HOSTS if host in names)


def _of(names: Mapping[str, Any], wanted: Iterable[str]) -> Any:
    return next((names[name] for name in wanted if names.get(name) is not None), None)


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    """Attributes as a JSON object, or as OTLP's list of keys and values."""
    if isinstance(value, dict):
        yield from value.items()
    for each in _list(value):
        if isinstance(each.get("key"), str):
            yield each["key"], _otlp(each.get("value"))


def _otlp(value: object) -> Any:
    if not isinstance(value, dict) or not value:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "arrayValue" and isinstance(inner, dict):
        return [_otlp(each) for each in inner.get("values", [])]
    return inner
