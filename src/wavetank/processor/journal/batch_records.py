"""The batches of a provider's batch API that are under way, as a journal stores them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from ..items import ItemResult
from .journal_file import SUCCEEDED, JournalFile

SettledRow = Callable[[str, ItemResult[Any]], tuple[int, str, int]]


@final
@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch under way.

    `key` is the name that the run gave it, by which it is found in the provider's list. `target`
    is the name of its model. `ids` are its items, in the order of the input. `creation_tried` is
    when a request to create it was last about to be sent, in seconds since 1970; `batch_id` is the
    provider's id, once it is known.
    """

    key: str
    target: str
    ids: tuple[str, ...]
    file_id: str | None = None
    creation_tried: float | None = None
    batch_id: str | None = None


@final
class BatchRecords:
    """The batches that are under way. Each change is one transaction, so a kill leaves all of it or nothing.

    Args:
        file: the file of the journal.
        settled_row: the columns of an outcome.
    """

    def __init__(self, file: JournalFile, settled_row: SettledRow) -> None:
        self._file: Final = file
        self._settled_row: Final = settled_row

    def all(self) -> tuple[StoredBatch, ...]:
        """The batches under way, in the order of the input."""
        lines: dict[str, list[str]] = {}
        query = "SELECT batch, id FROM items WHERE batch IS NOT NULL ORDER BY position"
        for key, id in self._file.query(query):
            lines.setdefault(key, []).append(id)
        columns = "target, file_id, creation_tried, batch_id"
        stored = {row[0]: row[1:] for row in self._file.query(f"SELECT key, {columns} FROM batches")}
        return tuple(
            StoredBatch(key, stored[key][0], tuple(ids), *stored[key][1:]) for key, ids in lines.items()
        )

    def plan(self, batches: Iterable[StoredBatch], *, instead_of: str | None = None) -> None:
        """Store batches before anything of them is sent, in place of another one if it is named."""
        with self._file.transaction():
            if instead_of is not None:
                self._remove(instead_of)
            for batch in batches:
                self._file.execute("INSERT INTO batches (key, target) VALUES (?, ?)", batch.key, batch.target)
                for id in batch.ids:
                    self._file.execute("UPDATE items SET batch = ? WHERE id = ?", batch.key, id)

    def uploaded(self, key: str, file_id: str) -> None:
        """Store the id of the file with the lines."""
        self._file.execute("UPDATE batches SET file_id = ? WHERE key = ?", file_id, key)

    def creation_tried(self, key: str, at: float | None) -> None:
        """Store that a request to create the batch is about to be sent; `None`: none was accepted."""
        self._file.execute("UPDATE batches SET creation_tried = ? WHERE key = ?", at, key)

    def created(self, key: str, batch_id: str) -> None:
        """Store the provider's id of the batch."""
        self._file.execute("UPDATE batches SET batch_id = ? WHERE key = ?", batch_id, key)

    def settled(
        self,
        key: str,
        results: Sequence[ItemResult[Any]],
        *,
        sent_again: Iterable[str] = (),
        possibly_repeated: Iterable[str] = (),
    ) -> None:
        """Store the outcomes of a batch that has ended, and forget the batch.

        Args:
            key: the batch.
            results: the outcomes.
            sent_again: the items of the batch that were tried, and have no outcome.
            possibly_repeated: those of them that the provider may have been paid for.
        """
        with self._file.transaction():
            for result in results:
                self._file.execute(
                    "UPDATE items SET state = ?, outcome = ?, checksum = ?, requests = requests + 1 "
                    f"WHERE id = ? AND state < {SUCCEEDED}",
                    *self._settled_row(result.id, result),
                    result.id,
                )
            for id in sent_again:
                self._file.execute("UPDATE items SET requests = requests + 1 WHERE id = ?", id)
            for id in possibly_repeated:
                self._file.execute("UPDATE items SET repeated = repeated + 1 WHERE id = ?", id)
            self._remove(key)

    def _remove(self, key: str) -> None:
        self._file.execute("UPDATE items SET batch = NULL WHERE batch = ?", key)
        self._file.execute("DELETE FROM batches WHERE key = ?", key)
