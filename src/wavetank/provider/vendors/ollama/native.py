"""Ollama's own endpoints: one JSON object a line, and the last one says that it is done.

Source: `docs/api.md` of ollama/ollama and the types of its SDK (`ollama._types`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from ...content import Block
from ...dialect_base.shared import (
    InvalidRequest,
    Message,
    Values,
    as_mapping,
    call_arguments,
    empty_request,
    json_object,
    not_served,
    text_request,
)
from ...dialect_base.wire_dialect import AnswerPart, Endpoint, UnstreamedEndpoint
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...schema_answers import JSON_OBJECT, Form
from ...wire_formats import json_bytes, rfc3339
from ..openai.embeddings import embedding_of, texts_of, vector
from ..openai.models import Models

NDJSON: Final = "application/x-ndjson"

_DETAILS: Final = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}


@final
@dataclass(frozen=True, slots=True)
class Generation:
    """`POST /api/chat` and `POST /api/generate`; both stream by default."""

    path: re.Pattern[str]
    name: Literal["native-chat", "native-generate"]
    method: str = "POST"
    streams_as: str = NDJSON

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = _payload(request)
        if not isinstance(payload.get("stream"), bool | None):
            raise InvalidRequest(400, "stream must be a boolean")
        if payload.get("logprobs") or payload.get("top_logprobs"):
            raise not_served("log probabilities from this provider", "logprobs")
        most = as_mapping(payload.get("options")).get("num_predict")
        return text_request(
            request,
            payload,
            self._messages(payload),
            model=payload["model"],
            max_tokens=most if isinstance(most, int) and most > 0 else None,
            system=payload.get("system") or "" if isinstance(payload.get("system"), str | None) else "",
            stream=payload.get("stream") is not False,
            form=_form(payload.get("format")),
            reasoning=bool(payload.get("think")),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The whole answer as one object."""
        content = page.content
        return json_bytes(self._line(page, content.text, content.reasoning, content.calls) | _done(page))

    def part(self, page: AnswerPart) -> bytes:
        """One line; nothing is sent before the first token."""
        if page.first:
            return b""
        if page.last:
            return json_bytes(self._line(page, "") | _done(page)) + b"\n"
        number, nth = page.place
        block = page.content.blocks[number]
        text, thinking = (page.piece if block.kind == kind else "" for kind in ("text", "reasoning"))
        calls = (block,) if block.kind == "call" and nth == 0 else ()
        return json_bytes(self._line(page, text, thinking, calls) | {"done": False}) + b"\n"

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """An error is the last line."""
        return json_bytes(body) + b"\n"

    def _messages(self, payload: Values) -> list[Message]:
        if self.name == "native-generate":
            prompt = payload.get("prompt", "")
            if not isinstance(prompt, str):
                raise InvalidRequest(400, "prompt must be a string")
            return [{"role": "user", "content": prompt}]
        messages = payload.get("messages")
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            raise InvalidRequest(400, "messages must be a list of objects")
        return messages

    def _line(self, page: AnswerPart, text: str, thinking: str = "", calls: tuple[Block, ...] = ()) -> Values:
        line: Values = {"model": page.request.model, "created_at": rfc3339(page.epoch_ns + page.reply.at)}
        thought = {"thinking": thinking} if thinking else {}
        if self.name == "native-generate":
            return line | {"response": text} | thought
        called = {"tool_calls": [_call(call) for call in calls]} if calls else {}
        return line | {"message": {"role": "assistant", "content": text, **thought, **called}}


@final
@dataclass(frozen=True, slots=True)
class Embed(UnstreamedEndpoint):
    """`POST /api/embed` (`EmbedResponse` of the SDK)."""

    path: re.Pattern[str]
    name: str = "native-embed"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = _payload(request)
        return embedding_of(request, payload, payload["model"], texts_of(payload.get("input")))

    def plain(self, page: AnswerPart) -> bytes:
        """One vector for each text."""
        texts = texts_of(page.request.payload.get("input"))
        return json_bytes(
            {
                "model": page.request.model,
                "embeddings": [vector(text) for text in texts],
                "total_duration": page.took,
                "load_duration": 0,
                "prompt_eval_count": page.answer.prompt_tokens,
            }
        )


@final
@dataclass(frozen=True, slots=True)
class Show(UnstreamedEndpoint):
    """`POST /api/show` (`ShowResponse` of the SDK); clients ask it what a model can do."""

    path: re.Pattern[str]
    name: str = "show"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request, which may call the model `name`; see `Endpoint.read`."""
        payload = json_object(request.body) or {}
        model = payload.get("model") or payload.get("name")
        if not isinstance(model, str):
            raise InvalidRequest(400, "model is required")
        return empty_request(model)

    def plain(self, page: AnswerPart) -> bytes:
        """What is known of the model."""
        shown = {
            "modelfile": "",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": _DETAILS,
            "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
            "capabilities": ["completion", "tools"],
            "modified_at": rfc3339(page.epoch_ns),
        }
        return json_bytes(shown)


@final
@dataclass(frozen=True, slots=True)
class Version(UnstreamedEndpoint):
    """`GET /api/version`."""

    path: re.Pattern[str]
    name: str = "version"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        return empty_request()

    def plain(self, page: AnswerPart) -> bytes:
        """The version."""
        return json_bytes({"version": "0.14.0"})


# -- requests --------------------------------------------------------------------------------------


def _payload(request: HttpRequest) -> Values:
    payload = json_object(request.body)
    if payload is None:
        raise InvalidRequest(400, "invalid request body: a JSON object is expected")
    model = payload.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest(400, "model is required")
    return payload


def _form(wanted: object) -> Form | None:
    """JSON where `format` asks for it. Tools are only offered, so none is called."""
    if isinstance(wanted, Mapping):
        return Form(wanted)
    return Form(JSON_OBJECT) if wanted == "json" else None


# -- answers ---------------------------------------------------------------------------------------


def _call(call: Block) -> Values:
    return {"function": {"name": call.name, "arguments": call_arguments(call.text)}}


def _done(page: AnswerPart) -> Values:
    """That it is done and why, durations in nanoseconds, and the counts of tokens."""
    return {
        "done": True,
        "done_reason": "length" if page.content.finish == "length" else "stop",
        "total_duration": page.took,
        "load_duration": 0,
        "prompt_eval_count": page.answer.prompt_tokens,
        "prompt_eval_duration": 0,
        "eval_count": page.answer.completion_tokens,
        "eval_duration": page.took,
    }


def _model(name: str, page: AnswerPart) -> Values:
    return {
        "name": name,
        "model": name,
        "modified_at": rfc3339(page.epoch_ns),
        "size": 2019393189,
        "digest": page.digits(64, "model"),
        "details": _DETAILS,
    }


NATIVE: Final[tuple[Endpoint, ...]] = (
    Generation(re.compile(r"/api/chat"), "native-chat"),
    Generation(re.compile(r"/api/generate"), "native-generate"),
    Embed(re.compile(r"/api/embed")),
    Models(
        re.compile(r"/api/tags"),
        ("llama3.2:latest",),
        entry=_model,
        whole=lambda entries: {"models": entries},
        name="tags",
    ),
    Show(re.compile(r"/api/show")),
    Version(re.compile(r"/api/version")),
)
"""What its own SDK calls."""
