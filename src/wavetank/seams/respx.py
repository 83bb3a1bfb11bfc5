"""A side effect for routes of `respx`, on `httpx` and, through `pytest-httpx2`, on `httpx2`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from anyio.lowlevel import current_token

from .desk import Desk
from .transports import transport

_ERRORS: Final = ("ConnectError", "ReadError", "ReadTimeout", "RemoteProtocolError")


def respx_handler(desk: Desk) -> Callable[[Any], Any]:
    """A callable for `side_effect`: a response in a thread, and in a task something to await for it."""

    def handler(request: Any) -> Any:
        through = transport(_errors_of_both(), desk)
        if _in_a_task():
            return through.handle_async_request(request)
        return through.handle_request(request)

    return handler


def _in_a_task() -> bool:
    try:
        current_token()
    except RuntimeError:
        return False
    return True


def _errors_of_both() -> Any:
    """httpx, with errors that also are those of `httpcore2`.

    respx uses httpx even where its client is on httpx2, whose transport knows only these.
    """
    import httpx

    core: ModuleType | None = sys.modules.get("httpcore2")
    if core is None:
        return httpx
    both = {name: type(name, (getattr(httpx, name), getattr(core, name)), {}) for name in _ERRORS}
    return SimpleNamespace(**{**vars(httpx), **both})
