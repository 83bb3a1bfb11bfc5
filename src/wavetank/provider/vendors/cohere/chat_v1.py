"""Cohere's chat, first version: one message, and one JSON object a line in a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, final

from ...content import Block
from ...dialect_base.shared import InvalidRequest, Message, Values, as_list, call_arguments, text_request
from ...dialect_base.wire_dialect import AnswerPart
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...wire_formats import json_bytes
from .chat import FINISH, LINES, json_asked, model_of, most_of, payload_of, usage

_DEFAULT: Final = "command-a-03-2025"


@final
@dataclass(frozen=True, slots=True)
class ChatV1:
    """`POST /v1/chat` (`NonStreamedChatResponse`, `StreamedChatResponse` of the SDK)."""

    path: re.Pattern[str]
    name: str = "first-chat"
    method: str = "POST"
    streams_as: str = LINES

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        message = payload.get("message")
        if not isinstance(message, str) or not message:
            raise InvalidRequest(400, "invalid request: message must be at least 1 token long")
        return text_request(
            request,
            payload,
            [*_history(payload), {"role": "user", "content": message}],
            model=model_of(payload, _DEFAULT),
            max_tokens=most_of(payload),
            form=json_asked(payload.get("response_format")),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        return json_bytes(_response(page))

    def part(self, page: AnswerPart) -> bytes:
        """One line of a stream."""
        if page.first:
            line: Values = {"event_type": "stream-start", "generation_id": page.digits(32)}
        elif page.last:
            finish = _finish(page)
            line = {"event_type": "stream-end", "finish_reason": finish, "response": _response(page)}
        elif page.block.kind == "call" and page.place[1] == 0:
            line = {"event_type": "tool-calls-generation", "tool_calls": [_call(page.block)]}
        else:
            text = page.piece if page.block.kind == "text" else ""
            line = {"event_type": "text-generation", "text": text}
        return json_bytes({"is_finished": page.last, **line}) + b"\n"

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """A stream that ended with an error."""
        response = {"response_id": "", "generation_id": "", "text": ""}
        line = {
            "is_finished": True,
            "event_type": "stream-end",
            "finish_reason": "ERROR",
            "response": response,
            "error": body["message"],
        }
        return json_bytes(line) + b"\n"


def _history(payload: Values) -> list[Message]:
    return [
        {"role": str(turn.get("role", "")).lower(), "content": turn.get("message", "")}
        for turn in as_list(payload.get("chat_history"))
        if isinstance(turn, dict)
    ]


def _finish(page: AnswerPart) -> str:
    """A call of a tool ends like any other answer."""
    return FINISH["stop" if page.content.finish == "tool_calls" else page.content.finish]


def _call(call: Block) -> Values:
    return {"name": call.name, "parameters": call_arguments(call.text)}


def _response(page: AnswerPart) -> Values:
    said = page.request.payload["message"]
    return {
        "response_id": page.digits(32, "response"),
        "text": page.text,
        "generation_id": page.digits(32),
        "chat_history": [{"role": "USER", "message": said}, {"role": "CHATBOT", "message": page.text}],
        "finish_reason": _finish(page),
        **({"tool_calls": [_call(call) for call in page.calls]} if page.calls else {}),
        "meta": {"api_version": {"version": "1"}, **usage(page)},
    }
