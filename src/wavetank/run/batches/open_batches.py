"""The batches under way: in memory, and in the journal if there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import anyio

from ...processor import LLMWorkItem
from ...processor.counting import counted
from ...processor.journal import Journal, StoredBatch
from ...processor.wall_clock import wall_seconds
from .lane import Lane

FIRST_POLL_SECONDS: Final = 15.0
"""Small batches may be done within a minute; each later pause is twice as long."""


@final
@dataclass(slots=True)
class OpenBatch:
    """A batch under way: what the journal has of it, and when there is next something to do for it."""

    lane: Lane
    stored: StoredBatch
    at: float
    delay: float
    lines_done: int = 0
    waits_for: str = ""
    is_cancelled: bool = False
    may_have_file: bool = False
    unclear_since: float | None = None

    @property
    def is_created(self) -> bool:
        """Whether the provider has it, as far as is known."""
        return self.stored.batch_id is not None


@final
class OpenBatches:
    """The batches of a run that are under way; each change is stored at once.

    Args:
        journal: stores them.
        items: all rows by their ids.
        poll_seconds: the longest pause between two looks at a batch.
        say: shows what happens as text.
        salt: makes the keys of this run differ from those of other runs at the same instant.
    """

    def __init__(
        self,
        journal: Journal | None,
        items: Mapping[str, LLMWorkItem[Any]],
        *,
        poll_seconds: float,
        say: Callable[[str], object],
        salt: str,
    ) -> None:
        self.all: Final[list[OpenBatch]] = []
        self.items: Final = items
        self.rows: Final[dict[str, str]] = {}
        """The ids of the rows by the `custom_id` of their lines."""
        self._records = journal.batches if journal is not None else None
        self.poll_seconds: Final = poll_seconds
        self._say = say
        self._salt = salt
        self._keys = 0

    @property
    def created(self) -> list[OpenBatch]:
        """The batches that the provider has."""
        return [batch for batch in self.all if batch.is_created]

    def adopt(self, lanes: Mapping[str, Lane]) -> set[str]:
        """Take over the batches of earlier runs; return the ids of their rows."""
        now = anyio.current_time()
        for stored in self._records.all() if self._records is not None else ():
            batch = OpenBatch(lanes[stored.target], stored, now, self._first_delay, may_have_file=True)
            self.all.append(batch)
            if batch.is_created:
                self._say(f"{stored.batch_id} is from an earlier run: {counted(len(stored.ids), 'row')}")
        return {id for batch in self.all for id in batch.stored.ids}

    def add(
        self,
        lane: Lane,
        batches: Sequence[tuple[str, ...]],
        *,
        instead_of: OpenBatch | None = None,
        wait: float = 0.0,
        waits_for: str = "",
    ) -> None:
        """Store batches before anything of them is sent."""
        stored = [StoredBatch(self._new_key(ids), lane.name, ids) for ids in batches]
        if self._records is not None:
            self._records.plan(stored, instead_of=None if instead_of is None else instead_of.stored.key)
        if instead_of is not None:
            self.all.remove(instead_of)
        at, delay = anyio.current_time() + wait, instead_of.delay if instead_of else self._first_delay
        for each in stored:
            self.all.append(OpenBatch(lane, each, at, delay, waits_for=waits_for))
            self.rows.update(lane.custom_ids(each))

    def _new_key(self, ids: Sequence[str]) -> str:
        """A name that no other batch has."""
        self._keys += 1
        text = "\n".join((self._salt, str(wall_seconds()), str(self._keys), *ids))
        return f"wavetank-{hashlib.blake2b(text.encode(), digest_size=10).hexdigest()}"

    def uploaded(self, batch: OpenBatch, file_id: str) -> None:
        """Store the id of the file with the lines."""
        batch.stored = replace(batch.stored, file_id=file_id)
        if self._records is not None:
            self._records.uploaded(batch.stored.key, file_id)

    def creation_tried(self, batch: OpenBatch, at: float | None) -> None:
        """Store that a request to create the batch is about to be sent; `None`: none was accepted."""
        batch.stored = replace(batch.stored, creation_tried=at)
        if self._records is not None:
            self._records.creation_tried(batch.stored.key, at)

    def was_created(self, batch: OpenBatch, batch_id: str) -> None:
        """Store the provider's id of the batch."""
        batch.stored = replace(batch.stored, batch_id=batch_id)
        if self._records is not None:
            self._records.created(batch.stored.key, batch_id)
        batch.waits_for, batch.unclear_since, batch.delay = "", None, self._first_delay
        batch.at = anyio.current_time() + batch.delay
        self._say(f"{batch_id} was created with {counted(len(batch.stored.ids), 'row')} of {batch.lane.name}")

    def forget(self, batch: OpenBatch) -> None:
        """Leave the rows of a batch open that the provider does not have."""
        if self._records is not None:
            self._records.settled(batch.stored.key, ())
        self.all.remove(batch)
        self._say(f"{counted(len(batch.stored.ids), 'row')} of {batch.lane.name} were not sent")

    def tokens(self, batch: OpenBatch) -> int:
        """The tokens that a batch has in the queue, as estimated."""
        return batch.lane.tokens([self.items[id] for id in batch.stored.ids])

    def wait(self, batch: OpenBatch, why: str, seconds: float | None = None) -> None:
        """Do nothing for a batch for a while; without `seconds`, for twice as long as the last time."""
        batch.waits_for = why
        batch.at = anyio.current_time() + (batch.delay if seconds is None else seconds)
        batch.delay = min(2 * batch.delay, self.poll_seconds)

    @property
    def _first_delay(self) -> float:
        return min(FIRST_POLL_SECONDS, self.poll_seconds)
