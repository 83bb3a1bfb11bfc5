"""What every batch API can do, whoever's it is."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, final

from ..providers import Json
from ..run_errors import ApiError, UnreadableAnswer
from .batch_http import BatchHttp

CLOCK_SKEW_SECONDS: Final = 600.0
"""A provider's clock may differ from this machine's; batches are told apart by more than their time."""

MB: Final = 1_000_000


@final
@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most lines and bytes of one batch."""

    lines: int
    bytes: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch to be created: its key, its model, and the bodies of its requests, by their `custom_id`."""

    key: str
    model: str
    bodies: Mapping[str, Json]


State = Literal["under way", "completed", "failed", "expired", "cancelled"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """A batch as its provider describes it.

    `lines_done` counts the lines that have ended. `error` is why it failed as a whole. `queue_is_full`
    says that it failed only because others were in the queue. `files` are those with its results.
    """

    id: str
    state: State
    lines_done: int = 0
    error: str = ""
    queue_is_full: bool = False
    files: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LineResult:
    """The result of a line: the body of its answer, or its error; `cancelled` if it was not processed."""

    custom_id: str
    body: Any = None
    error: ApiError | None = None
    expired: bool = False
    cancelled: bool = False


@final
class Undecided(Exception):
    """Whether a batch was created cannot be known yet: one that may be it has to end first."""


class BatchApi(ABC):
    """The batch API of one vendor, over HTTP."""

    limits: BatchLimits
    has_files: bool = True
    """Whether the lines are uploaded as a file before the batch is created."""

    def custom_id(self, key: str, number: int, id: str) -> str:
        """The `custom_id` of the line with this number in its batch: the id of its row, if it can be one."""
        return id if len(id) <= LONGEST_CUSTOM_ID and id.isprintable() else f"{key}-{number}"

    @abstractmethod
    def line(self, custom_id: str, body: Json) -> Json:
        """One line of the input."""

    def data(self, batch: NewBatch) -> bytes:
        """The lines of the input file."""
        return b"".join(
            json_line(self.line(custom_id, body)) + b"\n" for custom_id, body in batch.bodies.items()
        )

    async def find_file(self, http: BatchHttp, key: str) -> str | None:
        """The id of the file that was uploaded for a batch, if there is one."""
        raise NotImplementedError

    async def upload(self, http: BatchHttp, batch: NewBatch) -> str:
        """Upload the lines of a batch; return the id of the file."""
        raise NotImplementedError

    @abstractmethod
    async def create(self, http: BatchHttp, batch: NewBatch, file_id: str | None) -> BatchState:
        """Create a batch.

        Raises:
            ApiError: it was refused, and not created.
            CreationUnclear: there was no answer that says whether it was created.
        """

    @abstractmethod
    async def find(
        self, http: BatchHttp, batch: NewBatch, since: float, others: frozenset[str]
    ) -> BatchState | None:
        """The batch that was created for a key, found in the provider's list.

        Args:
            http: sends the requests.
            batch: the batch to find.
            since: when it was tried to create it, in seconds since 1970.
            others: the ids of batches that are known to be other ones.

        Raises:
            Undecided: it cannot be known yet.
        """

    @abstractmethod
    async def retrieve(self, http: BatchHttp, batch_id: str) -> BatchState:
        """Ask how a batch is."""

    @abstractmethod
    async def cancel(self, http: BatchHttp, batch_id: str) -> None:
        """Ask to cancel a batch; what was done by then keeps its answers."""

    @abstractmethod
    async def results(self, http: BatchHttp, state: BatchState) -> list[LineResult]:
        """The results of a batch that has ended, in any order."""


LONGEST_CUSTOM_ID: Final = 64
"""Anthropic's bound; the other vendors state none, or a larger one."""


def json_line(value: Json) -> bytes:
    """JSON on one line; half a character stays an escape."""
    return json.dumps(value, separators=(",", ":")).encode()


def json_lines(data: bytes) -> Iterator[Any]:
    """The values of JSON lines.

    Raises:
        UnreadableAnswer: a line is not a JSON object.
    """
    for raw in data.split(b"\n"):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise UnreadableAnswer(200, raw.decode(errors="replace"))
        yield value


def line_error(status: int, error: object) -> ApiError:
    """The error of a line; `error` is the object of the vendor that has the message."""
    message = error.get("message") if isinstance(error, dict) else error
    return ApiError(status, {}, {"error": error}, message if isinstance(message, str) else "")


def as_epoch(date: object) -> float:
    """A date in RFC 3339 in seconds since 1970; 0 if it is none."""
    try:
        return datetime.fromisoformat(str(date)).timestamp()
    except ValueError:
        return 0.0
