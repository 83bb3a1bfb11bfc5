"""The rows of the output: the columns of the input, and the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, final

from ..processor import ItemResult, LLMWorkItem
from ..processor.journal import Journal, Outcome, as_outcome
from ..processor.sinks import CsvSink, JsonlSink
from .command_options import CommandOptions
from .input_table import JSON_LINES, Table
from .run_errors import RunError

OWN_COLUMNS: Final = (
    "answer",
    "error",
    "reason",
    "attempts",
    "input_tokens",
    "output_tokens",
    "possibly_repeated",
)
"""The columns that a run adds to those of the input."""


@final
class Rows:
    """Makes the rows of the output.

    Raises:
        RunError: a column of the input has the name of one that the run adds.
    """

    def __init__(self, columns: Sequence[str], journal: Journal | None, *, id_column: str) -> None:
        own = OWN_COLUMNS if id_column == "id" else ("id", *OWN_COLUMNS)
        taken = [name for name in own if name in columns]
        if taken:
            raise RunError(
                f"the input has a column {taken[0]!r}, which the output needs for itself; rename it "
                f"(it adds {', '.join(own)})"
            )
        self._inputs = tuple(name for name in columns if name != "id")
        self._journal = journal
        self.columns = ("id", *self._inputs, *OWN_COLUMNS)

    def row(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> dict[str, Any]:
        """The row of an item; its id is in the column `id`, whatever its name in the input."""
        # The journal counts the attempts over all runs.
        stored = None if self._journal is None else self._journal.outcome(item.id)
        return self._row(item, stored or as_outcome(item.id, result))

    def earlier(self, items: Iterable[LLMWorkItem[Any]], *, order: str) -> Iterator[dict[str, Any]]:
        """The rows of the outcomes in the journal; in the order of the input, those before the first gap."""
        if self._journal is None:
            return
        for item in items:
            if (outcome := self._journal.outcome(item.id)) is not None:
                yield self._row(item, outcome)
            elif order == "input":
                return

    def _row(self, item: LLMWorkItem[Any], outcome: Outcome) -> dict[str, Any]:
        record = item.data or {}
        return {
            "id": item.id,
            **{name: record.get(name, "") for name in self._inputs},
            "answer": outcome.value,
            "error": outcome.error,
            "reason": outcome.reason,
            "attempts": outcome.attempts,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "possibly_repeated": "yes" if outcome.possibly_repeated else "",
        }


def open_output(options: CommandOptions, table: Table, journal: Journal | None) -> CsvSink | JsonlSink:
    """Open the output file for more rows; on resuming it is written again from the journal.

    Raises:
        SinkError: it holds rows and the run does not resume, or it is a file of something else.
        RunError: a column of the input has the name of one that the run adds.
    """
    rows = Rows(table.columns, journal, id_column=options.columns.id_column)
    earlier = rows.earlier(table.items, order=options.pace.order)
    if options.output.suffix.lower() in JSON_LINES:
        return JsonlSink(options.output, row=rows.row, journal=journal, earlier=earlier)
    return CsvSink(options.output, rows.columns, row=rows.row, journal=journal, earlier=earlier)
