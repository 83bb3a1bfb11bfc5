"""All HTTP libraries of this process at once: clients meet the fake at their real URLs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Final

from ..patches.imports import on_import
from . import httpcore
from .desk import Desk

DUMMY_KEYS: Final = {
    "OPENAI_API_KEY": "sk-wavetank",
    "ANTHROPIC_API_KEY": "sk-ant-wavetank",
    "AZURE_OPENAI_API_KEY": "wavetank",
    "GEMINI_API_KEY": "wavetank",
    "OPENROUTER_API_KEY": "sk-or-wavetank",
    "MISTRAL_API_KEY": "wavetank",
    "GROQ_API_KEY": "gsk_wavetank",
    "CO_API_KEY": "wavetank",
    "COHERE_API_KEY": "wavetank",
}
"""By the name of its variable, the key that a client gets where none is set."""

_SAME: Final = {"GEMINI_API_KEY": "GOOGLE_API_KEY"}
"""Two names for one key: Google's SDK warns of both."""


@contextmanager
def installed(desk: Desk) -> Iterator[None]:
    """Patch every supported library, now or when it is imported; set dummy API keys that are unset."""
    with ExitStack() as stack:
        stack.enter_context(_dummy_keys())
        stack.enter_context(on_import(httpcore.LIBRARIES, partial(_install, desk, stack)))
        yield


def _install(desk: Desk, stack: ExitStack, core: ModuleType) -> None:
    httpcore.install(core, desk, stack)


@contextmanager
def _dummy_keys() -> Iterator[None]:
    missing = [
        name for name in DUMMY_KEYS if name not in os.environ and _SAME.get(name, name) not in os.environ
    ]
    os.environ.update({name: DUMMY_KEYS[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
