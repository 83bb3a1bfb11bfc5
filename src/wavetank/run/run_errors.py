"""The errors of `wavetank run` and of its requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from ..shown import shortened

_SHOWN: Final = 500
"""The characters of an answer that an error shows: enough for any message of a provider."""
_LONGEST: Final = 4000
"""The characters of an error: a screen or two, even if a cell of the input is in it."""


@final
class RunError(ValueError):
    """The user has to fix something before a run can start; the text says what, and how."""

    def __init__(self, text: str, *, status: int = 2) -> None:
        super().__init__(shortened(text, _LONGEST))
        self.status = status


@final
class ApiError(Exception):
    """A provider answered with an error; it has status, headers and body as attributes, for a classifier."""

    def __init__(self, status_code: int, headers: Mapping[str, str], body: object, text: str) -> None:
        super().__init__(f"status {status_code}: {text[:_SHOWN]}" if text else f"status {status_code}")
        self.status_code = status_code
        self.headers = headers
        self.body = body


@final
class UnreadableAnswer(Exception):
    """A provider answered with success, but not with an answer of its API; another try may succeed."""

    def __init__(self, status_code: int, text: str) -> None:
        super().__init__(f"status {status_code}, but no answer: {text[:_SHOWN]!r}")
        self.status_code = status_code


@final
class NoPrompt(Exception):
    """A row has no prompt: nothing is sent for it, and only this row fails."""
