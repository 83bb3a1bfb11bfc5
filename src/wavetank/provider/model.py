"""What goes into the fake and what comes out of it: plain values, no wire format."""

from __future__ import annotations

from typing import Final, Literal, final

import msgspec

from ..clock import MINUTE
from ..scenario import OUTAGES, Fault, RefusalError, RetryAfterForm, Wrapping
from .content import Content

LimitReason = Literal[
    "requests",
    "input-tokens",
    "output-tokens",
    "tokens",
    "requests-per-day",
    "tokens-per-day",
    "concurrent",
    "ramp",
    "penalty",
]
"""Which limit a request ran into.

`requests` and the three of tokens are those of a minute or of another window.
"""
Reason = Literal["wave", "barrier", "answer", "bad-request"] | LimitReason

ACCOUNT: Final = "account"


@final
class BucketState(msgspec.Struct, frozen=True):
    """One budget at an instant: its limit, what is left, and nanoseconds until it is whole.

    A scenario may have the last of them stated wrongly, and in the past: below 0. `per` is the time that
    the limit is for, in nanoseconds.
    """

    limit: int
    remaining: int
    reset: int
    per: int = MINUTE


@final
class LimitState(msgspec.Struct, frozen=True):
    """What the limit headers say; `None` where the scenario sets no such limit.

    `at` is the instant at which it was so: the answer may be sent much later. `left` has what is left of
    every budget, which no header says: of each table and scope.
    """

    requests: BucketState | None = None
    tokens: BucketState | None = None
    input_tokens: BucketState | None = None
    output_tokens: BucketState | None = None
    requests_per_day: BucketState | None = None
    tokens_per_day: BucketState | None = None
    at: int = 0
    left: dict[str, int] = {}


NO_LIMITS: Final = LimitState()
"""No limit is set."""


@final
class WireRetryAfter(msgspec.Struct, frozen=True):
    """A Retry-After as it will be written: its form and its value in nanoseconds from the sending.

    The value is what the wire can express: whole seconds for the computed default of the
    `seconds` form and for `http-date` (rounded up), the exact value where a scenario wrote one.
    """

    form: RetryAfterForm
    value: int


@final
class Made(msgspec.Struct, frozen=True):
    """The body of an answer that no model makes, but what the provider keeps: a file, a batch, a list.

    `carries` has the numbers of the requests whose answers are in it: lines of batches.
    """

    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    carries: tuple[int, ...] = ()


@final
class Success(msgspec.Struct, frozen=True):
    """An answer: `content` is that of each of its `copies`; one piece of it is one part of a stream.

    `made` is there instead where no model is asked.
    """

    content: Content
    prompt_tokens: int
    limits: LimitState
    fault: Fault | None = None
    copies: int = 1
    made: Made | None = None

    @property
    def unreachable(self) -> bool:
        """Whether there is no answer at all: the provider could not be reached."""
        return self.fault is not None and self.fault.kind in OUTAGES

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def completion_tokens(self) -> int:
        return self.content.tokens * self.copies

    @property
    def reasoning_tokens(self) -> int:
        """How many of them are reasoning."""
        return min(len(self.content.pieces_of("reasoning")), self.content.tokens) * self.copies


@final
class Refusal(msgspec.Struct, frozen=True):
    """A refusal: HTTP status, why, the scope it holds for (`account`, `key:key-1`, `model:…`, `item:…`).

    `error` is what it says is wrong, `wrapping` what it comes in, and `should_retry` the value of the
    header `x-should-retry`, if there is one. `message` replaces the provider's own words. `invalid`:
    it is said as of a request that cannot be taken; then `kind`, `code` and `param` are the error's.
    """

    status: int
    reason: Reason
    scope: str
    retry_after: WireRetryAfter | None
    limits: LimitState
    wave: int | None = None
    error: RefusalError = "rate-limit"
    wrapping: Wrapping = "json"
    should_retry: bool | None = None
    message: str = ""
    invalid: bool = False
    kind: str = ""
    code: str | None = None
    param: str | None = None


Outcome = Success | Refusal


@final
class Reply(msgspec.Struct, frozen=True):
    """A part of an outcome that is due: part `index` of `count`, sent at the instant `at`.

    A refusal and a plain answer have one part. A streamed answer has two more than pieces:
    the opening, one for each piece, the closing. Before them may come `waits` more that keep it
    alive; their indexes are below 0.
    """

    request_id: int
    outcome: Outcome
    index: int
    count: int
    at: int
    waits: int = 0

    @property
    def first(self) -> bool:
        """Whether nothing was sent before it."""
        return self.index == -self.waits

    @property
    def last(self) -> bool:
        return self.index == self.count - 1


@final
class Notice(msgspec.Struct, frozen=True):
    """Something the provider did by itself: a wave opened or closed, a request was held."""

    kind: Literal["wave-opened", "wave-closed", "held"]
    at: int
    wave: int
    request_id: int | None = None
