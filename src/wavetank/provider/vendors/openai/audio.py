"""Speech in OpenAI's format: what is transcribed, and what is spoken.

Source: OpenAI's OpenAPI description (`CreateTranscriptionResponseJson` and its like, `CreateSpeechRequest`)
and the types of its SDK (`openai.types.audio`).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ...dialect_base.shared import (
    EVENT_STREAM,
    JSON,
    Values,
    as_list,
    as_mapping,
    data_event,
    no_text_request,
    not_served,
    text_request,
)
from ...dialect_base.wire_dialect import AnswerPart, OwnHead, UnstreamedEndpoint
from ...http import HttpRequest
from ...model import Reply
from ...request import Request
from ...wire_formats import json_bytes
from . import files
from .form_requests import form_payload
from .requests import INVALID, missing, model_of, payload_of, wrong_type

_TEXT: Final = "text/plain; charset=utf-8"
_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt")
_SECOND: Final = 16_000
"""Bytes of a second of sound, as MP3 at 128 kbit/s has them."""
_SPOKEN: Final[Mapping[str, tuple[str, Callable[[], bytes]]]] = {
    "mp3": ("audio/mpeg", files.mp3),
    "wav": ("audio/wav", files.wav),
    "pcm": ("audio/pcm", files.pcm),
}


@final
@dataclass(frozen=True, slots=True)
class Transcriptions(OwnHead):
    """`POST …/audio/transcriptions` and `…/translations`.

    The item is the name of the file, unless the request names one. `extra` are fields of a JSON
    answer, in the place of the usage.
    """

    path: re.Pattern[str]
    extra: Callable[[AnswerPart], Values] | None = None
    name: str = "transcriptions"
    method: str = "POST"
    streams_as: str = EVENT_STREAM

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = form_payload(request)
        model = found.groupdict().get("model") or model_of(payload)
        filename = as_mapping(payload.get("file")).get("filename")
        if not isinstance(filename, str):
            raise missing("file")
        if payload.get("response_format", "json") not in _FORMATS:
            raise not_served("this format of a transcription", "response_format", kind=INVALID)
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": filename}]
        return text_request(request, payload, messages, model=model, system=str(payload.get("prompt", "")))

    def content_type(self, page: AnswerPart) -> str:
        """Text, unless JSON is asked for."""
        return JSON if _format(page).endswith("json") else _TEXT

    def plain(self, page: AnswerPart) -> bytes:
        """The body of a plain answer."""
        text = page.text
        match _format(page):
            case "text":
                return f"{text}\n".encode()
            case "srt":
                return f"1\n00:00:00,000 --> {_clock(page, ',')}\n{text}\n\n".encode()
            case "vtt":
                return f"WEBVTT\n\n00:00:00.000 --> {_clock(page, '.')}\n{text}\n\n".encode()
            case "verbose_json":
                body = _verbose(page)
            case _:
                body = {"text": text}
                if self.extra is None and not _translates(page):
                    body["usage"] = _usage(page)
        return json_bytes(body if self.extra is None else {**body, **self.extra(page)})

    def part(self, page: AnswerPart) -> bytes:
        """One part of a stream."""
        if page.last:
            done = {"type": "transcript.text.done", "text": page.text, "usage": _tokens(page)}
            return data_event(done)
        if page.first or not page.carries("text"):
            return b""
        return data_event({"type": "transcript.text.delta", "delta": page.piece})

    def failure(self, body: Any, request: Request, reply: Reply, epoch_ns: int) -> bytes:
        """An error in a stream."""
        return data_event({"type": "error", **body})


def _translates(page: AnswerPart) -> bool:
    return page.request.endpoint.endswith("translations")


def _format(page: AnswerPart) -> str:
    return str(page.request.payload.get("response_format", "json"))


def _seconds(page: AnswerPart) -> int:
    """How long the sound is, by the size of its file; one second at least."""
    return max(1, int(page.request.payload["file"]["size"]) // _SECOND)


def _clock(page: AnswerPart, point: str) -> str:
    minutes, seconds = divmod(_seconds(page), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{point}000"


def _tokens(page: AnswerPart) -> Values:
    spent, made = page.answer.prompt_tokens, page.answer.completion_tokens
    details = {"text_tokens": spent, "audio_tokens": 0}
    return {
        "type": "tokens",
        "input_tokens": spent,
        "input_token_details": details,
        "output_tokens": made,
        "total_tokens": spent + made,
    }


def _usage(page: AnswerPart) -> Values:
    """Whisper is charged by the time, later models by tokens."""
    if "whisper" in page.request.model:
        return {"type": "duration", "seconds": _seconds(page)}
    return _tokens(page)


def _verbose(page: AnswerPart) -> Values:
    """With times: the whole is one segment, and the words have equal shares."""
    end, text = float(_seconds(page)), page.text
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": end,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.1,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.01,
    }
    body: Values = {
        "task": "translate" if _translates(page) else "transcribe",
        "language": "english",
        "duration": end,
        "text": text,
        "segments": [segment],
        "usage": {"type": "duration", "seconds": int(end)},
    }
    if "word" in as_list(page.request.payload.get("timestamp_granularities")):
        words = text.split()
        step = end / max(1, len(words))
        body["words"] = [
            {"word": word, "start": step * nth, "end": step * (nth + 1)} for nth, word in enumerate(words)
        ]
    return body


@final
@dataclass(frozen=True, slots=True)
class Speech(UnstreamedEndpoint):
    """`POST …/audio/speech`: a moment of silence, as MP3, WAV or bare samples."""

    path: re.Pattern[str]
    usual: str = "mp3"
    name: str = "speech"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        model = found.groupdict().get("model") or model_of(payload)
        for name in ("input", "voice"):
            if payload.get(name) is None:
                raise missing(name)
        if not isinstance(payload["input"], str):
            raise wrong_type("input", "a string")
        if payload.get("response_format", self.usual) not in _SPOKEN:
            raise not_served(f"sound but {', '.join(_SPOKEN)}", "response_format", kind=INVALID)
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": payload["input"]}]
        return no_text_request(request, payload, messages, model=model)

    def content_type(self, page: AnswerPart) -> str:
        """That of the sound, or events."""
        if page.request.payload.get("stream_format") == "sse":
            return EVENT_STREAM
        return self._sound(page)[0]

    def plain(self, page: AnswerPart) -> bytes:
        """The sound."""
        sound = self._sound(page)[1]()
        if page.request.payload.get("stream_format") != "sse":
            return sound
        usage = {"input_tokens": page.answer.prompt_tokens, "output_tokens": 0}
        usage["total_tokens"] = usage["input_tokens"]
        return data_event({"type": "speech.audio.delta", "audio": b64encode(sound).decode()}) + data_event(
            {"type": "speech.audio.done", "usage": usage}
        )

    def _sound(self, page: AnswerPart) -> tuple[str, Callable[[], bytes]]:
        return _SPOKEN[page.request.payload.get("response_format", self.usual)]
