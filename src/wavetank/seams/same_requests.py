"""Which requests ask the very same."""

from __future__ import annotations

import hashlib
from typing import Final, final

from ..provider.request import Request

_KEPT: Final = 1 << 16
"""About so many requests are compared with later ones: a server must not grow for ever."""

_NOT_ASKED: Final = ("metadata", "user", "safety_identifier", "stream", "stream_options", "store")
"""Fields of a body that do not change what is asked."""


@final
class SameRequests:
    """Knows which requests ask the very same."""

    def __init__(self) -> None:
        self._first: dict[object, tuple[int, str | None]] = {}

    def same_as(self, request: Request) -> int | None:
        """The first request that asked the very same as this one, if that was for another item."""
        first, whose = self._first.setdefault(asked(request), (request.id, request.item))
        if len(self._first) > _KEPT:
            del self._first[next(iter(self._first))]
        return first if whose != request.item else None

    def __repr__(self) -> str:
        return f"<SameRequests [{len(self._first)} kept]>"


_SHORT: Final = 200
"""A prompt of so many characters is kept as it is: a digest takes longer to make."""


def asked(request: Request) -> object:
    """What a request asks, as a value that is equal for the very same question."""
    if not request.payload and len(request.prompt) <= _SHORT:
        return request.model, request.prompt, request.max_tokens
    body = {name: value for name, value in request.payload.items() if name not in _NOT_ASKED}
    text = repr((request.model, body or request.prompt, request.max_tokens))
    # A prompt can be megabytes long: a digest of it is kept, and not the text.
    return hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).digest()
