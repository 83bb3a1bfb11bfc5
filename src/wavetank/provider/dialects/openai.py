"""The OpenAI dialect: chat completions, plain and streamed."""

from __future__ import annotations

from typing import Any, Final, final

from ...clock import EPOCH_NS, MILLISECOND
from ..answers import request_cost
from ..faults import spoiled
from ..http import BadRequest, Decoded, Frame, Headers, HttpRequest, WireReply
from ..model import Answer, BucketState, LimitState, Refusal, Reply
from ..wording import base62, go_duration, hexadecimal, imf_fixdate, json_bytes, unix_seconds
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

PATH: Final = "/v1/chat/completions"
ORGANIZATION: Final = "org-wavetank"
VERSION: Final = "2020-10-01"

_INVALID: Final = "invalid_request_error"
_UNPARSED: Final = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON.)"
)
_NO_KEY: Final = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
_VISIT: Final = "Visit https://platform.openai.com/account/rate-limits to learn more."
_SORRY: Final = "The server had an error while processing your request. Sorry about that!"
_BUSY: Final = ("service_unavailable_error", "server_is_overloaded", "The server is currently overloaded.")
_UNSCRIPTED_LIMIT: Final = 500

_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_MAY_BE_SILENT: Final = ("assistant", "function")

# Type, code and message by status; of a status that is not listed, its hundreds decide.
_ERRORS: Final[dict[int, tuple[str, str | None, str]]] = {
    401: (_INVALID, "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    403: (_INVALID, None, "You are not allowed to make this request."),
    404: (_INVALID, "model_not_found", "The model does not exist or you do not have access to it."),
    408: ("timeout", None, "Request timed out."),
    409: (_INVALID, "conflict", "The request conflicts with another one."),
    413: (_INVALID, "request_too_large", "The request is too large."),
    503: _BUSY,
    529: _BUSY,
}


@final
class OpenAIChat:
    """`POST /v1/chat/completions` of api.openai.com.

    Bodies and headers follow the vendor's API reference and its OpenAPI description.
    """

    name = "openai"
    hosts = ("api.openai.com",)

    def decode(self, request: HttpRequest, *, now: int | None = None, epoch_ns: int = EPOCH_NS) -> Decoded:
        """Read a chat completion request; see `Dialect.decode`."""
        try:
            return _read(request, now)
        except Complaint as complaint:
            raise BadRequest(_complained(request, complaint, epoch_ns + (now or 0))) from None

    def encode(self, decoded: Decoded, reply: Reply, *, epoch_ns: int = EPOCH_NS) -> Frame:
        """Write one part of an outcome; see `Dialect.encode`."""
        headers = _headers(decoded, reply, epoch_ns)
        outcome = reply.outcome
        if isinstance(outcome, Refusal):
            retry = retry_headers(outcome.retry_after, epoch_ns + reply.at)
            return refusal_frame(
                outcome, (*headers, *retry), json_bytes({"error": _refused(outcome, decoded)})
            )
        page = _Page(decoded, reply, outcome, epoch_ns)
        frame = answer_frame(reply, headers, page.plain() if reply.count == 1 else page.chunk())
        return frame if outcome.fault is None else spoiled(frame, reply, outcome.fault, _own_error(reply))


# -- requests ------------------------------------------------------------------------------------


def _read(request: HttpRequest, now: int | None) -> Decoded:
    _check_route(request)
    key = bearer(request.headers)
    if not key:
        raise Complaint(401, _NO_KEY, kind=_INVALID, code="invalid_api_key")
    payload = json_object(request.body)
    if payload is None:
        raise Complaint(400, _UNPARSED, kind=_INVALID)
    _check_model(payload)
    messages = _messages(payload)
    if not isinstance(payload.get("stream"), bool | None):
        raise _wrong_type("stream", "a boolean")
    max_tokens = _max_tokens(payload)
    return decoded("openai", request, payload, messages, key=key, max_tokens=max_tokens, now=now)


def _check_route(request: HttpRequest) -> None:
    if request.path != PATH:
        message = f"Invalid URL ({request.method} {request.path})"
        raise Complaint(404, message, kind=_INVALID)
    if request.method != "POST":
        message = f"Not allowed to {request.method} on {PATH}. (HINT: Perhaps you meant to use POST?)"
        raise Complaint(405, message, kind=_INVALID, code="method_not_supported")


def _check_model(payload: dict[str, Any]) -> None:
    model = payload.get("model")
    if model is None or model == "":
        raise _missing("model")
    if not isinstance(model, str):
        raise _wrong_type("model", "a string")


def _messages(payload: dict[str, Any]) -> list[Message]:
    messages = payload.get("messages")
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list) or not messages:
        raise _wrong_type("messages", "an array of at least one object")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong_type(f"messages[{index}]", "an object")
        _check_message(message, f"messages[{index}]")
    return messages


def _check_message(message: Message, place: str) -> None:
    role = message.get("role")
    if not isinstance(role, str):
        raise _missing(f"{place}.role")
    if role not in _ROLES:
        names = ", ".join(repr(name) for name in _ROLES)
        text = f"Invalid value: {role!r}. Supported values are: {names}."
        raise Complaint(400, text, kind=_INVALID, param=f"{place}.role", code="invalid_value")
    if message.get("content") is None and role in _MAY_BE_SILENT:
        return
    if not isinstance(message.get("content"), str | list):
        raise _wrong_type(f"{place}.content", "a string or an array")


def _max_tokens(payload: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = payload.get(name)
        if value is not None:
            if not whole_number(value):
                raise _wrong_type(name, "an integer of at least 1")
            return int(value)
    return None


def _missing(param: str) -> Complaint:
    message = f"Missing required parameter: '{param}'."
    return Complaint(400, message, kind=_INVALID, param=param, code="missing_required_parameter")


def _wrong_type(param: str, expected: str) -> Complaint:
    message = f"Invalid type for '{param}': expected {expected}."
    return Complaint(400, message, kind=_INVALID, param=param, code="invalid_type")


def _complained(request: HttpRequest, complaint: Complaint, unix_ns: int) -> WireReply:
    number = hexadecimal(32, "openai", request.method, request.path, request.body)
    headers = (
        ("content-type", JSON),
        ("date", imf_fixdate(unix_ns)),
        ("x-request-id", f"req_{number}"),
        ("openai-organization", ORGANIZATION),
        ("openai-processing-ms", "0"),
        ("openai-version", VERSION),
        *((("allow", "POST"),) if complaint.status == 405 else ()),
    )
    error = _error(complaint.message, complaint.kind, param=complaint.param, code=complaint.code)
    return WireReply(complaint.status, headers, json_bytes({"error": error}))


# -- refusals ------------------------------------------------------------------------------------


def _error(
    message: str, kind: str, *, param: str | None = None, code: str | None = None
) -> dict[str, str | None]:
    return {"message": message, "type": kind, "param": param, "code": code}


def _refused(refusal: Refusal, decoded: Decoded) -> dict[str, str | None]:
    hint = retry_hint(refusal.retry_after)
    if refusal.status == 429:
        kind = "tokens" if refusal.reason == "tokens" else "requests"
        return _error(_rate_limited(refusal, decoded, hint), kind, code="rate_limit_exceeded")
    other = ("server_error", None, _SORRY) if refusal.status >= 500 else (_INVALID, None, "Invalid request.")
    kind, code, message = _ERRORS.get(refusal.status, other)
    return _error(message + hint, kind, code=code)


def _rate_limited(refusal: Refusal, decoded: Decoded, hint: str) -> str:
    where = f"for {decoded.model} in organization {ORGANIZATION}"
    if refusal.reason != "tokens":
        limit, used = _spent(refusal, refusal.limits.requests)
        told = f"on requests per min (RPM): Limit {limit}, Used {used}, Requested 1."
        return f"Rate limit reached {where} {told}{hint} {_VISIT}"
    limit, used = _spent(refusal, refusal.limits.tokens)
    requested = request_cost(decoded.item, decoded.prompt_tokens, decoded.max_tokens)
    if refusal.retry_after is None:
        return (
            f"Request too large {where} on tokens per min (TPM): Limit {limit}, Requested {requested}. "
            f"The input or output tokens must be reduced in order to run successfully. {_VISIT}"
        )
    told = f"on tokens per min (TPM): Limit {limit}, Used {used}, Requested {requested}."
    return f"Rate limit reached {where} {told}{hint} {_VISIT}"


def _spent(refusal: Refusal, bucket: BucketState | None) -> tuple[int, int]:
    """The limit a message names and how much of it is used; a scripted refusal needs no bucket."""
    if bucket is None:
        return _UNSCRIPTED_LIMIT, _UNSCRIPTED_LIMIT
    by_bucket = refusal.reason in ("requests", "tokens")
    return bucket.limit, bucket.limit - bucket.remaining if by_bucket else bucket.limit


# -- answers -------------------------------------------------------------------------------------


def _headers(decoded: Decoded, reply: Reply, epoch_ns: int) -> Headers:
    took = 0 if decoded.arrived is None else (reply.at - decoded.arrived) // MILLISECOND
    return (
        ("date", imf_fixdate(epoch_ns + reply.at)),
        ("x-request-id", f"req_{hexadecimal(32, 'openai', reply.request_id)}"),
        ("openai-organization", ORGANIZATION),
        ("openai-processing-ms", str(took)),
        ("openai-version", VERSION),
        *_limit_headers(reply.outcome.limits),
    )


def _limit_headers(limits: LimitState) -> Headers:
    buckets = (("requests", limits.requests), ("tokens", limits.tokens))
    return tuple(
        (f"x-ratelimit-{field}-{name}", value)
        for name, bucket in buckets
        if bucket is not None
        for field, value in (
            ("limit", str(bucket.limit)),
            ("remaining", str(bucket.remaining)),
            ("reset", go_duration(bucket.reset)),
        )
    )


@final
class _Page:
    """The bodies and chunks of one answer."""

    def __init__(self, decoded: Decoded, reply: Reply, answer: Answer, epoch_ns: int) -> None:
        self._decoded = decoded
        self._reply = reply
        self._answer = answer
        began = decoded.arrived if decoded.arrived is not None else reply.at
        self._created = unix_seconds(began, epoch_ns)

    def plain(self) -> bytes:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self._answer.text,
            "refusal": None,
            "annotations": [],
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._answer.finish}
        return json_bytes(self._envelope("chat.completion", [choice]) | {"usage": self._usage()})

    def chunk(self) -> bytes:
        reply = self._reply
        if reply.index == 0:
            return self._event({"role": "assistant", "content": "", "refusal": None})
        if not reply.last:
            return self._event({"content": self._answer.deltas[reply.index - 1]})
        return self._event({}, finish=self._answer.finish) + self._usage_event() + b"data: [DONE]\n\n"

    def _event(self, delta: dict[str, str | None], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._wants_usage else {}
        return _event(json_bytes(self._envelope("chat.completion.chunk", [choice]) | usage))

    def _usage_event(self) -> bytes:
        if not self._wants_usage:
            return b""
        return _event(json_bytes(self._envelope("chat.completion.chunk", []) | {"usage": self._usage()}))

    @property
    def _wants_usage(self) -> bool:
        options = self._decoded.payload.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{base62(29, 'openai', self._reply.request_id)}",
            "object": kind,
            "created": self._created,
            "model": self._decoded.model,
            "choices": choices,
            "service_tier": "default",
            "system_fingerprint": None,
        }

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self._answer.prompt_tokens, self._answer.completion_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _own_error(reply: Reply) -> bytes:
    """The error this provider sends after it has begun an answer with 200."""
    body = json_bytes({"error": _error(_SORRY, "server_error")})
    return body if reply.count == 1 else _event(body)


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
