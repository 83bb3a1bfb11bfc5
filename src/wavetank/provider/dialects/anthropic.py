"""The Anthropic dialect: messages, plain and streamed."""

from __future__ import annotations

from typing import Any, Final, final

from ...clock import EPOCH_NS
from ..faults import spoiled
from ..http import BadRequest, Decoded, Frame, Headers, HttpRequest, WireReply
from ..identity import text_of
from ..model import Answer, LimitState, Refusal, Reply
from ..wording import base62, imf_fixdate, json_bytes, rfc3339
from .shared import (
    JSON,
    Complaint,
    Message,
    answer_frame,
    bearer,
    decoded,
    json_object,
    refusal_frame,
    retry_headers,
    retry_hint,
    whole_number,
)

PATH: Final = "/v1/messages"
ORGANIZATION: Final = "00000000-0000-4000-8000-000000000001"

_INVALID: Final = "invalid_request_error"
_OVERLOADED: Final = ("overloaded_error", "Overloaded")
_RATE_LIMITED: Final = "This request would exceed your account's rate limit. Please try again later."
# What the vendor's SDK has message types for.
_ROLES: Final = ("user", "assistant", "system")
_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}

# Type and message by status; of a status that is not listed, its hundreds decide.
_ERRORS: Final[dict[int, tuple[str, str]]] = {
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "The requested resource was not found."),
    408: ("timeout_error", "Request timed out."),
    409: ("conflict_error", "The request conflicts with another one."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    503: _OVERLOADED,
    504: ("timeout_error", "Request timed out."),
    529: _OVERLOADED,
}


@final
class AnthropicMessages:
    """`POST /v1/messages` of api.anthropic.com.

    Bodies and headers follow the vendor's API reference; the order of events is the one
    its SDKs rely on.
    """

    name = "anthropic"
    hosts = ("api.anthropic.com",)

    def decode(self, request: HttpRequest, *, now: int | None = None, epoch_ns: int = EPOCH_NS) -> Decoded:
        """Read a messages request; see `Dialect.decode`."""
        try:
            return _read(request, now)
        except Complaint as complaint:
            raise BadRequest(_complained(request, complaint, epoch_ns + (now or 0))) from None

    def encode(self, decoded: Decoded, reply: Reply, *, epoch_ns: int = EPOCH_NS) -> Frame:
        """Write one part of an outcome; see `Dialect.encode`."""
        sent = epoch_ns + reply.at
        number = _request_id(reply.request_id)
        headers = (*_common_headers(number, sent), *_limit_headers(reply.outcome.limits, sent))
        outcome = reply.outcome
        if isinstance(outcome, Refusal):
            retry = retry_headers(outcome.retry_after, sent)
            return refusal_frame(outcome, (*headers, *retry), _error(*_refused(outcome, decoded), number))
        page = _Page(decoded, reply, outcome)
        frame = answer_frame(reply, headers, page.plain() if reply.count == 1 else page.events())
        return frame if outcome.fault is None else spoiled(frame, reply, outcome.fault, _own_error(reply))


# -- requests ------------------------------------------------------------------------------------


def _read(request: HttpRequest, now: int | None) -> Decoded:
    _check_route(request)
    key = request.headers.get("x-api-key", "").strip() or bearer(request.headers)
    if not key:
        raise Complaint(401, "x-api-key header is required", kind="authentication_error")
    if not request.headers.get("anthropic-version"):
        raise Complaint(400, "anthropic-version: header is required", kind=_INVALID)
    payload = json_object(request.body)
    if payload is None:
        raise Complaint(400, "The request body is not valid JSON: expected an object", kind=_INVALID)
    _check_fields(payload)
    return decoded(
        "anthropic",
        request,
        payload,
        _messages(payload),
        key=key,
        max_tokens=payload["max_tokens"],
        system=text_of(payload.get("system")),
        now=now,
    )


def _check_route(request: HttpRequest) -> None:
    if request.path != PATH:
        raise Complaint(404, "Not found", kind="not_found_error")
    if request.method != "POST":
        raise Complaint(405, "Method Not Allowed", kind=_INVALID)


def _check_fields(payload: dict[str, Any]) -> None:
    for name in ("model", "messages", "max_tokens"):
        if payload.get(name) is None:
            raise _wrong(name, "Field required")
    if not isinstance(payload["model"], str) or not payload["model"]:
        raise _wrong("model", "Input should be a valid string")
    if not whole_number(payload["max_tokens"]):
        raise _wrong("max_tokens", "Input should be a valid integer of at least 1")
    if not isinstance(payload.get("stream"), bool | None):
        raise _wrong("stream", "Input should be a valid boolean")


def _messages(payload: dict[str, Any]) -> list[Message]:
    messages = payload["messages"]
    if not isinstance(messages, list):
        raise _wrong("messages", "Input should be a valid array")
    if not messages:
        raise _wrong("messages", "at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong(f"messages.{index}", "Input should be an object")
        _check_message(message, f"messages.{index}")
    return messages


def _check_message(message: Message, place: str) -> None:
    for name in ("role", "content"):
        if message.get(name) is None:
            raise _wrong(f"{place}.{name}", "Field required")
    if message["role"] not in _ROLES:
        raise _wrong(f"{place}.role", "Input should be 'user', 'assistant' or 'system'")
    if not isinstance(message["content"], str | list):
        raise _wrong(f"{place}.content", "Input should be a valid string or array")


def _wrong(field: str, message: str) -> Complaint:
    return Complaint(400, f"{field}: {message}", kind=_INVALID)


def _complained(request: HttpRequest, complaint: Complaint, unix_ns: int) -> WireReply:
    number = _request_id(request.method, request.path, request.body)
    headers = (
        ("content-type", JSON),
        *_common_headers(number, unix_ns),
        *((("allow", "POST"),) if complaint.status == 405 else ()),
    )
    return WireReply(complaint.status, headers, _error(complaint.kind, complaint.message, number))


# -- refusals ------------------------------------------------------------------------------------


def _error(kind: str, message: str, number: str) -> bytes:
    return json_bytes({"type": "error", "error": {"type": kind, "message": message}, "request_id": number})


def _refused(refusal: Refusal, decoded: Decoded) -> tuple[str, str]:
    """The error type and message of a refusal."""
    other = ("api_error", "Internal server error") if refusal.status >= 500 else (_INVALID, "Invalid request")
    kind, message = _ERRORS.get(refusal.status, other)
    if refusal.status == 429:
        kind, message = "rate_limit_error", _rate_limited(refusal, decoded)
    stated = refusal.retry_after
    if stated is None or stated.form != "body":
        return kind, message
    return kind, f"{message.rstrip('.')}.{retry_hint(stated)}"


def _rate_limited(refusal: Refusal, decoded: Decoded) -> str:
    limits = refusal.limits
    bucket = {"requests": limits.requests, "tokens": limits.tokens}.get(refusal.reason)
    if bucket is None:
        return _RATE_LIMITED
    return (
        f"This request would exceed your organization's rate limit of {bucket.limit:,} {refusal.reason} per "
        f"minute (org: {ORGANIZATION}, model: {decoded.model}). For details, refer to: "
        "https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage. "
        "Please reduce the prompt length or the maximum tokens requested, or try again later."
    )


# -- answers -------------------------------------------------------------------------------------


def _request_id(*key: object) -> str:
    return f"req_011C{base62(20, 'anthropic', *key)}"


def _common_headers(number: str, sent: int) -> Headers:
    return (
        ("date", imf_fixdate(sent)),
        ("request-id", number),
        ("anthropic-organization-id", ORGANIZATION),
    )


def _limit_headers(limits: LimitState, sent: int) -> Headers:
    buckets = (("requests", limits.requests), ("tokens", limits.tokens))
    return tuple(
        (f"anthropic-ratelimit-{name}-{field}", value)
        for name, bucket in buckets
        if bucket is not None
        for field, value in (
            ("limit", str(bucket.limit)),
            ("remaining", str(bucket.remaining)),
            ("reset", rfc3339(sent + bucket.reset)),
        )
    )


@final
class _Page:
    """The bodies and events of one answer."""

    def __init__(self, decoded: Decoded, reply: Reply, answer: Answer) -> None:
        self._decoded = decoded
        self._reply = reply
        self._answer = answer
        self._stop_reason = _STOP_REASONS[answer.finish]

    def plain(self) -> bytes:
        content = [{"type": "text", "text": self._answer.text}]
        return json_bytes(self._message(content, self._stop_reason, self._answer.completion_tokens))

    def events(self) -> bytes:
        reply = self._reply
        if reply.index == 0:
            return self._opening()
        if reply.last:
            return self._closing()
        delta = {"type": "text_delta", "text": self._answer.deltas[reply.index - 1]}
        return _event({"type": "content_block_delta", "index": 0, "delta": delta})

    def _opening(self) -> bytes:
        block = {"type": "text", "text": ""}
        return (
            _event({"type": "message_start", "message": self._message([], None, 1)})
            + _event({"type": "content_block_start", "index": 0, "content_block": block})
            + _event({"type": "ping"})
        )

    def _closing(self) -> bytes:
        """The usage here is cumulative: it covers the whole message."""
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        usage = self._usage(self._answer.completion_tokens)
        return (
            _event({"type": "content_block_stop", "index": 0})
            + _event({"type": "message_delta", "delta": delta, "usage": usage})
            + _event({"type": "message_stop"})
        )

    def _message(
        self, content: list[dict[str, str]], stop_reason: str | None, output_tokens: int
    ) -> dict[str, Any]:
        return {
            "id": f"msg_01{base62(22, 'message', self._reply.request_id)}",
            "type": "message",
            "role": "assistant",
            "model": self._decoded.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": self._usage(output_tokens) | {"service_tier": "standard"},
        }

    def _usage(self, output_tokens: int) -> dict[str, Any]:
        return {
            "input_tokens": self._answer.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        }


def _own_error(reply: Reply) -> bytes:
    """The error this provider sends after it has begun an answer with 200."""
    if reply.count == 1:
        return _error(*_OVERLOADED, _request_id(reply.request_id))
    kind, message = _OVERLOADED
    return _event({"type": "error", "error": {"type": kind, "message": message}})


def _event(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\n".encode() + b"data: " + json_bytes(data) + b"\n\n"
