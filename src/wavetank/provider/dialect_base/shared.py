"""What the dialects have in common: reading a body, limit headers, framing an event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, final

import msgspec

from ...clock import DAY, HOUR, MINUTE, SECOND, format_duration
from ...nesting import too_deep
from ...shown import shortened
from ..answer_texts import count_tokens
from ..http import Headers, HttpRequest
from ..identity import identity, last_user_text, text_of
from ..model import BucketState, Refusal
from ..request import Request
from ..schema_answers import Form
from ..wire_formats import json_bytes

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
LONGEST: Final = 1000
"""Characters of an error, which may repeat a model's name or a path of any length."""
DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream in OpenAI's format."""

_UNITS: Final = {SECOND: "second", HOUR: "hour", DAY: "day"}

Message = Mapping[str, Any]
Values = dict[str, Any]


@final
class ErrorText(NamedTuple):
    """What a vendor says of an error; those that have no types, codes or parameters leave them out."""

    message: str
    kind: str = ""
    code: str | None = None
    param: str | None = None


@final
class InvalidRequest(Exception):
    """Why a request cannot be taken, before its dialect has put it into words."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", param: str | None = None, code: str | None = None
    ) -> None:
        self.text = ErrorText(shortened(message, LONGEST), kind, code, param)
        super().__init__(self.text.message)
        self.status = status
        self.allow = ""
        """The methods that would have been right, for the header of that name."""
        self.unserved = False
        """Whether it is the path that is not known."""

    def is_unserved(self, http: HttpRequest) -> None:
        """The path is not known: the vendor may have it all the same, so the text says who does not."""
        said = f"{self.text.message} (wavetank doesn't serve {http.method} {http.path})"
        self.text, self.unserved = self.text._replace(message=shortened(said, LONGEST)), True

    @classmethod
    def saying(cls, text: ErrorText, status: int) -> InvalidRequest:
        """The error with a text that a vendor has ready."""
        return cls(status, text.message, kind=text.kind, param=text.param, code=text.code)


def text_request(
    request: HttpRequest,
    payload: Mapping[str, Any],
    messages: list[Message],
    *,
    model: str,
    max_tokens: int | None = None,
    system: str = "",
    stream: bool | None = None,
    form: Form | None = None,
    copies: int = 1,
    reasoning: bool = False,
) -> Request:
    """The request of a body that has been found good; `stream` `None` means as the body says.

    What defines its tools costs tokens, as much as compact JSON of it.
    """
    prompt = last_user_text(messages)
    item, declared = identity(request.headers, payload, prompt)
    texts = [system, *[text_of(message.get("content")) for message in messages]]
    if payload.get("tools"):
        texts.append(json_bytes(payload["tools"]).decode())
    return Request(
        model=model,
        item=item,
        declared=declared,
        prompt=prompt,
        prompt_tokens=count_tokens("\n".join(filter(None, texts))),
        max_tokens=max_tokens,
        stream=payload.get("stream") is True if stream is None else stream,
        payload=payload,
        form=form,
        copies=copies,
        reasoning=reasoning,
    )


def no_text_request(
    request: HttpRequest,
    payload: Mapping[str, Any],
    messages: list[Message],
    *,
    model: str,
    system: str = "",
    free: bool = False,
) -> Request:
    """The request of a good body that asks for no generated text, but for vectors or a count of tokens.

    `free`: the vendor charges nothing for it.
    """
    read = text_request(request, payload, messages, model=model, max_tokens=0, system=system, stream=False)
    if free:
        read.target = f"{request.method} {request.path}"
    return read


def empty_request(model: str = "", query: Mapping[str, str] | None = None) -> Request:
    """A request without a body, such as for a list of models: it costs no tokens; `query` is its payload."""
    return Request(
        model=model,
        item=None,
        declared=False,
        prompt="",
        prompt_tokens=0,
        max_tokens=0,
        payload=query or {},
    )


def not_served(what: str, param: str, *, kind: str = "") -> InvalidRequest:
    """What is said to a request for something that the fake does not imitate."""
    message = f"wavetank doesn't serve {what}; remove '{param}' from the request."
    return InvalidRequest(400, message, kind=kind, param=param, code="unsupported_parameter")


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body, `None` if it holds anything else or is nested too deep."""
    try:
        value = None if too_deep(body) else msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def call_arguments(text: str) -> object:
    """The arguments of a tool call from their JSON; those of a call that was cut short are empty."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def bearer(headers: Mapping[str, str]) -> str:
    """The key of an `Authorization: Bearer` header, empty if there is none."""
    scheme, _, key = headers.get("authorization", "").strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def whole_number(value: object) -> bool:
    """Whether a JSON value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def as_mapping(value: object) -> Mapping[str, Any]:
    """A JSON object as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[Any]:
    """A JSON array as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def limit_hit(refusal: Refusal) -> BucketState | None:
    """The limit that a refusal names as its reason; a scripted one names none."""
    bucket = getattr(refusal.limits, refusal.reason.replace("-", "_"), None)
    return bucket if isinstance(bucket, BucketState) else None


def unit_of(limit: BucketState | None, minute: str = "minute") -> str:
    """The word for the time that a limit is for, such as `second`; a scripted limit is one of a minute."""
    if limit is None or limit.per == MINUTE:
        return minute
    return _UNITS.get(limit.per) or format_duration(limit.per)


def is_limit(refusal: Refusal) -> bool:
    """Whether a refusal is a rate limit in the provider's words: so is a budget of a day that is spent."""
    return refusal.error == "rate-limit" or (refusal.error == "quota" and limit_hit(refusal) is not None)


def limit_headers(
    buckets: Iterable[tuple[str, BucketState | None]],
    reset: Callable[[int], str] | None,
    *,
    named: str = "x-ratelimit-{field}-{name}",
) -> Headers:
    """Limit, rest and reset of each known limit, as `x-ratelimit-limit-requests` and its like.

    Args:
        buckets: a name and the state of each limit; unknown ones are left out.
        reset: writes the nanoseconds until a limit is whole again; without it resets are not stated.
        named: the names of the headers.
    """
    return tuple(
        (named.format(field=field, name=name), value)
        for name, bucket in buckets
        if bucket is not None
        for field, value in (
            ("limit", str(bucket.limit)),
            ("remaining", str(bucket.remaining)),
            *((("reset", reset(bucket.reset)),) if reset is not None else ()),
        )
    )


def data_event(value: Any) -> bytes:
    """An event of a stream that has no name."""
    return b"data: " + json_bytes(value) + b"\n\n"


def named_event(value: Mapping[str, Any]) -> bytes:
    """An event of a stream whose name is the type of its data."""
    return f"event: {value['type']}\n".encode() + data_event(value)
