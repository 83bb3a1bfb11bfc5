"""The transports and socket methods of asyncio's own selector loop, for a loop that has no selector.

They are asyncio's. Only waiting is ours, and it can only be for files whose other end is in this process.
All private names of asyncio's selector loop that wavetank touches are touched here and checked at import.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from asyncio import events, selector_events
from collections.abc import Callable
from typing import Any, Final, final

from .private_names import require
from .refused_io import refusal
from .virtual_files import NETWORKS, VirtualFile, virtual_file

_BORROWED: Final = (
    "_ensure_fd_no_transport",
    "_make_socket_transport",
    "_make_ssl_transport",
    "_sock_connect",
    "_sock_connect_cb",
    "_sock_read_done",
    "_sock_recv",
    "_sock_recv_into",
    "_sock_sendall",
    "_sock_write_done",
)
"""What works by the methods that are called here in the end."""

_WITH_A_SOCKET: Final = ("sock_recv", "sock_recv_into", "sock_sendall")
_WITH_A_FILE: Final = ("add_reader", "add_writer", "remove_reader", "remove_writer")

_selector_loop: Any = selector_events.BaseSelectorEventLoop

require(
    _selector_loop,
    *_BORROWED,
    *_WITH_A_SOCKET,
    *_WITH_A_FILE,
    "sock_connect",
    of=f"asyncio of Python {sys.version.split()[0]}",
    supported="use a Python that wavetank supports (3.11 to 3.14)",
)


@final
class Watch:
    """Runs a callback again and again as long as a file is ready, as a selector would let it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, file: VirtualFile, handle: events.Handle, *, writes: bool
    ) -> None:
        self._loop = loop
        self._file = file
        self.handle = handle
        self._writes = writes
        self._is_due = False
        if not self._is_ready() or not writes:
            file.watchers.append(self._look)
        self._look()

    def _is_ready(self) -> bool:
        return self._file.writable if self._writes else self._file.readable

    def _look(self) -> None:
        if not self._is_due and not self.handle._cancelled and self._is_ready():
            self._is_due = True
            try:
                self._loop.call_soon_threadsafe(self._run, context=self.handle._context)
            except RuntimeError:  # the loop is closed, and the tasks that waited are gone
                self.cancel()

    def _run(self) -> None:
        self._is_due = False
        if not self.handle._cancelled and self._is_ready():
            try:
                self.handle._callback(*self.handle._args)
            finally:
                self._look()

    def cancel(self) -> None:
        """Do not run it any more."""
        self.handle.cancel()
        if self._look in self._file.watchers:
            self._file.watchers.remove(self._look)


class SocketMethods(asyncio.BaseEventLoop):
    """A loop that waits for virtual files."""

    def __init__(self) -> None:
        super().__init__()
        self._transports: dict[int, Any] = {}
        self._readers: dict[int, Watch] = {}
        self._writers: dict[int, Watch] = {}

    def _add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> events.Handle:
        return self._watch(self._readers, fd, events.Handle(callback, args, self, None), writes=False)

    def _add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> events.Handle:
        return self._watch(self._writers, fd, events.Handle(callback, args, self, None), writes=True)

    def _watch(
        self, watches: dict[int, Watch], fd: Any, handle: events.Handle, *, writes: bool
    ) -> events.Handle:
        self._check_closed()
        file = virtual_file(fd)
        if file is None:
            refusal("add_writer" if writes else "add_reader")(self)
        before = watches.pop(_number(fd), None)
        if before is not None:
            before.cancel()
        watches[_number(fd)] = Watch(self, file, handle, writes=writes)
        return handle

    def _remove_reader(self, fd: Any) -> bool:
        return self._unwatch(self._readers, fd)

    def _remove_writer(self, fd: Any) -> bool:
        return self._unwatch(self._writers, fd)

    def _unwatch(self, watches: dict[int, Watch], fd: Any) -> bool:
        watch = watches.pop(_number(fd), None)
        if watch is None:
            return False
        watch.cancel()
        return True

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> Any:
        if not NETWORKS or (sock is not None and virtual_file(sock) is None):
            refusal("create_connection")(self)
        return await super().create_connection(protocol_factory, host, port, sock=sock, **options)

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        await asyncio.sleep(0)
        if not NETWORKS:
            refusal("getaddrinfo")(self)
        return socket.getaddrinfo(host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        await asyncio.sleep(0)
        if not NETWORKS:
            refusal("getnameinfo")(self)
        return socket.getnameinfo(sockaddr, flags)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        if not NETWORKS:
            refusal("sock_connect")(self)
        await _selector_loop.sock_connect(self, sock, address)


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


def _with_a_socket(name: str) -> Callable[..., Any]:
    method, refused = getattr(_selector_loop, name), refusal(name)

    @functools.wraps(method)
    async def with_a_socket(self: SocketMethods, sock: socket.socket, *args: Any) -> Any:
        return await (method if virtual_file(sock) is not None else refused)(self, sock, *args)

    return with_a_socket


for _name in _BORROWED + _WITH_A_FILE:
    setattr(SocketMethods, _name, getattr(_selector_loop, _name))
for _name in _WITH_A_SOCKET:
    setattr(SocketMethods, _name, _with_a_socket(_name))
