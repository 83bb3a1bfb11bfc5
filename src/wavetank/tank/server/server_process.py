"""Run a server until a signal ends it, or the command that it serves."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, final

import msgspec

from .control_api import ControlApi
from .served_run import RunSettings
from .served_world import Serving

TICK: Final = 0.5
"""So often, in seconds, the journal is flushed and the status reported."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@final
class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What is served, where, to which command, and who is informed.

    `opened` is called with the port once clients may come, and returns the environment of the command;
    from then on `tick` is called every half second.
    """

    settings: RunSettings
    host: str
    port: int
    journal: Path | None = None
    tls: ssl.SSLContext | None = None
    command: tuple[str, ...] = ()
    opened: Callable[[int], Mapping[str, str]] = lambda _: {}
    tick: Callable[[Serving], object] = lambda _: None

    def run(self) -> tuple[Serving, int]:
        """Serve until SIGINT or SIGTERM, or until the command ends.

        Returns:
            What was served, its journal closed, and the exit status of the command: 0 without one, 128
            and the number of the signal if one ended it.

        Raises:
            OSError: the port is taken, the address is not this machine's, or the journal cannot be
                written or is there already.
        """
        return asyncio.run(self._serve())

    async def _serve(self) -> tuple[Serving, int]:
        from ...seams.loopback import Clients, serve

        serving = Serving(self.settings, journal=self.journal)
        clients = Clients(lambda: serving.run, ControlApi(serving, host=self.host))
        serving.renewed = clients.renew
        opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        server = asyncio.ensure_future(
            serve(clients, host=self.host, port=self.port, tls=self.tls, started=opened.set_result)
        )
        over = _Over()
        server.add_done_callback(lambda _: over.stop.set())
        status = 0
        try:
            await asyncio.wait((server, opened), return_when=asyncio.FIRST_COMPLETED)
            if opened.done():
                status = await self._opened(serving, opened.result(), over)
        finally:
            server.cancel()
            with suppress(asyncio.CancelledError), serving:
                await server
        return serving, status

    async def _opened(self, serving: Serving, port: int, over: _Over) -> int:
        """Serve until it is over; the exit status of the command."""
        serving.port = port
        environment = self.opened(port)
        if self.command:
            over.child = await asyncio.create_subprocess_exec(*self.command, env=environment)
            child_ended = asyncio.ensure_future(over.child.wait())
            child_ended.add_done_callback(lambda _: over.stop.set())
        while not over.stop.is_set():
            serving.run.journal.flush()
            self.tick(serving)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.stop.wait(), TICK)
        status = (over.child and over.child.returncode) or 0
        return status if status >= 0 else 128 - status


@final
class _Over:
    """Set when it is time to stop; a signal leaves it to the command, if there is one, to end first."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.child: asyncio.subprocess.Process | None = None
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            with suppress(NotImplementedError):  # not on every system
                loop.add_signal_handler(number, partial(self._signal, number))

    def _signal(self, number: signal.Signals) -> None:
        if self.child is None:
            self.stop.set()
        elif number == signal.SIGTERM:  # Ctrl-C reaches the command by itself
            with suppress(ProcessLookupError):
                self.child.send_signal(number)
