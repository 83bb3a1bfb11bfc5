"""Wire formats, one file for each provider."""

from __future__ import annotations

from typing import Final

from ..http import Dialect
from .anthropic import AnthropicMessages
from .openai import OpenAIChat

DIALECTS: Final[tuple[Dialect, ...]] = (OpenAIChat(), AnthropicMessages())

__all__ = ["DIALECTS", "AnthropicMessages", "OpenAIChat"]
