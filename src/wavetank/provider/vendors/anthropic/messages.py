"""Anthropic's messages, plain and streamed, and the counting of their tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ...dialect_base.shared import (
    EVENT_STREAM,
    InvalidRequest,
    Message,
    Values,
    as_list,
    as_mapping,
    call_arguments,
    json_object,
    named_event,
    no_text_request,
    text_request,
    whole_number,
)
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...identity import text_of
from ...model import Reply
from ...request import Request
from ...schema_answers import Form
from ...wire_formats import json_bytes
from .vendor import INVALID

# What the vendor's SDK has message types for.
_ROLES: Final = ("user", "assistant", "system")
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


@final
@dataclass(frozen=True, slots=True)
class Messages:
    """`POST /v1/messages`, and the same behind other clouds.

    Source: the API reference of docs.claude.com and the types of its SDK (`anthropic.types`);
    the order of events is the one its SDKs rely on. Where the path has a group `model`, that is the model;
    `streamed` is whether the path says that a stream is wanted, `None` where the body says it. `idents` is
    how the ids of messages begin, and `needs` are more fields that a body must have.
    """

    path: re.Pattern[str]
    name: str = "messages"
    streamed: bool | None = None
    idents: str = "msg_01"
    needs: tuple[str, ...] = ()
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = _payload(request)
        model = found.groupdict().get("model")
        _check_fields(payload, (*self.needs, "messages", "max_tokens"), model)
        if not whole_number(payload["max_tokens"]):
            raise _wrong("max_tokens", "Input should be a valid integer of at least 1")
        if not isinstance(payload.get("stream"), bool | None):
            raise _wrong("stream", "Input should be a valid boolean")
        return text_request(
            request,
            payload,
            _messages(payload),
            model=model or payload["model"],
            max_tokens=payload["max_tokens"],
            system=text_of(payload.get("system")),
            stream=self.streamed,
            form=_form(payload),
            reasoning=as_mapping(payload.get("thinking")).get("type") in ("enabled", "adaptive"),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        blocks = [_whole(page, number) for number in range(len(page.content.blocks))]
        tokens = page.answer.completion_tokens
        return json_bytes(_message(page, self.idents, blocks, _stop_reason(page), tokens))

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""
        if page.first:
            message = {"type": "message_start", "message": _message(page, self.idents, [], None, 1)}
            return named_event(message) + _start(page, 0) + named_event({"type": "ping"})
        if page.last:
            return _closing(page)
        number, nth = page.place
        begins = _stop(page, number - 1) + _start(page, number) if nth == 0 and number else b""
        return begins + _delta(page, number)

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """The event `error`."""
        return named_event({"type": "error", "error": body["error"]})


@final
@dataclass(frozen=True, slots=True)
class CountTokens(UnstreamedEndpoint):
    """`POST /v1/messages/count_tokens` (`MessageTokensCount` of the SDK)."""

    path: re.Pattern[str]
    name: str = "count-tokens"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = _payload(request)
        _check_fields(payload, ("messages",))
        system = text_of(payload.get("system"))
        messages = _messages(payload)
        return no_text_request(request, payload, messages, model=payload["model"], system=system, free=True)

    def plain(self, page: AnswerPart) -> bytes:
        """How many tokens the messages have."""
        return json_bytes({"input_tokens": page.answer.prompt_tokens})


# -- requests --------------------------------------------------------------------------------------


def _payload(request: HttpRequest) -> Values:
    payload = json_object(request.body)
    if payload is None:
        raise InvalidRequest(400, "The request body is not valid JSON: expected an object", kind=INVALID)
    return payload


def _check_fields(payload: Values, required: tuple[str, ...], model: str | None = None) -> None:
    """`model` is that of the path; without one the body must have it."""
    for name in required if model else ("model", *required):
        if payload.get(name) is None:
            raise _wrong(name, "Field required")
    if not model and (not isinstance(payload["model"], str) or not payload["model"]):
        raise _wrong("model", "Input should be a valid string")


def _messages(payload: Values) -> list[Message]:
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


def _form(payload: Mapping[str, Any]) -> Form | None:
    """The tool that must be called, else JSON of the schema that `output_config` gives."""
    choice = as_mapping(payload.get("tool_choice"))
    offered = {
        tool["name"]: as_mapping(tool.get("input_schema") or {"type": "object"})
        for tool in as_list(payload.get("tools"))
        if isinstance(tool, dict) and isinstance(tool.get("name"), str)
    }
    if choice.get("type") == "tool":
        name = choice.get("name")
        if not isinstance(name, str) or name not in offered:
            raise _wrong("tool_choice", f"Tool '{name}' not found in provided tools")
        return Form(offered[name], name)
    if choice.get("type") == "any" and offered:
        first, parameters = next(iter(offered.items()))
        return Form(parameters, first)
    wanted = as_mapping(
        as_mapping(payload.get("output_config")).get("format") or payload.get("output_format")
    )
    schema = wanted.get("schema")
    return Form(schema) if isinstance(schema, Mapping) else None


def _wrong(place: str, message: str) -> InvalidRequest:
    return InvalidRequest(400, f"{place}: {message}", kind=INVALID)


# -- answers ---------------------------------------------------------------------------------------


def _stop_reason(page: AnswerPart) -> str:
    return _STOP_REASONS[page.content.finish]


def _whole(page: AnswerPart, number: int) -> Values:
    """A block of a plain answer."""
    block, empty = page.content.blocks[number], _empty(page, number)
    match block.kind:
        case "reasoning":
            return empty | {"thinking": _shown(page, block.text), "signature": _signature(page)}
        case "call":
            return empty | {"input": call_arguments(block.text)}
        case _:
            return empty | {"text": block.text}


def _empty(page: AnswerPart, number: int) -> Values:
    """A block that has only begun."""
    block = page.content.blocks[number]
    match block.kind:
        case "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "call":
            ident = f"toolu_01{page.letters(22, 'tool', number)}"
            return {"type": "tool_use", "id": ident, "name": block.name, "input": {}}
        case _:
            return {"type": "text", "text": ""}


def _shown(page: AnswerPart, thinking: str) -> str:
    """What is thought, unless the request wants it `omitted`."""
    return "" if as_mapping(page.request.payload.get("thinking")).get("display") == "omitted" else thinking


def _signature(page: AnswerPart) -> str:
    """What proves to the provider, in a later request, that the thinking is its own."""
    return page.letters(64, "signature")


def _message(
    page: AnswerPart, idents: str, content: list[Values], stop_reason: str | None, output_tokens: int
) -> Values:
    return {
        "id": f"{idents}{page.letters(22, 'message')}",
        "type": "message",
        "role": "assistant",
        "model": page.request.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": _usage(page, output_tokens) | {"service_tier": "standard"},
    }


def _usage(page: AnswerPart, output_tokens: int) -> Values:
    return {
        "input_tokens": page.answer.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def _start(page: AnswerPart, number: int) -> bytes:
    start = {"type": "content_block_start", "index": number, "content_block": _empty(page, number)}
    return named_event(start)


def _delta(page: AnswerPart, number: int) -> bytes:
    match page.content.blocks[number].kind:
        case "reasoning":
            delta = {"type": "thinking_delta", "thinking": _shown(page, page.piece)}
        case "call":
            delta = {"type": "input_json_delta", "partial_json": page.piece}
        case _:
            delta = {"type": "text_delta", "text": page.piece}
    return named_event({"type": "content_block_delta", "index": number, "delta": delta})


def _stop(page: AnswerPart, number: int) -> bytes:
    """The end of a block; that of thinking is signed."""
    signed = b""
    if page.content.blocks[number].kind == "reasoning":
        delta = {"type": "signature_delta", "signature": _signature(page)}
        signed = named_event({"type": "content_block_delta", "index": number, "delta": delta})
    return signed + named_event({"type": "content_block_stop", "index": number})


def _closing(page: AnswerPart) -> bytes:
    """The usage here is cumulative: it covers the whole message."""
    delta = {"stop_reason": _stop_reason(page), "stop_sequence": None}
    usage = _usage(page, page.answer.completion_tokens)
    return (
        _stop(page, len(page.content.blocks) - 1)
        + named_event({"type": "message_delta", "delta": delta, "usage": usage})
        + named_event({"type": "message_stop"})
    )
