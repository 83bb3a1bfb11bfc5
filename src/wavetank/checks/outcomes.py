"""What became of the items, and whether that is what was expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from ..events import EventLog
from .disturbances import disturbed
from .history import dated, sum_of
from .verdict import Verdict

NAME: Final = "outcomes"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
REFUSED: Final = "refused"
TOKENS: Final = "tokens"
EXPECTATIONS: Final = (COMPLETED, FAILED, REFUSED, TOKENS)

_SHOWN: Final = 10
_UNTYPED: Final = {"str": "with a text for an error", "None": "without an error"}


@final
@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many items were submitted, completed, failed and cancelled; of each item the first outcome counts.

    `errors` counts the failed items by the type of the error they were reported with: `str` where it
    was a text, `None` where there was none.
    """

    submitted: int
    completed: int
    failed: int
    cancelled: int
    errors: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {_UNTYPED.get(name, name)}" for name, count in self.errors.items())
        parts = [f"{self.submitted} submitted", f"{self.completed} completed", f"{self.failed} failed"]
        parts[-1] += f" ({kinds})" if kinds else ""
        still_open = self.submitted - self.completed - self.failed - self.cancelled
        parts += [f"{self.cancelled} cancelled"] if self.cancelled else []
        parts += [f"{still_open} without an outcome"] if still_open > 0 else []
        return ", ".join(parts)


def outcomes(log: EventLog) -> Outcomes:
    """What became of the items of a log."""
    first = {event.item: event for event in reversed(log.of("completed", "failed", "cancelled"))}
    kinds = Counter(event.kind for event in first.values())
    errors = Counter(event.error_type or "None" for event in first.values() if event.kind == "failed")
    return Outcomes(
        submitted=len({event.item for event in log.of("submitted")}),
        completed=kinds["completed"],
        failed=kinds["failed"],
        cancelled=kinds["cancelled"],
        errors=dict(sorted(errors.items(), key=lambda each: (-each[1], each[0]))),
    )


def judge(log: EventLog) -> Verdict:
    """Fails when fewer items were completed than expected, or more failed, refused or charged for.

    `refused` counts the requests that a limit, a wave or a barrier refused, not those that were
    wrong in themselves. `tokens` counts prompts and answers of all answers, also of those whose
    client had hung up.
    """
    expected = log.header.expects
    if not any(name in expected for name in EXPECTATIONS):
        return Verdict(NAME, None, "nothing was declared: tank.expect(failed=…, completed=…)")
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    found = _found(log)
    wrong = list(_wrong(found, expected))
    if wrong:
        return Verdict(NAME, False, "; ".join(wrong), tuple(_evidence(log)))
    parts = ", ".join(f"{found[name]} {name}" for name in EXPECTATIONS if name in expected)
    return Verdict(NAME, True, f"as declared: {parts}")


def refusals(log: EventLog) -> int:
    """How many requests were refused although nothing was wrong with them."""
    return sum(event.reason != "bad-request" for event in log.of("refused"))


def tokens(log: EventLog) -> int:
    """The tokens, of prompts and answers, that all answers are charged with."""
    return sum(event.tokens or 0 for event in log.of("answered", "left"))


def _found(log: EventLog) -> dict[str, int]:
    items = outcomes(log)
    return {
        COMPLETED: items.completed,
        FAILED: items.failed,
        REFUSED: refusals(log),
        TOKENS: tokens(log),
    }


def _wrong(found: Mapping[str, int], expected: Mapping[str, float]) -> Iterator[str]:
    if COMPLETED in expected and found[COMPLETED] < expected[COMPLETED]:
        yield f"{found[COMPLETED]} item(s) were completed (declared: at least {expected[COMPLETED]})"
    for name, words in (
        (FAILED, "item(s) failed"),
        (REFUSED, "request(s) were refused"),
        (TOKENS, "tokens were charged"),
    ):
        if name in expected and found[name] > expected[name]:
            yield f"{found[name]} {words} (declared: at most {expected[name]})"


def _evidence(log: EventLog) -> Iterator[str]:
    yield f"items: {outcomes(log)}"
    shown = log.of("failed", "cancelled")
    for event in shown[:_SHOWN]:
        story = [each for each in log if each.item == event.item]
        yield "; ".join((dated(event, named=True), *sum_of(story)))
    if len(shown) > _SHOWN:
        yield f"and {len(shown) - _SHOWN} more"
