"""What a journal keeps: outcomes, pauses, and the marks by which a changed input is noticed."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from ..items import ItemResult, TokenUsage

_FINGERPRINT_BYTES: Final = 16


@final
class EarlierError(Exception):
    """The error of an item that failed in an earlier run, by its class and text."""


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item, as the journal keeps it.

    `error` is the text of the error, `error_type` its class; both are `None` for an item
    with a value. `attempts` counts its requests over all runs of the journal.
    `possibly_repeated` says that a request of the item was under way when a run was cut
    off, so that the provider may have been paid for it twice. `cause` is the reason in words
    that other items share.
    """

    id: str
    value: Any = None
    error: str | None = None
    error_type: str | None = None
    reason: str | None = None
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    possibly_repeated: bool = False
    cause: str | None = None


Status = Literal["new", "running", "paused", "stopped", "finished"]


@final
@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where the run of a journal stands, why, and since when in seconds of Unix time.

    `new`: nothing was sent yet. `paused`: a rate limit holds it back. `stopped`: it ended
    before its items did, or it was cut off. `finished`: every item has an outcome.
    """

    status: Status
    reason: str | None = None
    since: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class Limit:
    """The last limit that was met in a scope: what it was, where it was read, when, and how long it lasts.

    `met` and `rate_limit_until` are in seconds of Unix time; the latter is `None` for a limit
    that ended no wait, such as a spent quota. `pause_count` counts the pauses of the scope.
    """

    scope: str
    reason: str
    source: str
    met: float
    rate_limit_until: float | None
    pause_count: int


@final
@dataclass(frozen=True, slots=True)
class Pause:
    """A rate limit as a run left it: until when, in seconds of Unix time, and the how many-th it was."""

    rate_limit_until: float
    pause_count: int


def fingerprint(prompt: str, data: Any = None) -> bytes:
    """What tells one input from another: 16 bytes from the prompt and, where JSON can hold it, the data.

    >>> fingerprint("Translate: wave") == fingerprint("Translate: tank")
    False
    """
    try:
        written = json.dumps([prompt, data], sort_keys=True)
    except (TypeError, ValueError):
        written = json.dumps([prompt])
    return hashlib.blake2b(written.encode(), digest_size=_FINGERPRINT_BYTES).digest()


def as_outcome(id: str, result: ItemResult[Any]) -> Outcome:
    """The result of a run as a journal keeps it."""
    error = result.error
    return Outcome(
        id,
        result.value,
        error=None if error is None else str(error),
        error_type=None if error is None else type(error).__name__,
        reason=result.reason,
        attempts=result.attempts,
        input_tokens=result.usage.input_tokens,
        output_tokens=result.usage.output_tokens,
        cost=result.cost,
        cause=result.cause if result.limit is None else str(result.limit),
    )


def as_result(outcome: Outcome) -> ItemResult[Any]:
    """What a journal kept as a result of the run that resumes it."""
    failed = outcome.error is not None
    return ItemResult(
        outcome.id,
        value=outcome.value,
        error=EarlierError(f"{outcome.error_type}: {outcome.error}") if failed else None,
        attempts=outcome.attempts,
        reason=outcome.reason,
        usage=TokenUsage(outcome.input_tokens, outcome.output_tokens),
        cost=outcome.cost,
        cause=outcome.cause or outcome.reason,
        recalled=True,
    )


def encode_outcome(outcome: Outcome, encode: Callable[[Any], str]) -> str:
    """An outcome as text, without what the journal counts itself."""
    return json.dumps(
        {
            "value": None if outcome.value is None else encode(outcome.value),
            "error": outcome.error,
            "error_type": outcome.error_type,
            "reason": outcome.reason,
            "cause": outcome.cause,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "cost": outcome.cost,
        }
    )


def checksum(text: str) -> int:
    """What tells the text of an outcome from one that was torn."""
    return zlib.crc32(text.encode())


def decode_outcome(
    id: str, text: str, decode: Callable[[str], Any], *, attempts: int, possibly_repeated: bool
) -> Outcome:
    """What `written` wrote, with what the journal counted."""
    kept = json.loads(text)
    value = kept.pop("value")
    return Outcome(
        id,
        None if value is None else decode(value),
        attempts=attempts,
        possibly_repeated=possibly_repeated,
        **kept,
    )
