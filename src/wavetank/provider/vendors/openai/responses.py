"""OpenAI's responses: plain, streamed, and in the background."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from msgspec.structs import replace

from ...batches.batch import Line
from ...batches.endpoint import made
from ...batches.results import answer_part
from ...batches.service import BatchService
from ...content import Block
from ...dialect_base.shared import (
    EVENT_STREAM,
    Message,
    Values,
    as_list,
    as_mapping,
    named_event,
    no_text_request,
    text_request,
)
from ...dialect_base.wire_dialect import AnswerPart, Endpoint, UnstreamedEndpoint
from ...http import HttpRequest
from ...identity import text_of
from ...model import Made, Reply
from ...request import Action, Request
from ...schema_answers import Form
from ...wire_formats import hexadecimal, json_bytes, unix_seconds
from .logprobs import MOST_ALTERNATIVES, check_count, entries
from .requests import (
    called,
    check_served,
    max_tokens_of,
    missing,
    model_of,
    payload_of,
    reasons,
    stream_of,
    structured,
    wrong_type,
)

_CUT: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete."""
IN_BACKGROUND: Final = "resp_bg"
"""The ids of responses in the background begin with it: only these are kept."""
_BEGINS: Final = 2
"""The events with which each stream begins."""
_PREFIXES: Final = {"reasoning": "rs", "text": "msg", "call": "fc"}

# The codes that `ResponseError` of OpenAI's OpenAPI description knows among those of refusals.
_KNOWN_CODES = ("rate_limit_exceeded", "server_error")


@final
@dataclass(frozen=True, slots=True)
class Responses:
    """`POST …/responses`.

    Source: `Response` and the events of its stream in OpenAI's OpenAPI description, and the
    types of its SDK (`openai.types.responses`). `background`: it serves responses in the background, too.
    """

    path: re.Pattern[str]
    background: bool = False
    name: str = "responses"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        check_served(payload)
        check_count(payload.get("top_logprobs"), "top_logprobs", MOST_ALTERNATIVES)
        read = text_request(
            request,
            payload,
            _messages(payload),
            model=model_of(payload),
            max_tokens=max_tokens_of(payload, ("max_output_tokens",)),
            system=text_of(payload.get("instructions")),
            stream=stream_of(payload),
            form=_form(payload),
            reasoning=reasons(payload),
        )
        if self.background and payload.get("background") is True and not read.stream:
            read.action, read.target = _queued(self), f"{request.method} {request.path}"
        return read

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        return json_bytes(ended(page))

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream; its events are numbered."""
        if page.first:
            return _numbered(0, [*_begins(page), *_opening(page, 0)])
        if page.last:
            return _numbered(_count_before(page, len(page.content.blocks)), _closing(page))
        number, nth = page.place
        first = _count_before(page, number, nth)
        changes = [*_ends(page, number - 1), *_opening(page, number)] if nth == 0 and number else []
        return _numbered(first, [*changes, *_delta(page, number)])

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """A response that failed; an error that is none of its codes is a `server_error`."""
        began = request.arrived if request.arrived is not None else reply.at
        response = failed(_response(request, reply, unix_seconds(began, epoch_ns)), body)
        return _numbered(reply.index + 3, [("failed", {"response": response})])


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
        return no_text_request(request, payload, messages, model=model, system=system, free=True)

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


def _queued(endpoint: Endpoint) -> Action:
    """Begin a response in the background: a request of its own, whose answer is fetched later."""

    def begin(kept: BatchService, request: Request, now: int) -> Made:
        asked = replace(request, id=0, action=None, target="", generates=True)
        line = Line(request=asked, endpoint=endpoint, custom_id=None)
        kept.take_on_one(request, line, now, ident=f"{IN_BACKGROUND}{kept.digits(46, 'response')}")
        return made(begun(answer_part(line, kept.epoch_ns)) | {"status": "queued"})

    return begin


def _form(payload: Mapping[str, Any]) -> Form | None:
    text = as_mapping(payload.get("text"))
    return called(payload.get("tools"), payload.get("tool_choice")) or structured(text.get("format"))


# -- answers ---------------------------------------------------------------------------------------


def _response(request: Request, reply: Reply, created: int) -> Values:
    """A response that has only begun."""
    payload, kept = request.payload, (request.batch or "").startswith(IN_BACKGROUND)
    return {
        "id": request.batch if kept else f"resp_{hexadecimal(48, 'openai', 'response', reply.request_id)}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": kept,
        "error": None,
        "incomplete_details": None,
        "instructions": payload.get("instructions"),
        "max_output_tokens": request.max_tokens,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": payload.get("parallel_tool_calls", True),
        "previous_response_id": payload.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None, **as_mapping(payload.get("reasoning"))},
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


def failed(response: Values, body: Mapping[str, Any]) -> Values:
    """A response that has failed with an error body; what is none of its codes is a `server_error`."""
    error = as_mapping(body.get("error"))
    code = error.get("code") if error.get("code") in _KNOWN_CODES else "server_error"
    return response | {"status": "failed", "error": {"code": code, "message": error.get("message", "")}}


def begun(page: AnswerPart) -> Values:
    """A response that has only begun."""
    return _response(page.request, page.reply, page.created)


def ended(page: AnswerPart) -> Values:
    """A response that has ended."""
    why = _CUT.get(page.content.finish)
    status = "completed" if why is None else "incomplete"
    return begun(page) | {
        "status": status,
        "incomplete_details": None if why is None else {"reason": why},
        "output": [_item(page, number, _status(page, number)) for number in range(len(page.content.blocks))],
        "usage": _usage(page),
    }


def _status(page: AnswerPart, number: int) -> str:
    """Of a whole item: the last one of an answer that is cut is incomplete."""
    last = number == len(page.content.blocks) - 1
    return "incomplete" if last and page.content.finish in _CUT else "completed"


def _usage(page: AnswerPart) -> Values:
    prompt, completion = page.answer.prompt_tokens, page.answer.completion_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": page.answer.reasoning_tokens},
        "total_tokens": prompt + completion,
    }


def _item_id(page: AnswerPart, number: int) -> str:
    prefix = _PREFIXES[page.content.blocks[number].kind]
    return f"{prefix}_{page.digits(48, 'item', number)}"


def _item(page: AnswerPart, number: int, status: str) -> Values:
    """A block as an item of the output; one that is in progress says nothing yet."""
    block, begun = page.content.blocks[number], status == "in_progress"
    item: Values = {"id": _item_id(page, number)}
    if block.kind == "reasoning":
        shown = not begun and _has_summary(page)
        item |= {"type": "reasoning", "summary": [_summary(block.text)] if shown else []}
        encrypted = "reasoning.encrypted_content" in as_list(page.request.payload.get("include"))
        return item | ({"encrypted_content": page.letters(64, "encrypted")} if encrypted else {})
    if block.kind == "text":
        content = [] if begun else [_part(page, block.pieces)]
        return item | {"type": "message", "status": status, "role": "assistant", "content": content}
    call_id = f"call_{page.letters(24, 'call', number)}"
    return item | {
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": block.name,
        "arguments": "" if begun else block.text,
    }


def _part(page: AnswerPart, pieces: Sequence[str]) -> Values:
    logprobs = entries(pieces, page.request.payload.get("top_logprobs") or 0) if _wants_logprobs(page) else []
    return {"type": "output_text", "text": "".join(pieces), "annotations": [], "logprobs": logprobs}


def _summary(text: str) -> Values:
    return {"type": "summary_text", "text": text}


def _has_summary(page: AnswerPart) -> bool:
    """Whether the reasoning is shown; without a summary it is only charged for."""
    reasoning = as_mapping(page.request.payload.get("reasoning"))
    return (reasoning.get("summary") or reasoning.get("generate_summary")) is not None


def _wants_logprobs(page: AnswerPart) -> bool:
    payload = page.request.payload
    return bool(payload.get("top_logprobs")) or "message.output_text.logprobs" in as_list(
        payload.get("include")
    )


# -- events ----------------------------------------------------------------------------------------

_Event = tuple[str, Values]


def _numbered(first: int, events: Sequence[_Event]) -> bytes:
    return b"".join(
        named_event({"type": f"response.{kind}", "sequence_number": number, **values})
        for number, (kind, values) in enumerate(events, start=first)
    )


def _count_before(page: AnswerPart, number: int, nth: int = 0) -> int:
    """How many events come before the part of a token: the `nth` of the block of this number.

    The end of a block, and the beginning of the next, come with the first token of that.
    """
    sizes = [_sizes(page, block) for block in page.content.blocks[: number + 1]]
    before = _BEGINS + sum(map(sum, sizes[:number]))
    if number and not nth:
        return before - sizes[number - 1][2]
    return before + sizes[number][0] + nth * _has_deltas(page, page.content.blocks[number])


def _sizes(page: AnswerPart, block: Block) -> tuple[int, int, int]:
    """How many events open a block, carry its tokens, and end it."""
    deltas = _has_deltas(page, block)
    around = (1, 2) if block.kind == "call" else (2, 3) if deltas else (1, 1)
    return around[0], len(block.pieces) * deltas, around[1]


def _has_deltas(page: AnswerPart, block: Block) -> bool:
    return block.kind != "reasoning" or _has_summary(page)


def _begins(page: AnswerPart) -> list[_Event]:
    response = {"response": begun(page)}
    return [("created", response), ("in_progress", response)]


def _opening(page: AnswerPart, number: int) -> list[_Event]:
    """A block begins."""
    block, at = page.content.blocks[number], _place(page, number)
    added: _Event = (
        "output_item.added",
        {"output_index": number, "item": _item(page, number, "in_progress")},
    )
    if block.kind == "call" or not _has_deltas(page, block):
        return [added]
    if block.kind == "reasoning":
        return [added, ("reasoning_summary_part.added", at | {"part": _summary("")})]
    return [added, ("content_part.added", at | {"part": _part(page, ())})]


def _delta(page: AnswerPart, number: int) -> list[_Event]:
    """One token."""
    block, at = page.content.blocks[number], _place(page, number) | {"delta": page.piece}
    if not _has_deltas(page, block):
        return []
    if block.kind == "text":
        return [("output_text.delta", at | {"logprobs": _part(page, (page.piece,))["logprobs"]})]
    kind = "function_call_arguments" if block.kind == "call" else "reasoning_summary_text"
    return [(f"{kind}.delta", at)]


def _ends(page: AnswerPart, number: int) -> list[_Event]:
    """A block ends."""
    block, at = page.content.blocks[number], _place(page, number)
    events: list[_Event] = []
    if block.kind == "call":
        events = [("function_call_arguments.done", at | {"name": block.name, "arguments": block.text})]
    elif block.kind == "text":
        part = _part(page, block.pieces)
        events = [
            ("output_text.done", at | {"text": block.text, "logprobs": part["logprobs"]}),
            ("content_part.done", at | {"part": part}),
        ]
    elif _has_deltas(page, block):
        events = [
            ("reasoning_summary_text.done", at | {"text": block.text}),
            ("reasoning_summary_part.done", at | {"part": _summary(block.text)}),
        ]
    item = _item(page, number, _status(page, number))
    return [*events, ("output_item.done", {"output_index": number, "item": item})]


def _closing(page: AnswerPart) -> list[_Event]:
    response = ended(page)
    return [*_ends(page, len(page.content.blocks) - 1), (response["status"], {"response": response})]


def _place(page: AnswerPart, number: int) -> Values:
    """Where in the output an event belongs."""
    at: Values = {"item_id": _item_id(page, number), "output_index": number}
    kind = page.content.blocks[number].kind
    return at | (
        {"content_index": 0} if kind == "text" else {"summary_index": 0} if kind == "reasoning" else {}
    )
