"""Connections whose other end is in this process, by the descriptor by which a program waits for them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

from .processes import Process, current_process


class VirtualFile(Protocol):
    """What can be waited for in a run's own time."""

    watchers: list[Callable[[], object]]
    """Called, maybe from another thread, when it may have become readable."""
    process: Process | None
    """The simulated process that has opened it."""

    @property
    def writable(self) -> bool:
        """Whether it can be written to: always, once it is connected, or could not be."""

    @property
    def readable(self) -> bool:
        """Whether reading gives something now: bytes, an error, or the end."""

    def close(self) -> None:
        """The program has closed it, or lost it."""


NETWORKS: Final[list[Any]] = []
"""What connections may end at in this process; empty, there are no virtual files."""

_files: Final[dict[int, tuple[weakref.ref[Any], Any]]] = {}

_sockets: Final[weakref.WeakKeyDictionary[Any, Process]] = weakref.WeakKeyDictionary()
"""The sockets of simulated processes, also those that are not connected yet, or could not be."""


def add_virtual_file(socket: Any, file: VirtualFile) -> None:
    """Let `file` be what `socket` and its descriptor stand for, as long as the descriptor is open."""
    descriptor = socket.fileno()
    _files[descriptor] = weakref.ref(socket, lambda gone: _lost(descriptor, gone)), file


def add_socket(socket: Any) -> None:
    """A simulated process, if this is one, has made `socket`."""
    if (process := current_process.get()) is not None:
        _sockets[socket] = process


def forget_virtual_file(socket: Any) -> Any:
    """The descriptor of `socket` means something else from here on; what it meant until now."""
    entry = _files.pop(socket.fileno(), None)
    return None if entry is None else entry[1]


def _lost(descriptor: int, gone: object) -> None:
    entry = _files.get(descriptor)
    if entry is not None and entry[0] is gone:
        del _files[descriptor]
        entry[1].close()


def close_files_of(process: Process) -> None:
    """Close what a simulated process has open that has crashed."""
    for reference, file in [*_files.values()]:
        socket = reference()
        if socket is not None and file.process is process:
            os.close(socket.detach())
    for socket, owner in [*_sockets.items()]:
        if owner is process and socket.fileno() >= 0:
            os.close(socket.detach())


def virtual_file(what: Any) -> VirtualFile | None:
    """What is behind a descriptor, or behind an object that has one."""
    if not _files:
        return None
    entry = _files.get(what if isinstance(what, int) else what.fileno())
    return None if entry is None else entry[1]


def virtual_end_of(socket: Any) -> Any:
    """What is behind this very socket; `None` if it is a socket like any other."""
    if not _files:
        return None
    entry = _files.get(socket.fileno())
    return entry[1] if entry is not None and entry[0]() is socket else None
