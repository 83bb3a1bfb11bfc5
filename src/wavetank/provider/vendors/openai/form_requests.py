"""Reading requests in OpenAI's format whose bodies are forms with files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...dialect_base.shared import InvalidRequest
from ...http import HttpRequest
from ...multipart import FormField, form_fields
from .requests import INVALID

_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False}


def form_payload(request: HttpRequest) -> dict[str, Any]:
    """The fields of a form by name, as the same JSON would have them.

    Of a file there is its `filename` and its `size` in bytes. What is there several times, or has a name
    that ends with `[]`, is a list; numbers and words for truth are what they say.

    Raises:
        InvalidRequest: it is no whole form.
    """
    try:
        fields = form_fields(request.headers.get("content-type", ""), request.body)
    except ValueError as error:
        raise InvalidRequest(400, f"Could not parse multipart form: {error}", kind=INVALID) from None
    payload: dict[str, Any] = {}
    for field in fields:
        value = _value(field)
        if field.name.endswith("[]"):
            payload.setdefault(field.name.removesuffix("[]"), []).append(value)
        else:
            payload[field.name] = value
    return payload


def _value(field: FormField) -> Any:
    if field.filename is not None:
        return {"filename": field.filename, "size": len(field.data)}
    text = field.text
    return int(text) if field.name == "n" and text.isdecimal() else _WORDS.get(text, text)
