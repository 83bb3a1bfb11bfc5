"""What a scenario is made of: plain values, with the meaning of each default."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..clock import MILLISECOND, MINUTE, SECOND, Duration
from ..fault_kinds import FaultKind
from .answer_files import AnswerFile, UsageFile

ScopeKind = Literal["account", "host", "key", "model", "item"]
DayKind = Literal["calendar", "rolling"]
WindowKind = Literal["bucket", "calendar", "sliding"]
"""How a budget comes back: a bit at a time; whole, when the clock begins the next window; or each part of
it so long after it was spent."""
RetryAfterForm = Literal["seconds", "http-date", "ms", "body", "none"]
SignedDuration = Annotated[Duration, "may be negative"]
"""How long until an instant, which may have passed."""
RefusalError = Literal[
    "rate-limit",
    "too-large",
    "quota",
    "billing",
    "ramp",
    "throttle",
    "overloaded",
    "server",
    "timeout",
    "conflict",
]
"""What a refusal says is wrong; the dialect decides on its words, codes and status.

`rate-limit`: too many requests or tokens. `too-large`: never succeeds. `quota`: a quota is used up
until it resets (a day, a month). `billing`: no credit, a spending limit. `ramp`: traffic grows too
fast. `throttle`: a transient throttle that states no limits. `overloaded`: no capacity. `server`: an
internal error. `timeout` and `conflict`: 408 and 409.
"""
Mark = Literal["prefix", "hidden", "none"]
"""How an answer names its item: a mark before it, by its own text, which is remembered, or not at all."""
Wrapping = Literal["json", "html", "empty", "in-200", "text"]
"""What a refusal comes in: the provider's own JSON, a proxy's HTML page, no body at all, an error
inside a 200, or the words a command-line agent prints."""


class DurationRange(msgspec.Struct, frozen=True):
    """`"80ms..400ms"`, or one duration for both ends; both ends included."""

    low: Duration
    high: Duration


class ProviderClock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the provider's clock is `ahead` of the client's, or `behind` it; at most one of them."""

    ahead: Duration = Duration(0)
    behind: Duration = Duration(0)

    @property
    def skew(self) -> int:
        """Nanoseconds that the provider's clock is ahead; negative when it is behind."""
        return self.ahead - self.behind


class TokenRange(msgspec.Struct, frozen=True):
    """`"200..800"`, or one number for both ends; both ends included."""

    low: int
    high: int


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long answers and refusals take.

    `first_token` is the wait before an answer begins and `tokens_per_second` its pace after
    that; `None` sends the rest at once. `refusal` is how long a refusal takes.
    """

    first_token: DurationRange = DurationRange(Duration(0), Duration(0))
    tokens_per_second: float | None = None
    refusal: DurationRange = DurationRange(Duration(10 * MILLISECOND), Duration(10 * MILLISECOND))


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a wave, a fault or a limit applies to; each field is a shell pattern.

    A `host` with a port is for that port only. `path` is that of the URL, without its query.
    """

    model: str = "*"
    key: str = "*"
    item: str = "*"
    host: str = "*"
    path: str = "*"


class RetryAfter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a refusal states when to come back; `value` `None` means "when the wave ends".

    For a barrier, which has no end, `None` means one second. A negative `value` is an instant that has
    passed when the refusal is sent.
    """

    form: RetryAfterForm = "seconds"
    value: SignedDuration | None = None


class Ramp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast traffic may grow: no more in one window than in the one before, and so many percent.

    Up to `requests` or `tokens` in a window are always free; `None` does not count them. Windows
    of the length `window` follow each other from the start of the run.
    """

    requests: int | None = None
    tokens: int | None = None
    growth_percent: int = 50
    window: Duration = Duration(15 * MINUTE)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budgets, caps and growth; `None` means no such limit.

    `requests`, `input_tokens`, `output_tokens` and `tokens` are for each stretch of the length `per`.
    They and the budgets by the minute come back as `window` says; `burst` is how much of such a budget may
    be spent at once if it is a bucket, as a length of time. A day
    begins each `day_begins` after midnight UTC (`calendar`), or is a bucket that refills all the
    time (`rolling`).
    `penalty` is how long everything of the scope is refused after a limit was passed.
    Each `scope` has a budget of its own: the whole account, each host, each key, each model or each item;
    `None`: each host if `match` names hosts, else the account (`limits_scope`).
    `retry_after` `None` states in whole seconds when the request would pass. `reset` is what the limit
    headers state as the time until a budget is whole again, which may have passed; `None` is the truth.
    Only requests that fit `match` count and are limited. With `count_refused` so do those that are refused,
    by a limit or a wave, each as one request and no tokens.
    """

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None
    per: Duration | None = None
    window: WindowKind = "bucket"
    burst: Duration = Duration(SECOND)
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    day: DayKind = "calendar"
    day_begins: Duration = Duration(0)
    concurrent: int | None = None
    ramp: Ramp | None = None
    penalty: Duration | None = None
    count_refused: bool = False
    retry_after: RetryAfter | None = None
    reset: SignedDuration | None = None
    scope: ScopeKind | None = None
    match: Match = Match()


class Wave(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch in which matching requests are refused, or a barrier (`when_in_flight`).

    A stretch begins at `at`, covers `lasts` (its end excluded) and comes again each `every`,
    `times` times in all; `times` `None` means for ever. Without `every` it comes once.

    A barrier holds matching requests until `when_in_flight` of them are in flight and then
    refuses them in one instant; after `patience` it serves them. It fires `times` times;
    `None` means once.

    `status` `None`: the one that the dialect has for `error`, mostly `wave_status`.
    `retry_after` `None`: a 429 states the rest of the wave in whole seconds, rounded up (a
    barrier one second); any other status states none (`wave_retry_after`).
    `error` `None`: what the status stands for (`refusal_error`). `wrapping` is what the refusal comes
    in. `should_retry`: the header `x-should-retry` says so; `None` leaves it out.
    `scope` `None`: the narrowest field of `match` that is not `"*"`, and `item` when
    `share` is below 1 (`wave_scope`).
    `stagger` gives each value of the scope a stretch of its own inside the wave: it opens up to so
    much later and closes up to so much earlier. `share` then picks values of the scope, for all of
    an occurrence, not single requests.
    """

    at: Duration = Duration(0)
    lasts: Duration | None = None
    every: Duration | None = None
    times: int | None = None
    status: int | None = None
    error: RefusalError | None = None
    wrapping: Wrapping = "json"
    should_retry: bool | None = None
    retry_after: RetryAfter | None = None
    share: float = 1.0
    stagger: Duration | None = None
    scope: ScopeKind | None = None
    match: Match = Match()
    when_in_flight: int | None = None
    patience: Duration = Duration(SECOND)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which an exchange goes wrong.

    The first `times` matching answers from `at` on meet it; `None` means one. With `lasts` all
    matching answers in that time do, and `every` and `times` say how often it comes, as of a `Wave`.
    A fault that only delays an answer (`DELAYS`) has no such time: `lasts` is its delay
    (`fault_delay`).

    `error` is what an `error-in-stream` says is wrong; `None` leaves it to the dialect.
    """

    kind: FaultKind
    at: Duration = Duration(0)
    lasts: Duration | None = None
    every: Duration | None = None
    times: int | None = None
    after_chunks: int = 1
    error: RefusalError | None = None
    share: float = 1.0
    match: Match = Match()


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What good answers say, how long they are, and how they name their item.

    `text` is what they say, with `{item}` and `{prompt}` filled in; `None` is a short sentence of the
    fake's own. `file` has answers by item, which go before `text`. `tokens` is their length and `usage`
    what they cost and how long they take: which value an item gets depends on the seed and the item.
    A plain text is repeated, or cut, to its length.
    `mark` `None`: `prefix` for what the fake and `text` say, `hidden` for answers of `file` and of
    `fake_llm.answer`, and for JSON.
    """

    text: str | None = None
    file: AnswerFile | None = None
    tokens: TokenRange | None = None
    usage: UsageFile | None = None
    mark: Mark | None = None


LineFaultKind = Literal["fails", "missing", "expires"]
"""What happens to a line of a batch: it has an error, no result at all, or was not reached in time."""


class LineFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines of batches that get no answer: the first `times` of those that match; `None` means all.

    `error` is what the result of a line that `fails` says is wrong. The `path` that is matched is the
    one that the line asks for.
    """

    kind: LineFaultKind
    times: int | None = None
    share: float = 1.0
    error: RefusalError = "server"
    match: Match = Match()


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How batches and background responses are worked off.

    A batch is validated, then its lines are processed one after another in an order of the provider's
    (`shuffled`) or of the file's (`input`), then its results are put together. What is not processed
    `expires` after its making has expired; `None` is the vendor's own time. `cancelling` is how long a
    cancellation takes. `enqueued_tokens` is how many tokens of prompts the unfinished batches of a model may
    have together. A background response is `queued` and then in progress as long as `background` says.
    """

    validating: DurationRange = DurationRange(Duration(5 * SECOND), Duration(15 * SECOND))
    processing: DurationRange = DurationRange(Duration(5 * MINUTE), Duration(20 * MINUTE))
    finalizing: DurationRange = DurationRange(Duration(5 * SECOND), Duration(15 * SECOND))
    cancelling: DurationRange = DurationRange(Duration(10 * SECOND), Duration(MINUTE))
    expires: Duration | None = None
    order: Literal["shuffled", "input"] = "shuffled"
    enqueued_tokens: int | None = None
    queued: DurationRange = DurationRange(Duration(SECOND), Duration(5 * SECOND))
    background: DurationRange = DurationRange(Duration(30 * SECOND), Duration(2 * MINUTE))
    fault: tuple[LineFault, ...] = ()


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host that the provider answers for beside the vendors' own, in the dialect of a vendor.

    `host` is `HOST`, `HOST:PORT` or `HOST/PREFIX`; the host may be a shell pattern.
    """

    host: str
    dialect: str


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scripted provider: its clock, latency, limits, waves and faults.

    Each `limit` holds beside `limits`.
    """

    name: str = "scenario"
    title: str = ""
    story: str = ""
    clock: ProviderClock = ProviderClock()
    latency: Latency = Latency()
    answers: Answers = Answers()
    limits: Limits = Limits()
    limit: tuple[Limits, ...] = ()
    wave: tuple[Wave, ...] = ()
    fault: tuple[Fault, ...] = ()
    batch: Batch = Batch()
    host: tuple[Host, ...] = ()
