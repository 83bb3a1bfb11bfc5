"""A world for clients of other processes: the fake behind a server, in the machine's own time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, final

from ...clock import real_epoch_ns
from ...events import EventKind, Header, RunEnd
from ...provider.hosts import hosts_of
from ...provider.machine import Provider
from ...scenario import Scenario, digest, lets_through
from ...seams.desk import Desk
from ...seams.loop_time import LoopClock, LoopWaits
from ..ledger import Ledger
from .control_api import ControlApi
from .event_journal import FileJournal, Journal, MemoryJournal


@final
class Serving:
    """A provider, its journal and its ledger; made inside the event loop that serves on `host`.

    Raises:
        OSError: the journal cannot be written, or is there already.
    """

    def __init__(
        self, scenario: Scenario, *, seed: int, host: str = "127.0.0.1", journal: Path | None = None
    ) -> None:
        header = Header(
            answers=True,
            scenario=scenario.name,
            digest=digest(scenario),
            seed=seed,
            backend="real",
            waves=len(scenario.wave),
            faults=len(scenario.fault),
            passable=lets_through(scenario),
        )
        self.port: int | None = None
        """Where it is served, once clients may come."""
        self.journal: Journal = MemoryJournal(header) if journal is None else FileJournal(header, journal)
        self._clock = LoopClock()
        provider = Provider(scenario, seed=seed, epoch_ns=real_epoch_ns())
        self.desk = Desk(
            provider,
            self._clock,
            self.journal,
            waits=LoopWaits(),
            faults=scenario.fault,
            hosts=hosts_of(scenario),
            keep_records=False,
        )
        ledger = Ledger(self._note, provider.answers.remembered, self.desk.secrets.hide)
        self.control_api = ControlApi(scenario, self.journal, ledger, lock=self.desk.lock, host=host)

    def _note(self, kind: EventKind, /, **fields: Any) -> None:
        self.desk.note(kind, **fields)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the connections and close the journal, which is removed if nothing could be served."""
        self.desk.close()
        self.desk.catch_up()
        self.journal.finish(RunEnd(how="returned", at=self._clock.now()))
        if kind is not None and issubclass(kind, OSError):
            self.journal.remove()

    def __repr__(self) -> str:
        return f"<Serving {self.journal.header.scenario}>"
