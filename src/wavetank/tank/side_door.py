"""The server's own pages, by which a client in any language is judged from outside.

A client keeps its ledger by posting what it submitted and what became of it; the verdict is
judged on the log as it is when it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Literal, final
from urllib.parse import parse_qs

import msgspec

from ..events import EventLog
from ..provider.wire import HttpRequest
from ..scenario import Scenario
from ..seams.http1 import Page
from .journal import Journal
from .ledger import Ledger

PREFIX: Final = "/_wavetank/"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

Answer = Callable[[Page], object]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a foreign client's ledger."""

    event: Literal["submitted", "completed", "failed", "cancelled"]
    item: str
    value: Any = None
    error: str | None = None


_ENTRIES: Final = msgspec.json.Decoder(Entry | list[Entry])


@final
class SideDoor:
    """Answers paths under `/_wavetank/`; everything else is the provider's."""

    def __init__(self, scenario: Scenario, journal: Journal, ledger: Ledger) -> None:
        self._scenario = scenario
        self._journal = journal
        self._ledger = ledger
        self._pages: dict[str, tuple[str, Callable[[HttpRequest, Answer], object]]] = {
            "verdict": ("GET", self._verdict),
            "events": ("GET", self._events),
            "scenario": ("GET", self._told_scenario),
            "items": ("POST", self._items),
        }

    def __call__(self, request: HttpRequest, answer: Answer, /) -> bool:
        if not request.path.startswith(PREFIX):
            return False
        name = request.path.removeprefix(PREFIX)
        if name not in self._pages:
            pages = ", ".join(f"{method} {PREFIX}{page}" for page, (method, _) in self._pages.items())
            answer(_json(404, {"error": f"there is no {request.path}; there are {pages}"}))
            return True
        method, page = self._pages[name]
        if request.method == method or (method, request.method) == ("GET", "HEAD"):
            page(request, answer)
        else:
            answer(_json(405, {"error": f"{request.path} takes {method}, not {request.method}"}))
        return True

    # -- pages -------------------------------------------------------------------------------

    def _verdict(self, request: HttpRequest, answer: Answer) -> None:
        """Judged in a thread of its own: the server goes on answering meanwhile."""
        checks = parse_qs(request.query).get("checks", ["default"])[-1]
        so_far = self._journal.so_far()
        thread = threading.Thread(
            target=lambda: answer(_judged(so_far, checks)), name="wavetank-verdict", daemon=True
        )
        thread.start()

    def _events(self, _: HttpRequest, answer: Answer) -> None:
        answer(Page(200, NDJSON, self._journal.parts()))

    def _told_scenario(self, _: HttpRequest, answer: Answer) -> None:
        from ..scenario.writing import written

        header = self._journal.header
        told = {"name": header.scenario, "digest": header.digest, "seed": header.seed}
        answer(_json(200, {**told, "scenario": written(self._scenario)}))

    def _items(self, request: HttpRequest, answer: Answer) -> None:
        try:
            decoded = _ENTRIES.decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            example = '{"event": "submitted", "item": "row-1"}'
            answer(_json(400, {"error": f"{error}; an entry is {example}, and several are a list of them"}))
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
        return f"<SideDoor of {self._journal.header.scenario}>"


def _judged(so_far: Callable[[], EventLog], checks: str) -> Page:
    from ..checks import UnknownCheck, judge
    from ..checks.history import unmatched

    log = so_far()
    try:
        verdicts = judge(log, checks)
    except UnknownCheck as error:
        return _json(400, {"error": str(error)})
    outcomes = [verdict.passed for verdict in verdicts.values()]
    passed = False if False in outcomes else (True if True in outcomes else None)
    told = {
        name: {"passed": verdict.passed, "summary": verdict.summary, "evidence": verdict.evidence}
        for name, verdict in verdicts.items()
    }
    answer = {"passed": passed, "events": len(log), "checks": told}
    warning = unmatched(log)
    return _json(200, answer if warning is None else {**answer, "warning": warning})


def _json(status: int, value: object) -> Page:
    return Page(status, JSON, iter((msgspec.json.encode(value) + b"\n",)))
