"""The server's own pages, by which a client in any language is judged from outside.

A client keeps its ledger by posting what it submitted and what became of it; the verdict is
judged on the log as it is when its turn has come. Pages of other sites that a browser on this
machine has open are kept out.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, final
from urllib.parse import parse_qs, urlsplit

import msgspec

from ...checks import UnknownCheck, named
from ...events import EventLog
from ...nesting import DEEPEST, too_deep
from ...provider.host_patterns import is_loopback
from ...provider.http import HttpRequest
from ...scenario import Scenario, ScenarioError, catalogue, load_scenario, scenario_from_dict, written
from ...seams.http1 import ControlResponse
from ...shown import shortened
from ...text import LARGEST_SEED, did_you_mean
from ..expectations import expected
from .served_run import RunSettings, judgement
from .served_world import Serving

PREFIX: Final = "/_wavetank/"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

HTML: Final = "text/html; charset=utf-8"

MOST_WAITING: Final = 64
"""So many requests for a verdict or a timeline may wait for their turn, a few hundred bytes each; one more
gets 503."""

_LONGEST_ERROR: Final = 500
"""Characters of an error, which may repeat what a client sent."""

Answer = Callable[[ControlResponse], object]
Reader = Callable[[Callable[[], EventLog]], ControlResponse]
"""Makes a page of the log so far."""
SoFar = Callable[[], Callable[[], EventLog]]
"""Takes the log as it is now; what it returns may be called later, and takes long."""

logger = logging.getLogger(__name__)


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a foreign client's ledger."""

    event: Literal["submitted", "completed", "failed", "cancelled"]
    item: str
    value: Any = None
    error: str | None = None


Expectation = Annotated[int, msgspec.Meta(le=2**53)] | float | str | bool
"""Of whole numbers those that JSON has in every language."""

Expectations = dict[str, Expectation]


class Reset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is another in the next run than it was when the server began."""

    scenario: str | dict[str, Any] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    checks: str | None = None
    expect: Expectations | None = None


class BadBody(ValueError):
    """What was sent cannot be used; the text says what can."""


@final
class ControlApi:
    """Answers paths under `/_wavetank/`; everything else is the provider's.

    Args:
        serving: what is served, one run after another.
        host: the address that the server listens on.
    """

    def __init__(self, serving: Serving, *, host: str) -> None:
        self._serving = serving
        self._host = host
        self._readers = _Readers()
        self._pages: dict[str, tuple[str, Callable[[HttpRequest, Answer], object]]] = {
            "verdict": ("GET", self._verdict),
            "timeline": ("GET", self._timeline),
            "events": ("GET", self._events),
            "scenario": ("GET", self._show_scenario),
            "items": ("POST", self._items),
            "expect": ("POST", self._expect),
            "reset": ("POST", self._reset),
        }

    def __call__(self, request: HttpRequest, answer: Answer, /) -> bool:
        if not request.path.startswith(PREFIX):
            return False
        if (stranger := foreign(request, self._host)) is not None:
            answer(_json(403, {"error": stranger}))
            return True
        name = request.path.removeprefix(PREFIX)
        if name not in self._pages:
            pages = ", ".join(f"{method} {PREFIX}{page}" for page, (method, _) in self._pages.items())
            answer(_json(404, {"error": f"there is no {shortened(request.path)}; there are {pages}"}))
            return True
        method, page = self._pages[name]
        if request.method == method or (method, request.method) == ("GET", "HEAD"):
            try:
                page(request, answer)
            except BadBody as error:
                answer(_json(400, {"error": shortened(str(error), _LONGEST_ERROR)}))
        else:
            answer(_json(405, {"error": f"{request.path} takes {method}, not {request.method}"}))
        return True

    # -- pages -------------------------------------------------------------------------------

    def _verdict(self, request: HttpRequest, answer: Answer) -> None:
        run = self._serving.run
        checks = parse_qs(request.query).get("checks", [run.settings.checks])[-1]
        self._readers.ask(run.so_far, lambda so_far: _judged(so_far, checks), answer)

    def _timeline(self, _: HttpRequest, answer: Answer) -> None:
        self._readers.ask(self._serving.run.so_far, _drawn, answer)

    def _events(self, _: HttpRequest, answer: Answer) -> None:
        answer(ControlResponse(200, NDJSON, self._serving.run.journal.parts()))

    def _show_scenario(self, _: HttpRequest, answer: Answer) -> None:
        run = self._serving.run
        header = run.journal.header
        known = {"name": header.scenario, "digest": header.digest, "seed": header.seed}
        answer(_json(200, {**known, "scenario": written(run.settings.scenario)}))

    def _items(self, request: HttpRequest, answer: Answer) -> None:
        example = 'an entry is {"event": "submitted", "item": "row-1"}, and several are a list of them'
        decoded = _decoded(request.body, LedgerEntry | list[LedgerEntry], example)
        entries: list[LedgerEntry] = decoded if isinstance(decoded, list) else [decoded]
        for entry in entries:
            self._enter(entry)
        answer(_json(200, {"entered": len(entries)}))

    def _expect(self, request: HttpRequest, answer: Answer) -> None:
        given: Expectations = _decoded(request.body, Expectations, 'write {"failed": 0, "within": "10m"}')
        try:
            self._serving.run.expect(given)
        except (TypeError, ValueError) as error:
            raise BadBody(str(error)) from None
        answer(_json(200, {"declared": len(given)}))

    def _reset(self, request: HttpRequest, answer: Answer) -> None:
        example = (
            'all of it may be left out: {"scenario": "calm", "seed": 1, "checks": "strict", "expect": {}}'
        )
        changes: Reset = _decoded(request.body, Reset, example) if request.body else Reset()
        try:
            ended = self._serving.reset(_changed(self._serving.settings, changes))
        except (TypeError, ValueError) as error:  # also of a scenario or a check
            raise BadBody(str(error)) from None
        except OSError as error:
            answer(_json(409, {"error": f"no journal can be begun: {error}; move that file away"}))
            return
        run = self._serving.run.journal.header
        answer(_json(200, {"scenario": run.scenario, "seed": run.seed, "ended": ended.as_json()}))

    def _enter(self, entry: LedgerEntry) -> None:
        match entry.event:
            case "submitted":
                self._serving.run.ledger.submit(entry.item)
            case "completed":
                self._serving.run.ledger.complete(entry.item, entry.value)
            case "failed":
                self._serving.run.ledger.fail(entry.item, entry.error)
            case "cancelled":
                self._serving.run.ledger.cancel(entry.item)

    def __repr__(self) -> str:
        return f"<ControlApi of {self._serving!r}>"


@final
class _Readers:
    """Reads the log in a thread, one read at a time, so that the server answers meanwhile."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[SoFar, Reader, Answer]] = deque()
        self._busy = False

    def ask(self, so_far: SoFar, reader: Reader, answer: Answer) -> None:
        """Have the log read when it is this request's turn."""
        with self._guard:
            full = len(self._waiting) >= MOST_WAITING
            if not full:
                self._waiting.append((so_far, reader, answer))
            begin, self._busy = not self._busy and not full, True
        if full:
            answer(
                _json(503, {"error": f"{MOST_WAITING} requests wait for the log to be read: ask again later"})
            )
        if begin:
            threading.Thread(target=self._read_all, name="wavetank-verdict", daemon=True).start()

    def _read_all(self) -> None:
        while True:
            with self._guard:
                if not self._waiting:
                    self._busy = False
                    return
                so_far, reader, answer = self._waiting.popleft()
            answer(self._read(so_far, reader))

    def _read(self, so_far: SoFar, reader: Reader) -> ControlResponse:
        try:
            return reader(so_far())
        except Exception:
            logger.exception("the log could not be read")
            return _json(500, {"error": "the log cannot be read; the server's standard error says why"})


def foreign(request: HttpRequest, host: str) -> str | None:
    """Why a request is none of this machine's own, if a browser sent it for the page of another site.

    A page of any site may send requests to this machine; browsers say so in `Origin` and
    `Sec-Fetch-Site` (Fetch Metadata Request Headers, W3C), and a form sends no JSON but as `text/plain`.
    A site whose name is made to point to this machine comes with its own name as `Host`: it is
    refused by a server on loopback, which only this machine reaches.
    """
    headers = request.headers
    named = headers.get("host", "")
    if is_loopback(host) and named and not _is_ours(named, host):
        return f"this server answers only this machine, and the Host is {shortened(named)!r}: use its address"
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    if site not in ("none", "same-origin") or (origin is not None and not _same(origin, named)):
        return "the page of another site may not use the server's own pages"
    if headers.get("content-type", "").lower().startswith(("text/plain", "multipart/")):
        return "a form may not use the server's own pages: send content-type: application/json"
    return None


def _is_ours(named: str, host: str) -> bool:
    try:
        name = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name == host.lower()


def _same(origin: str, named: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == named.lower()
    except ValueError:
        return False


def _decoded(body: bytes, kind: Any, example: str) -> Any:
    """The JSON of a request.

    Raises:
        BadBody: it is none, or not of this kind.
    """
    if too_deep(body):
        raise BadBody(f"the JSON is nested more than {DEEPEST} levels deep")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBody(f"{shortened(str(error))}; {example}") from None


def _changed(settings: RunSettings, changes: Reset) -> RunSettings:
    """The settings of the next run.

    Raises:
        TypeError: no check judges an expectation.
        ValueError: something else cannot be used.
    """
    if changes.seed is not None and changes.seed > LARGEST_SEED:
        raise ValueError(f"the seed is at most {LARGEST_SEED}")
    checks = settings.checks if changes.checks is None else changes.checks
    named(checks)
    given = changes.expect or {}
    return RunSettings(
        scenario=settings.scenario if changes.scenario is None else _scenario(changes.scenario),
        seed=settings.seed if changes.seed is None else changes.seed,
        checks=checks,
        expects=settings.expects | expected(given, settings.expects),
        starts_now=settings.starts_now,
    )


def _scenario(given: str | dict[str, Any]) -> Scenario:
    """A scenario of the catalogue, or one written out; files of this machine are not for clients to name."""
    if isinstance(given, dict):
        return scenario_from_dict(given, name="posted", source="scenario")
    if given not in catalogue():
        nearest = did_you_mean(given, catalogue(), start="; ") or ";"
        raise ScenarioError(
            f"no scenario {shortened(repr(given))} is in the catalogue{nearest} `wavetank scenarios` "
            "lists it, and any other can be sent as JSON, in the form of GET /_wavetank/scenario"
        )
    return load_scenario(given)


def _judged(so_far: Callable[[], EventLog], checks: str) -> ControlResponse:
    try:
        return _json(200, judgement(so_far(), checks).as_json())
    except UnknownCheck as error:
        return _json(400, {"error": shortened(str(error), _LONGEST_ERROR)})


def _drawn(so_far: Callable[[], EventLog]) -> ControlResponse:
    from ...report.page import timeline_page

    return ControlResponse(200, HTML, iter((timeline_page([so_far()]),)))


def _json(status: int, value: object) -> ControlResponse:
    return ControlResponse(status, JSON, iter((msgspec.json.encode(value) + b"\n",)))
