"""A request as it comes to the desk, and what it asks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import msgspec


@final
class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the desk takes it in, and what `fake_llm.item_of` is shown.

    `item` is the identity the client declared, or the one inferred from the last user
    message; `declared` says which. `headers` have lower-case names; both mappings are
    empty at the direct seam. `key` is the label of the API key, such as `key-1`, and the headers
    show no secret either. `generates`: the answer is a generated text.
    """

    dialect: str
    model: str
    key: str
    prompt: str
    prompt_tokens: int
    item: str | None = None
    declared: bool = False
    max_tokens: int | None = None
    stream: bool = False
    copies: int = 1
    generates: bool = True
    headers: Mapping[str, str] = {}
    payload: Mapping[str, Any] = {}


_KEPT: Final = 1 << 16
"""About so many questions are compared with later ones: a server must not grow for ever."""

_BESIDE_THE_QUESTION: Final = ("metadata", "user", "safety_identifier", "stream", "stream_options", "store")
"""Fields of a body that do not change what is asked."""


@final
class Questions:
    """Knows which requests ask the very same."""

    def __init__(self) -> None:
        self._first: dict[object, tuple[int, str | None]] = {}

    def same_as(self, incoming: Incoming, number: int, item: str | None) -> int | None:
        """The first request that asked the very same as this one, if that was for another item."""
        first, whose = self._first.setdefault(_question(incoming), (number, item))
        if len(self._first) > _KEPT:
            del self._first[next(iter(self._first))]
        return first if whose != item else None

    def __repr__(self) -> str:
        return f"<Questions [{len(self._first)} kept]>"


_SHORT: Final = 200
"""A prompt of so many characters is kept as it is: a digest takes longer to make."""


def _question(incoming: Incoming) -> object:
    if not incoming.payload and len(incoming.prompt) <= _SHORT:
        return incoming.model, incoming.prompt, incoming.max_tokens
    asked = {name: value for name, value in incoming.payload.items() if name not in _BESIDE_THE_QUESTION}
    digest = hashlib.blake2b(digest_size=8)
    for text in _texts((incoming.model, asked or incoming.prompt, incoming.max_tokens)):
        for start in range(0, len(text) + 1, _PIECE):
            digest.update(text[start : start + _PIECE].encode(errors="backslashreplace"))
        digest.update(b"\0")
    return digest.digest()


_PIECE: Final = 1 << 16
"""So many characters are digested at a time: a prompt of megabytes must not be copied as a whole."""


def _texts(asked: object) -> Iterator[str]:
    """What a question holds, in order, with a mark for each thing that holds others."""
    if isinstance(asked, str):
        yield asked
    elif isinstance(asked, Mapping):
        yield f"{{{len(asked)}"
        for name, value in asked.items():
            yield str(name)
            yield from _texts(value)
    elif isinstance(asked, list | tuple):
        yield f"[{len(asked)}"
        for value in asked:
            yield from _texts(value)
    else:
        yield repr(asked)
