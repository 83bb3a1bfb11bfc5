"""The rows of the output: the columns of the input, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, Final, final

from ..processor import ItemResult, LLMWorkItem
from ..processor.journal import Journal
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
        record = item.data or {}
        repeated = self._journal is not None and self._journal.possibly_repeated(item.id)
        error = result.error
        return {
            "id": item.id,
            **{name: record.get(name, "") for name in self._inputs},
            "answer": result.value,
            "error": None if error is None else str(error),
            "reason": result.reason,
            "attempts": result.attempts,
            "input_tokens": result.usage.input_tokens,
            "output_tokens": result.usage.output_tokens,
            "possibly_repeated": "yes" if repeated else "",
        }


def open_output(options: CommandOptions, table: Table, journal: Journal | None) -> CsvSink | JsonlSink:
    """Open the output file for more rows.

    On resuming, rows whose outcome the journal does not have are removed, and with
    `--order input` also the rows after the first of them. The run writes them again.

    Raises:
        SinkError: it holds rows and the run does not resume, or it is a file of something else.
        RunError: a column of the input has the name of one that the run adds.
    """
    rows = Rows(table.columns, journal, id_column=options.columns.id_column)
    stays = _rows_to_keep(options, table, journal)
    if options.output.suffix.lower() in JSON_LINES:
        return JsonlSink(options.output, row=rows.row, resume=options.resume, keep=stays)
    return CsvSink(options.output, rows.columns, row=rows.row, resume=options.resume, keep=stays)


def _rows_to_keep(
    options: CommandOptions, table: Table, journal: Journal | None
) -> Callable[[str], bool] | None:
    if journal is None or not options.resume:
        return None
    ids = [item.id for item in table.items]
    done = {outcome.id for outcome in journal.outcomes()}
    if options.pace.order == "input":
        done = set(takewhile(done.__contains__, ids))
    again = frozenset(ids) - done
    # A row whose id is not in the input was not written by this run, so it stays.
    return lambda id: id not in again
