"""An application of the test's own answers one request: an ASGI application, or a plain function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, final
from urllib.parse import unquote

import anyio.lowlevel
import msgspec

from ..events import without_addresses
from ..provider.host_patterns import is_loopback, split_host
from ..provider.host_rules import HostApp
from ..provider.http import WITHOUT_BODY, Frame, Head, Headers, HttpRequest
from ..shown import shortened
from ..sim.origin import name_of_file, place_of_error
from .desk import Desk
from .lifespans import ASGI, Message
from .real_time import RealWaits
from .waiting import AsyncEvent

_FRAMING: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""Headers that the HTTP layer writes itself."""

_RETURNS: Final = (
    "a function for a host returns a text, bytes, a dict or list (sent as JSON), a status, or a tuple "
    "(status, body) or (status, body, headers)"
)


@final
class AppCall:
    """One request on its way through an application; `put` takes the parts of the response."""

    def __init__(
        self, desk: Desk, app: HostApp, http: HttpRequest, prefix: str, put: Callable[[Frame], object]
    ) -> None:
        self._desk = desk
        self._app = app
        self._http = http
        self._prefix = prefix
        self._put_frame = put
        self._wake: AsyncEvent | None = None
        self._asked = False
        self._gone = False
        self._start: Message | None = None
        self._declared: int | None = None
        self._sent: int | None = None
        """Bytes of the body that were sent; `None` before the head was."""
        self._done = False

    def begin(self, *, blocking: bool) -> None:
        """Start the task that answers; `blocking`: the client blocks its thread until then."""
        self._desk.app_tasks.start(f"app of {self._http.host}", self._run, blocking=blocking)

    def hang_up(self) -> None:
        """The client has left, or has all of the response."""
        self._gone = True
        self._awake()

    async def _run(self) -> None:
        try:
            if self._app.is_asgi:
                state = await self._desk.lifespans.state_of(self._app)
                await self._app.call(self._scope(state), self._receive, self._send)
                if not self._done:
                    raise RuntimeError("the application returned before its response was complete")
            else:
                self._put(_frame(await self._returned()))
        except Exception as error:
            self._failed(error)

    def _put(self, frame: Frame) -> None:
        self._sent = (self._sent or 0) + len(frame.data)
        self._done = frame.end or frame.abort
        with self._desk.lock:
            self._put_frame(frame)

    def _failed(self, error: Exception) -> None:
        """The test fails by it; the client gets what a server sends."""
        desk, http = self._desk, self._http
        if not (self._gone and isinstance(error, OSError)):  # else it met the end of the connection
            file, line = place_of_error(error) or _place_of(self._app)
            desk.note(
                "app-failed",
                host=http.host,
                target=desk.secrets.hide(f"{http.method} {http.path}"),
                error=desk.secrets.hide(without_addresses(str(error))),
                error_type=type(error).__name__,
                file=file,
                line=line,
            )
        if self._sent is None:
            self._put(_frame((500, "Internal Server Error\n")))
        elif not self._done:
            self._put(Frame(abort=True))

    # -- a plain function ---------------------------------------------------------------------

    async def _returned(self) -> Any:
        clock = self._desk.clock
        began = clock.now()
        answer = self._app.call(self._http)
        if inspect.isawaitable(answer):
            return await answer
        if clock.now() > began and not isinstance(self._desk.waits, RealWaits):
            raise RuntimeError(
                "a plain function for a host must not sleep: it would hold up the client's own event loop; "
                "write `async def` and `await anyio.sleep(...)`"
            )
        return answer

    # -- an ASGI application ------------------------------------------------------------------

    def _scope(self, state: dict[str, Any]) -> Message:
        http = self._http
        name, port = split_host(http.host)
        plain = is_loopback(http.host)
        path = f"{self._prefix}{http.path}"
        return {
            "type": "http",
            "state": dict(state),
            "asgi": ASGI,
            "http_version": "1.1",
            "method": http.method,
            "scheme": "http" if plain else "https",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "root_path": self._prefix,
            "query_string": http.query.encode("latin-1"),
            "headers": [
                (key.encode("latin-1"), value.encode("latin-1")) for key, value in http.headers.items()
            ],
            "client": ("127.0.0.1", 50000),
            "server": (name, int(port) if port.isdigit() else 80 if plain else 443),
        }

    async def _receive(self) -> Message:
        await anyio.lowlevel.checkpoint()
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._http.body, "more_body": False}
        while not self._gone and not self._done:
            self._wake = wake = self._desk.waits.event()
            if not self._gone:
                await wake.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        if self._gone:
            raise OSError("the client has hung up")
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(
                f"the application sent {message['type']!r}, and only HTTP responses are served"
            )

    def _send_body(self, data: bytes, *, more: bool) -> None:
        if self._start is None or self._done:
            raise RuntimeError("the application sent a body before its head, or after its end")
        head = None
        if self._sent is None:
            head = _head(self._start["status"], self._start.get("headers", ()), bytes.decode)
            self._declared = head.length
        sent = (self._sent or 0) + len(data)
        bodiless = self._http.method == "HEAD" or self._start["status"] in WITHOUT_BODY
        wrong = self._declared is not None and not bodiless and (sent > self._declared or not more)
        if wrong and sent != self._declared:
            raise RuntimeError(f"the body has {sent} bytes, and content-length says {self._declared}")
        self._put(Frame(head=head, data=bytes(data), end=not more))
        if self._done:
            self._awake()

    def _awake(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def __repr__(self) -> str:
        return f"<AppCall {self._http!r}>"


def _place_of(app: HostApp) -> tuple[str | None, int | None]:
    """File and line of an application's code, where that is known."""
    code = getattr(inspect.unwrap(app.call), "__code__", None)
    return (None, None) if code is None else (name_of_file(code.co_filename), code.co_firstlineno)


def _head(status: int, headers: Iterable[tuple[Any, Any]], text: Callable[..., str]) -> Head:
    """The head of a response: its own framing is left out, but for the length."""
    pairs: Headers = tuple((text(name, "latin-1"), text(value, "latin-1")) for name, value in headers)
    for name, value in pairs:
        if any(mark in name + value for mark in "\r\n\0"):
            raise ValueError(f"the header {name!r} has a line break or a zero in it: {value!r}")
    length = next((int(value) for name, value in pairs if name.lower() == "content-length"), None)
    return Head(status, tuple(pair for pair in pairs if pair[0].lower() not in _FRAMING), length)


def _frame(answer: Any) -> Frame:
    """The whole response that a function's answer stands for.

    Raises:
        TypeError: it stands for none.
    """
    given: Any = {}
    status: Any = 200
    body = answer
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        status, body = answer[:2]
        given = answer[2] if len(answer) == 3 else given
    elif isinstance(answer, int) and not isinstance(answer, bool):
        status, body = answer, b""
    content_type, data = _encoded(body)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599 or data is None:
        said = "None: it has no return" if answer is None else shortened(repr(answer))
        raise TypeError(f"{_RETURNS}, and this one returned {said}")
    headers = [*_pairs(given)]
    if content_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", content_type))
    head = _head(status, headers, lambda value, _: value)
    return Frame(head=Head(head.status, head.headers), data=data, end=True)


def _pairs(given: Any) -> Iterator[tuple[str, str]]:
    """Headers by name, a list for several of one name, or pairs of name and value."""
    for name, value in given.items() if isinstance(given, Mapping) else given:
        for each in value if isinstance(value, list | tuple) else (value,):
            yield str(name), str(each)


def _encoded(body: Any) -> tuple[str, bytes | None]:
    """Content type and bytes of a body; `None` for what is none."""
    if isinstance(body, str):
        return "text/plain; charset=utf-8", body.encode()
    if isinstance(body, bytes | bytearray):
        return "application/octet-stream" if body else "", bytes(body)
    if isinstance(body, dict | list):
        return "application/json", msgspec.json.encode(body)
    return "", None
