"""The statuses that a provider has of its own for what it refuses.

Sources: the error classes of Anthropic's SDK (`anthropic._error_classes`) and of OpenRouter's
(`openrouter.errors`), Groq's pages on errors and on spend limits, and `google.rpc.Code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..scenario import RefusalError, Wave, refusal_error, usual_status

_OWN: Final[Mapping[tuple[str, RefusalError], int]] = {
    ("anthropic", "billing"): 402,
    ("anthropic", "overloaded"): 529,
    ("anthropic", "too-large"): 413,
    ("gemini", "timeout"): 504,
    ("groq", "billing"): 400,
    ("groq", "too-large"): 413,
    ("openrouter", "billing"): 402,
    ("openrouter", "overloaded"): 529,
    ("vertex", "timeout"): 504,
}
_OVER_A_LIMIT: Final[Mapping[tuple[str, RefusalError], int]] = {("groq", "too-large"): 413}
"""Others say 429 of a request that is dearer than a limit."""


def status_of_error(dialect: str, error: RefusalError) -> int:
    """The status with which a dialect says that something is wrong."""
    return _OWN.get((dialect, error)) or usual_status(error)


def status_of_wave(dialect: str, wave: Wave) -> int:
    """The status of a wave's refusals: as written, else the dialect's own for the error."""
    return status_of_error(dialect, refusal_error(wave)) if wave.status is None else wave.status


def status_over_limit(dialect: str, error: RefusalError) -> int:
    """The status of a request that is over a limit."""
    return _OVER_A_LIMIT.get((dialect, error), 429)
