"""OpenAI's endpoints for images, sound and moderation, as several vendors have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from ...dialect_base.wire_dialect import Endpoint
from .audio import Speech, Transcriptions
from .images import Images
from .moderations import Moderations

MEDIA_PATHS: Final = {
    "images": "/images/generations",
    "image-edits": "/images/edits",
    "image-variations": "/images/variations",
    "moderations": "/moderations",
    "transcriptions": "/audio/transcriptions",
    "translations": "/audio/translations",
    "speech": "/audio/speech",
}
"""What stands behind the base path, by the endpoint's name."""

MEDIA: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys(("images", "image-edits", "image-variations"), Images),
    "moderations": Moderations,
    **dict.fromkeys(("transcriptions", "translations"), Transcriptions),
    "speech": Speech,
}
"""What makes each of them from the pattern of its path."""


def media(start: str, names: Iterable[str] = tuple(MEDIA), *, prefix: str = "") -> tuple[Endpoint, ...]:
    """These endpoints behind a pattern of a base path; `prefix` tells their names from others'."""
    return tuple(
        MEDIA[name](re.compile(f"{start}{MEDIA_PATHS[name]}"), name=f"{prefix}{name}") for name in names
    )
