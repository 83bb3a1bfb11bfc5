"""Who a request is about: the item its client named, or one inferred from its text."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

ITEM_HEADER: Final = "x-wavetank-item"

_TEXTS: Final = ("text", "input_text", "output_text")
"""The types of parts that are text, in messages and in OpenAI's responses."""

_LONGEST: Final = 64
_KEPT: Final = 40


def identity(headers: Mapping[str, str], payload: Mapping[str, Any], prompt: str) -> tuple[str | None, bool]:
    """The item of a request and whether the client declared it.

    Declared is the header `x-wavetank-item`, else `metadata.item` in the body; inferred is
    the text of the last user message.
    """
    named = _from_header(headers.get(ITEM_HEADER, "")) or _from_metadata(payload.get("metadata"))
    if named:
        return named, True
    return (shortened(prompt) or None), False


def shortened(text: str) -> str:
    """A text of at most 64 characters as it is; a longer one cut, with a digest that makes it unique."""
    if len(text) <= _LONGEST:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{text[:_KEPT]}…{digest}"


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") in _TEXTS)
    return "\n".join(part for part in parts if isinstance(part, str))


def last_user_text(messages: list[Mapping[str, Any]]) -> str:
    """The text of the last user message, empty if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def _from_header(value: str) -> str:
    """Header values are read as Latin-1; clients write other letters in UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _from_metadata(metadata: object) -> str:
    item = metadata.get("item") if isinstance(metadata, dict) else None
    return item if isinstance(item, str) else ""
