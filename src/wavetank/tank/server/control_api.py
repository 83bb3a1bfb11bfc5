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
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, final
from urllib.parse import parse_qs, urlsplit

import msgspec

from ...events import EventLog
from ...nesting import DEEPEST, too_deep
from ...provider.host_patterns import is_loopback
from ...provider.http import HttpRequest
from ...scenario import Scenario
from ...seams.http1 import ControlResponse
from ...shown import shortened
from ..ledger import Ledger
from .event_journal import Journal

PREFIX: Final = "/_wavetank/"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

HTML: Final = "text/html; charset=utf-8"

MOST_WAITING: Final = 64
"""So many requests for a verdict or a timeline may wait for their turn, a few hundred bytes each; one more
gets 503."""

Answer = Callable[[ControlResponse], object]
Reader = Callable[[Callable[[], EventLog]], ControlResponse]
"""Makes a page of the log so far."""

logger = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a foreign client's ledger."""

    event: Literal["submitted", "completed", "failed", "cancelled"]
    item: str
    value: Any = None
    error: str | None = None


_ENTRIES: Final = msgspec.json.Decoder(Entry | list[Entry])


@final
class ControlApi:
    """Answers paths under `/_wavetank/`; everything else is the provider's.

    Args:
        scenario: what is played.
        journal: has the log.
        ledger: takes what clients post.
        lock: held while the journal is written.
        host: the address that the server listens on.
    """

    def __init__(
        self,
        scenario: Scenario,
        journal: Journal,
        ledger: Ledger,
        *,
        lock: AbstractContextManager[object],
        host: str,
    ) -> None:
        self._scenario = scenario
        self._journal = journal
        self._ledger = ledger
        self._host = host
        self._readers = _Readers(journal, lock)
        self._pages: dict[str, tuple[str, Callable[[HttpRequest, Answer], object]]] = {
            "verdict": ("GET", self._verdict),
            "timeline": ("GET", self._timeline),
            "events": ("GET", self._events),
            "scenario": ("GET", self._told_scenario),
            "items": ("POST", self._items),
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
            page(request, answer)
        else:
            answer(_json(405, {"error": f"{request.path} takes {method}, not {request.method}"}))
        return True

    # -- pages -------------------------------------------------------------------------------

    def _verdict(self, request: HttpRequest, answer: Answer) -> None:
        checks = parse_qs(request.query).get("checks", ["default"])[-1]
        self._readers.ask(lambda so_far: _judged(so_far, checks), answer)

    def _timeline(self, _: HttpRequest, answer: Answer) -> None:
        self._readers.ask(_drawn, answer)

    def _events(self, _: HttpRequest, answer: Answer) -> None:
        answer(ControlResponse(200, NDJSON, self._journal.parts()))

    def _told_scenario(self, _: HttpRequest, answer: Answer) -> None:
        from ...scenario.writing import written

        header = self._journal.header
        named = {"name": header.scenario, "digest": header.digest, "seed": header.seed}
        answer(_json(200, {**named, "scenario": written(self._scenario)}))

    def _items(self, request: HttpRequest, answer: Answer) -> None:
        if too_deep(request.body):
            answer(_json(400, {"error": f"the JSON is nested more than {DEEPEST} levels deep"}))
            return
        try:
            decoded = _ENTRIES.decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            example = '{"event": "submitted", "item": "row-1"}'
            message = f"{shortened(str(error))}; an entry is {example}, and several are a list of them"
            answer(_json(400, {"error": message}))
            return
        entries = decoded if isinstance(decoded, list) else [decoded]
        for entry in entries:
            self._enter(entry)
        answer(_json(200, {"entered": len(entries)}))

    def _enter(self, entry: Entry) -> None:
        match entry.event:
            case "submitted":
                self._ledger.submit(entry.item)
            case "completed":
                self._ledger.complete(entry.item, entry.value)
            case "failed":
                self._ledger.fail(entry.item, entry.error)
            case "cancelled":
                self._ledger.cancel(entry.item)

    def __repr__(self) -> str:
        return f"<ControlApi of {self._journal.header.scenario}>"


@final
class _Readers:
    """Reads the log in a thread, once at a time, so that the server goes on answering meanwhile."""

    def __init__(self, journal: Journal, lock: AbstractContextManager[object]) -> None:
        self._journal = journal
        self._lock = lock
        self._guard = threading.Lock()
        self._waiting: deque[tuple[Reader, Answer]] = deque()
        self._busy = False

    def ask(self, reader: Reader, answer: Answer) -> None:
        """Have the log read when it is this request's turn."""
        with self._guard:
            full = len(self._waiting) >= MOST_WAITING
            if not full:
                self._waiting.append((reader, answer))
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
                reader, answer = self._waiting.popleft()
            answer(self._read(reader))

    def _read(self, reader: Reader) -> ControlResponse:
        try:
            with self._lock:
                so_far = self._journal.so_far()
            return reader(so_far)
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


def _judged(so_far: Callable[[], EventLog], checks: str) -> ControlResponse:
    from ...checks import UnknownCheck, judge
    from ...checks.history import unmatched

    log = so_far()
    try:
        verdicts = judge(log, checks)
    except UnknownCheck as error:
        return _json(400, {"error": shortened(str(error), 500)})
    outcomes = [verdict.passed for verdict in verdicts.values()]
    passed = False if False in outcomes else (True if True in outcomes else None)
    judged = {
        name: {"passed": verdict.passed, "summary": verdict.summary, "evidence": verdict.evidence}
        for name, verdict in verdicts.items()
    }
    answer = {"passed": passed, "events": len(log), "checks": judged}
    warning = unmatched(log)
    return _json(200, answer if warning is None else {**answer, "warning": warning})


def _drawn(so_far: Callable[[], EventLog]) -> ControlResponse:
    from ...report.page import timeline_page

    return ControlResponse(200, HTML, iter((timeline_page([so_far()]),)))


def _json(status: int, value: object) -> ControlResponse:
    return ControlResponse(status, JSON, iter((msgspec.json.encode(value) + b"\n",)))
