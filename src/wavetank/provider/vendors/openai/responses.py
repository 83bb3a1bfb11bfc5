"""OpenAI's responses, plain and streamed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from ...dialects.shared import EVENT_STREAM, Message, Values, as_mapping, asked, named_event, no_text_asked
from ...dialects.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...identity import text_of
from ...model import Reply
from ...request import Request
from ...schema_answers import Form
from ...wire_formats import base62, hexadecimal, json_bytes, unix_seconds
from .requests import called, max_tokens_of, missing, model_of, payload_of, stream_of, structured, wrong_type

# The codes that `ResponseError` of OpenAI's OpenAPI description knows among those of refusals.
_KNOWN_CODES = ("rate_limit_exceeded", "server_error")


@final
@dataclass(frozen=True, slots=True)
class Responses:
    """`POST …/responses`.

    Source: `Response` and the events of its stream in OpenAI's OpenAPI description, and the
    types of its SDK (`openai.types.responses`).
    """

    path: re.Pattern[str]
    name: str = "responses"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        return asked(
            request,
            payload,
            _messages(payload),
            model=model_of(payload),
            max_tokens=max_tokens_of(payload, ("max_output_tokens",)),
            system=text_of(payload.get("instructions")),
            stream=stream_of(payload),
            form=_form(payload),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        return json_bytes(_ended(page))

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream; its events are numbered."""
        if page.first:
            return _opening(page)
        if page.last:
            return _closing(page)
        at = {"item_id": _item_id(page), "output_index": 0, "delta": page.piece}
        number = page.reply.index + (2 if page.tool is not None else 3)
        if page.tool is not None:
            return _event("response.function_call_arguments.delta", number, at)
        return _event("response.output_text.delta", number, at | {"content_index": 0, "logprobs": []})

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """A response that failed; an error that is none of its codes is a `server_error`."""
        error = as_mapping(body.get("error"))
        code = error.get("code") if error.get("code") in _KNOWN_CODES else "server_error"
        began = request.arrived if request.arrived is not None else reply.at
        response = _response(request, reply, unix_seconds(began, epoch_ns)) | {
            "status": "failed",
            "error": {"code": code, "message": error.get("message", "")},
        }
        return _event("response.failed", reply.index + 3, {"response": response})


@final
@dataclass(frozen=True, slots=True)
class InputTokens(UnstreamedEndpoint):
    """`POST …/responses/input_tokens` (`InputTokenCountResponse` of the SDK)."""

    path: re.Pattern[str]
    name: str = "input-tokens"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        messages = [] if payload.get("input") is None else _messages(payload)
        model = "" if payload.get("model") is None else model_of(payload)
        system = text_of(payload.get("instructions"))
        return no_text_asked(request, payload, messages, model=model, system=system)

    def plain(self, page: AnswerPart) -> bytes:
        """How many tokens the input has."""
        return json_bytes({"object": "response.input_tokens", "input_tokens": page.answer.prompt_tokens})


# -- requests --------------------------------------------------------------------------------------


def _messages(payload: Mapping[str, Any]) -> list[Message]:
    """The input as messages; it is a text, or a list in which not all items are messages."""
    given = payload.get("input")
    if given is None:
        raise missing("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise wrong_type("input", "a string or an array of at least one object")
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise wrong_type(f"input[{index}]", "an object")
        if item.get("type", "message") == "message" and not isinstance(item.get("role"), str):
            raise missing(f"input[{index}].role")
    return given


def _form(payload: Mapping[str, Any]) -> Form | None:
    text = as_mapping(payload.get("text"))
    return called(payload.get("tools"), payload.get("tool_choice")) or structured(text.get("format"))


# -- answers ---------------------------------------------------------------------------------------


def _response(request: Request, reply: Reply, created: int) -> Values:
    """A response that has only begun."""
    payload = request.payload
    return {
        "id": f"resp_{hexadecimal(48, 'openai', 'response', reply.request_id)}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": payload.get("instructions"),
        "max_output_tokens": request.max_tokens,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": payload.get("parallel_tool_calls", True),
        "previous_response_id": payload.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": payload.get("store", True),
        "temperature": payload.get("temperature", 1.0),
        "text": payload.get("text", {"format": {"type": "text"}}),
        "tool_choice": payload.get("tool_choice", "auto"),
        "tools": payload.get("tools", []),
        "top_p": payload.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": payload.get("user"),
        "metadata": payload.get("metadata") or {},
    }


def _begun(page: AnswerPart) -> Values:
    return _response(page.request, page.reply, page.created)


def _ended(page: AnswerPart) -> Values:
    cut = page.answer.finish == "length"
    return _begun(page) | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [_item(page, page.text, "incomplete" if cut else "completed")],
        "usage": _usage(page),
    }


def _usage(page: AnswerPart) -> Values:
    prompt, completion = page.answer.prompt_tokens, page.answer.completion_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }


def _item_id(page: AnswerPart) -> str:
    return f"{'msg' if page.tool is None else 'fc'}_{page.digits(48, 'item')}"


def _item(page: AnswerPart, text: str, status: str) -> Values:
    if page.tool is None:
        content = [] if status == "in_progress" else [_part(text)]
        return {
            "id": _item_id(page),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }
    call_id = f"call_{base62(24, 'openai', 'call', page.reply.request_id)}"
    return {
        "id": _item_id(page),
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": page.tool,
        "arguments": text,
    }


def _part(text: str) -> Values:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


# -- events ----------------------------------------------------------------------------------------


def _event(kind: str, number: int, values: Values) -> bytes:
    return named_event({"type": kind, "sequence_number": number, **values})


def _opening(page: AnswerPart) -> bytes:
    begun = _begun(page)
    item = {"output_index": 0, "item": _item(page, "", "in_progress")}
    events = (
        _event("response.created", 0, {"response": begun})
        + _event("response.in_progress", 1, {"response": begun})
        + _event("response.output_item.added", 2, item)
    )
    if page.tool is not None:
        return events
    return events + _event("response.content_part.added", 3, _place(page) | {"part": _part("")})


def _closing(page: AnswerPart) -> bytes:
    cut = page.answer.finish == "length"
    events: list[tuple[str, Values]] = []
    if page.tool is not None:
        done = {"item_id": _item_id(page), "output_index": 0, "name": page.tool, "arguments": page.text}
        events.append(("response.function_call_arguments.done", done))
    else:
        at = _place(page)
        events.append(("response.output_text.done", at | {"text": page.text, "logprobs": []}))
        events.append(("response.content_part.done", at | {"part": _part(page.text)}))
    item = _item(page, page.text, "incomplete" if cut else "completed")
    events.append(("response.output_item.done", {"output_index": 0, "item": item}))
    events.append((f"response.{'incomplete' if cut else 'completed'}", {"response": _ended(page)}))
    first = page.reply.index + (2 if page.tool is not None else 3)
    return b"".join(_event(kind, first + n, values) for n, (kind, values) in enumerate(events))


def _place(page: AnswerPart) -> Values:
    return {"item_id": _item_id(page), "output_index": 0, "content_index": 0}
