"""Creates batches, and never one twice.

A batch is stored in the journal with its rows and a key before anything of it is sent. Just before the
request that creates it, the time is stored. A run that is cut off after that looks for the key in the
provider's list before it creates the batch, so a kill between the two costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, final

import anyio

from ...processor.wall_clock import wall_seconds
from ..run_errors import ApiError, UnreadableAnswer
from ..run_statistics import RunStatistics
from .batch_api import BatchState, Undecided
from .batch_http import CreationUnclear, Halted, wait_of
from .open_batches import OpenBatch, OpenBatches

T = TypeVar("T")

QUEUE_FULL: Final = "the queue is full"
SETTLE_SECONDS: Final = 60.0
"""A batch that is not in the list so long after it was tried to create it is taken not to exist."""
_LIMIT_STATED: Final = re.compile(r"(?:[Ll]imit|quota)(?: of|:) (\d[\d,]*) (?:enqueued )?tokens\b(?! per)")
"""In the messages about a full queue, such as `Limit: 2,000,000 enqueued tokens`."""
_REFUSED_FOR_ALL: Final = (401, 403, 404)
_TOO_MANY: Final = 429


@final
class BatchCreation:
    """Creates the batches of a run.

    Args:
        open: the batches under way.
        statistics: counts refusals.
        say: shows what happens as text.
        cancels: whether nothing new may be created.
    """

    def __init__(
        self,
        open: OpenBatches,
        statistics: RunStatistics,
        *,
        say: Callable[[str], object],
        cancels: bool,
    ) -> None:
        self._open = open
        self._statistics = statistics
        self._say = say
        self._cancels = cancels

    async def submit(self, batch: OpenBatch) -> ApiError | None:
        """Create a batch, or find the one that was created, or wait.

        Returns:
            the error for which the batch was refused for good.

        Raises:
            Halted: the run cannot go on.
        """
        if batch.stored.creation_tried is not None and await self._search(batch):
            return None
        if self._cancels:
            self._open.forget(batch)
        elif not self._has_room(batch):
            self._open.wait(batch, QUEUE_FULL)
        else:
            return await self._create(batch)
        return None

    async def _create(self, batch: OpenBatch) -> ApiError | None:
        try:
            await self._upload(batch)
            self._open.creation_tried(batch, wall_seconds())
            new = batch.lane.new_batch(batch.stored, self._open.items)
            state = await read(batch.lane.api.create(batch.lane.http, new, batch.stored.file_id))
        except CreationUnclear as error:
            # It may be there: it is looked for before another try.
            self._unclear(batch, error)
        except ApiError as error:
            return self._refused(batch, error)
        else:
            self._open.was_created(batch, state.id)
        return None

    def _unclear(self, batch: OpenBatch, error: CreationUnclear) -> None:
        now = anyio.current_time()
        batch.unclear_since = now if batch.unclear_since is None else batch.unclear_since
        if now - batch.unclear_since > batch.lane.http.max_outage_seconds:
            raise Halted(f"no batch can be created: {error}") from error
        self._open.wait(batch, f"it is not known whether a batch was created: {error}")

    async def _search(self, batch: OpenBatch) -> bool:
        """Look for a batch that may have been created; `True` if that is all that can be done now."""
        tried = batch.stored.creation_tried or 0.0
        new = batch.lane.new_batch(batch.stored, self._open.items)
        others = frozenset(each.stored.batch_id or "" for each in self._open.created)
        try:
            found = await read(batch.lane.api.find(batch.lane.http, new, tried, others))
        except Undecided:
            self._open.wait(batch, "a batch that may be it has to end first")
            return True
        if found is not None:
            self._open.was_created(batch, found.id)
            return True
        left = tried + SETTLE_SECONDS - wall_seconds()
        if left > 0:
            # The request may still be on its way.
            batch.at = anyio.current_time() + min(left, SETTLE_SECONDS)
            batch.waits_for = "it may still appear in the list of the provider"
            return True
        self._open.creation_tried(batch, None)
        return False

    def _has_room(self, batch: OpenBatch) -> bool:
        limit = batch.lane.enqueued_tokens
        queued = [each for each in self._open.created if each.lane is batch.lane]
        if limit is None or not queued:
            return True
        return sum(map(self._open.tokens, [*queued, batch])) <= limit

    async def _upload(self, batch: OpenBatch) -> None:
        """Upload the lines, if the API wants them in a file and it is not there."""
        api, http = batch.lane.api, batch.lane.http
        if not api.has_files or batch.stored.file_id is not None:
            return
        file_id = await read(api.find_file(http, batch.stored.key)) if batch.may_have_file else None
        if file_id is None:
            batch.may_have_file = True
            file_id = await read(api.upload(http, batch.lane.new_batch(batch.stored, self._open.items)))
        self._open.uploaded(batch, file_id)

    def _refused(self, batch: OpenBatch, error: ApiError) -> ApiError | None:
        """A request was refused before there was a batch."""
        self._open.creation_tried(batch, None)
        if error.status_code in _REFUSED_FOR_ALL:
            raise Halted(str(error)) from error
        if error.status_code != _TOO_MANY:
            return error
        self._statistics.add_refusal(batch.lane.name)
        if not self._split_for_queue(batch, str(error)):
            self._open.wait(batch, "the provider takes no more now", wait_of(error))
        return None

    def _split_for_queue(self, batch: OpenBatch, message: str) -> bool:
        """Make smaller batches if one is larger than the stated limit of the queue."""
        found = _LIMIT_STATED.search(message)
        if found is None:
            return False
        limit, tokens = int(found[1].replace(",", "")), self._open.tokens(batch)
        lane = batch.lane
        lane.enqueued_tokens = min(limit, lane.enqueued_tokens or limit)
        alone = not any(each.lane is lane and each is not batch for each in self._open.created)
        # The estimate may be too low by half: what is that large and does not fit into the queue is halved.
        most = min(limit, tokens // 2) if alone and 2 * tokens > limit else limit
        if len(batch.stored.ids) == 1 or tokens <= most:
            return False
        items = [self._open.items[id] for id in batch.stored.ids]
        self._say(f"the queue of {lane.name} has room for {limit} tokens: smaller batches are made")
        self._open.add(lane, lane.split(items, most_tokens=max(1, most)), instead_of=batch)
        return True

    def queue_was_full(self, batch: OpenBatch, state: BatchState) -> None:
        """A batch failed since the queue was full: nothing of it was processed, and it is made again."""
        self._statistics.add_refusal(batch.lane.name)
        self._say(f"{state.id} was refused: {state.error}")
        if self._cancels:
            self._open.forget(batch)
            return
        if not self._split_for_queue(batch, state.error):
            # The key is that of the batch that failed, so the next one has another.
            batch.delay = min(2 * batch.delay, self._open.poll_seconds)
            self._open.add(
                batch.lane, [batch.stored.ids], instead_of=batch, wait=batch.delay, waits_for=QUEUE_FULL
            )


async def read(call: Awaitable[T]) -> T:
    """What a call of a batch API returns.

    Raises:
        Halted: an answer was not in the format of the API.
    """
    try:
        return await call
    except (AttributeError, IndexError, KeyError, TypeError, UnreadableAnswer) as error:
        what = str(error) if isinstance(error, UnreadableAnswer) else f"{type(error).__name__}: {error}"
        raise Halted(f"an answer is not in the format of the batch API: {what}") from error
