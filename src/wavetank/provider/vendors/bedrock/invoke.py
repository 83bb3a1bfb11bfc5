"""InvokeModel of Amazon Bedrock: each maker's models have a format of their own.

Sources: "Inference request parameters and response fields for foundation models" of the user guide of Amazon
Bedrock, and what its users have quoted of streams (`amazon-bedrock-invocationMetrics`).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

import msgspec

from ....clock import MILLISECOND
from ...dialect_base.shared import (
    InvalidRequest,
    Values,
    as_mapping,
    no_text_request,
    text_request,
    whole_number,
)
from ...dialect_base.wire_dialect import AnswerPart, OwnHead, UnstreamedEndpoint
from ...event_stream import CONTENT_TYPE, message
from ...http import Headers, HttpRequest
from ...model import Reply
from ...request import Request
from ...wire_formats import json_bytes
from ..anthropic.messages import Messages
from ..openai.embeddings import vector
from . import converse
from .converse import conversation, failure, invalid, model_of, payload_of

Found = re.Match[str]

_PADDING: Final = "abcdefghijklmnopqrstuvwxyz"
_EMBEDDING: Final = 1024
"""The length of a vector of Titan's where the request names none."""


def required(key: str) -> InvalidRequest:
    """A body does not have what its model needs."""
    return invalid(
        f"Malformed input request: #: required key [{key}] not found, please reformat your input and try "
        "again."
    )


class ModelFormat(Protocol):
    """How the models of one maker are asked and answer."""

    def read(self, request: HttpRequest, found: Found, payload: Values, *, stream: bool) -> Request:
        """Read a request."""

    def plain(self, page: AnswerPart) -> Values:
        """A plain answer."""

    def chunks(self, page: AnswerPart) -> list[Values]:
        """What one part of a stream says."""


@final
class _Claude:
    """Anthropic's messages, with `anthropic_version` in the place of the model."""

    _messages: Final = Messages(re.compile(""), idents="msg_bdrk_01")
    _streamed: Final = Messages(re.compile(""), idents="msg_bdrk_01", streamed=True)

    def read(self, request: HttpRequest, found: Found, payload: Values, *, stream: bool) -> Request:
        if not payload.get("anthropic_version"):
            raise required("anthropic_version")
        read = (self._streamed if stream else self._messages).read(request, found)
        read.model, read.stream = model_of(found), stream
        return read

    def plain(self, page: AnswerPart) -> Values:
        whole: Values = msgspec.json.decode(self._messages.plain(page))
        return whole

    def chunks(self, page: AnswerPart) -> list[Values]:
        lines = self._messages.part(page).splitlines()
        said = [msgspec.json.decode(line[6:]) for line in lines if line.startswith(b"data: ")]
        return [each for each in said if each["type"] != "ping"]


@final
class _Nova:
    """The format of Converse, in the body."""

    def read(self, request: HttpRequest, found: Found, payload: Values, *, stream: bool) -> Request:
        return conversation(request, payload, model_of(found), stream=stream)

    def plain(self, page: AnswerPart) -> Values:
        return converse.answer(page)

    def chunks(self, page: AnswerPart) -> list[Values]:
        return [{name: said} for name, said in converse.events(page)]


@final
@dataclass(frozen=True, slots=True)
class _Completion:
    """A prompt and its continuation: in which field each is, and which limits the length.

    `prompt` is the field of the prompt, and `longest` where the longest answer is, one field in another.
    """

    prompt: str
    longest: tuple[str, ...]
    said: Any

    def read(self, request: HttpRequest, found: Found, payload: Values, *, stream: bool) -> Request:
        prompt = payload.get(self.prompt)
        if not isinstance(prompt, str):
            raise required(self.prompt)
        wanted: Any = payload
        for name in self.longest:
            wanted = as_mapping(wanted).get(name)
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": prompt}]
        longest = int(wanted) if whole_number(wanted) else None
        return text_request(
            request, payload, messages, model=model_of(found), max_tokens=longest, stream=stream
        )

    def plain(self, page: AnswerPart) -> Values:
        whole: Values = self.said(page, page.text, True, True)
        return whole

    def chunks(self, page: AnswerPart) -> list[Values]:
        if page.first:
            return []
        return [self.said(page, "" if page.last else page.piece, False, page.last)]


def _titan(page: AnswerPart, text: str, whole: bool, last: bool) -> Values:
    reason = {"stop": "FINISH", "length": "LENGTH"}.get(page.content.finish, "FINISH") if last else None
    spent, made = page.answer.prompt_tokens, page.answer.completion_tokens
    if whole:
        result = {"tokenCount": made, "outputText": text, "completionReason": reason}
        return {"inputTextTokenCount": spent, "results": [result]}
    return {
        "outputText": text,
        "index": 0,
        "totalOutputTextTokenCount": made if last else None,
        "completionReason": reason,
        "inputTextTokenCount": spent,
    }


def _llama(page: AnswerPart, text: str, whole: bool, last: bool) -> Values:
    begins = whole or page.reply.index == 1
    made = page.answer.completion_tokens if last else page.reply.index
    return {
        "generation": text,
        "prompt_token_count": page.answer.prompt_tokens if begins else None,
        "generation_token_count": made,
        "stop_reason": {"length": "length"}.get(page.content.finish, "stop") if last else None,
    }


def _mistral(page: AnswerPart, text: str, whole: bool, last: bool) -> Values:
    reason = {"length": "length"}.get(page.content.finish, "stop") if last else None
    return {"outputs": [{"text": text, "stop_reason": reason}]}


@final
class _TitanEmbedding:
    """One text and its vector."""

    def read(self, request: HttpRequest, found: Found, payload: Values, *, stream: bool) -> Request:
        text = payload.get("inputText")
        if not isinstance(text, str) or stream:
            raise required("inputText")
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": text}]
        read = no_text_request(request, payload, messages, model=model_of(found))
        read.generates = False
        return read

    def plain(self, page: AnswerPart) -> Values:
        payload = page.request.payload
        size = payload.get("dimensions")
        numbers = vector(payload["inputText"], size if isinstance(size, int) else _EMBEDDING)
        return {
            "embedding": numbers,
            "embeddingsByType": {"float": numbers},
            "inputTextTokenCount": page.answer.prompt_tokens,
        }

    def chunks(self, page: AnswerPart) -> list[Values]:
        return [self.plain(page)]


_CLAUDE: Final = _Claude()
_NOVA: Final = _Nova()
_TITAN: Final = _Completion("inputText", ("textGenerationConfig", "maxTokenCount"), _titan)
_LLAMA: Final = _Completion("prompt", ("max_gen_len",), _llama)
# By what a model is called, and for profiles without such a name by a field that only one format has.
_FORMATS: Final[tuple[tuple[str, ModelFormat], ...]] = (
    ("anthropic.", _CLAUDE),
    ("amazon.nova", _NOVA),
    ("amazon.titan-embed", _TitanEmbedding()),
    ("amazon.titan", _TITAN),
    ("meta.llama", _LLAMA),
    ("mistral.", _Completion("prompt", ("max_tokens",), _mistral)),
)
_FIELDS: Final[tuple[tuple[str, ModelFormat], ...]] = (
    ("anthropic_version", _CLAUDE),
    ("schemaVersion", _NOVA),
    ("max_gen_len", _LLAMA),
    ("inputText", _TITAN),
)


def format_of(model: str, payload: Mapping[str, Any]) -> ModelFormat:
    """The format of a model.

    Raises:
        InvalidRequest: it has one that the fake does not write.
    """
    for name, form in _FORMATS:
        if name in model:
            return form
    for field, form in _FIELDS:
        if field in payload:
            return form
    raise invalid(
        f"wavetank doesn't serve InvokeModel of {model}: use Converse, or a model of Anthropic, Amazon (Nova,"
        " Titan), Meta or Mistral."
    )


@final
@dataclass(frozen=True, slots=True)
class Invoke(OwnHead):
    """`POST /model/{modelId}/invoke` and `/invoke-with-response-stream`."""

    path: re.Pattern[str]
    streamed: bool = False
    name: str = "invoke"
    method: str = "POST"
    streams_as: str = CONTENT_TYPE

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        return format_of(model_of(found), payload).read(request, found, payload, stream=self.streamed)

    def headers(self, page: AnswerPart) -> Headers:
        """The tokens and the time, as of a plain answer; the type of what is in a stream."""
        if self.streamed:
            return (("x-amzn-bedrock-content-type", "application/json"),)
        metrics = _metrics(page)
        return (
            ("x-amzn-bedrock-invocation-latency", str(metrics["invocationLatency"])),
            ("x-amzn-bedrock-input-token-count", str(metrics["inputTokenCount"])),
            ("x-amzn-bedrock-output-token-count", str(metrics["outputTokenCount"])),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        return json_bytes(_format(page).plain(page))

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream: each chunk is JSON in base64; the last one has the metrics as well."""
        said = _format(page).chunks(page)
        if page.last and said:
            said[-1] = said[-1] | {"amazon-bedrock-invocationMetrics": _metrics(page)}
        return b"".join(map(_chunk, said))

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """The exception that a stream ends with."""
        return failure(body, request, reply, epoch_ns)


def _format(page: AnswerPart) -> ModelFormat:
    return format_of(page.request.model, page.request.payload)


def _chunk(said: Values) -> bytes:
    coded = b64encode(json_bytes(said)).decode()
    return message("event", "chunk", json_bytes({"bytes": coded, "p": _PADDING}))


def _metrics(page: AnswerPart) -> Values:
    took = page.took // MILLISECOND
    return {
        "inputTokenCount": page.answer.prompt_tokens,
        "outputTokenCount": page.answer.completion_tokens,
        "invocationLatency": took,
        "firstByteLatency": took,
    }


@final
@dataclass(frozen=True, slots=True)
class CountTokens(UnstreamedEndpoint):
    """`POST /model/{modelId}/count-tokens`: the tokens of a request of Converse or InvokeModel."""

    path: re.Pattern[str]
    name: str = "count-tokens"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        asked = as_mapping(payload_of(request).get("input"))
        inner, model = dict(as_mapping(asked.get("converse"))), model_of(found)
        if "invokeModel" in asked:
            body = _decoded(as_mapping(asked["invokeModel"]).get("body"))
            inside = msgspec.structs.replace(request, body=body)
            payload = payload_of(inside)
            read = format_of(model, payload).read(inside, found, payload, stream=False)
        else:
            read = conversation(request, inner, model, stream=False)
        read.max_tokens, read.form = 0, None
        return read

    def plain(self, page: AnswerPart) -> bytes:
        """How many tokens the request has."""
        return json_bytes({"inputTokens": page.answer.prompt_tokens})


def _decoded(value: object) -> bytes:
    try:
        return b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        return b""
