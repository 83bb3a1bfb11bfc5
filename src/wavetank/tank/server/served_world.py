"""What a server serves: one run after another, each with a log and a verdict of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self, final

from .served_run import Judgement, RunSettings, ServedRun


@final
class Serving:
    """The run that clients meet now, and what became of those before it.

    Args:
        settings: of the first run.
        journal: the file for its log; that of the second run has `-2` behind its name, and so on.

    Raises:
        OSError: the journal cannot be written, or is there already.
        ScenarioError: a host of the scenario is none, or its dialect is unknown.
    """

    def __init__(self, settings: RunSettings, *, journal: Path | None = None) -> None:
        self.settings = settings
        self.port: int | None = None
        """Where it is served, once clients may come."""
        self.renewed: Callable[[], object] = lambda: None
        """Called when a run has taken the place of another, to end what belongs to the one before."""
        self.judgements: list[Judgement] = []
        """Of the runs that have ended, in order."""
        self.requests = 0
        """Of the runs that have ended."""
        self._journal = journal
        self.run = ServedRun(settings, journal=journal)

    def reset(self, settings: RunSettings) -> Judgement:
        """Begin another run; what the one that ends with it came to.

        Raises:
            OSError: its journal cannot be written, or is there already; the run goes on.
            ScenarioError: a host of the scenario is none, or its dialect is unknown; the run goes on.
        """
        journal, number = self._journal, len(self.judgements) + 2
        path = journal and journal.with_name(f"{journal.stem}-{number}{journal.suffix}")
        before, self.run = self.run, ServedRun(settings, journal=path)
        self.renewed()
        return self._ended(before)

    def _ended(self, run: ServedRun) -> Judgement:
        result = run.end()
        self.judgements.append(result)
        self.requests += run.desk.count
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the connections and the run; its journal is removed if nothing could be served."""
        self.run.desk.close()
        self._ended(self.run)
        if kind is not None and issubclass(kind, OSError):
            self.run.journal.remove()

    def __repr__(self) -> str:
        return f"<Serving {self.run!r}>"
