"""What a check says of a run."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import final


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

    def __str__(self) -> str:
        word = {True: "passed", False: "failed", None: "not judged"}[self.passed]
        return indent("\n".join((f"{self.name} {word}: {self.summary}", *self.evidence)), "  ")[2:]
