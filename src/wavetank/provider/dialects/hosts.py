"""The hosts of each dialect: shell patterns, some with a port; others stand for any port."""

from __future__ import annotations

from typing import Final

HOSTS: Final[dict[str, tuple[str, ...]]] = {
    "openai": ("api.openai.com", "*.api.openai.com"),
    "anthropic": ("api.anthropic.com",),
    "azure": ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"),
    "gemini": ("generativelanguage.googleapis.com",),
    "vertex": (
        "aiplatform.googleapis.com",
        "*-aiplatform.googleapis.com",
        "aiplatform.*.rep.googleapis.com",
    ),
    "openrouter": ("openrouter.ai", "*.openrouter.ai"),
    # Ollama's own port, and the names that servers of one's own have.
    "ollama": (
        "localhost:11434",
        "127.0.0.1:11434",
        "[::1]:11434",
        "0.0.0.0:11434",
        "ollama",
        "ollama-*",
        "ollama.*",
    ),
    "mistral": ("api.mistral.ai", "codestral.mistral.ai"),
    "groq": ("api.groq.com",),
    "cohere": ("api.cohere.com", "api.cohere.ai", "production.api.cohere.ai"),
    "vllm": ("vllm", "vllm-*", "vllm.*"),
}
"""By the name of the dialect; where the hosts of two would overlap, the first one answers."""
