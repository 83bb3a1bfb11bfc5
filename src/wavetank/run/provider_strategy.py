"""A strategy that sends one request to a provider over HTTP, and the HTTP client for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import quote

from ..clock import real_epoch_ns, to_seconds
from ..nesting import too_deep
from ..processor import CallResult, LLMCallStrategy, LLMWorkItem, TokenUsage, rate_info
from ..processor.token_estimate import CHARACTERS_PER_TOKEN
from ..shown import Secrets
from .providers import Prices, ProviderApi, RequestSettings, is_local
from .run_arguments import DEFAULT_TIMEOUT
from .run_errors import ApiError, NoPrompt, RunError, UnreadableAnswer

if TYPE_CHECKING:
    import httpx2

ITEM_HEADER: Final = "x-wavetank-item"
CONNECT_SECONDS: Final = 10.0
"""The default of httpx2 is 5 s; a slow proxy may need twice that."""


def need_client() -> None:
    """Check that the HTTP library is installed.

    Raises:
        RunError: httpx2 is not installed.
    """
    try:
        import httpx2  # noqa: F401
    except ImportError:
        raise RunError(
            "wavetank run needs the package httpx2 to reach a provider: pip install 'wavetank[run]'"
        ) from None


def new_client(*, connections: int | None = None, timeout_seconds: float) -> httpx2.AsyncClient:
    """A new HTTP client, which the caller closes; `connections` is the most that it opens."""
    import httpx2

    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx2.AsyncClient(timeout=httpx2.Timeout(_timeout(timeout_seconds)), limits=limits)


def request_options(client: httpx2.AsyncClient | None, timeout_seconds: float | None) -> dict[str, Any]:
    """The options of each request over a client that was not made with this timeout."""
    if client is None or timeout_seconds is None:
        return {}
    return {"timeout": _timeout(timeout_seconds)}


def _timeout(seconds: float) -> tuple[float, float, float, None]:
    """The timeouts to connect, read, write and get a connection; the last is not bounded."""
    return min(CONNECT_SECONDS, seconds), seconds, seconds, None


@final
class ProviderStrategy(LLMCallStrategy[str]):
    """Sends each item to a provider as one request.

    A client that is given is shared and stays open: its owner closes it. Without one,
    `prepare` opens a client that all requests share, and `cleanup` closes it. If several
    processors share the strategy, the last `cleanup` does. A request outside of the two has
    its own client.

    Args:
        client: an httpx2 client, which is shared.
        provider: the API of the provider.
        settings: the model and the other settings of all requests.
        timeout_seconds: how long a request may wait for the next byte; by default the timeout of
            the given client, or 120 s.
        key: the API key; it is sent in the headers, and no error and no answer shows it.
        base_url: the address of the API, if it is not the provider's own.
        sends_item_ids: whether a header has the item's id; by default only for a server on this
            machine, which may be one of wavetank.
        prices: the prices of tokens, for an answer that does not state its cost. An answer
            without a count of its tokens is charged by its length.
        secrets: hides the key and the secrets in `base_url`.
        scope: the key of the limits; by default they are those of the account.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient | None,
        provider: ProviderApi,
        settings: RequestSettings,
        *,
        timeout_seconds: float | None = None,
        key: str = "",
        base_url: str | None = None,
        sends_item_ids: bool | None = None,
        prices: Prices | None = None,
        secrets: Secrets | None = None,
        scope: str | None = None,
    ) -> None:
        self.scope: Final = scope
        self._client = client
        self._provider = provider
        self._settings = settings
        self._secrets = secrets or Secrets()
        if key:
            self._secrets.label(key)
        self._secrets.label_url(base_url)
        self._prices = prices
        self._timeout_seconds = timeout_seconds or DEFAULT_TIMEOUT
        self._how = request_options(client, timeout_seconds)
        self._own: httpx2.AsyncClient | None = None
        self._users = 0
        self._url = provider.url(provider.path(settings), base_url)
        self._tells_ids = is_local(self._url) if sends_item_ids is None else sends_item_ids
        self._headers = {"content-type": "application/json", **provider.headers(key)}

    def __repr__(self) -> str:
        # The address is not shown: it may contain a password.
        return f"<ProviderStrategy {self._provider.name}/{self._settings.model}>"

    async def prepare(self) -> None:
        """Open a client, if none was given and none is open."""
        self._users += 1
        if self._client is None and self._own is None:
            self._own = self._new_client()

    async def cleanup(self) -> None:
        """Close the client that `prepare` opened, when the last user of the strategy has finished."""
        self._users = max(0, self._users - 1)
        if self._own is not None and not self._users:
            client, self._own = self._own, None
            await client.aclose()

    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
        """Send one request.

        Raises:
            ApiError: the provider answered with an error, also inside a 200.
            UnreadableAnswer: the answer is not in the format of its API.
            Exception: any error of httpx2, if there was no answer.
        """
        body = json.dumps(self._provider.body(self._settings, item.prompt))
        try:
            async with self._session() as client:
                answer = await client.post(
                    self._url, content=body, headers=self._headers_for(item), **self._how
                )
        except Exception as error:
            self._secrets.hide_in(error)
            raise
        return priced(item.prompt, self._read(answer.status_code, answer.headers, answer.text), self._prices)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[httpx2.AsyncClient]:
        if (client := self._client or self._own) is not None:
            yield client
            return
        async with self._new_client() as temporary:
            yield temporary

    def _new_client(self) -> httpx2.AsyncClient:
        return new_client(timeout_seconds=self._timeout_seconds)

    def _headers_for(self, item: LLMWorkItem[Any]) -> dict[str, str]:
        return {**self._headers, ITEM_HEADER: quote(item.id)} if self._tells_ids else self._headers

    def _read(self, status: int, headers: Mapping[str, str], text: str) -> CallResult[str]:
        parsed = parsed_answer(status, headers, text, self._secrets)
        answer = read_answer(self._provider, parsed, status, text, self._secrets)
        return replace(answer, info=rate_info(headers, now=to_seconds(real_epoch_ns())))


def read_answer(
    provider: ProviderApi, parsed: Any, status: int, text: str, secrets: Secrets
) -> CallResult[str]:
    """The text, the tokens and the cost of an answer, without any key.

    Raises:
        ApiError: it states why there is no answer.
        UnreadableAnswer: it is not in the format of its API.
    """
    try:
        answer = provider.read(parsed)
        return replace(answer, value=secrets.hide_keys(answer.value))
    except (AttributeError, IndexError, KeyError, TypeError):
        raise _not_an_answer(status, secrets.hidden(parsed), secrets.hide(text)) from None


def priced(prompt: str, answer: CallResult[str], prices: Prices | None) -> CallResult[str]:
    """The same answer with its cost, unless it states it; uncounted tokens are estimated from the texts."""
    if prices is None or answer.cost:
        return answer
    lengths = len(prompt), len(answer.value)
    usage = (
        answer.usage
        if answer.usage.total
        else TokenUsage(*(-(-length // CHARACTERS_PER_TOKEN) for length in lengths))
    )
    return replace(answer, cost=prices.cost(usage))


def parsed_answer(status: int, headers: Mapping[str, str], text: str, secrets: Secrets) -> object:
    """The JSON of an answer, or `None` if the text is not JSON.

    Raises:
        ApiError: the provider answered with an error, also inside a 200; it shows no secret.
    """
    parsed = _parsed(text)
    if status < 400 and not (isinstance(parsed, dict) and parsed.get("error")):
        return parsed
    text, parsed = secrets.hide(text), secrets.hidden(parsed)
    headers = {name: secrets.hide(value) for name, value in headers.items()}
    raise ApiError(_stated(status, parsed), headers, parsed, _message(parsed) or text)


def with_prompt(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
    """The same item, if it has a prompt.

    Raises:
        NoPrompt: it has no prompt.
    """
    if not item.prompt.strip():
        raise NoPrompt("the row has no prompt; nothing was sent")
    return item


def _not_an_answer(status: int, parsed: object, text: str) -> Exception:
    """The error for an answer without a text. Gemini states in it why a prompt was blocked: no retry."""
    feedback = parsed.get("promptFeedback") if isinstance(parsed, dict) else None
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return ApiError(400, {}, parsed, f"the prompt was blocked: {feedback['blockReason']}")
    return UnreadableAnswer(status, text)


def _stated(status: int, parsed: object) -> int:
    """The status of an error: inside a 200, as OpenRouter sends it, the error's own code."""
    if status < 400 and isinstance(parsed, dict) and isinstance(parsed["error"], dict):
        code = parsed["error"].get("code")
        if isinstance(code, int) and 400 <= code < 600:
            return code
    return status


def _message(parsed: object) -> str:
    """The message of an error, wherever its API puts it."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def _parsed(text: str) -> object:
    """The JSON of an answer; `None` if it is not JSON, or is nested deeper than any API does."""
    try:
        return json.loads(text) if not too_deep(text.encode("utf-8", "surrogatepass")) else None
    except ValueError:
        return None
