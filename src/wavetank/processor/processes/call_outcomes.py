"""What comes back from a call in another process: a value, or a failure as text and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar, final

from ..errors.request_failure import Failure, FailureKind

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A call that returned."""

    value: T


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """A call that did not return a value: its `Failure`, as `classify` found it in the worker.

    `type`, `text` and `traceback` are those of the exception. `died` says that the worker ended
    without an answer: killed, out of memory, `os._exit`. The other fields are those of `Failure`.
    """

    kind: FailureKind
    reason: str
    retry_after_seconds: float | None = None
    type: str = ""
    text: str = ""
    traceback: str = ""
    died: bool = False
    closes: bool = False
    source: str | None = None
    resets: datetime | None = None

    def __str__(self) -> str:
        error = f"{self.type}: {self.text}" if self.text else self.type
        return error or self.reason

    @classmethod
    def of(cls, failure: Failure, *, type: str, text: str, traceback: str = "") -> Failed:
        """A failure with the class and the text of its error, without the error itself."""
        return cls(
            failure.kind,
            str(failure.reason),
            failure.retry_after_seconds,
            type,
            text,
            traceback,
            closes=failure.closes,
            source=failure.source,
            resets=failure.resets,
        )


@final
class WorkError(Exception):
    """The error of a call in another process; `failure` is the `Failure` that `classify` returns for it."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(str(failed))
        self.failed = failed
        self.failure = Failure(
            failed.kind,
            self,
            failed.reason,
            failed.retry_after_seconds,
            closes=failed.closes,
            source=failed.source,
            resets=failed.resets,
        )


@final
class WorkerDied(ChildProcessError):
    """The worker process of a call ended without an answer; another try runs on a new one.

    Its `failure` does not count for the processor's `max_attempts`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.failure = Failure("transient", self, reason, counts=False, worker_died=True)
