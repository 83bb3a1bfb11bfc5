"""The providers of `wavetank run`: how each is asked, and how its answer is read.

They hold no connection and know no HTTP library: a request is a URL, headers and a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final
from urllib.parse import quote, urlsplit

from ..processor import CallResult, TokenUsage
from ..provider.naming import is_loopback

Json = Mapping[str, Any]

ANTHROPIC_VERSION: Final = "2023-06-01"
ANTHROPIC_MAX_TOKENS: Final = 1024
"""Anthropic's API takes no request without a bound; this is sent where none was asked for."""
TOKENS_PER_PRICE: Final = 1_000_000


@final
@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask of a model, the same for every row."""

    model: str
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


@final
@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in the currency of the bound on the cost."""

    input: float
    output: float

    def cost(self, usage: TokenUsage) -> float:
        """What so many tokens cost.

        >>> Prices(2.5, 10.0).cost(TokenUsage(1000, 100))
        0.0035
        """
        return (self.input * usage.input_tokens + self.output * usage.output_tokens) / TOKENS_PER_PRICE


@final
@dataclass(frozen=True, slots=True)
class Provider:
    """One API: where it is, which variables hold its key, how to ask it and how to read it.

    `tells_cost` says that its answers tell what they cost.
    """

    name: str
    base_url: str
    keys: tuple[str, ...]
    path: Callable[[Ask], str]
    headers: Callable[[str], Mapping[str, str]]
    body: Callable[[Ask, str], Json]
    read: Callable[[Any], CallResult[str]]
    tells_cost: bool = False

    def url(self, ask: Ask, base_url: str | None = None) -> str:
        """Where a request goes."""
        return (base_url or self.base_url).rstrip("/") + self.path(ask)


def is_local(url: str) -> bool:
    """Whether a URL names this machine, where a server may ask for no key."""
    return is_loopback(urlsplit(url).hostname or "")


def _bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _given(**values: object) -> dict[str, Any]:
    """Those that were asked for: an API's own default stands for the rest."""
    return {name: value for name, value in values.items() if value is not None}


def _messages(ask: Ask, prompt: str) -> list[Json]:
    system = [{"role": "system", "content": ask.system}] if ask.system else []
    return [*system, {"role": "user", "content": prompt}]


def _openai_body(bound: str) -> Callable[[Ask, str], Json]:
    def body(ask: Ask, prompt: str) -> Json:
        return {
            "model": ask.model,
            "messages": _messages(ask, prompt),
            **_given(temperature=ask.temperature, **{bound: ask.max_tokens}),
        }

    return body


def _openai_read(answer: Any) -> CallResult[str]:
    message = answer["choices"][0]["message"]
    usage = answer.get("usage") or {}
    text = message.get("content") or message.get("refusal") or ""
    # OpenRouter tells what an answer cost, in its credits.
    cost = usage.get("cost") or 0.0
    return _result(text, usage.get("prompt_tokens"), usage.get("completion_tokens"), cost)


def _anthropic_headers(key: str) -> Mapping[str, str]:
    return {"anthropic-version": ANTHROPIC_VERSION} | ({"x-api-key": key} if key else {})


def _anthropic_body(ask: Ask, prompt: str) -> Json:
    return {
        "model": ask.model,
        "max_tokens": ask.max_tokens or ANTHROPIC_MAX_TOKENS,
        "messages": [{"role": "user", "content": prompt}],
        **_given(system=ask.system, temperature=ask.temperature),
    }


def _anthropic_read(answer: Any) -> CallResult[str]:
    text = "".join(part["text"] for part in answer["content"] if part["type"] == "text")
    return _result(text, answer["usage"]["input_tokens"], answer["usage"]["output_tokens"])


def _gemini_path(ask: Ask) -> str:
    return f"/v1beta/models/{quote(ask.model.removeprefix('models/'), safe='')}:generateContent"


def _gemini_body(ask: Ask, prompt: str) -> Json:
    how = _given(maxOutputTokens=ask.max_tokens, temperature=ask.temperature)
    system = {"parts": [{"text": ask.system}]} if ask.system else None
    return {
        "contents": [{"role": "user", "parts": [{"text": prompt}]}],
        **_given(systemInstruction=system, generationConfig=how or None),
    }


def _gemini_read(answer: Any) -> CallResult[str]:
    usage = answer.get("usageMetadata") or {}
    parts = answer["candidates"][0].get("content", {}).get("parts", [])
    text = "".join(part.get("text", "") for part in parts)
    # Thoughts are charged as what the model wrote, and counted apart.
    written = (usage.get("candidatesTokenCount") or 0) + (usage.get("thoughtsTokenCount") or 0)
    return _result(text, usage.get("promptTokenCount"), written)


def _ollama_body(ask: Ask, prompt: str) -> Json:
    options = _given(num_predict=ask.max_tokens, temperature=ask.temperature)
    return {
        "model": ask.model,
        "messages": _messages(ask, prompt),
        "stream": False,
        **_given(options=options or None),
    }


def _ollama_read(answer: Any) -> CallResult[str]:
    return _result(answer["message"]["content"], answer.get("prompt_eval_count"), answer.get("eval_count"))


def _result(
    text: str, input_tokens: int | None, output_tokens: int | None, cost: float = 0.0
) -> CallResult[str]:
    return CallResult(text, TokenUsage(input_tokens or 0, output_tokens or 0), cost)


def _chat(_: Ask) -> str:
    return "/chat/completions"


PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider(
            "openai",
            "https://api.openai.com/v1",
            ("OPENAI_API_KEY",),
            _chat,
            _bearer,
            _openai_body("max_completion_tokens"),
            _openai_read,
        ),
        Provider(
            "openai-compatible",
            "",
            ("OPENAI_API_KEY",),
            _chat,
            _bearer,
            _openai_body("max_tokens"),
            _openai_read,
        ),
        Provider(
            "anthropic",
            "https://api.anthropic.com",
            ("ANTHROPIC_API_KEY",),
            lambda _: "/v1/messages",
            _anthropic_headers,
            _anthropic_body,
            _anthropic_read,
        ),
        Provider(
            "gemini",
            "https://generativelanguage.googleapis.com",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            _gemini_path,
            lambda key: {"x-goog-api-key": key} if key else {},
            _gemini_body,
            _gemini_read,
        ),
        Provider(
            "openrouter",
            "https://openrouter.ai/api/v1",
            ("OPENROUTER_API_KEY",),
            _chat,
            _bearer,
            _openai_body("max_tokens"),
            _openai_read,
            tells_cost=True,
        ),
        Provider(
            "ollama",
            "http://127.0.0.1:11434",
            (),
            lambda _: "/api/chat",
            _bearer,
            _ollama_body,
            _ollama_read,
        ),
    )
}
"""The providers by the name that `--provider` takes."""
