"""The run itself: files, client and processor put together, Ctrl-C, and the exit status."""

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
from ..processor.errors.error_fields import unwrap_single_group
from ..processor.journal import Journal, JournalError
from ..processor.preflight import preflight
from ..processor.sinks import CsvSink, JsonlSink, SinkError
from ..shown import Secrets
from .input_table import read_table
from .provider_strategy import ProviderStrategy, need_client, new_client
from .run_errors import RunError
from .run_files import open_files
from .run_options import Options
from .run_plan import Plan, Route, connection
from .run_report import RunStatistics, Shown, WarningCollector, print_line
from .target import Target

if TYPE_CHECKING:
    import httpx2

SHOW_EVERY_SECONDS: Final = 0.2
PREFLIGHT_TOKENS: Final = 16
STOPPED: Final = 3
_BY_SIGNAL: Final = 128
_LOOKUP_THREADS: Final = "asyncio_"
"""What the names of the threads begin with in which the event loop looks up the addresses of hosts."""


def run(options: Options, words: Sequence[str], display: Shown) -> int:
    """Process the rows of a file; the exit status is one of those in `EXIT_CODES`.

    Args:
        options: what was asked for.
        words: the command line, to print it as the line that resumes.
        display: shows where the run stands.

    Raises:
        RunError: something has to be mended before the run starts.
    """
    table = read_table(options.input, options.shape, options.target)
    plan = Plan(options, table)
    keys = {route.target: connection(options, route, os.environ) for route in plan.routes}
    need_client()
    with open_files(options, table) as (journal, output):
        statistics = plan.statistics(now=lambda: to_seconds(real_now()), wall=_wall)
        log = WarningCollector(plan.secrets.hide)
        return _run_to_end(
            _RunState(options, plan, keys, journal, output, statistics, display, words, plan.secrets, log)
        )


@final
@dataclass(slots=True)
class _RunState:
    """What one run holds, and the signal that ended it."""

    options: Options
    plan: Plan
    keys: Mapping[Target, str]
    journal: Journal | None
    output: CsvSink | JsonlSink
    statistics: RunStatistics
    display: Shown
    words: Sequence[str]
    secrets: Secrets
    log: WarningCollector
    signal: int = 0
    not_started_because: str | None = None
    write_errors: list[Exception] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Show a line without any secret."""
        self.display.say(self.secrets.hide(line))


def _run_to_end(work: _RunState) -> int:
    """Do the work and say what came of it."""
    with work.log:
        try:
            anyio.run(_main, work)
        except BaseExceptionGroup as errors:
            # What nobody foresaw is told as it is, and not as a group of one.
            raise unwrap_single_group(errors) from None
        finally:
            work.display.close()
    return _report(work)


def _report(work: _RunState) -> int:
    """Say what came of the work, and how to resume it; the exit status."""
    work.log.print_exceptions()
    if work.not_started_because is not None:
        raise RunError(work.not_started_because)
    for line in work.statistics.report():
        print_line(line)
    if work.write_errors:
        print_line(f"stopped: {work.write_errors[0]}")
    cut_off = _has_missing_rows(work)
    if cut_off or work.statistics.failed:
        _print_resume_command(work)
    if work.signal:
        return _BY_SIGNAL + work.signal
    return STOPPED if work.write_errors else int(cut_off or work.statistics.failed > 0)


def _has_missing_rows(work: _RunState) -> bool:
    """Whether rows have no outcome yet, or have lost it with the output."""
    return work.statistics.done < work.statistics.total or bool(work.write_errors)


def _print_resume_command(work: _RunState) -> None:
    if work.journal is None:
        print_line("without a --journal nothing can be resumed")
        return
    cut_off = _has_missing_rows(work)
    flags = ["--resume"] if cut_off else ["--resume", "--retry-failed"]
    words = [word for word in work.words if word not in flags]
    shown = [work.secrets.hide(word) for word in words]
    line = shlex.join(["wavetank", "run", *shown, *flags])
    again = "" if shown == words else " with the secrets that are hidden in it"
    print_line(f"{'to go on' if cut_off else 'to try the failed rows again'}{again}: {line}")


async def _main(work: _RunState) -> None:
    async with anyio.create_task_group() as watchers:
        with anyio.CancelScope() as scope:
            await watchers.start(_stop_on_signal, work, scope)
            watchers.start_soon(_show, work)
            await _process(work)
        if work.signal and any(thread.name.startswith(_LOOKUP_THREADS) for thread in threading.enumerate()):
            _exit_during_lookup(work)
        watchers.cancel_scope.cancel()


def _exit_during_lookup(work: _RunState) -> NoReturn:
    """End the process here: the loop would wait for the lookup of a name, which nothing can end."""
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
        strategies = {route.target: _strategy(work, route, client) for route in plan.routes}
        if options.preflight and not await _passes_preflight(work, client):
            return
        session = plan.session(
            strategies,
            work.statistics,
            journal=work.journal,
            output=work.output,
            say=lambda line: work.display.say(work.secrets.hide(line)),
        )
        try:
            await session.process(plan.items(strategies))
            _check_files(work)
        except (JournalError, SinkError) as error:
            work.write_errors.append(error)


def _check_files(work: _RunState) -> None:
    """What somebody has removed meanwhile holds nothing, although writing to it went well."""
    work.output.check()
    path = work.options.journal
    if path is not None and not path.exists():
        raise JournalError(
            f"the journal {path} was removed while the run wrote to it; the output has the answers, "
            "and only a new journal can resume"
        )


async def _passes_preflight(work: _RunState, client: httpx2.AsyncClient) -> bool:
    """RequestSettings one short question of each model, and note what speaks against the rest."""
    several = len(work.plan.routes) > 1
    against = []
    for route in work.plan.routes:
        found = await preflight(_strategy(work, route, client, max_tokens=PREFLIGHT_TOKENS))
        if not found.clear:
            against.append(f"{route.target.name} is {found}" if several else str(found))
    if against:
        work.not_started_because = f"not started: {'; '.join(against)}"
    return not against


def _strategy(
    work: _RunState, route: Route, client: httpx2.AsyncClient, *, max_tokens: int | None = None
) -> ProviderStrategy:
    return work.plan.strategy(route, client, work.keys[route.target], max_tokens=max_tokens)


async def _stop_on_signal(
    work: _RunState, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """The first Ctrl-C ends the run in good order; the second ends the process where it stands."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if work.signal:
                # Each outcome so far is in the journal, whatever the process was about to do.
                work.display.close()
                _print_resume_command(work)
                _exit(_BY_SIGNAL + work.signal)
            work.signal = number
            scope.cancel()


async def _show(work: _RunState) -> None:
    while True:
        work.display.show(work.statistics.share, work.statistics.progress_text())
        await anyio.sleep(SHOW_EVERY_SECONDS)


def _wall() -> float:
    return to_seconds(real_epoch_ns())
