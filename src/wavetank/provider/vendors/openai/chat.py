"""Chat completions in OpenAI's format, and how other vendors with this format differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, final

from ...content import Block
from ...dialect_base.shared import DONE, EVENT_STREAM, Values, data_event, text_request
from ...dialect_base.wire_dialect import AnswerPart
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...wire_formats import json_bytes
from .logprobs import asked_in_chat, of_chat
from .requests import (
    check_served,
    copies_of,
    form_of,
    hides_reasoning,
    max_tokens_of,
    messages_of,
    model_of,
    payload_of,
    reasons,
    stream_of,
)


def _ident(page: AnswerPart) -> str:
    return f"chatcmpl-{page.letters(29)}"


def _call_ident(page: AnswerPart, number: int) -> str:
    return f"call_{page.letters(24, 'call', number)}"


def hidden(page: AnswerPart, reasoning: str, text: str | None) -> Values:
    """Reasoning is charged for, and not shown."""
    return {}


def shown_as(name: str) -> Callable[[AnswerPart, str, str | None], Values]:
    """Reasoning is a field of this name beside the content."""

    def shown(page: AnswerPart, reasoning: str, text: str | None) -> Values:
        return {} if hides_reasoning(page.request.payload) else {name: reasoning}

    return shown


def nothing(page: AnswerPart) -> Values:
    """No fields."""
    return {}


def usage(page: AnswerPart) -> Values:
    """What was charged: the three counts that all have in common."""
    prompt, completion = page.answer.prompt_tokens, page.answer.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _detailed(page: AnswerPart) -> Values:
    return {
        **usage(page),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": page.answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """How one provider fills in the format; the defaults are OpenAI's own.

    `top` are fields of every body and chunk, `plain` those only of a plain answer. `choice`
    stands in each choice, `message` in a plain message, `delta` in the first of a stream and `deltas` in
    each of a stream.
    `usage_in`: a chunk of its own if the request asks for one, always, or the last chunk.
    `before` are bytes that come before the first chunk and `done` those after the last; `failed`
    makes an error body the data of an event, and `after_failure` comes after that.
    `whole_calls`: a stream has a tool call in one chunk instead of pieces. `numbered_calls`: a call has
    its index in a plain answer, too. `copies` reads how many choices an answer has. `thought` has the
    fields of reasoning: those of a piece in a stream, or with the text those of a plain message.
    `logprobs`: log probabilities are served.
    `reasoners` are patterns of models that always think.
    """

    ident: Callable[[AnswerPart], str] = _ident
    call_ident: Callable[[AnswerPart, int], str] = _call_ident
    top: Callable[[AnswerPart], Values] = lambda page: {"service_tier": "default", "system_fingerprint": None}
    plain: Callable[[AnswerPart], Values] = nothing
    choice: Mapping[str, Any] = field(default_factory=lambda: {"logprobs": None})
    message: Mapping[str, Any] = field(default_factory=lambda: {"refusal": None, "annotations": []})
    delta: Mapping[str, Any] = field(default_factory=lambda: {"refusal": None})
    deltas: Mapping[str, Any] = field(default_factory=dict)
    usage: Callable[[AnswerPart], Values] = _detailed
    usage_in: Literal["asked-for", "own-chunk", "last-chunk"] = "asked-for"
    before: Callable[[AnswerPart], bytes] = lambda page: b""
    done: bytes = DONE
    failed: Callable[[Any, Request, Reply, int], Any] = lambda body, request, reply, epoch_ns: body
    after_failure: bytes = b""
    whole_calls: bool = False
    numbered_calls: bool = False
    copies: Callable[[Mapping[str, Any]], int] = copies_of
    thought: Callable[[AnswerPart, str, str | None], Values] = hidden
    logprobs: bool = True
    reasoners: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Chat:
    """`POST …/chat/completions`.

    Source: the OpenAPI description of OpenAI (`CreateChatCompletionResponse`,
    `CreateChatCompletionStreamResponse`) and the types of its SDK (`openai.types.chat`).
    Where the path has a group `model`, that is the model.
    """

    path: re.Pattern[str]
    flavour: Flavour = Flavour()
    name: str = "chat"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        check_served(payload)
        asked_in_chat(payload, served=self.flavour.logprobs)
        in_path = found.groupdict().get("model")
        return text_request(
            request,
            payload,
            model=in_path or model_of(payload),
            messages=messages_of(payload),
            stream=stream_of(payload),
            max_tokens=max_tokens_of(payload),
            form=form_of(payload),
            copies=self.flavour.copies(payload),
            reasoning=reasons(payload)
            or any(fnmatchcase(payload["model"], each) for each in self.flavour.reasoners),
        )

    # -- answers ---------------------------------------------------------------------------------

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        flavour, content = self.flavour, page.content
        text, calls = content.text, content.calls
        said = text if text or not calls else None
        message: Values = {"role": "assistant", "content": said, **flavour.message}
        if content.reasoning:
            message |= flavour.thought(page, content.reasoning, text)
        if calls:
            message["tool_calls"] = [self._call(page, n, call.text) for n, call in enumerate(calls)]
        choices = [
            {"index": index, "message": message, **self._choice(page, content.blocks, content.finish)}
            for index in range(page.answer.copies)
        ]
        body = self._envelope(page, "chat.completion", choices)
        body["usage"] = flavour.usage(page)
        body.update(flavour.plain(page))
        return json_bytes(body)

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""
        if page.first:
            return self.flavour.before(page) + self._chunks(page, self._opening(page))
        if not page.last:
            return self._chunks(page, self._delta(page))
        return self._closing(page) + self.flavour.done

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """An error in a stream: an event like any other."""
        return data_event(self.flavour.failed(body, request, reply, epoch_ns)) + self.flavour.after_failure

    def _choice(self, page: AnswerPart, blocks: Sequence[Block], finish: str | None) -> Values:
        """What stands in a choice beside what it says."""
        logprobs = of_chat(page.request.payload, blocks)
        own = {"logprobs": logprobs} if logprobs is not None and self.flavour.logprobs else {}
        return {**self.flavour.choice, **own, "finish_reason": finish}

    def _call(self, page: AnswerPart, number: int, arguments: str) -> Values:
        function = {"name": page.calls[number].name, "arguments": arguments}
        index = {"index": number} if self.flavour.numbered_calls else {}
        return {
            **index,
            "id": self.flavour.call_ident(page, number),
            "type": "function",
            "function": function,
        }

    def _opening(self, page: AnswerPart) -> Values:
        delta: Values = {"role": "assistant", "content": "", **self.flavour.delta}
        if page.content.blocks[0].kind == "call" and not self.flavour.whole_calls:
            delta |= {"content": None, "tool_calls": [{"index": 0, **self._call(page, 0, "")}]}
        return delta

    def _delta(self, page: AnswerPart) -> Values:
        number, nth = page.place
        block = page.content.blocks[number]
        piece = block.pieces[nth]
        if block.kind == "text":
            return {"content": piece}
        if block.kind == "reasoning":
            return self.flavour.thought(page, piece, None) or {"content": ""}
        call = page.call_number(number)
        if self.flavour.whole_calls:
            whole = {"index": call, **self._call(page, call, block.text)} if nth == 0 else None
            return {"content": "", "tool_calls": [whole]} if whole else {"content": ""}
        if nth == 0 and number > 0:
            return {"tool_calls": [{"index": call, **self._call(page, call, piece)}]}
        return {"tool_calls": [{"index": call, "function": {"arguments": piece}}]}

    def _chunks(self, page: AnswerPart, delta: Values, finish: str | None = None) -> bytes:
        """One chunk for each choice."""
        return b"".join(self._chunk(page, index, delta, finish) for index in range(page.answer.copies))

    def _chunk(self, page: AnswerPart, index: int, delta: Values, finish: str | None) -> bytes:
        said = (Block("text", (delta["content"],)),) if page.carries("text") else ()
        choice = {
            "index": index,
            "delta": {**self.flavour.deltas, **delta},
            **self._choice(page, said, finish),
        }
        body = self._envelope(page, "chat.completion.chunk", [choice])
        if self.flavour.usage_in == "asked-for" and asks_for_usage(page):
            body["usage"] = None
        if self.flavour.usage_in == "last-chunk" and page.last and index == page.answer.copies - 1:
            body["usage"] = self.flavour.usage(page)
        return data_event(body)

    def _closing(self, page: AnswerPart) -> bytes:
        last = self._chunks(
            page, {"content": ""} if self.flavour.usage_in == "last-chunk" else {}, page.content.finish
        )
        own = self.flavour.usage_in
        if own == "own-chunk" or (own == "asked-for" and asks_for_usage(page)):
            body = self._envelope(page, "chat.completion.chunk", [])
            return last + data_event(body | {"usage": self.flavour.usage(page)})
        return last

    def _envelope(self, page: AnswerPart, kind: str, choices: list[Values]) -> Values:
        return {
            "id": self.flavour.ident(page),
            "object": kind,
            "created": page.created,
            "model": page.request.model,
            "choices": choices,
            **self.flavour.top(page),
        }


def asks_for_usage(page: AnswerPart) -> bool:
    """Whether a stream is to end with what was charged."""
    options = page.request.payload.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
