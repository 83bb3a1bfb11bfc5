"""Runs `wavetank run`: it joins files, client and processor, and handles Ctrl-C and the exit status."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, final

import anyio

from ..clock import real_epoch_ns, real_now, to_seconds
from ..processor import Progress, SharedGateError
from ..processor.counting import counted
from ..processor.errors.error_fields import unwrap_single_group
from ..processor.journal import Journal, JournalError
from ..processor.preflight import preflight
from ..processor.sinks import CsvSink, JsonlSink, SinkError
from ..progress import Display
from ..shown import Secrets
from .batches.batch_run import BatchRun
from .batches.start import check_providers, new_batch_run
from .command_options import CommandOptions
from .console import WarningCollector, print_line
from .control import ControlRequest, serve_control
from .input_table import read_table
from .provider_strategy import ProviderStrategy, need_client, new_client
from .row_processor import RowProcessor
from .run_errors import RunError
from .run_files import open_files
from .run_plan import ModelRoute, RunPlan, connection
from .run_statistics import RunStatistics
from .target import Target

if TYPE_CHECKING:
    import httpx2

SHOW_EVERY_SECONDS: Final = 0.2
"""Often enough that the progress looks live, and too seldom to cost anything."""
PREFLIGHT_TOKENS: Final = 16
"""Enough for a short answer."""
STOPPED: Final = 3
_BY_SIGNAL: Final = 128
"""The shells' convention: a process that a signal ended has the status 128 and the signal's number."""
_LOOKUP_THREADS: Final = "asyncio_"
"""The names of the threads in which the event loop looks up host names begin with this."""


def run(options: CommandOptions, arguments: Sequence[str], display: Display) -> int:
    """Process the rows of a file; the exit status is one of those in `EXIT_CODES`.

    Args:
        options: the options of the run.
        arguments: the command line, to print the one that resumes.
        display: shows the progress.

    Raises:
        RunError: something has to be fixed before the run starts.
    """
    # Until the run listens for it, the signal would end the process.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    table = read_table(options.input, options.columns, options.target)
    plan = RunPlan(options, table)
    if options.batch is not None:
        check_providers(plan)
    keys = {route.target: connection(options, route, os.environ) for route in plan.routes}
    need_client()
    with open_files(options, table) as (journal, output):
        statistics = plan.statistics(
            now=lambda: to_seconds(real_now()), wall=lambda: to_seconds(real_epoch_ns())
        )
        log = WarningCollector(plan.secrets.hide)
        return _run_to_end(
            _RunState(options, plan, keys, journal, output, statistics, display, arguments, plan.secrets, log)
        )


@final
@dataclass(slots=True)
class _RunState:
    """The parts of one run, and what ended it."""

    options: CommandOptions
    plan: RunPlan
    keys: Mapping[Target, str]
    journal: Journal | None
    output: CsvSink | JsonlSink
    statistics: RunStatistics
    display: Display
    arguments: Sequence[str]
    secrets: Secrets
    log: WarningCollector
    signal: int = 0
    processor: RowProcessor | None = None
    batches: BatchRun | None = None
    not_started_because: str | None = None
    write_errors: list[Exception] = field(default_factory=list)

    def status_text(self) -> str:
        """Rows, rate, refusals, time left and cost, and the requests under way, in one line."""
        if self.batches is not None:
            return self.batches.status_text
        progress = Progress() if self.processor is None else self.processor.progress
        away = [f"outage of {scope}" for scope in progress.away]
        under_way = f"{progress.under_way} of {progress.workers} requests under way"
        return ", ".join([self.statistics.progress_text(), under_way, *away])

    async def retune(self, change: ControlRequest) -> None:
        """Change the pace of the run.

        Raises:
            ValueError: a number is too small, or a name is not used.
            RuntimeError: no row is processed yet.
        """
        if self.options.batch is not None:
            raise ValueError("the rows go through a batch API, and the provider sets the pace")
        if self.processor is None:
            raise RuntimeError("the run has sent no row yet; try again in a moment")
        await self.processor.retune(
            parallel=change.parallel,
            rates=self.plan.rates(change.rates),
            bounds=change.bounds,
            max_outage_seconds=change.max_outage_seconds,
        )

    def say(self, line: str) -> None:
        """Show a line without any secret."""
        self.display.say(self.secrets.hide(line))


def _run_to_end(work: _RunState) -> int:
    """Run the event loop and print the report; return the exit status."""
    with work.log:
        try:
            anyio.run(_main, work)
        except BaseExceptionGroup as errors:
            # An unexpected exception is raised as it is, not in a group of one.
            raise unwrap_single_group(errors) from None
        finally:
            work.display.close()
    return _report(work)


def _report(work: _RunState) -> int:
    """Print the report and the command that resumes; return the exit status."""
    work.log.print_exceptions()
    if work.not_started_because is not None:
        raise RunError(work.not_started_because)
    for line in work.statistics.report():
        print_line(line)
    if work.write_errors:
        print_line(f"stopped: {work.write_errors[0]}")
    cut_off = _has_missing_rows(work)
    _print_batches_under_way(work)
    if cut_off or work.statistics.all.failed:
        _print_resume_command(work)
    if work.signal:
        return _BY_SIGNAL + work.signal
    if work.write_errors or work.statistics.stopped_by_provider:
        return STOPPED
    return int(cut_off or work.statistics.all.failed > 0)


def _has_missing_rows(work: _RunState) -> bool:
    """Whether rows have no outcome yet, or their output was lost."""
    return work.statistics.all.done < work.statistics.all.rows or bool(work.write_errors)


def _print_resume_command(work: _RunState) -> None:
    if work.journal is None:
        print_line("without a --journal nothing can be resumed")
        return
    if _has_missing_rows(work):
        _print_command(work, "to go on", "--resume")
    else:
        _print_command(work, "to try the failed rows again", "--resume", "--retry-failed")
    if work.batches is not None and work.batches.under_way:
        _print_command(work, "to cancel the batches and keep what they did", "--resume", "--cancel")


def _print_command(work: _RunState, purpose: str, *flags: str) -> None:
    arguments = [argument for argument in work.arguments if argument not in (*flags, "--cancel")]
    shown = [work.secrets.hide(argument) for argument in arguments]
    line = shlex.join(["wavetank", "run", *shown, *flags])
    again = "" if shown == arguments else " with the secrets that are hidden in it"
    print_line(f"{purpose}{again}: {line}")


def _print_batches_under_way(work: _RunState) -> None:
    """Say what goes on at the provider after the end of this process."""
    under_way = () if work.batches is None else work.batches.under_way
    if under_way:
        rows = sum(len(batch.ids) for batch in under_way)
        print_line(
            f"{counted(len(under_way), 'batch', 'batches')} with {counted(rows, 'row')} "
            f"{'goes' if len(under_way) == 1 else 'go'} on at the provider, and will be paid for: "
            f"{', '.join(batch.batch_id or '' for batch in under_way)}"
        )


async def _main(work: _RunState) -> None:
    async with anyio.create_task_group() as watchers:
        with anyio.CancelScope() as scope:
            await watchers.start(_stop_on_signal, work, scope)
            watchers.start_soon(_show, work)
            watchers.start_soon(_print_status_on_signal, work)
            if work.options.journal is not None:
                watchers.start_soon(serve_control, work.options.journal, work)
            await _process(work)
        if work.signal and any(thread.name.startswith(_LOOKUP_THREADS) for thread in threading.enumerate()):
            _exit_during_lookup(work)
        watchers.cancel_scope.cancel()


def _exit_during_lookup(work: _RunState) -> NoReturn:
    """End the process here, because the event loop would wait for a lookup that cannot be cancelled."""
    work.display.close()
    status = _report(work)
    if work.journal is not None:
        work.journal.close()
    work.output.close()
    _exit(status)


def _exit(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


async def _process(work: _RunState) -> None:
    options = work.options
    plan = work.plan
    async with new_client(
        connections=options.pace.parallel, timeout_seconds=options.timeout_seconds
    ) as client:
        if options.batch is not None:
            await _process_in_batches(work, client)
            return
        strategies = {route.target: _strategy(work, route, client) for route in plan.routes}
        if options.preflight and not await _passes_preflight(work, client):
            return
        work.processor = processor = plan.row_processor(
            strategies,
            work.statistics,
            journal=work.journal,
            output=work.output,
            shared=plan.shared_limits(work.keys),
            say=work.say,
        )
        try:
            await processor.process(plan.items(strategies))
            _check_files(work)
        except SharedGateError as error:
            if work.statistics.all.done:
                work.write_errors.append(error)
            else:
                work.not_started_because = f"--share: {error}"
        except (JournalError, SinkError) as error:
            work.write_errors.append(error)


async def _process_in_batches(work: _RunState, client: httpx2.AsyncClient) -> None:
    work.batches = new_batch_run(
        work.plan,
        client,
        work.statistics,
        keys=work.keys,
        output=work.output,
        journal=work.journal,
        say=work.say,
        # Two runs may begin at one instant, but in two processes.
        salt=f"{os.getpid()} {work.options.journal}",
    )
    try:
        await work.batches.process(work.plan.table.items)
        _check_files(work)
    except (JournalError, SinkError) as error:
        work.write_errors.append(error)


def _check_files(work: _RunState) -> None:
    """Notice a file that was removed during the run: writing to it succeeds, but the rows are lost."""
    work.output.check()
    path = work.options.journal
    if path is not None and not path.exists():
        raise JournalError(
            f"the journal {path} was removed while the run wrote to it; the output has the answers, "
            "and only a new journal can resume"
        )


async def _passes_preflight(work: _RunState, client: httpx2.AsyncClient) -> bool:
    """Ask each model one short question; return whether the run may start."""
    several = len(work.plan.routes) > 1
    refusals = []
    for route in work.plan.routes:
        found = await preflight(_strategy(work, route, client, max_tokens=PREFLIGHT_TOKENS))
        if not found.clear:
            refusals.append(f"{route.target.name} is {found}" if several else str(found))
    if refusals:
        work.not_started_because = f"not started: {'; '.join(refusals)}"
    return not refusals


def _strategy(
    work: _RunState, route: ModelRoute, client: httpx2.AsyncClient, *, max_tokens: int | None = None
) -> ProviderStrategy:
    return work.plan.strategy(route, client, work.keys[route.target], max_tokens=max_tokens)


async def _stop_on_signal(
    work: _RunState, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """The first Ctrl-C cancels the run and reports; the second ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if work.signal:
                # The journal has each outcome so far.
                work.display.close()
                _print_resume_command(work)
                _exit(_BY_SIGNAL + work.signal)
            work.signal = number
            scope.cancel()


async def _print_status_on_signal(work: _RunState) -> None:
    """Print a line for each SIGUSR1, also if there is no progress bar."""
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            work.say(work.status_text())


async def _show(work: _RunState) -> None:
    while True:
        if work.batches is not None:
            work.display.show(work.batches.share, work.batches.status_text)
        else:
            work.display.show(work.statistics.share, work.statistics.progress_text())
        await anyio.sleep(SHOW_EVERY_SECONDS)
