"""What stops `wavetank run`, and what one request can end in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from ..shown import shortened

_SHOWN: Final = 500
_LONGEST: Final = 4000


@final
class RunError(ValueError):
    """Something the user has to fix before a run can start or go on; the text says what, and how."""

    def __init__(self, text: str, *, status: int = 2) -> None:
        super().__init__(shortened(text, _LONGEST))
        self.status = status


@final
class ApiError(Exception):
    """A provider answered with an error: its status, headers and body, where a classifier looks for them."""

    def __init__(self, status_code: int, headers: Mapping[str, str], body: object, text: str) -> None:
        super().__init__(f"status {status_code}: {text[:_SHOWN]}" if text else f"status {status_code}")
        self.status_code = status_code
        self.headers = headers
        self.body = body


@final
class UnreadableAnswer(Exception):
    """A provider answered with success, but not with an answer of its API; another try may do."""

    def __init__(self, status_code: int, text: str) -> None:
        super().__init__(f"status {status_code}, but no answer: {text[:_SHOWN]!r}")
        self.status_code = status_code


@final
class NoPrompt(Exception):
    """A row without a prompt: it fails alone, and nothing is sent for it."""
