"""Cohere's chat, second version: content in blocks, and named events in a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ...content import BlockKind
from ...dialect_base.shared import (
    DONE,
    EVENT_STREAM,
    InvalidRequest,
    Message,
    Values,
    as_mapping,
    json_object,
    named_event,
    not_served,
    text_request,
    whole_number,
)
from ...dialect_base.wire_dialect import AnswerPart
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...schema_answers import JSON_OBJECT, Form
from ...wire_formats import json_bytes
from ..openai.requests import called

LINES: Final = "application/stream+json"
"""The content type of a stream of JSON lines."""

FINISH: Final = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR",
}
"""Why an answer ends; there is no word of its own for a filter."""


@final
@dataclass(frozen=True, slots=True)
class ChatV2:
    """`POST /v2/chat`.

    Source: the API reference of docs.cohere.com and the types of its SDK
    (`V2ChatResponse`, `V2ChatStreamResponse`). A client that accepts only `application/json`
    gets a stream of JSON lines instead of events; so litellm reads it.
    """

    path: re.Pattern[str]
    name: str = "chat"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        return text_request(
            request,
            payload,
            _messages(payload),
            model=model_of(payload),
            max_tokens=most_of(payload),
            form=_form(payload),
            reasoning=as_mapping(payload.get("thinking")).get("type") == "enabled",
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        message: Values = {"role": "assistant"}
        content = [_content(block.kind, block.text) for block in page.content.blocks if block.kind != "call"]
        if content:
            message["content"] = content
        if page.calls:
            message["tool_plan"] = f"I will call {page.calls[0].name}."
            message["tool_calls"] = [_call(page, n, call.text) for n, call in enumerate(page.calls)]
        finish = FINISH[page.content.finish]
        body = {"id": _ident(page), "finish_reason": finish, "message": message, "usage": usage(page)}
        return json_bytes(body)

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""
        if page.first:
            return self._written([_message_start(page), _start(page, 0)])
        if page.last:
            return self._written(_closing(page), done=True)
        number, nth = page.place
        begins = [_end(page, number - 1), _start(page, number)] if nth == 0 and number else []
        return self._written([*begins, _delta(page, number)])

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """A message that ended with an error."""
        delta = {"error": body["message"], "finish_reason": "ERROR"}
        return self._written([{"type": "message-end", "delta": delta}], done=True)

    def _written(self, events: list[Values], *, done: bool = False) -> bytes:
        if self.streams_as == LINES:
            return b"".join(json_bytes(event) + b"\n" for event in events)
        return b"".join(named_event(event) for event in events) + (DONE if done else b"")


# -- requests --------------------------------------------------------------------------------------


def payload_of(request: HttpRequest) -> Values:
    """The body of a request, which must be a JSON object."""
    payload = json_object(request.body)
    if payload is None:
        raise InvalidRequest(400, "invalid request: the body must be a JSON object")
    if not isinstance(payload.get("stream"), bool | None):
        raise InvalidRequest(400, "invalid request: stream must be a boolean")
    if payload.get("logprobs"):
        raise not_served("log probabilities from this provider", "logprobs")
    return payload


def model_of(payload: Mapping[str, Any], default: str | None = None) -> str:
    """The model that is asked for; the first version has one of its own."""
    model = payload.get("model", default)
    if not isinstance(model, str) or not model:
        raise InvalidRequest(400, "invalid request: model is required and must be a string")
    return model


def most_of(payload: Mapping[str, Any]) -> int | None:
    """The longest answer that is wanted."""
    most = payload.get("max_tokens")
    if most is None:
        return None
    if not whole_number(most):
        raise InvalidRequest(400, "invalid request: max_tokens must be an integer of at least 1")
    return int(most)


def _messages(payload: Mapping[str, Any]) -> list[Message]:
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(400, "invalid request: list of messages must have at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest(400, f"invalid request: messages[{index}] must be an object with a role")
    return messages


def _form(payload: Mapping[str, Any]) -> Form | None:
    """A tool call where one is required, else JSON where that is asked for."""
    choice = payload.get("tool_choice")
    if isinstance(choice, str):
        choice = choice.lower()
    return called(payload.get("tools"), choice) or json_asked(payload.get("response_format"))


def json_asked(response_format: object) -> Form | None:
    """JSON of the schema in `response_format`, or any object."""
    wanted = as_mapping(response_format)
    if wanted.get("type") != "json_object":
        return None
    schema = wanted.get("json_schema", wanted.get("schema"))
    return Form(schema if isinstance(schema, Mapping) else JSON_OBJECT)


# -- answers ---------------------------------------------------------------------------------------


def _ident(page: AnswerPart) -> str:
    digits = page.digits(32)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _call(page: AnswerPart, number: int, arguments: str) -> Values:
    name = page.calls[number].name
    return {
        "id": f"{name}_{page.letters(12, 'call', number)}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _content(kind: BlockKind, text: str) -> Values:
    return {"type": "thinking", "thinking": text} if kind == "reasoning" else {"type": "text", "text": text}


def usage(page: AnswerPart) -> Values:
    """What was charged, and what was counted: the same."""
    counted = {"input_tokens": page.answer.prompt_tokens, "output_tokens": page.answer.completion_tokens}
    return {"billed_units": counted, "tokens": counted}


def _event(kind: str, index: int, message: Values) -> Values:
    return {"type": kind, "index": index, "delta": {"message": message}}


def _message_start(page: AnswerPart) -> Values:
    empty: Values = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    return {"type": "message-start", "id": _ident(page), "delta": {"message": empty}}


def _index(page: AnswerPart, number: int) -> int:
    """The index of a block: among the calls, or else among the contents."""
    is_call = page.content.blocks[number].kind == "call"
    return page.call_number(number) if is_call else number


def _start(page: AnswerPart, number: int) -> Values:
    kind, index = page.content.blocks[number].kind, _index(page, number)
    if kind == "call":
        return _event("tool-call-start", index, {"tool_calls": _call(page, index, "")})
    return _event("content-start", index, {"content": _content(kind, "")})


def _delta(page: AnswerPart, number: int) -> Values:
    kind, index = page.content.blocks[number].kind, _index(page, number)
    if kind == "call":
        return _event("tool-call-delta", index, {"tool_calls": {"function": {"arguments": page.piece}}})
    return _event("content-delta", index, {"content": {_SAYS[kind]: page.piece}})


_SAYS: Final[dict[BlockKind, str]] = {"reasoning": "thinking", "text": "text"}


def _end(page: AnswerPart, number: int) -> Values:
    is_call = page.content.blocks[number].kind == "call"
    return {"type": "tool-call-end" if is_call else "content-end", "index": _index(page, number)}


def _closing(page: AnswerPart) -> list[Values]:
    delta = {"finish_reason": FINISH[page.content.finish], "usage": usage(page)}
    return [_end(page, len(page.content.blocks) - 1), {"type": "message-end", "delta": delta}]
