"""Images in OpenAI's format: each is one pixel, in base64 or behind a URL."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ...dialect_base.shared import EVENT_STREAM, JSON, Values, as_mapping, named_event, no_text_request
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import BadRequest, HttpRequest, WireReply
from ...request import Request
from ...wire_formats import json_bytes
from .files import png
from .form_requests import form_payload
from .requests import copies_of, missing, payload_of, stream_of, wrong_type
from .vendor import STORE

_MOST: Final = 10
_SQUARE: Final = "1024x1024"
_IMAGE_TOKENS: Final = 272
"""What a square image of low quality costs (OpenAI's page on image generation)."""


@final
@dataclass(frozen=True, slots=True)
class Images(UnstreamedEndpoint):
    """`POST …/images/generations`, and `…/edits` and `…/variations`, whose bodies are forms.

    Source: `ImagesResponse` of OpenAI's OpenAPI description. Models named `dall-e` answer with URLs unless
    they are asked for base64, and have no usage; a stream has the finished image alone.
    """

    path: re.Pattern[str]
    name: str = "images"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        is_form = request.headers.get("content-type", "").startswith("multipart/")
        payload = form_payload(request) if is_form else payload_of(request)
        model = found.groupdict().get("model") or payload.get("model") or "dall-e-2"
        if not isinstance(model, str):
            raise wrong_type("model", "a string")
        varied = request.path.endswith("/variations")
        prompt = payload.get("prompt")
        if not isinstance(prompt, str) and not varied:
            raise missing("prompt") if prompt is None else wrong_type("prompt", "a string")
        if is_form and not payload.get("image"):
            raise missing("image")
        copies_of(payload, _MOST)
        stream_of(payload)
        said = prompt if isinstance(prompt, str) else as_mapping(payload["image"]).get("filename", "")
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": said}]
        read = no_text_request(request, payload, messages, model=model)
        read.copies = 1
        return read

    def content_type(self, page: AnswerPart) -> str:
        """Events where a stream is asked for."""
        return EVENT_STREAM if page.request.payload.get("stream") is True else JSON

    def plain(self, page: AnswerPart) -> bytes:
        """The images."""
        payload = page.request.payload
        if payload.get("stream") is True:
            return _completed(page)
        names = [_name(page, number) for number in range(copies_of(payload))]
        old = page.request.model.startswith("dall-e")
        as_url = payload.get("response_format", "url" if old else "b64_json") == "url"
        data = [_link(page, name) if as_url else {"b64_json": _coded(name)} for name in names]
        body: Values = {"created": page.created, "data": data}
        return json_bytes(body if old else body | _looks(payload) | {"usage": _usage(page, len(names))})


def _name(page: AnswerPart, number: int) -> str:
    return f"img-{page.letters(24, number)}"


def _coded(name: str) -> str:
    return b64encode(png(name)).decode()


def _link(page: AnswerPart, name: str) -> Values:
    link: Values = {"url": f"https://{STORE}/private/org-wavetank/{name}.png"}
    return link | ({"revised_prompt": page.request.prompt} if page.request.model == "dall-e-3" else {})


def _looks(payload: Mapping[str, Any]) -> Values:
    """How the image is said to look, as it was asked for."""

    def asked(field: str, default: str) -> Any:
        value = payload.get(field)
        return default if value in (None, "auto") else value

    return {
        "background": asked("background", "opaque"),
        "output_format": "png",
        "quality": asked("quality", "low"),
        "size": asked("size", _SQUARE),
    }


def _usage(page: AnswerPart, images: int) -> Values:
    spent, made = page.answer.prompt_tokens, _IMAGE_TOKENS * images
    return {
        "input_tokens": spent,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": spent},
        "output_tokens": made,
        "total_tokens": spent + made,
    }


def _completed(page: AnswerPart) -> bytes:
    kind = "image_edit" if "image" in page.request.payload else "image_generation"
    event = {"type": f"{kind}.completed", "b64_json": _coded(_name(page, 0)), "created_at": page.created}
    return named_event(event | _looks(page.request.payload) | {"usage": _usage(page, 1)})


@final
@dataclass(frozen=True, slots=True)
class ImageStore(UnstreamedEndpoint):
    """What is behind the URLs: it is no provider's endpoint, and what asks for it counts as no request."""

    path: re.Pattern[str] = re.compile(r"/private/org-wavetank/(?P<name>img-\w+)\.png")
    name: str = "image-store"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Answer at once; see `Endpoint.read`."""
        headers = (("content-type", "image/png"),)
        raise BadRequest(WireReply(200, headers, png(found["name"])), counts=False)
