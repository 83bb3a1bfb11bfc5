"""The fake provider as a test sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any, final

from ..checks import Checks, judge, named
from ..checks.exactly_once import judge_items
from ..checks.verdict import Verdict, failed_of
from ..events import EventLog
from ..provider.host_rules import app_rule, host_rule
from ..seams import direct
from ..seams.answer_function import Function
from ..seams.desk import Desk, ItemResolver
from ..seams.direct import Completion
from ..seams.installed import installed
from ..seams.sent_requests import Requests
from ..seams.transports import transport
from .failure import CheckFailed
from .notes import beginning_of
from .strict_attributes import StrictAttributes


@final
class FakeLLM(StrictAttributes):
    """One scripted provider, reached by a direct call or by HTTP clients at their real URLs."""

    __slots__ = ("_desk", "_log", "checked", "judged", "own_checks")

    def __init__(self, desk: Desk, log: EventLog) -> None:
        self._desk = desk
        self._log = log
        self.checked = False
        """Whether `check` was called."""
        self.judged: dict[str, Verdict] = {}
        """What `check` said last."""
        self.own_checks: list[Callable[[EventLog], Verdict]] = []
        """What `tank.add_check` was given."""

    async def call(
        self,
        prompt: str,
        *,
        item: str | None = None,
        model: str = direct.DEFAULT_MODEL,
        key: str = direct.DEFAULT_KEY,
        max_tokens: int | None = None,
    ) -> Completion:
        """Ask the provider without HTTP; `item` names the item of this request.

        Raises:
            ProviderError: the subclass that fits the refusal or fault.
        """
        return await direct.call(self._desk, prompt, item=item, model=model, key=key, max_tokens=max_tokens)

    @contextmanager
    def installed(self) -> Iterator[FakeLLM]:
        """Let every supported HTTP client of this process meet the fake at its real URL."""
        with installed(self._desk):
            yield self

    def httpx_transport(self) -> Any:
        """A transport for `httpx.Client` and `httpx.AsyncClient`."""
        import httpx

        return transport(httpx, self._desk)

    def httpx2_transport(self) -> Any:
        """A transport for `httpx2.Client` and `httpx2.AsyncClient`."""
        import httpx2

        return transport(httpx2, self._desk)

    @property
    def respx_handler(self) -> Callable[[Any], Any]:
        """A side effect for routes of respx: `respx.route().mock(side_effect=fake_llm.respx_handler)`.

        It serves the sync and async clients of httpx, and with `pytest-httpx2` those of httpx2.
        """
        from ..seams.respx import respx_handler

        return respx_handler(self._desk)

    def asgi_app(self) -> Any:
        """The provider as an ASGI application, to be mounted in another one or served by a server.

        The host in the `Host` header decides the dialect, and where that is no provider's, the path.
        """
        from ..seams.asgi import AsgiApp

        return AsgiApp(self._desk)

    @property
    def requests(self) -> Requests:
        """All requests so far, in the order of their arrival; `requests.of(item=…)` selects some."""
        return Requests(self._desk.records)

    @property
    def in_flight(self) -> int:
        """Requests the provider is working on now."""
        return self._desk.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most requests in flight at any instant."""
        return self._desk.peak_in_flight

    @property
    def item_of(self) -> ItemResolver | None:
        """A rule `request -> item id or None` that names the item of a request; `None` is the default rule.

        The rule is shown the request's `prompt`, `model`, `headers`, `payload` and `item`. What it
        names counts as declared; where it returns `None` the default rule stays in force.

        Raises:
            TypeError: it is set to something that cannot be called.
        """
        return self._desk.item_of

    @item_of.setter
    def item_of(self, rule: ItemResolver | None) -> None:
        if rule is not None and not callable(rule):
            raise TypeError(
                f"item_of = {rule!r}: give a function that is shown a request and returns an item id"
            )
        self._desk.item_of = rule

    @property
    def answer(self) -> Function | None:
        """A function `request -> answer`; `None` leaves all answers to the scenario.

        It returns a text, a dict or list (answered as JSON text), a `wavetank.Answer`, or `None` for
        the scenario's own answer. An error of wavetank's, such as `wavetank.RateLimited("…", retry_after=2)`,
        returned or raised, refuses the request. Any other error fails the run.
        It is called once for each request for a text that no wave refuses, when it arrives.

        Raises:
            TypeError: it is set to something that cannot be called, or to a coroutine function.
        """
        return self._desk.answer

    @answer.setter
    def answer(self, function: Function | None) -> None:
        if function is not None and (not callable(function) or iscoroutinefunction(function)):
            raise TypeError(
                f"answer = {function!r}: give a plain function that is shown a request, such as "
                'lambda request: {"label": "bug"}'
            )
        self._desk.answer = function

    def add_host(
        self, host: str, *, dialect: str | None = None, app: Callable[..., Any] | None = None
    ) -> None:
        """Answer for one more host, in this run: in a vendor's dialect, or by an application of your own.

        An application answers for what is no LLM, such as a vector store. It is an ASGI application, or a
        function that takes a request (`method`, `host`, `path`, `query`, `headers`, `body`, `json()`) and
        returns a text, bytes, a dict or list (sent as JSON), a status, `(status, body)` or
        `(status, body, headers)`. It may be `async def`, and then sleep, in virtual time. Its requests are
        none of the provider's: they are not in `requests`, and not judged. An error that it raises fails
        the test.

        Args:
            host: `HOST`, `HOST:PORT` or `HOST/PREFIX`; the host may be a shell pattern, such as
                `*.corp.example`. Only paths below a prefix are meant.
            dialect: the name of a vendor, such as `openai`.
            app: the application; it sees paths without the prefix.

        Raises:
            TypeError: not just one of `dialect` and `app` is given, or `app` is none.
            ValueError: it is no host, there is no such dialect, or the host was added with another one.
        """
        if (dialect is None) == (app is None):
            raise TypeError(f'add_host({host!r}): give one of dialect="openai" and app=..., and not both')
        self._desk.hosts.add(app_rule(host, app) if dialect is None else host_rule(host, dialect))  # type: ignore[arg-type]

    def check(
        self, checks: Checks = "default", *, exactly_once: Iterable[str] | None = None
    ) -> dict[str, Verdict]:
        """Judge now; with `exactly_once` also that exactly those items got their answer, once each.

        Raises:
            CheckFailed: checks failed; the text names all of them, with the evidence of the worst.
            TypeError: `exactly_once` is no list of items, but one text or something else.
        """
        if exactly_once is not None and (
            isinstance(exactly_once, str) or not isinstance(exactly_once, Iterable)
        ):
            raise TypeError(
                f"check(exactly_once={exactly_once!r}): give a list of items, [{str(exactly_once)!r}]"
            )
        self.checked = True
        verdicts = judge(self._log, (*named(checks), *self.own_checks))
        if exactly_once is not None:
            verdicts["exactly_once"] = judge_items(self._log, exactly_once)
        self.judged = verdicts
        if failed := failed_of(verdicts.values()):
            raise CheckFailed(failed, happened=beginning_of(self._log, verdicts.values()))
        return verdicts

    def __repr__(self) -> str:
        return f"<FakeLLM {self._log.header.scenario} [{len(self._desk.records)} requests]>"
