"""Opens the files that a run writes: its journal and its output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..processor.journal import Journal, JournalError, fingerprint
from ..processor.sinks import CsvSink, JsonlSink, SinkError
from .command_options import CommandOptions
from .input_table import Table
from .output_rows import open_output
from .run_errors import RunError


@contextmanager
def open_files(options: CommandOptions, table: Table) -> Iterator[tuple[Journal | None, CsvSink | JsonlSink]]:
    """Open the journal, if there is one, and the output, and close them when the block ends.

    If the block ends with a `RunError`, the run has not started. Then files that did not exist
    before are removed, so that the same command works once the error is fixed.

    Raises:
        RunError: a file cannot be used, or holds another run.
    """
    with ExitStack() as stack:
        try:
            journal = _journal(options, table, stack)
            there = options.output.exists()
            output = open_output(options, table, journal)
        except (JournalError, SinkError) as error:
            raise RunError(str(error)) from None
        stack.enter_context(_removed_if_not_started(options.output, there=there))
        stack.callback(output.close)
        yield journal, output


def _journal(options: CommandOptions, table: Table, stack: ExitStack) -> Journal | None:
    if options.journal is None:
        return None
    there = options.journal.exists()
    journal = Journal(
        options.journal,
        resume=options.resume,
        settings=options.settings,
        retry_failed=options.retry_failed,
    )
    # From here on the file is certainly that of this run: it is locked against other processes.
    stack.enter_context(_removed_if_not_started(options.journal, there=there))
    stack.callback(journal.close)
    journal.register((item.id, fingerprint(item.prompt, item.data)) for item in table.items)
    return journal


@contextmanager
def _removed_if_not_started(path: Path, *, there: bool) -> Iterator[None]:
    try:
        yield
    except RunError:
        if not there:
            path.unlink(missing_ok=True)
        raise
