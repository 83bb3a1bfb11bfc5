"""The errors and warnings of a judged run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import final

from ..checks.verdict import Verdict, in_words


@final
class UnmatchedLedger(UserWarning):
    """The ledger and the requests have no item in common; the text says what to set."""


@final
class CheckFailed(AssertionError):
    """Checks failed: the worst with its evidence, the others in a line each, and how to repeat the run.

    `verdicts` has all failed verdicts, the worst first, and `verdict` is that one. `full_text` also has
    the evidence of the others. `happened` are sentences to begin with; `report` makes the text of a run
    that a search has found.
    """

    def __init__(
        self,
        failed: tuple[Verdict, ...],
        *,
        replay: str | None = None,
        happened: Sequence[str] = (),
        report: Callable[[bool], str] | None = None,
    ) -> None:
        self._report = report or partial(_text, failed, replay, happened)
        super().__init__(self._report(False))
        self.verdicts = failed
        self.verdict = failed[0]

    @property
    def full_text(self) -> str:
        """The text with the evidence of every failed check."""
        return self._report(True)


def _text(failed: tuple[Verdict, ...], replay: str | None, happened: Sequence[str], full: bool) -> str:
    text = in_words(failed, happened, full=full)
    return text if replay is None else f"{text}\nto repeat it: {replay}"


@final
class Diverged(RuntimeError):
    """A run that was to be repeated took another course; the text says where, and what the cause may be."""
