"""Refuse clients with compiled input and output: neither their sockets nor their waits can be replaced."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

from ..sim.errors import RealInputOutput
from ..sim.refused_io import LEAVE_OUT
from ..sim.scheduler import Scheduler
from .attributes import replaced
from .imported_names import ImportedNames
from .imports import on_import

_CALLS: Final = {
    "grpc._channel": (
        "_UnaryUnaryMultiCallable.__call__ _UnaryUnaryMultiCallable.with_call "
        "_UnaryUnaryMultiCallable.future "
        "_UnaryStreamMultiCallable.__call__ _SingleThreadedUnaryStreamMultiCallable.__call__ "
        "_StreamUnaryMultiCallable.__call__ _StreamUnaryMultiCallable.with_call "
        "_StreamUnaryMultiCallable.future _StreamStreamMultiCallable.__call__ Channel.subscribe"
    ),
    "grpc.aio._channel": (
        "UnaryUnaryMultiCallable.__call__ UnaryStreamMultiCallable.__call__ "
        "StreamUnaryMultiCallable.__call__ StreamStreamMultiCallable.__call__ "
        "Channel.get_state Channel.channel_ready"
    ),
    "curl_cffi.curl": "Curl.perform",
    "curl_cffi.aio": "AsyncCurl.add_handle",
    "psycopg.connection": "Connection.connect Connection.wait",
    "psycopg.connection_async": "AsyncConnection.connect AsyncConnection.wait",
    "psycopg2": "connect",
}
"""By module, the methods and functions through which a client reaches its server."""

_TYPES: Final = {"pycurl": ("Curl", "CurlMulti")}
"""By module, compiled types whose methods cannot be replaced: making one is refused."""

_schedulers: Final[list[Scheduler]] = []


@contextmanager
def no_foreign_clients(scheduler: Scheduler) -> Iterator[None]:
    """Refuse the first use of such a client by the run's threads."""
    _schedulers.append(scheduler)
    try:
        with ExitStack() as stack:
            stack.enter_context(on_import((*_CALLS, *_TYPES), partial(_refuse_in, stack)))
            yield
    finally:
        _schedulers.remove(scheduler)


def _check(library: str) -> None:
    if _schedulers and _schedulers[-1].is_virtual_here():
        raise RealInputOutput(_text(library))


def _refuse_in(stack: ExitStack, module: ModuleType) -> None:
    library = module.__name__.partition(".")[0]
    for path in _CALLS.get(module.__name__, "").split():
        owner_name, _, name = path.rpartition(".")
        owner = getattr(module, owner_name, None) if owner_name else module
        if owner is not None and name in vars(owner):
            stack.enter_context(replaced(owner, name, _refused(vars(owner)[name], library)))
    if module.__name__ in _TYPES:
        types = [getattr(module, name) for name in _TYPES[module.__name__]]
        names = ImportedNames(tuple((kind, _unmakeable(kind, library)) for kind in types))
        names.put_in()
        stack.callback(names.take_out)


def _refused(original: Any, library: str) -> Any:
    """The call, refused to the run's threads; of the same kind, be it a function or a class method."""
    wrapped: Callable[..., Any] = original.__func__ if isinstance(original, classmethod) else original

    @functools.wraps(wrapped)
    def refused(*args: Any, **options: Any) -> Any:
        _check(library)
        return wrapped(*args, **options)

    return classmethod(refused) if isinstance(original, classmethod) else refused


def _unmakeable(kind: Any, library: str) -> Any:
    class Refused(kind):  # type: ignore[misc]
        def __new__(cls, *args: Any, **options: Any) -> Any:
            _check(library)
            return kind(*args, **options)

    Refused.__name__ = kind.__name__
    return Refused


def _text(library: str) -> str:
    return (
        f"{library} does its input and output in compiled code, which neither meets the fake nor waits in "
        "virtual time; nothing was sent. Put a stand-in of your own in its place, let the client use HTTP "
        f"through a library that wavetank patches (httpx, httpx2, aiohttp, requests, urllib3), or {LEAVE_OUT}"
    )
