"""One run of a server: provider, log and ledger, from one reset to the next, in the machine's own time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import msgspec

from ...checks import Verdict, judge
from ...checks.history import unmatched
from ...clock import real_epoch_ns
from ...events import EventKind, EventLog, Header, RunEnd
from ...provider.host_rules import hosts_of
from ...provider.provider import Provider
from ...scenario import Scenario, digest, lets_through
from ...seams.desk import Desk
from ...seams.loop_time import LoopClock, LoopWaits
from ..expectations import Value, expected
from ..ledger import Ledger
from .event_journal import EventJournal, FileJournal, MemoryJournal


@final
class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is played in a run, and how it is judged.

    `expects` is as in the header of a log. With `starts_now` time begins with the run, and not with the
    first request.
    """

    scenario: Scenario
    seed: int = 0
    checks: str = "default"
    expects: dict[str, int | float] = {}
    starts_now: bool = False


@final
class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks say of a run, as `GET /_wavetank/verdict` gives it.

    `passed` is false if a check failed, true if one passed and none failed, else `None`.
    """

    passed: bool | None
    events: int
    checks: dict[str, Verdict]
    warning: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        checks = {
            name: {"passed": verdict.passed, "summary": verdict.summary, "evidence": verdict.evidence}
            for name, verdict in self.checks.items()
        }
        plain = {"passed": self.passed, "events": self.events, "checks": checks}
        return plain if self.warning is None else {**plain, "warning": self.warning}


def judgement(log: EventLog, checks: str) -> Judgement:
    """Judge a log.

    Raises:
        UnknownCheck: there is no check of that name.
    """
    verdicts = judge(log, checks)
    outcomes = [verdict.passed for verdict in verdicts.values()]
    passed = False if False in outcomes else (True if True in outcomes else None)
    return Judgement(passed=passed, events=len(log), checks=verdicts, warning=unmatched(log))


@final
class ServedRun:
    """A provider, its journal and its ledger; made inside the event loop that serves.

    Raises:
        OSError: the journal cannot be written, or is there already.
        ScenarioError: a host of the scenario is none, or its dialect is unknown.
    """

    def __init__(self, settings: RunSettings, *, journal: Path | None = None) -> None:
        self.settings = settings
        scenario = settings.scenario
        hosts = hosts_of(scenario)
        header = Header(
            answers=True,
            scenario=scenario.name,
            digest=digest(scenario),
            seed=settings.seed,
            backend="real",
            waves=len(scenario.wave),
            faults=len(scenario.fault),
            passable=lets_through(scenario),
            expects=dict(settings.expects),
        )
        self.journal: EventJournal = (
            MemoryJournal(header) if journal is None else FileJournal(header, journal)
        )
        self._clock = LoopClock(running=False)
        provider = Provider(scenario, seed=settings.seed)
        self.desk = Desk(
            provider,
            self._clock,
            self.journal,
            waits=LoopWaits(),
            faults=scenario.fault,
            hosts=hosts,
            keep_records=False,
        )
        self.ledger = Ledger(self._note, provider.answers.remembered, self.desk.secrets.hide)
        if settings.starts_now:
            self.start()

    def start(self) -> None:
        """Let the scenario's time begin, if it has not yet."""
        if not self._clock.running:
            self.desk.begin(real_epoch_ns())
            self._clock.start()

    def expect(self, given: Mapping[str, Value]) -> None:
        """Declare what a correct client may do, as `tank.expect` does.

        Raises:
            TypeError: no check judges an expectation of that name.
            ValueError: a value is out of range, or has a wrong word or unit.
        """
        expects = self.journal.header.expects
        expects.update(expected(given, expects))
        self.journal.write_header()

    def so_far(self) -> Callable[[], EventLog]:
        """What was logged up to this call; calling it may take long, and may be done in any thread."""
        with self.desk.lock:
            return self.journal.so_far()

    def end(self) -> Judgement:
        """Judge what was logged, and close the journal."""
        with self.desk.lock:
            self.desk.catch_up()
            result = judgement(self.journal.so_far()(), self.settings.checks)
            self.journal.finish(RunEnd(how="returned", at=self._clock.now()))
        return result

    def _note(self, kind: EventKind, /, **fields: Any) -> None:
        self.desk.note(kind, **fields)

    def __repr__(self) -> str:
        return f"<ServedRun {self.journal.header.scenario}>"
