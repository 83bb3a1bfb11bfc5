"""What a check says of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import indent
from typing import Final, final

_WORST_FIRST: Final = ("liveness", "hosts", "always", "starvation", "exactly_once")
"""A hang and a host that was not reached explain the checks that fail with them; a lost item those about
its requests."""


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one check: `passed` is `None` when it lacked what it needs.

    `summary` is one sentence; `evidence` holds the items and events behind it, a line or paragraph each.
    """

    name: str
    passed: bool | None
    summary: str
    evidence: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The verdict in one line, without its evidence."""
        word = {True: "passed", False: "failed", None: "not judged"}[self.passed]
        return f"{self.name} {word}: {self.summary}"

    def __str__(self) -> str:
        return indent("\n".join((self.headline, *self.evidence)), "  ")[2:]


def failed_of(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Those of the verdicts that failed, the worst first."""
    ranks = {name: rank for rank, name in enumerate(_WORST_FIRST)}
    failed = (verdict for verdict in verdicts if verdict.passed is False)
    return tuple(sorted(failed, key=lambda verdict: ranks.get(verdict.name, len(ranks))))


def in_words(failed: tuple[Verdict, ...], happened: Iterable[str] = (), *, full: bool = False) -> str:
    """Failed verdicts as a report has them: the first with its evidence, the others in a line each.

    `happened` stands below the first line. `full`: all of them with their evidence.
    """
    if len(failed) == 1:
        headline, *evidence = str(failed[0]).split("\n")
        return "\n".join((headline, *happened, *evidence))
    names = ", ".join(verdict.name for verdict in failed)
    rest = (str(verdict) if full else verdict.headline for verdict in failed[1:])
    return "\n".join((f"{len(failed)} checks failed: {names}", *happened, str(failed[0]), *rest))
