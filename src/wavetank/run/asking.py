"""One request to a provider, over a client that somebody else opened and will close."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import quote

from ..clock import real_epoch_ns, to_seconds
from ..processor import CallResult, LLMCallStrategy, LLMWorkItem, TokenUsage, rate_info
from ..processor.sender import CHARACTERS_PER_TOKEN
from .errors import ApiError, NoPrompt, RunError, UnreadableAnswer
from .providers import Ask, Prices, Provider, is_local

if TYPE_CHECKING:
    import httpx2

ITEM_HEADER: Final = "x-wavetank-item"
CONNECT_SECONDS: Final = 10.0
_HIDDEN: Final = "***"


def need_client() -> None:
    """See that there is an HTTP library.

    Raises:
        RunError: httpx2 is not installed.
    """
    try:
        import httpx2  # noqa: F401
    except ImportError:
        raise RunError(
            "wavetank run needs the package httpx2 to reach a provider: pip install 'wavetank[run]'"
        ) from None


@asynccontextmanager
async def open_client(*, connections: int, timeout_seconds: float) -> AsyncIterator[httpx2.AsyncClient]:
    """One HTTP client for all requests of a run, closed when the block ends.

    It waits as long as it must for one of its connections: the processor bounds what is
    under way.
    """
    import httpx2

    timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds), pool=None)
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx2.AsyncClient(timeout=timeout, limits=limits) as client:
        yield client


@final
class ProviderStrategy(LLMCallStrategy[str]):
    """Puts each item to a provider as one request; the client stays open for others.

    Args:
        client: an httpx2 client, shared and closed by its owner.
        provider: the API to speak.
        ask: the model and the rest of what is the same for every item.
        key: the API key; it is in the request's headers and in no error text.
        base_url: where the API is, if not at the provider's own address.
        tells_ids: whether a header tells each item's id; by default only on this machine,
            where a server may be wavetank's.
        prices: what tokens cost, for an answer that does not tell its own cost. One that does
            not count its tokens is charged by its length.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        provider: Provider,
        ask: Ask,
        *,
        key: str = "",
        base_url: str | None = None,
        tells_ids: bool | None = None,
        prices: Prices | None = None,
    ) -> None:
        self._client = client
        self._provider = provider
        self._ask = ask
        self._key = key
        self._prices = prices
        self._url = provider.url(ask, base_url)
        self._tells_ids = is_local(self._url) if tells_ids is None else tells_ids
        self._headers = {"content-type": "application/json", **provider.headers(key)}

    def __repr__(self) -> str:
        return f"<ProviderStrategy {self._provider.name} at {self._url}>"

    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[str]:
        """Send one request.

        Raises:
            ApiError: the provider answered with an error, also inside a 200.
            UnreadableAnswer: it answered with something else.
            Exception: what httpx2 raises when no answer came.
        """
        body = json.dumps(self._provider.body(self._ask, item.prompt))
        answer = await self._client.post(self._url, content=body, headers=self._headers_for(item))
        return self._priced(item, self._read(answer.status_code, answer.headers, answer.text))

    def _headers_for(self, item: LLMWorkItem[Any]) -> dict[str, str]:
        return {**self._headers, ITEM_HEADER: quote(item.id)} if self._tells_ids else self._headers

    def _read(self, status: int, headers: Mapping[str, str], text: str) -> CallResult[str]:
        parsed = _parsed(text)
        if status < 400 and not (isinstance(parsed, dict) and parsed.get("error")):
            try:
                answer = self._provider.read(parsed)
                return replace(answer, info=rate_info(headers, now=_wall()))
            except (AttributeError, IndexError, KeyError, TypeError):
                raise _not_an_answer(status, parsed, self._hidden(text)) from None
        text = self._hidden(text)
        parsed = _parsed(text)
        raise ApiError(_stated(status, parsed), headers, parsed, _message(parsed) or text)

    def _priced(self, item: LLMWorkItem[Any], answer: CallResult[str]) -> CallResult[str]:
        if self._prices is None or answer.cost:
            return answer
        lengths = len(item.prompt), len(answer.value)
        usage = answer.usage if answer.usage.total else TokenUsage(*map(_tokens_of, lengths))
        return replace(answer, cost=self._prices.cost(usage))

    def _hidden(self, text: str) -> str:
        """An answer that is an error, without the key that it may repeat."""
        return text.replace(self._key, _HIDDEN) if self._key else text


def with_prompt(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
    """The item, if there is anything to ask.

    Raises:
        NoPrompt: it has no prompt.
    """
    if not item.prompt.strip():
        raise NoPrompt("the row has no prompt; nothing was sent")
    return item


def _not_an_answer(status: int, parsed: object, text: str) -> Exception:
    """Gemini says why a prompt was blocked in an answer without candidates; no other try mends it."""
    feedback = parsed.get("promptFeedback") if isinstance(parsed, dict) else None
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return ApiError(400, {}, parsed, f"the prompt was blocked: {feedback['blockReason']}")
    return UnreadableAnswer(status, text)


def _tokens_of(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def _stated(status: int, parsed: object) -> int:
    """The status of an error: inside a 200, as OpenRouter sends it, the error's own code."""
    if status < 400 and isinstance(parsed, dict) and isinstance(parsed["error"], dict):
        code = parsed["error"].get("code")
        if isinstance(code, int) and 400 <= code < 600:
            return code
    return status


def _message(parsed: object) -> str:
    """What the error says for people, wherever its API puts that."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _wall() -> float:
    return to_seconds(real_epoch_ns())
