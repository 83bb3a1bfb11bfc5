"""A batch as a plan in time: when each of its lines comes to which end, and what its status is then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, final

import msgspec

from ..content import NOTHING, Content
from ..dialect_base.shared import InvalidRequest
from ..dialect_base.wire_dialect import Endpoint
from ..model import Refusal
from ..request import Request

Fate = Literal["answered", "failed", "missing", "expired", "cancelled"]
"""How a line ends: with an answer, an error, no result at all, out of time, or with the batch."""
Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
"""Where a batch stands, in the words of OpenAI's `Batch.status`."""


@final
class LineEnd(msgspec.Struct, frozen=True):
    """A line of a batch came to its end at the instant `at`; `tokens` are what its answer is charged for."""

    at: int
    request: Request
    fate: Fate
    status: int | None = None
    tokens: int | None = None


@final
class Line(msgspec.Struct, kw_only=True):
    """One request of a batch.

    `endpoint` writes its answer. `invalid` is why it could not be read. `facts` are the vendor's own.
    `at` is the instant at which it ends, as `fate` says; `refusal` is then its error.
    """

    request: Request
    endpoint: Endpoint
    custom_id: str | None
    invalid: InvalidRequest | None = None
    facts: Any = None
    fate: Fate = "answered"
    at: int = 0
    content: Content = NOTHING
    refusal: Refusal | None = None

    def end(self) -> LineEnd:
        """What is to be said of its end."""
        request, answered = self.request, self.fate == "answered"
        status = 200 if answered else self.refusal.status if self.refusal is not None else None
        tokens = request.prompt_tokens + self.content.tokens * request.copies if answered else None
        return LineEnd(self.at, request, self.fate, status, tokens)


@final
class Batch(msgspec.Struct, kw_only=True):
    """A batch: its lines, and the instants at which its status changes.

    `facts` are the vendor's own, such as its metadata. With `errors` it fails when it has been validated.
    `done` is when no line is left to process, and `ends` when its results are there.
    """

    id: str
    dialect: str
    created: int
    begins: int
    done: int
    ends: int
    expires: int
    lines: list[Line]
    facts: dict[str, Any]
    errors: tuple[Any, ...] = ()
    cancelled: int | None = None

    def status(self, now: int) -> Status:
        """Where it stands at an instant."""
        if self.cancelled is not None:
            return "cancelled" if now >= self.ends else "cancelling"
        if now < self.begins:
            return "validating"
        if self.errors:
            return "failed"
        if now < self.done:
            return "in_progress"
        if now < self.ends:
            return "finalizing"
        return "expired" if any(line.fate == "expired" for line in self.lines) else "completed"

    def is_over(self, now: int) -> bool:
        """Whether nothing about it will change any more."""
        return now >= (self.begins if self.errors else self.ends)

    def ended_lines(self, now: int) -> list[Line]:
        """The lines that have come to their end, in the order in which they did."""
        return sorted((line for line in self.lines if line.at <= now), key=lambda line: line.at)

    def counts(self, now: int) -> Counter[Fate]:
        """How many lines have come to which end."""
        return Counter(line.fate for line in self.lines if line.at <= now)

    def enqueued(self, now: int, model: str) -> int:
        """The tokens of the prompts to a model that it holds in the queue."""
        if self.is_over(now):
            return 0
        return prompt_tokens(self.lines, model)


def prompt_tokens(lines: Iterable[Line], model: str) -> int:
    """The tokens of the prompts to a model."""
    return sum(line.request.prompt_tokens for line in lines if line.request.model == model)
