"""The lifespans of ASGI applications: started before the first request, and ended with the event loop."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, final

import anyio
import anyio.lowlevel

from ..provider.host_rules import HostApp
from .app_tasks import AppTasks

ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
"""What a scope says of the protocol."""

Message = MutableMapping[str, Any]


@final
class Lifespans:
    """Those that have begun, by the event loop and the application."""

    def __init__(self, tasks: AppTasks) -> None:
        self._tasks = tasks
        self._begun: dict[tuple[object, int], _Lifespan] = {}

    async def state_of(self, app: HostApp) -> dict[str, Any]:
        """Return the state of an application when it has started in the running event loop.

        Raises:
            Exception: its start failed.
        """
        token: Any = anyio.lowlevel.current_token()
        key = token.native_token, id(app.call)
        lifespan = self._begun.get(key)
        if lifespan is None:
            lifespan = self._begun[key] = _Lifespan(app)
            self._tasks.start("lifespan of an app", lifespan.run, blocking=False)
        await lifespan.ready.wait()
        if lifespan.failed and lifespan.error is not None:
            raise lifespan.error
        return lifespan.state

    def __repr__(self) -> str:
        return f"<Lifespans [{len(self._begun)} begun]>"


class _Lifespan:
    def __init__(self, app: HostApp) -> None:
        self.state: dict[str, Any] = {}
        self.ready = anyio.Event()
        self.failed = False
        """The application says that its start failed."""
        self.error: Exception | None = None
        self._app = app
        self._asked = False
        self._end = anyio.Event()

    async def run(self) -> None:
        """Run it until the event loop cancels it: which request is the last is not known before."""
        try:
            await self._app.call(
                {"type": "lifespan", "asgi": ASGI, "state": self.state}, self._receive, self._send
            )
        except Exception as error:
            # One without a lifespan may raise: the specification lets a server go on then.
            self.error = error
        finally:
            self.ready.set()

    async def _receive(self) -> Message:
        if self._asked:
            await self._end.wait()
        self._asked = True
        return {"type": "lifespan.startup"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            self.failed = True
            self.error = RuntimeError(f"the application did not start: {message.get('message', '')}")
        elif message["type"] == "lifespan.startup.complete":
            self.ready.set()
        elif not message["type"].startswith("lifespan."):
            # An application without a lifespan takes it for a request.
            raise RuntimeError(f"{message['type']!r} is no message of a lifespan")
