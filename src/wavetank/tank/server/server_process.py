"""Run a server for a scenario until a signal ends it."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, final

import msgspec

from ...scenario import Scenario
from .served_world import Serving

TICK: Final = 0.5
"""So often, in seconds, the journal is flushed and the status reported."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@final
class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What is served, where, and who is informed.

    `opened` is called with the port once clients may come; from then on `tick` is called every half second.
    """

    scenario: Scenario
    seed: int = 0
    host: str
    port: int
    journal: Path | None = None
    tls: ssl.SSLContext | None = None
    opened: Callable[[int], object] = lambda _: None
    tick: Callable[[Serving], object] = lambda _: None

    def run(self) -> Serving:
        """Serve until SIGINT or SIGTERM; what was served, its journal closed.

        Raises:
            OSError: the port is taken, the address is not this machine's, or the journal cannot be
                written or is there already.
        """
        import asyncio

        return asyncio.run(self._serve())

    async def _serve(self) -> Serving:
        import asyncio

        from ...seams.loopback import serve

        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        serving = Serving(self.scenario, seed=self.seed, host=self.host, journal=self.journal)
        server = asyncio.ensure_future(
            serve(
                serving.desk,
                host=self.host,
                port=self.port,
                tls=self.tls,
                control_api=serving.control_api,
                started=partial(self._open, serving),
            )
        )
        server.add_done_callback(lambda _: stop.set())
        for number in _SIGNALS:
            with suppress(NotImplementedError):  # not on every system
                loop.add_signal_handler(number, stop.set)
        try:
            while not stop.is_set():
                self._ticks(serving)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TICK)
        finally:
            server.cancel()
            with suppress(asyncio.CancelledError), serving:
                await server
        return serving

    def _open(self, serving: Serving, port: int) -> None:
        serving.port = port
        self.opened(port)

    def _ticks(self, serving: Serving) -> None:
        serving.journal.flush()
        if serving.port is not None:
            self.tick(serving)
