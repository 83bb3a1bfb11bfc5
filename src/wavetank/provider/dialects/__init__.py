"""Wire formats, one file or folder for each provider."""

from __future__ import annotations

from typing import Final

from ..http import Dialect
from .anthropic import ANTHROPIC
from .azure import AZURE
from .cohere import COHERE
from .gemini import GEMINI, VERTEX
from .groq import GROQ
from .mistral import MISTRAL
from .ollama import OLLAMA
from .openai import OPENAI
from .openrouter import OPENROUTER
from .vllm import VLLM

DIALECTS: Final[tuple[Dialect, ...]] = (
    OPENAI,
    ANTHROPIC,
    AZURE,
    GEMINI,
    VERTEX,
    OPENROUTER,
    OLLAMA,
    MISTRAL,
    GROQ,
    COHERE,
    VLLM,
)
"""All dialects; where the hosts of two would overlap, the first one speaks."""

__all__ = ["DIALECTS"]
