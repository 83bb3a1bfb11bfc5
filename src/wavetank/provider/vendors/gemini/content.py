"""Gemini's content: generated at once, as a stream of events or of array elements, or only counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ...content import BlockKind
from ...dialect_base.shared import (
    EVENT_STREAM,
    JSON,
    InvalidRequest,
    Message,
    Values,
    as_list,
    as_mapping,
    call_arguments,
    json_object,
    no_text_request,
    not_served,
    text_request,
    whole_number,
)
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...schema_answers import JSON_OBJECT, Form
from ...wire_formats import json_bytes
from ..openai.embeddings import embedding_of, vector

_FINISH: Final = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
_SEPARATOR: Final = b",\r\n"
_SNAKE: Final = re.compile(r"[A-Z]")


@final
@dataclass(frozen=True, slots=True)
class Generate:
    """`…/models/{model}:generateContent` and `:streamGenerateContent`.

    Source: `GenerateContentResponse` of the Gemini API reference and of its SDK
    (`google.genai.types`). A stream is an array of responses, or with `alt=sse` one event each.
    `streamed` is `None` for one answer, else how the stream is written.
    """

    path: re.Pattern[str]
    name: str
    streamed: bool = False
    method: str = "POST"
    streams_as: str = JSON

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = _payload(request)
        config = as_mapping(_field(payload, "generationConfig"))
        _check_served(config)
        most = _field(config, "maxOutputTokens")
        if most is not None and not whole_number(most):
            raise _invalid("generation_config.max_output_tokens", "must be a positive integer")
        return text_request(
            request,
            payload,
            _messages(payload),
            model=found["model"],
            max_tokens=most,
            system=_text(_field(payload, "systemInstruction")),
            stream=self.streamed,
            form=_form(payload, config),
            reasoning=_thinks(_thinking(config)),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The whole answer."""
        thoughts, content = page.answer.reasoning_tokens, page.content
        parts = [_part(page, block.kind, block.text, block.name) for block in content.blocks]
        tokens = page.answer.completion_tokens - thoughts
        shown = [part for part in parts if part] or [{"text": ""}]
        return json_bytes(_response(page, shown, _FINISH[content.finish], tokens, thoughts))

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream; nothing is sent before the first token."""
        if page.first:
            return b"[" if self.streams_as == JSON else b""
        body = json_bytes(_chunk(page))
        if self.streams_as != JSON:
            return b"data: " + body + b"\r\n\r\n"
        return (_SEPARATOR if page.reply.index > 1 else b"") + body + (b"]" if page.last else b"")

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """An error in a stream: one more element, or one more event."""
        if self.streams_as != JSON:
            return b"data: " + json_bytes(body) + b"\r\n\r\n"
        before = b"[" if reply.index == 0 else _SEPARATOR if reply.index > 1 else b""
        return before + json_bytes(body) + b"]"


@final
@dataclass(frozen=True, slots=True)
class CountTokens(UnstreamedEndpoint):
    """`…/models/{model}:countTokens` (`CountTokensResponse`)."""

    path: re.Pattern[str]
    name: str = "count-tokens"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request, whose contents may be in a request of their own; see `Endpoint.read`."""
        payload = _payload(request)
        inner = as_mapping(_field(payload, "generateContentRequest")) or payload
        system = _text(_field(inner, "systemInstruction"))
        messages = _messages(inner)
        return no_text_request(request, payload, messages, model=found["model"], system=system, free=True)

    def plain(self, page: AnswerPart) -> bytes:
        """How many tokens the contents have."""
        tokens = page.answer.prompt_tokens
        return json_bytes({"totalTokens": tokens, "promptTokensDetails": _details(tokens)})


@final
@dataclass(frozen=True, slots=True)
class Embed(UnstreamedEndpoint):
    """`…/models/{model}:embedContent` and `:batchEmbedContents` (`EmbedContentResponse`)."""

    path: re.Pattern[str]
    name: str = "embeddings"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = _payload(request)
        return embedding_of(request, payload, found["model"], _texts_to_embed(payload))

    def plain(self, page: AnswerPart) -> bytes:
        """One vector for each content."""
        texts = _texts_to_embed(page.request.payload)
        vectors = [{"values": vector(text)} for text in texts]
        batch = "requests" in page.request.payload
        return json_bytes({"embeddings": vectors} if batch else {"embedding": vectors[0]})


SSE: Final = EVENT_STREAM.partition(";")[0]


# -- requests --------------------------------------------------------------------------------------


def _payload(request: HttpRequest) -> Values:
    payload = json_object(request.body)
    if payload is None:
        raise InvalidRequest(400, "Invalid JSON payload received. Expected an object.")
    return payload


def _field(values: Mapping[str, Any], name: str) -> Any:
    """A field by its name in camel case or in snake case: the API takes both."""
    if name in values:
        return values[name]
    return values.get(_SNAKE.sub(lambda found: f"_{found[0].lower()}", name))


def _invalid(place: str, what: str) -> InvalidRequest:
    return InvalidRequest(400, f"* GenerateContentRequest.{place}: {what}\n")


def _messages(payload: Mapping[str, Any]) -> list[Message]:
    """The contents as messages with their text."""
    contents = payload.get("contents")
    if contents is None or contents == []:
        raise _invalid("contents", "contents is not specified")
    if isinstance(contents, dict):
        contents = [contents]
    if not isinstance(contents, list) or not all(isinstance(one, dict) for one in contents):
        raise InvalidRequest(400, "Invalid value at 'contents' (type.googleapis.com/google.ai.Content)")
    return [
        {"role": content.get("role") or "user", "content": _text(content)}
        for content in (_checked(content, index) for index, content in enumerate(contents))
    ]


def _checked(content: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    parts = content.get("parts")
    if isinstance(parts, dict):
        return content
    if not isinstance(parts, list) or not parts:
        raise _invalid(f"contents[{index}].parts", "contents.parts must not be empty.")
    return content


def _text(content: object) -> str:
    parts = as_mapping(content).get("parts")
    if isinstance(parts, dict):
        parts = [parts]
    found: Iterable[object] = (
        (part.get("text") for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    )
    return "\n".join(text for text in found if isinstance(text, str))


def _form(payload: Mapping[str, Any], config: Mapping[str, Any]) -> Form | None:
    """A call of the first function where any must be called, else JSON where that is asked for."""
    calling = as_mapping(_field(as_mapping(_field(payload, "toolConfig")), "functionCallingConfig"))
    offered = _functions(payload.get("tools"))
    if str(calling.get("mode", "")).upper() == "ANY" and offered:
        allowed = as_list(_field(calling, "allowedFunctionNames")) or list(offered)
        name = next((name for name in offered if name in allowed), None)
        if name is None:
            raise _invalid("tool_config", "allowed_function_names must be names of declared functions")
        return Form(offered[name], name)
    schema = _field(config, "responseJsonSchema") or _field(config, "responseSchema")
    if isinstance(schema, Mapping):
        return Form(schema)
    return Form(JSON_OBJECT) if _field(config, "responseMimeType") == JSON else None


def _functions(tools: object) -> dict[str, Mapping[str, Any]]:
    found = {}
    for tool in as_list(tools):
        for function in as_list(_field(as_mapping(tool), "functionDeclarations")):
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                schema = _field(function, "parametersJsonSchema") or function.get("parameters")
                found[function["name"]] = as_mapping(schema or {"type": "object"})
    return found


def _thinking(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_mapping(_field(config, "thinkingConfig"))


def _thinks(thinking: Mapping[str, Any]) -> bool:
    """Whether the model is asked to think, shown or not: `thinkingBudget` 0 turns it off."""
    return bool(thinking) and _field(thinking, "thinkingBudget") != 0


def _check_served(config: Mapping[str, Any]) -> None:
    """Refuse what the fake does not imitate: output that is no text, and log probabilities."""
    modalities = as_list(_field(config, "responseModalities"))
    if any(str(one).upper() != "TEXT" for one in modalities) or _field(config, "speechConfig"):
        raise not_served("any output but text", "response_modalities")
    if _field(config, "responseLogprobs") or _field(config, "logprobs"):
        raise not_served("log probabilities from this provider", "response_logprobs")


def _texts_to_embed(payload: Mapping[str, Any]) -> list[str]:
    requests = payload.get("requests")
    asked_for = requests if isinstance(requests, list) and requests else [payload]
    contents = [as_mapping(one).get("content") for one in asked_for]
    if not all(isinstance(content, dict) for content in contents):
        raise InvalidRequest(400, "* EmbedContentRequest.content: contents is not specified\n")
    return [_text(content) for content in contents]


# -- answers ---------------------------------------------------------------------------------------


def _part(page: AnswerPart, kind: BlockKind, text: str, name: str = "") -> Values:
    """A part that says something; what is thought is said only where the request includes it."""
    match kind:
        case "reasoning":
            return {"text": text, "thought": True} if _shows_thoughts(page) else {}
        case "call":
            return {"functionCall": {"name": name, "args": call_arguments(text)}}
        case _:
            return {"text": text}


def _chunk(page: AnswerPart) -> Values:
    """A piece of text, or the whole of a call with its first piece; the last chunk says why it ends."""
    if page.last:
        finish, thoughts = _FINISH[page.content.finish], page.answer.reasoning_tokens
        return _response(page, [{"text": ""}], finish, page.answer.completion_tokens - thoughts, thoughts)
    number, nth = page.place
    block = page.content.blocks[number]
    thoughts = min(page.reply.index, len(page.content.pieces_of("reasoning")))
    part: Values = {}
    if block.kind != "call":
        part = _part(page, block.kind, page.piece)
    elif nth == 0:
        part = _part(page, "call", block.text, block.name)
    return _response(page, [part or {"text": ""}], None, page.reply.index - thoughts, thoughts)


def _shows_thoughts(page: AnswerPart) -> bool:
    config = as_mapping(_field(page.request.payload, "generationConfig"))
    return _field(_thinking(config), "includeThoughts") is True


def _response(
    page: AnswerPart, parts: list[Values], finish: str | None, tokens: int, thoughts: int
) -> Values:
    ended = {"finishReason": finish} if finish is not None else {}
    candidate = {"content": {"parts": parts, "role": "model"}, **ended, "index": 0}
    prompt = page.answer.prompt_tokens
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": prompt,
            "candidatesTokenCount": tokens,
            **({"thoughtsTokenCount": thoughts} if thoughts else {}),
            "totalTokenCount": prompt + tokens + thoughts,
            "promptTokensDetails": _details(prompt),
        },
        "modelVersion": page.request.model,
        "responseId": page.letters(22),
    }


def _details(tokens: int) -> list[Values]:
    return [{"modality": "TEXT", "tokenCount": tokens}]
