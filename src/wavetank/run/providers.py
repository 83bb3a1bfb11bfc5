"""The providers of `wavetank run`: their requests, their answers, and their lists of models.

There is no connection and no HTTP library here: a request is a URL, headers and a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from ..processor import CallResult, TokenUsage
from ..provider.host_patterns import is_loopback
from .run_arguments import suggestion
from .run_errors import RunError

Json = Mapping[str, Any]

ANTHROPIC_VERSION: Final = "2023-06-01"
ANTHROPIC_MAX_TOKENS: Final = 1024
"""Anthropic's API requires a bound; this one is sent if none is configured."""
NO_KEY: Final = "wavetank-needs-no-key"
"""Sent to a server on this machine if no variable has a key: most accept any key."""
TOKENS_PER_PRICE: Final = 1_000_000


@final
@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What a request has besides its prompt, the same for every row."""

    model: str
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


@final
@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a million tokens, in the currency of the bound on the cost."""

    input: float
    output: float

    def cost(self, usage: TokenUsage) -> float:
        """The cost of these tokens.

        >>> Prices(2.5, 10.0).cost(TokenUsage(1000, 100))
        0.0035
        """
        return (self.input * usage.input_tokens + self.output * usage.output_tokens) / TOKENS_PER_PRICE


Query = Mapping[str, str]


@final
@dataclass(frozen=True, slots=True)
class Listing:
    """Where an API lists its models, page by page.

    `read` returns the names on a page, and the query for the next page if there is one.
    """

    path: str
    read: Callable[[Any], tuple[list[str], Query | None]]
    query: Query = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class ProviderApi:
    """One API: where it is, which variables hold its key, how a request and an answer look.

    `reports_cost` says that its answers state their cost. `url_variable` is the environment variable from
    which the vendor's SDK reads another base URL, and `as_url` makes a URL of its value.
    """

    name: str
    base_url: str
    keys: tuple[str, ...]
    path: Callable[[RequestSettings], str]
    headers: Callable[[str], Mapping[str, str]]
    body: Callable[[RequestSettings, str], Json]
    read: Callable[[Any], CallResult[str]]
    models: Listing
    reports_cost: bool = False
    url_variable: str | None = None
    as_url: Callable[[str], str] = str

    def address(self, environment: Mapping[str, str]) -> str | None:
        """The base URL in the environment, which counts where none is given; `None` for the provider's own.

        Raises:
            RunError: it is no URL.
        """
        found = environment.get(self.url_variable or "", "").strip()
        if not found:
            return None
        url = self.as_url(found)
        if not _is_url(url):
            # The value is not shown: it may contain a password.
            raise RunError(
                f"the base URL of {self.name} in {self.url_variable} is no URL such as https://host/v1"
            )
        return url

    def url(self, path: str, base_url: str | None = None) -> str:
        """The URL of a request; the query of the base URL is kept.

        Raises:
            RunError: there is no base URL, or it is no URL.
        """
        base = base_url or self.base_url
        if not base:
            raise RunError(f"provider {self.name} needs the base URL of the server, such as https://host/v1")
        if not _is_url(base):
            # The value is not shown: it may contain a password.
            raise RunError(f"the base URL of {self.name} is no URL such as https://host/v1")
        parts = urlsplit(base)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))

    def key(self, environment: Mapping[str, str], base_url: str | None = None) -> str:
        """The API key, which is read only from the environment; a server on this machine may need none.

        Raises:
            RunError: no variable has it, or it cannot be a key.
        """
        for name in self.keys:
            if key := environment.get(name, "").strip():
                return checked_key(key, f"the API key in {name}")
        if not self.keys or is_local(base_url or self.base_url):
            return NO_KEY
        raise RunError(f"set {' or '.join(self.keys)} to the API key of {self.name}")


def checked_key(key: str, what: str) -> str:
    """The same key, if it can be sent in a header; the error does not show it.

    Raises:
        RunError: it is empty, or has a space, a line end or a letter that no header can contain.
    """
    if not key:
        raise RunError(f"{what} is empty; copy it again, and nothing beside it")
    for place, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            raise RunError(
                f"{what} cannot be an API key: character {place} of {len(key)} is U+{ord(character):04X}, "
                "which no key in an HTTP header has; copy the key again, and nothing beside it"
            )
    return key


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def is_local(url: str) -> bool:
    """Whether a URL names this machine, where a server may ask for no key."""
    return is_loopback((urlsplit(url).hostname or "") if _is_url(url) else "")


_LONGEST_NAME: Final = 30
"""Longer than the name of any provider, and shorter than any key."""


def find_provider(name: str) -> ProviderApi:
    """The provider of a name.

    Raises:
        RunError: there is none; the text names the most similar one.
    """
    if name in PROVIDERS:
        return PROVIDERS[name]
    # The key may have been given in place of the name, so it is not shown.
    is_name = len(str(name)) <= _LONGEST_NAME and not str(name).startswith("sk-")
    shown = f" {name!r}" if is_name else " of that name"
    raise RunError(f"there is no provider{shown}; {suggestion(str(name), PROVIDERS)}")


def _bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _given(**values: object) -> dict[str, Any]:
    """The values that are not `None`; for the others the API has its own default."""
    return {name: value for name, value in values.items() if value is not None}


def _messages(settings: RequestSettings, prompt: str) -> list[Json]:
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    return [*system, {"role": "user", "content": prompt}]


def _openai_body(bound: str) -> Callable[[RequestSettings, str], Json]:
    def body(settings: RequestSettings, prompt: str) -> Json:
        return {
            "model": settings.model,
            "messages": _messages(settings, prompt),
            **_given(temperature=settings.temperature, **{bound: settings.max_tokens}),
        }

    return body


def _openai_read(answer: Any) -> CallResult[str]:
    message = answer["choices"][0]["message"]
    usage = answer.get("usage") or {}
    text = message.get("content") or message.get("refusal") or ""
    # OpenRouter states the cost of an answer, in its credits.
    cost = usage.get("cost") or 0.0
    return _result(text, usage.get("prompt_tokens"), usage.get("completion_tokens"), cost)


def _anthropic_headers(key: str) -> Mapping[str, str]:
    return {"anthropic-version": ANTHROPIC_VERSION} | ({"x-api-key": key} if key else {})


def _anthropic_body(settings: RequestSettings, prompt: str) -> Json:
    return {
        "model": settings.model,
        "max_tokens": settings.max_tokens or ANTHROPIC_MAX_TOKENS,
        "messages": [{"role": "user", "content": prompt}],
        **_given(system=settings.system, temperature=settings.temperature),
    }


def _anthropic_read(answer: Any) -> CallResult[str]:
    text = "".join(part["text"] for part in answer["content"] if part["type"] == "text")
    return _result(text, answer["usage"]["input_tokens"], answer["usage"]["output_tokens"])


def _gemini_path(settings: RequestSettings) -> str:
    return f"/v1beta/models/{quote(settings.model.removeprefix('models/'), safe='')}:generateContent"


def _gemini_body(settings: RequestSettings, prompt: str) -> Json:
    how = _given(maxOutputTokens=settings.max_tokens, temperature=settings.temperature)
    system = {"parts": [{"text": settings.system}]} if settings.system else None
    return {
        "contents": [{"role": "user", "parts": [{"text": prompt}]}],
        **_given(systemInstruction=system, generationConfig=how or None),
    }


def _gemini_read(answer: Any) -> CallResult[str]:
    usage = answer.get("usageMetadata") or {}
    parts = answer["candidates"][0].get("content", {}).get("parts", [])
    text = "".join(part.get("text", "") for part in parts)
    # Thoughts are charged as output, but counted separately.
    written = (usage.get("candidatesTokenCount") or 0) + (usage.get("thoughtsTokenCount") or 0)
    return _result(text, usage.get("promptTokenCount"), written)


def _ollama_body(settings: RequestSettings, prompt: str) -> Json:
    options = _given(num_predict=settings.max_tokens, temperature=settings.temperature)
    return {
        "model": settings.model,
        "messages": _messages(settings, prompt),
        "stream": False,
        **_given(options=options or None),
    }


def _ollama_read(answer: Any) -> CallResult[str]:
    return _result(answer["message"]["content"], answer.get("prompt_eval_count"), answer.get("eval_count"))


def _result(
    text: str, input_tokens: int | None, output_tokens: int | None, cost: float = 0.0
) -> CallResult[str]:
    return CallResult(text, TokenUsage(input_tokens or 0, output_tokens or 0), cost)


def _by_id(page: Any) -> tuple[list[str], Query | None]:
    """A page of OpenAI's, OpenRouter's or Anthropic's list; the latter two have further pages."""
    names = [entry["id"] for entry in page["data"]]
    if page.get("has_more") and page.get("last_id"):
        return names, {"after_id": page["last_id"]}
    following = (page.get("links") or {}).get("next")
    return names, dict(parse_qsl(urlsplit(following).query)) if following else None


def _gemini_models(page: Any) -> tuple[list[str], Query | None]:
    """A page of Gemini's list, without the models that do not generate text."""
    names = [
        entry["name"].removeprefix("models/")
        for entry in page.get("models", [])
        if "generateContent" in entry.get("supportedGenerationMethods", ["generateContent"])
    ]
    token = page.get("nextPageToken")
    return names, {"pageToken": token} if token else None


def _ollama_models(page: Any) -> tuple[list[str], Query | None]:
    return [entry["name"] for entry in page["models"]], None


_OLLAMA_PORT: Final = 11434


def _ollama_url(host: str) -> str:
    """The URL of `OLLAMA_HOST`, which may be without scheme and port, as in `127.0.0.1` or `:8080`."""
    if "://" in host:
        return host
    try:
        parts = urlsplit(f"http://{host.rstrip('/')}")
        name, port = parts.hostname or "127.0.0.1", parts.port or _OLLAMA_PORT
    except ValueError:
        return host
    name = f"[{name}]" if ":" in name else name
    return urlunsplit(parts._replace(netloc=f"{name}:{port}"))


def _openai_like(
    name: str,
    base_url: str,
    key: str,
    bound: str = "max_tokens",
    *,
    reports_cost: bool = False,
    url_variable: str | None = None,
) -> ProviderApi:
    """A provider with OpenAI's chat API; `bound` is its name for the most tokens of an answer."""
    models = Listing("/models", _by_id)
    path = "/chat/completions"
    body = _openai_body(bound)
    return ProviderApi(
        name,
        base_url,
        (key,),
        lambda _: path,
        _bearer,
        body,
        _openai_read,
        models,
        reports_cost,
        url_variable,
    )


PROVIDERS: Final[Mapping[str, ProviderApi]] = {
    provider.name: provider
    for provider in (
        _openai_like(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            "max_completion_tokens",
            url_variable="OPENAI_BASE_URL",
        ),
        _openai_like("openai-compatible", "", "OPENAI_API_KEY", url_variable="OPENAI_BASE_URL"),
        ProviderApi(
            "anthropic",
            "https://api.anthropic.com",
            ("ANTHROPIC_API_KEY",),
            lambda _: "/v1/messages",
            _anthropic_headers,
            _anthropic_body,
            _anthropic_read,
            Listing("/v1/models", _by_id, {"limit": "1000"}),
            url_variable="ANTHROPIC_BASE_URL",
        ),
        ProviderApi(
            "gemini",
            "https://generativelanguage.googleapis.com",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            _gemini_path,
            lambda key: {"x-goog-api-key": key} if key else {},
            _gemini_body,
            _gemini_read,
            Listing("/v1beta/models", _gemini_models, {"pageSize": "1000"}),
            url_variable="GOOGLE_GEMINI_BASE_URL",
        ),
        _openai_like("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        _openai_like("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", reports_cost=True),
        ProviderApi(
            "ollama",
            "http://127.0.0.1:11434",
            (),
            lambda _: "/api/chat",
            _bearer,
            _ollama_body,
            _ollama_read,
            Listing("/api/tags", _ollama_models),
            url_variable="OLLAMA_HOST",
            as_url=_ollama_url,
        ),
    )
}
"""The providers by the name that `--provider` takes."""
