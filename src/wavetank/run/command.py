"""The run itself: files, client and processor put together, Ctrl-C, and the exit status."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NoReturn, final

import anyio

from ..clock import real_epoch_ns, real_now, to_seconds
from ..processor.journal import Journal, JournalError
from ..processor.preflight import preflight
from ..processor.shape import sole
from ..processor.sinks import CsvSink, JsonlSink, SinkError
from .asking import ProviderStrategy, need_client, open_client
from .errors import RunError
from .files import open_files
from .options import Options
from .providers import Ask, is_local
from .reading import Table, read_table
from .session import Session
from .telling import Display, LogKeeper, Tally, tell

if TYPE_CHECKING:
    import httpx2

SHOW_EVERY_SECONDS: Final = 0.2
PREFLIGHT_TOKENS: Final = 16
STOPPED: Final = 3
NO_KEY: Final = "wavetank-needs-no-key"
"""What a server on this machine is shown where no variable holds a key: most ask for any."""
_BY_SIGNAL: Final = 128
_LOOKUP_THREADS: Final = "asyncio_"
"""What the names of the threads begin with in which the event loop looks up the addresses of hosts."""


def run(options: Options, words: Sequence[str], display: Display) -> int:
    """Process the rows of a file; the exit status is one of those in `EXIT_CODES`.

    Args:
        options: what was asked for.
        words: the command line, to print it as the line that resumes.
        display: shows where the run stands.

    Raises:
        RunError: something has to be mended before the run starts.
    """
    table = read_table(options.input, options.shape)
    key = find_key(options, os.environ)
    need_client()
    with open_files(options, table) as (journal, output):
        tally = Tally(len(table.items), now=lambda: to_seconds(real_now()), wall=_wall)
        return _ended(_Work(options, table, key, journal, output, tally, display, words))


def find_key(options: Options, environment: Mapping[str, str]) -> str:
    """The provider's API key, from the environment alone; a server on this machine may need none.

    Raises:
        RunError: no variable holds it.
    """
    provider = options.provider
    for name in provider.keys:
        if key := environment.get(name, "").strip():
            return key
    if not provider.keys or is_local(options.base_url or provider.base_url):
        return NO_KEY
    raise RunError(f"set {' or '.join(provider.keys)} to the API key of {provider.name}")


@final
@dataclass(slots=True)
class _Work:
    """What one run holds, and the signal that ended it."""

    options: Options
    table: Table
    key: str
    journal: Journal | None
    output: CsvSink | JsonlSink
    tally: Tally
    display: Display
    words: Sequence[str]
    log: LogKeeper = field(default_factory=LogKeeper)
    signal: int = 0
    refusal: str | None = None
    trouble: list[Exception] = field(default_factory=list)


def _ended(work: _Work) -> int:
    """Do the work and say what came of it."""
    with work.log:
        try:
            anyio.run(_main, work)
        except BaseExceptionGroup as errors:
            # What nobody foresaw is told as it is, and not as a group of one.
            raise sole(errors) from None
        finally:
            work.display.close()
    return _report(work)


def _report(work: _Work) -> int:
    """Say what came of the work, and how to resume it; the exit status."""
    work.log.tell_of_trouble()
    if work.refusal is not None:
        raise RunError(work.refusal)
    for line in work.tally.report():
        tell(line)
    if work.trouble:
        tell(f"stopped: {work.trouble[0]}")
    cut_off = work.tally.done < work.tally.total
    if cut_off or work.tally.failed:
        _tell_how_to_resume(work)
    if work.signal:
        return _BY_SIGNAL + work.signal
    return STOPPED if work.trouble else int(cut_off or work.tally.failed > 0)


def _tell_how_to_resume(work: _Work) -> None:
    if work.journal is None:
        tell("without a --journal nothing can be resumed")
        return
    cut_off = work.tally.done < work.tally.total
    flags = ["--resume"] if cut_off else ["--resume", "--retry-failed"]
    line = shlex.join(["wavetank", "run", *(word for word in work.words if word not in flags), *flags])
    tell(f"{'to go on' if cut_off else 'to try the failed rows again'}: {line}")


async def _main(work: _Work) -> None:
    async with anyio.create_task_group() as watchers:
        with anyio.CancelScope() as scope:
            await watchers.start(_stop_on_signal, work, scope)
            watchers.start_soon(_show, work)
            await _process(work)
        if work.signal and any(thread.name.startswith(_LOOKUP_THREADS) for thread in threading.enumerate()):
            _leave_lookups(work)
        watchers.cancel_scope.cancel()


def _leave_lookups(work: _Work) -> NoReturn:
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


async def _process(work: _Work) -> None:
    options = work.options
    async with open_client(
        connections=options.pace.parallel, timeout_seconds=options.timeout_seconds
    ) as client:
        if options.preflight and not await _clear(work, client):
            return
        session = Session(
            _strategy(work, client, options.ask),
            pace=options.pace,
            tally=work.tally,
            journal=work.journal,
            output=work.output,
        )
        try:
            await session.process(work.table.items)
        except (JournalError, SinkError) as error:
            work.trouble.append(error)


async def _clear(work: _Work, client: httpx2.AsyncClient) -> bool:
    """Ask one short question, and note what speaks against the rest."""
    ask = replace(work.options.ask, max_tokens=PREFLIGHT_TOKENS)
    found = await preflight(_strategy(work, client, ask))
    if not found.clear:
        work.refusal = f"not started: {found}"
    return found.clear


def _strategy(work: _Work, client: httpx2.AsyncClient, ask: Ask) -> ProviderStrategy:
    options = work.options
    return ProviderStrategy(
        client,
        options.provider,
        ask,
        key=work.key,
        base_url=options.base_url,
        prices=options.prices,
    )


async def _stop_on_signal(
    work: _Work, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """The first Ctrl-C ends the run in good order; the second ends the process where it stands."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if work.signal:
                # Each outcome so far is in the journal, whatever the process was about to do.
                work.display.close()
                _tell_how_to_resume(work)
                _exit(_BY_SIGNAL + work.signal)
            work.signal = number
            scope.cancel()


async def _show(work: _Work) -> None:
    while True:
        work.display.show(work.tally.share, work.tally.standing())
        await anyio.sleep(SHOW_EVERY_SECONDS)


def _wall() -> float:
    return to_seconds(real_epoch_ns())
