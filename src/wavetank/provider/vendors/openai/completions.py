"""OpenAI's completions of a text, the format from before there was chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from ...dialect_base.shared import DONE, EVENT_STREAM, Message, data_event, text_request
from ...dialect_base.wire_dialect import AnswerPart
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...wire_formats import json_bytes
from .chat import asks_for_usage, usage
from .embeddings import texts_of
from .logprobs import check_count, of_completion
from .requests import copies_of, max_tokens_of, model_of, payload_of, stream_of

_LONGEST: Final = 16
"""The tokens of an answer where the request names no `max_tokens` (`CreateCompletionRequest`)."""


def _finish(page: AnswerPart) -> str:
    """Tools cannot be called here."""
    return "stop" if page.content.finish == "tool_calls" else page.content.finish


def _ident(page: AnswerPart) -> str:
    return f"cmpl-{page.letters(29)}"


@final
@dataclass(frozen=True, slots=True)
class Completions:
    """`POST …/completions`; each of several prompts gets a choice of its own, all with one item's text.

    Source: `CreateCompletionRequest` and `CreateCompletionResponse` of OpenAI's OpenAPI description.
    `choice` stands in each choice, and `after_failure` comes after an error in a stream.
    """

    path: re.Pattern[str]
    ident: Callable[[AnswerPart], str] = _ident
    choice: Mapping[str, Any] = field(default_factory=dict)
    after_failure: bytes = b""
    name: str = "completions"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        check_count(payload.get("logprobs"), "logprobs")
        prompts = texts_of(payload.get("prompt"), "prompt")
        messages: list[Message] = [{"role": "user", "content": prompt} for prompt in prompts]
        return text_request(
            request,
            payload,
            messages,
            model=model_of(payload),
            stream=stream_of(payload),
            max_tokens=max_tokens_of(payload, ("max_tokens",)) or _LONGEST,
            copies=copies_of(payload) * len(prompts),
        )

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        choices = [
            self._choice(page, index, page.content.pieces_of("text"), 0)
            for index in range(page.answer.copies)
        ]
        return json_bytes(self._envelope(page, choices) | {"usage": usage(page)})

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream; it has no opening."""
        if page.first:
            return b""
        pieces = (page.piece,) if page.carries("text") else ()
        before = sum(map(len, page.content.pieces_of("text")[: page.place[1]])) if pieces else len(page.text)
        data = b"".join(
            data_event(self._envelope(page, [self._choice(page, index, pieces, before)]))
            for index in range(page.answer.copies)
        )
        if not page.last:
            return data
        usage_event = b""
        if asks_for_usage(page):
            usage_event = data_event(self._envelope(page, []) | {"usage": usage(page)})
        return data + usage_event + DONE

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """An error in a stream: an event like any other."""
        return data_event(body) + self.after_failure

    def _choice(self, page: AnswerPart, index: int, pieces: tuple[str, ...], before: int) -> dict[str, Any]:
        """Some tokens of the text, before which so many characters come."""
        return {
            "text": "".join(pieces),
            "index": index,
            "logprobs": of_completion(page.request.payload, pieces, before),
            "finish_reason": _finish(page) if page.last else None,
            **self.choice,
        }

    def _envelope(self, page: AnswerPart, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.ident(page),
            "object": "text_completion",
            "created": page.created,
            "model": page.request.model,
            "choices": choices,
        }
