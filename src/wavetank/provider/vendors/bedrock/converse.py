"""Converse and ConverseStream of Amazon Bedrock: one format for all models.

Source: `ConverseRequest`, `ConverseResponse` and `ConverseStreamOutput` of botocore's `bedrock-runtime`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final
from urllib.parse import unquote

from ....clock import MILLISECOND
from ...dialect_base.shared import (
    InvalidRequest,
    Message,
    Values,
    as_list,
    as_mapping,
    call_arguments,
    json_object,
    text_request,
    whole_number,
)
from ...dialect_base.wire_dialect import AnswerPart
from ...event_stream import CONTENT_TYPE, message
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...schema_answers import Form
from ...wire_formats import json_bytes
from .vendor import VALIDATION, exception_in_stream

_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
_PADDING: Final = "abcdefghijklmnopqrstuvwxyz"
"""Events have a field `p` of letters, by which their length tells nothing; here as many in each."""

Event = tuple[str, Values]
"""The name of an event and what it says."""


def invalid(message: str) -> InvalidRequest:
    """A request is not valid."""
    return InvalidRequest(400, message, kind=VALIDATION)


def payload_of(request: HttpRequest) -> Values:
    """The body of a request, which must be a JSON object."""
    payload = json_object(request.body)
    if payload is None:
        raise invalid("Malformed input request, please reformat your input and try again.")
    return payload


def model_of(found: re.Match[str]) -> str:
    """The model in the path: an id, or the ARN of a profile."""
    return unquote(found["model"])


def failure(body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
    """An error as the last message of a stream."""
    return message("exception", exception_in_stream(reply), json_bytes(body))


@final
@dataclass(frozen=True, slots=True)
class Converse:
    """`POST /model/{modelId}/converse` and `/converse-stream`."""

    path: re.Pattern[str]
    streamed: bool = False
    name: str = "converse"
    method: str = "POST"
    streams_as: str = CONTENT_TYPE

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        read = conversation(request, payload, model_of(found), stream=self.streamed)
        item = as_mapping(payload.get("requestMetadata")).get("item")
        if isinstance(item, str) and item:
            read.item, read.declared = item, True
        return read

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        return json_bytes(answer(page) | {"metrics": {"latencyMs": page.took // MILLISECOND}})

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""
        return b"".join(
            message("event", name, json_bytes(said | {"p": _PADDING})) for name, said in events(page)
        )

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """The exception that a stream ends with."""
        return failure(body, request, reply, epoch_ns)


# -- requests --------------------------------------------------------------------------------------


def conversation(
    request: HttpRequest,
    payload: Mapping[str, Any],
    model: str,
    *,
    stream: bool,
    body: Mapping[str, Any] | None = None,
) -> Request:
    """The request of a body in this format; `body` is the conversation where it is not the whole body."""
    asked = payload if body is None else body
    tools = as_list(as_mapping(asked.get("toolConfig")).get("tools"))
    system = [_text(as_list(asked.get("system"))), json_bytes(tools).decode() if tools else ""]
    return text_request(
        request,
        payload,
        _messages(asked.get("messages")),
        model=model,
        max_tokens=_max_tokens(as_mapping(asked.get("inferenceConfig"))),
        system="\n".join(filter(None, system)),
        stream=stream,
        form=_form(asked),
        reasoning=_reasons(asked),
    )


def _messages(value: object) -> list[Message]:
    """The messages with their texts alone, which the rest of the fake reads."""
    if as_mapping(next(iter(as_list(value)), None)).get("role") in (None, "assistant"):
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts "
            "with a user message."
        )
    messages: list[Message] = []
    for number, each in enumerate(as_list(value)):
        role = as_mapping(each).get("role")
        if role not in ("user", "assistant"):
            raise invalid(
                f"Value '{role}' at 'messages.{number + 1}.member.role' failed to satisfy constraint: "
                "Member must satisfy enum value set: [user, assistant]"
            )
        messages.append({"role": role, "content": _text(as_list(each.get("content")))})
    return messages


def _text(parts: list[Any]) -> str:
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _max_tokens(config: Mapping[str, Any]) -> int | None:
    """`maxTokens`, or `max_new_tokens` as Nova's first models had it."""
    wanted = config.get("maxTokens", config.get("max_new_tokens"))
    if wanted is None:
        return None
    if not whole_number(wanted):
        raise invalid(
            f"Value '{wanted}' at 'inferenceConfig.maxTokens' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1"
        )
    return int(wanted)


def _reasons(asked: Mapping[str, Any]) -> bool:
    """Whether the model is asked to think, as Claude and Nova are."""
    more = as_mapping(asked.get("additionalModelRequestFields"))
    thinking = as_mapping(more.get("thinking") or more.get("reasoning_config") or more.get("reasoningConfig"))
    return thinking.get("type") in ("enabled", "adaptive")


def _form(asked: Mapping[str, Any]) -> Form | None:
    """The tool that must be called, else JSON of the schema that `outputConfig` gives."""
    config = as_mapping(asked.get("toolConfig"))
    choice = as_mapping(config.get("toolChoice"))
    offered = {}
    for tool in as_list(config.get("tools")):
        spec = as_mapping(as_mapping(tool).get("toolSpec"))
        if isinstance(spec.get("name"), str):
            offered[spec["name"]] = as_mapping(as_mapping(spec.get("inputSchema")).get("json"))
    if "tool" in choice:
        name = as_mapping(choice["tool"]).get("name")
        if name not in offered:
            raise invalid(f"The toolChoice names a tool that toolConfig does not have: {name}")
        return Form(offered[name], name)
    if "any" in choice and offered:
        first, schema = next(iter(offered.items()))
        return Form(schema, first)
    return _structured(as_mapping(asked.get("outputConfig")))


def _structured(config: Mapping[str, Any]) -> Form | None:
    structure = as_mapping(as_mapping(config.get("textFormat")).get("structure"))
    text = as_mapping(structure.get("jsonSchema")).get("schema")
    if not isinstance(text, str):
        return None
    try:
        schema = json.loads(text)
    except ValueError:
        raise invalid("The schema of outputConfig.textFormat is not valid JSON.") from None
    return Form(as_mapping(schema))


# -- answers ---------------------------------------------------------------------------------------


def answer(page: AnswerPart) -> Values:
    """Message, reason and usage of a plain answer."""
    content = [_whole(page, number) for number in range(len(page.content.blocks))]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _STOP_REASONS[page.content.finish],
        "usage": usage(page),
    }


def usage(page: AnswerPart) -> Values:
    """What was charged (`TokenUsage`)."""
    spent, made = page.answer.prompt_tokens, page.answer.completion_tokens
    return {
        "inputTokens": spent,
        "outputTokens": made,
        "totalTokens": spent + made,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }


def _whole(page: AnswerPart, number: int) -> Values:
    block = page.content.blocks[number]
    match block.kind:
        case "reasoning":
            return {
                "reasoningContent": {"reasoningText": {"text": block.text, "signature": _signature(page)}}
            }
        case "call":
            return {"toolUse": {**_tool(page, number), "input": call_arguments(block.text)}}
        case _:
            return {"text": block.text}


def _tool(page: AnswerPart, number: int) -> Values:
    return {
        "toolUseId": f"tooluse_{page.letters(22, 'tool', number)}",
        "name": page.content.blocks[number].name,
    }


def _signature(page: AnswerPart) -> str:
    return page.letters(64, "signature")


def events(page: AnswerPart) -> list[Event]:
    """The events of one part of a stream."""
    if page.first:
        return [("messageStart", {"role": "assistant"}), *_start(page, 0)]
    if page.last:
        metrics = {"latencyMs": page.took // MILLISECOND}
        return [
            *_stop(page, len(page.content.blocks) - 1),
            ("messageStop", {"stopReason": _STOP_REASONS[page.content.finish]}),
            ("metadata", {"usage": usage(page), "metrics": metrics}),
        ]
    number, nth = page.place
    begins = [*_stop(page, number - 1), *_start(page, number)] if nth == 0 and number else []
    return [*begins, _delta(number, _said(page))]


def _delta(number: int, said: Values) -> Event:
    return "contentBlockDelta", {"contentBlockIndex": number, "delta": said}


def _said(page: AnswerPart) -> Values:
    match page.block.kind:
        case "reasoning":
            return {"reasoningContent": {"text": page.piece}}
        case "call":
            return {"toolUse": {"input": page.piece}}
        case _:
            return {"text": page.piece}


def _start(page: AnswerPart, number: int) -> list[Event]:
    """Only a call has an event for its beginning."""
    if page.content.blocks[number].kind != "call":
        return []
    start = {"contentBlockIndex": number, "start": {"toolUse": _tool(page, number)}}
    return [("contentBlockStart", start)]


def _stop(page: AnswerPart, number: int) -> list[Event]:
    """The end of a block; that of reasoning is signed."""
    signed = [_delta(number, {"reasoningContent": {"signature": _signature(page)}})]
    stop: Event = ("contentBlockStop", {"contentBlockIndex": number})
    return [*(signed if page.content.blocks[number].kind == "reasoning" else ()), stop]
