"""All that a provider keeps: files and batches, and the order in which the lines of batches end."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, final

import msgspec

from ...clock import SECOND
from ...scenario import Batch as BatchRules
from ...scenario import DurationRange, LineFault, RefusalError
from ..answers import AnswerSource
from ..content import WantedRefusal
from ..matching import fits
from ..model import ACCOUNT, NO_LIMITS, Refusal
from ..picks import Picks
from ..request import Request
from ..wire_formats import base62, hexadecimal
from .batch import Batch, Fate, Line, LineEnd, prompt_tokens

_NEVER: Final = 1 << 62
"""When a background response expires: after any run."""
_FATES: Final[Mapping[str, Fate]] = {"fails": "failed", "missing": "missing", "expires": "expired"}


@final
class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file; `carries` has the numbers of the requests whose answers are in it."""

    id: str
    dialect: str
    name: str
    purpose: str
    data: bytes
    created: int
    facts: Mapping[str, Any] = {}
    carries: tuple[int, ...] = ()


@final
class BatchService:
    """Keeps files and batches, and knows when the lines of batches end.

    `answers` plans what lines are answered. `nth` counts the requests of an item, and `epoch` is the Unix
    time of the instant 0.
    """

    def __init__(
        self,
        rules: BatchRules,
        picks: Picks,
        answers: AnswerSource,
        nth: Callable[[str], int],
        epoch: Callable[[], int],
    ) -> None:
        self.rules = rules
        self.enter: Callable[[Request, Request], object] = _number
        """Called with each line that is taken on and the request that brought it: gives it its `id`."""
        self.files: dict[tuple[str, str], StoredFile] = {}
        self.batches: dict[tuple[str, str], Batch] = {}
        self.uploads: dict[str, tuple[dict[str, Any], bytes]] = {}
        """Uploads under way by their ids: what was said of the file, and what of it has come."""
        self._picks = picks
        self._steady = picks.steady()
        self._answers = answers
        self._nth = nth
        self._epoch = epoch
        self._left = [fault.times for fault in rules.fault]
        self._numbers = count(1)
        self._order = count()
        self._ends: list[tuple[int, int, Line]] = []
        self._unwritten: list[Batch] = []
        self._writers: dict[str, Callable[[BatchService, Batch], object]] = {}

    @property
    def epoch_ns(self) -> int:
        """The Unix time of the instant 0 by the provider's clock."""
        return self._epoch()

    def seconds(self, at: int) -> int:
        """An instant as whole Unix seconds."""
        return (self.epoch_ns + at) // SECOND

    # -- files ---------------------------------------------------------------------------------

    def letters(self, length: int, *key: object) -> str:
        """An id of letters and digits, another one each time."""
        return base62(length, *key, next(self._numbers))

    def digits(self, length: int, *key: object) -> str:
        """An id of hexadecimal digits, another one each time."""
        return hexadecimal(length, *key, next(self._numbers))

    def keep(self, file: StoredFile) -> StoredFile:
        """Keep a file."""
        self.files[file.dialect, file.id] = file
        return file

    def files_of(self, dialect: str, now: int) -> list[StoredFile]:
        """The files of a vendor, the oldest first; what ended batches put out is there."""
        self._write_results(now)
        files = [file for (whose, _), file in self.files.items() if whose == dialect]
        return sorted(files, key=lambda file: file.created)

    def file(self, dialect: str, ident: str, now: int) -> StoredFile | None:
        """A file, `None` if there is none of that id."""
        self._write_results(now)
        return self.files.get((dialect, ident))

    def drop_file(self, file: StoredFile) -> None:
        """Delete a file."""
        del self.files[file.dialect, file.id]

    # -- batches -------------------------------------------------------------------------------

    def batch(self, dialect: str, ident: str, now: int) -> Batch | None:
        """A batch, `None` if there is none of that id."""
        self._write_results(now)
        return self.batches.get((dialect, ident))

    def batches_of(self, dialect: str, now: int) -> list[Batch]:
        """The batches of a vendor, the oldest first."""
        self._write_results(now)
        return [batch for (whose, _), batch in self.batches.items() if whose == dialect]

    def drop_batch(self, batch: Batch) -> None:
        """Delete a batch."""
        del self.batches[batch.dialect, batch.id]

    def over_limit(self, dialect: str, lines: list[Line], now: int) -> str | None:
        """The model whose queue has no room for these lines, if there is one."""
        most = self.rules.enqueued_tokens
        if most is None:
            return None
        for model in dict.fromkeys(line.request.model for line in lines):
            queued = sum(batch.enqueued(now, model) for batch in self.batches_of(dialect, now))
            if queued + prompt_tokens(lines, model) > most:
                return model
        return None

    def take_on(
        self,
        request: Request,
        now: int,
        *,
        ident: str,
        lines: list[Line],
        facts: dict[str, Any],
        window: int,
        errors: tuple[Any, ...] = (),
        writes: Callable[[BatchService, Batch], object] | None = None,
        all_expire: bool = False,
    ) -> Batch:
        """Begin a batch, or one that will fail for its `errors`.

        `window` is how long the vendor gives it, in nanoseconds. `writes` puts its results into files when
        it has ended. `all_expire`: a batch that is not done in time has no answers at all.
        """
        rules, dialect = self.rules, request.dialect
        begins = now + self._span(rules.validating, "batch-validating", ident)
        expires = now + (window if rules.expires is None else int(rules.expires))
        batch = Batch(
            id=ident,
            dialect=dialect,
            created=now,
            begins=begins,
            done=begins,
            ends=begins,
            expires=expires,
            lines=[] if errors else lines,
            facts=facts,
            errors=errors,
        )
        self.batches[dialect, ident] = batch
        if not errors:
            processing = self._span(rules.processing, "batch-processing", ident)
            self._schedule(batch, request, processing, all_expire=all_expire)
            batch.ends += self._span(rules.finalizing, "batch-finalizing", ident)
            if writes is not None:
                self._writers[ident] = writes
                self._unwritten.append(batch)
        return batch

    def take_on_one(self, request: Request, line: Line, now: int, *, ident: str) -> Batch:
        """Begin a background response: a batch of one line that is never validated nor finalized."""
        begins = now + self._span(self.rules.queued, "response-queued", ident)
        batch = Batch(
            id=ident,
            dialect=request.dialect,
            created=now,
            begins=begins,
            done=begins,
            ends=begins,
            expires=_NEVER,
            lines=[line],
            facts={},
        )
        self.batches[request.dialect, ident] = batch
        self._schedule(batch, request, self._span(self.rules.background, "response-background", ident))
        return batch

    def cancel(self, batch: Batch, now: int, *, at_once: bool = False) -> None:
        """Cancel a batch: lines that have not ended by now have no answer. One that is over stays so."""
        if batch.is_over(now) or batch.cancelled is not None:
            return
        batch.cancelled = now
        took = 0 if at_once else self._span(self.rules.cancelling, "batch-cancelling", batch.id)
        batch.done, batch.ends = now, now + took
        for line in batch.lines:
            if line.at > now:
                line.fate, line.at = "cancelled", now
                self._push(line)

    def _span(self, span: DurationRange, purpose: str, ident: str) -> int:
        return self._picks.between(span.low, span.high, purpose, None, ident, 0)

    def _schedule(self, batch: Batch, request: Request, processing: int, *, all_expire: bool = False) -> None:
        """Give each line its end; the lines end at even distances, the last one when all are processed."""
        all_expire = all_expire and batch.begins + processing > batch.expires
        for line in batch.lines:
            line.request.batch = batch.id
            self.enter(line.request, request)
        order = list(range(len(batch.lines)))
        if self.rules.order == "shuffled":
            order.sort(key=lambda each: self._steady.between(0, 1 << 32, "batch-order", each, batch.id, 0))
        for place, number in enumerate(order, start=1):
            line = batch.lines[number]
            line.at = batch.begins + processing * place // len(order)
            self._decide(line, may_expire=batch.expires < _NEVER)
            if all_expire or line.fate == "expired" or line.at > batch.expires:
                line.fate, line.at = "expired", batch.expires
            self._push(line)
        batch.done = batch.ends = max([batch.begins, *(line.at for line in batch.lines)])

    def _push(self, line: Line) -> None:
        heapq.heappush(self._ends, (line.at, next(self._order), line))

    def _decide(self, line: Line, *, may_expire: bool) -> None:
        """What becomes of a line that is reached in time."""
        request, invalid = line.request, line.invalid
        nth = self._nth(request.item or "")
        if invalid is not None:
            line.fate, line.refusal = "failed", _refusal(invalid.status, "server", invalid.text.message)
            return
        for number, fault in enumerate(self.rules.fault):
            if (may_expire or fault.kind != "expires") and self._meets(number, fault, request, nth):
                line.fate = _FATES[fault.kind]
                if fault.kind == "fails":
                    line.refusal = _refusal(request.card.status_of_error(fault.error), fault.error, "")
                return
        planned = self._answers.plan(request)
        if isinstance(planned, WantedRefusal):
            status = planned.status or request.card.status_of_error(planned.error)
            line.fate, line.refusal = "failed", _refusal(status, planned.error, planned.message)
            return
        line.content = planned
        request.answer_tokens = planned.tokens
        self._answers.remember(request, planned)

    def _meets(self, number: int, fault: LineFault, request: Request, nth: int) -> bool:
        left = self._left[number]
        if left == 0 or not fits(fault.match, request):
            return False
        if not self._picks.hits(fault.share, "line-fault", number, request.item or "", nth):
            return False
        if left is not None:
            self._left[number] = left - 1
        return True

    def _write_results(self, now: int) -> None:
        """Put the results of batches that have ended into files."""
        over = [batch for batch in self._unwritten if batch.is_over(now)]
        if not over:
            return
        self._unwritten = [batch for batch in self._unwritten if not batch.is_over(now)]
        for batch in sorted(over, key=lambda batch: batch.ends):
            self._writers.pop(batch.id)(self, batch)

    # -- what happens by itself ----------------------------------------------------------------

    def next_end(self) -> int | None:
        """The instant at which the next line ends; `None` while no batch is under way."""
        while self._ends and self._ends[0][0] != self._ends[0][2].at:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def ends_until(self, now: int) -> list[LineEnd]:
        """The lines that ended since the last call, in time order."""
        ended: list[LineEnd] = []
        while (due := self.next_end()) is not None and due <= now:
            ended.append(heapq.heappop(self._ends)[2].end())
        return ended

    def __repr__(self) -> str:
        return f"<BatchService [{len(self.files)} files, {len(self.batches)} batches]>"


def _refusal(status: int, error: RefusalError, message: str) -> Refusal:
    return Refusal(status, "wave", ACCOUNT, None, NO_LIMITS, error=error, message=message)


def _number(line: Request, request: Request) -> None:
    """Without a desk lines are known by the request that brought them."""
    line.id = line.id or request.id
