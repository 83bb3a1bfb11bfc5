"""What a journal stores: outcomes, pauses, limits, and fingerprints of the input."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from ..items import ItemResult, TokenUsage

_FINGERPRINT_BYTES: Final = 16
"""128 bits: no two rows of any input have the same by chance."""


@final
class EarlierError(Exception):
    """The error of an item that failed in an earlier run; its text names the original class."""


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one item, as the journal stores it.

    `error` is the text of the error and `error_type` its class; both are `None` for an item
    with a value. `attempts` counts its requests over all runs of the journal.
    `possibly_repeated` says that a request of the item was under way when a run was cut
    off, so that the provider may have been paid for it twice. `cause` is the reason in a form
    that is equal for all items with the same cause.
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
    """The status of a run, its reason, and its beginning in seconds since 1970.

    `new`: nothing was sent yet. `running`: requests are sent. `paused`: a rate limit holds it
    back. `stopped`: it ended before all items had an outcome, or was cut off. `finished`:
    every item has an outcome.
    """

    status: Status
    reason: str | None = None
    since: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class Limit:
    """The last limit of a scope: what it was, where it was read, when it was met, and when it ends.

    `met` and `rate_limit_until` are in seconds since 1970; the latter is `None` for a limit
    that is not waited for, such as a spent quota. `pause_count` counts the pauses of the scope.
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
    """A rate limit of a scope: its end in seconds since 1970, and the number of pauses over all runs."""

    rate_limit_until: float
    pause_count: int


def fingerprint(prompt: str, data: Any = None) -> bytes:
    """16 bytes that identify an input: the prompt and, if JSON can hold it, the data.

    >>> fingerprint("Translate: wave") == fingerprint("Translate: tank")
    False
    """
    try:
        text = json.dumps([prompt, data], sort_keys=True)
    except (TypeError, ValueError):
        text = json.dumps([prompt])
    return hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()


def as_outcome(id: str, result: ItemResult[Any]) -> Outcome:
    """The result of a run in the form that a journal stores."""
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
    """A stored outcome as a result of the run that resumes the journal."""
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
    """An outcome as text, without the counts that the journal has in columns of their own."""
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
    """A checksum of the text of an outcome, by which a torn one is noticed."""
    return zlib.crc32(text.encode())


def decode_outcome(
    id: str, text: str, decode: Callable[[str], Any], *, attempts: int, possibly_repeated: bool
) -> Outcome:
    """The outcome in a text of `encode_outcome`, with the counts of the journal."""
    fields = json.loads(text)
    value = fields.pop("value")
    return Outcome(
        id,
        None if value is None else decode(value),
        attempts=attempts,
        possibly_repeated=possibly_repeated,
        **fields,
    )
