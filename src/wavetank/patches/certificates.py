"""Put off the reading of certificates: in a run no certificate is checked, and most runs take less time.

A client reads a whole store of certificates when it is made. It is read after all when a connection is
wrapped or the store is looked at, and for a client that outlives the run when the process is given back.
"""

from __future__ import annotations

import functools
import gc
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, final
from weakref import WeakKeyDictionary

from .attributes import replaced

_NEED_THEM: Final = ("wrap_socket", "wrap_bio", "get_ca_certs", "cert_store_stats")
_FEW: Final = 3
"""So many stores are read at the end without asking first whether they are garbage."""

Load = Callable[[ssl.SSLContext], object]

_readable: Final[set[tuple[str, int, int]]] = set()
"""Files that were read without an error: path, size in bytes, and when it was written, in nanoseconds."""


@final
class Postponed:
    """What each context is still to read, in the order in which it was asked to."""

    def __init__(self) -> None:
        self._loads: WeakKeyDictionary[ssl.SSLContext, list[Load]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._loads)

    def put_off(self, context: ssl.SSLContext, load: Load) -> None:
        """Note what `context` is to read."""
        self._loads.setdefault(context, []).append(load)

    def read(self, context: ssl.SSLContext) -> None:
        """Read what was put off for `context`."""
        for load in self._loads.pop(context, ()):
            load(context)

    def read_all(self) -> None:
        """Read what was put off for contexts that are still in use."""
        if len(self) > _FEW:
            gc.collect()
        for context in list(self._loads):
            self.read(context)


@contextmanager
def certificates_unread(is_mine: Callable[[], bool]) -> Iterator[Postponed]:
    """Let contexts that the run's threads make read certificates when they are needed; `is_mine` says whose.

    A file that cannot be read is reported at once, as usual.
    """
    postponed = Postponed()
    stores = ssl.SSLContext.load_verify_locations
    defaults = ssl.SSLContext.set_default_verify_paths

    def load_verify_locations(
        self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None
    ) -> None:
        file = _file(cafile) if is_mine() and capath is None and cadata is None else None
        if file is not None and file in _readable:
            postponed.put_off(self, partial(stores, cafile=cafile))
            return
        stores(self, cafile, capath, cadata)
        if file is not None:
            _readable.add(file)

    def set_default_verify_paths(self: ssl.SSLContext) -> None:
        if is_mine():
            postponed.put_off(self, defaults)
        else:
            defaults(self)

    with ExitStack() as stack:
        stack.callback(postponed.read_all)
        stack.enter_context(replaced(ssl.SSLContext, "load_verify_locations", load_verify_locations))
        stack.enter_context(replaced(ssl.SSLContext, "set_default_verify_paths", set_default_verify_paths))
        for name in _NEED_THEM:
            stack.enter_context(replaced(ssl.SSLContext, name, _after_reading(name, postponed)))
        yield postponed


def _file(path: Any) -> tuple[str, int, int] | None:
    """What differs between two states of a file; `None` if there is no such file."""
    try:
        stat = os.stat(path)
    except (OSError, TypeError, ValueError):
        return None
    return os.fsdecode(path), stat.st_size, stat.st_mtime_ns


def _after_reading(name: str, postponed: Postponed) -> Callable[..., Any]:
    original = getattr(ssl.SSLContext, name)

    @functools.wraps(original)
    def reading(self: ssl.SSLContext, *args: Any, **options: Any) -> Any:
        postponed.read(self)
        return original(self, *args, **options)

    return reading
