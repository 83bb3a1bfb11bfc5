"""Finds errors of clients that could not read what they received.

Most clients do not expect an answer that was cut or that a gateway wrote. So they raise no error of
their own, but that of the JSON parser, or an assertion of theirs fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from .error_fields import causes_of

_PARSERS: Final = ("json", "simplejson")

# An error of these classes says so only if it was raised in a client: in the code of a program it may as
# well be about the text of an answer, which is read and is not what the program wants.
_CLIENTS: Final = (
    "aiohttp",
    "anthropic",
    "botocore",
    "cerebras",
    "cohere",
    "fireworks",
    "google.genai",
    "groq",
    "httpx",
    "httpx2",
    "huggingface_hub",
    "litellm",
    "mistralai",
    "ollama",
    "openai",
    "openrouter",
    "replicate",
    "requests",
    "together",
    "urllib3",
)


def is_unreadable(error: BaseException) -> bool:
    """Whether a client could not read an answer, by the error or by one that it was raised from.

    >>> is_unreadable(json.JSONDecodeError("Expecting value", "<html>", 0))
    False
    """
    return any(
        isinstance(cause, (json.JSONDecodeError, AssertionError)) and _was_raised_in_client(cause)
        for cause in causes_of(error)
    )


def _was_raised_in_client(error: BaseException) -> bool:
    modules = [name for name in _modules(error.__traceback__) if not _is_part_of(name, _PARSERS)]
    return bool(modules) and _is_part_of(modules[-1], _CLIENTS)


def _modules(trace: TracebackType | None) -> Iterator[str]:
    """The modules whose functions an error came through, the one that raised it last."""
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__"))
        trace = trace.tb_next


def _is_part_of(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)
