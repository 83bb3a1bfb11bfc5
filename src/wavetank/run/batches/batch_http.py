"""Sends the requests of a batch API: it waits for limits to end, and tries again after outages."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, final
from urllib.parse import urlencode

import anyio

from ...processor.errors.stated_wait import stated_wait
from ...shown import Secrets
from ..provider_strategy import parsed_answer
from ..providers import ProviderApi
from ..run_errors import ApiError, UnreadableAnswer

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 60.0
"""The waits of the processor in an outage: 1 s, 2 s, 4 s, … up to a minute."""
_NOT_KNOWN: Final = 500
"""From this status on an answer does not say what became of the request."""
_TRY_AGAIN: Final = (408, 429)


@final
class CreationUnclear(Exception):
    """A request to create a batch had no answer that says whether it was created."""


@final
class Halted(Exception):
    """The run cannot go on: the provider is away, or refuses the key; the text says which."""


@final
class BatchHttp:
    """The requests to one provider.

    Args:
        client: an httpx2 client.
        provider: the API of the provider.
        key: the API key.
        base_url: the address of the API, if it is not the provider's own.
        secrets: what no error may show.
        max_outage_seconds: how long the provider may be away.
        on_refused: called with the seconds to wait when a limit refuses a request.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        provider: ProviderApi,
        *,
        key: str,
        base_url: str | None,
        secrets: Secrets,
        max_outage_seconds: float,
        on_refused: Callable[[float], object],
    ) -> None:
        self._client = client
        self._provider = provider
        self._base_url = base_url
        self._secrets = secrets
        self.max_outage_seconds: Final = max_outage_seconds
        self._on_refused = on_refused
        self._headers = provider.headers(key)
        secrets.label(key)
        secrets.label_url(base_url)

    @property
    def has_own_address(self) -> bool:
        """Whether the requests go to another address than the provider's own."""
        return self._base_url is not None

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Read JSON, and try again until there is an answer."""
        return await self.again(lambda: self._json("GET", path, query=query))

    async def download(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Read a file, and try again until it is there as a whole."""
        return (await self.again(lambda: self._send("GET", path, query=query))).content

    async def post(self, path: str, body: Any = None) -> Any:
        """Send JSON that may arrive twice, and try again until there is an answer."""
        return await self.again(lambda: self._post_json(path, body))

    async def upload(self, path: str, form: Mapping[str, str], name: str, data: bytes) -> Any:
        """Send a form with a file of JSON lines."""
        files = {"file": (name, data, "application/jsonl")}
        return await self.again(lambda: self._json("POST", path, data=form, files=files))

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes
    ) -> httpx2.Response:
        """Send bytes once, at a path or a whole URL."""
        return await self._send(method, path, headers=headers, content=content)

    async def create(self, path: str, body: Any) -> Any:
        """Send a request to create a batch, once.

        Raises:
            ApiError: it was refused, and nothing was created.
            CreationUnclear: whether something was created is not known.
        """
        import httpx2

        try:
            return await self._post_json(path, body)
        except ApiError as error:
            if error.status_code >= _NOT_KNOWN or error.status_code == 408:
                raise CreationUnclear(str(error)) from error
            raise
        except (httpx2.HTTPError, OSError, UnreadableAnswer) as error:
            raise CreationUnclear(f"{type(error).__name__}: {error}") from error

    async def again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Send a request that may arrive twice until there is an answer.

        Raises:
            ApiError: it was refused for good.
            Halted: the provider was away for too long.
        """
        import httpx2

        wait, lost = FIRST_WAIT_SECONDS, 0.0
        while True:
            began = anyio.current_time()
            try:
                return await attempt()
            except ApiError as error:
                if error.status_code < _NOT_KNOWN and error.status_code not in _TRY_AGAIN:
                    raise
                failure: Exception = error
            except (httpx2.HTTPError, OSError, UnreadableAnswer) as error:
                failure = error
            stated = wait_of(failure)
            pause = wait if stated is None else stated
            limited = isinstance(failure, ApiError) and failure.status_code == 429
            lost = 0.0 if limited else lost + anyio.current_time() - began
            if lost + (0 if limited else pause) > self.max_outage_seconds:
                raise Halted(f"the provider is away: {failure}") from failure
            if limited:
                self._on_refused(pause)
            await anyio.sleep(pause)
            lost += 0.0 if limited else pause
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _post_json(self, path: str, body: Any) -> Any:
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        return await self._json("POST", path, headers=headers, content=content)

    async def _send(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """Send one request.

        Raises:
            ApiError: the answer is an error.
            Exception: any error of httpx2, if there was no answer.
        """
        own = options.pop("headers", None) or {}
        try:
            answer = await self._client.request(
                method, self._url(path, query), headers={**self._headers, **own}, **options
            )
        except Exception as error:
            self._secrets.hide_in(error)
            raise
        if answer.status_code >= 400:
            parsed_answer(answer.status_code, answer.headers, answer.text, self._secrets)
        return answer

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        """The URL of a path, which may be one already; the query of the base URL is kept."""
        if path.startswith("http"):
            return path
        path, _, own = path.partition("?")
        url = self._provider.url(path, self._base_url)
        more = "&".join(filter(None, (own, urlencode(query or {}))))
        return f"{url}{'&' if '?' in url else '?'}{more}" if more else url

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = await self._send(method, path, **options)
        try:
            value = json.loads(answer.content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise UnreadableAnswer(answer.status_code, self._secrets.hide(answer.text))
        return value


def wait_of(error: Exception) -> float | None:
    """The wait that a refusal states, in seconds."""
    if not isinstance(error, ApiError):
        return None
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    return stated_wait(error.headers, inner if isinstance(inner, dict) else {})
