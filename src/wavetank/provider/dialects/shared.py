"""What the dialects have in common: reading a body, telling a Retry-After, framing a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import msgspec

from ...clock import MILLISECOND, SECOND
from ..answers import count_tokens
from ..http import Decoded, Frame, Head, Headers, HttpRequest
from ..identity import identity, last_user_text, text_of
from ..model import Refusal, Reply, WireRetryAfter
from ..wording import decimal, go_duration, imf_fixdate

JSON: str = "application/json"
EVENT_STREAM: str = "text/event-stream; charset=utf-8"

Message = Mapping[str, Any]


@final
class Complaint(Exception):
    """Why a request cannot be taken, before its dialect has put it into words."""

    def __init__(
        self, status: int, message: str, *, kind: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body, `None` if it holds anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def bearer(headers: Mapping[str, str]) -> str:
    """The key of an `Authorization: Bearer` header, empty if there is none."""
    scheme, _, key = headers.get("authorization", "").strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def whole_number(value: object) -> bool:
    """Whether a JSON value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def decoded(
    dialect: str,
    request: HttpRequest,
    payload: dict[str, Any],
    messages: list[Message],
    *,
    key: str,
    max_tokens: int | None,
    system: str = "",
    now: int | None,
) -> Decoded:
    """The request of a body that has been found good."""
    prompt = last_user_text(messages)
    item, declared = identity(request.headers, payload, prompt)
    texts = [system, *(text_of(message.get("content")) for message in messages)]
    return Decoded(
        dialect=dialect,
        model=payload["model"],
        key=key,
        item=item,
        declared=declared,
        prompt=prompt,
        prompt_tokens=count_tokens("\n".join(text for text in texts if text)),
        max_tokens=max_tokens,
        stream=payload.get("stream") is True,
        payload=payload,
        arrived=now,
    )


def retry_headers(retry_after: WireRetryAfter | None, sent: int) -> Headers:
    """The header that states a Retry-After; the forms `body` and `none` have no header.

    Args:
        retry_after: what to state.
        sent: the Unix time of the sending in nanoseconds.
    """
    if retry_after is None:
        return ()
    value = retry_after.value
    if retry_after.form == "seconds":
        return (("retry-after", decimal(value, SECOND)),)
    if retry_after.form == "ms":
        return (("retry-after-ms", decimal(value, MILLISECOND)),)
    return (("retry-after", imf_fixdate(sent + value)),) if retry_after.form == "http-date" else ()


def retry_hint(retry_after: WireRetryAfter | None) -> str:
    """The sentence that states a Retry-After, with a space before it; empty if there is none."""
    return "" if retry_after is None else f" Please try again in {go_duration(retry_after.value)}."


def refusal_frame(refusal: Refusal, headers: Headers, body: bytes) -> Frame:
    """A refusal in one piece."""
    return Frame(head=Head(refusal.status, (("content-type", JSON), *headers)), data=body, end=True)


def answer_frame(reply: Reply, headers: Headers, data: bytes) -> Frame:
    """One part of an answer as it should be, before its fault."""
    head = None
    if reply.index == 0:
        content_type = JSON if reply.count == 1 else EVENT_STREAM
        head = Head(200, (("content-type", content_type), *headers))
    return Frame(head=head, data=data, end=reply.last)
