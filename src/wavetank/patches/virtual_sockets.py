"""What the methods of a socket do whose other end is in this process."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol, final

from ..sim.private_names import require
from ..sim.virtual_files import VirtualFile, add_virtual_file, forget_virtual_file

require(
    socket.socket,
    "_real_close",
    "_decref_socketios",
    "_sendfile_use_send",
    of=f"socket of Python {sys.version.split()[0]}",
    supported="use a Python that wavetank supports (3.11 to 3.14)",
)

_ALL: Final = 1 << 62

Address = tuple[Any, ...]
"""As `getpeername` returns it."""


class End(VirtualFile, Protocol):
    """The client's end of a connection; timeouts are in seconds, 0 for not to wait and `None` for no end."""

    host: str
    """The name of the other end."""
    here: Address
    there: Address

    error: int
    """The number of the error by which it could not be connected; 0 if it is."""

    def signal_on(self, descriptor: int, /) -> None:
        """Let the system know, too, whether there is something to read, under the client's descriptor.

        Raises:
            BlockingIOError: it is not connected yet.
        """

    def share(self) -> None:
        """One socket more is to be closed before it is."""

    def send(self, data: Any, /) -> int:
        """Send all of the bytes; how many they were."""

    def receive(self, limit: int, timeout: float | None, /) -> bytes:
        """Up to `limit` bytes, once there are any; none at the end."""

    def receive_line(self, limit: int, timeout: float | None, /) -> bytes:
        """As `receive`, and not beyond the end of a line."""

    def peek(self, limit: int, timeout: float | None, /) -> bytes:
        """As `receive`, but the bytes stay to be read."""

    def shut_down(self, how: int, /) -> None:
        """Close one direction or both, as `socket.shutdown`."""


def _receive(end: End, one: socket.socket, size: int, flags: int) -> bytes:
    if size < 0:
        raise ValueError("negative buffersize in recv")
    timeout = 0.0 if flags & getattr(socket, "MSG_DONTWAIT", 0) else one.gettimeout()
    if flags & socket.MSG_PEEK:
        return end.peek(size, timeout)
    if not flags & socket.MSG_WAITALL:
        return end.receive(size, timeout) if size else b""
    data = b""
    while len(data) < size and (part := end.receive(size - len(data), timeout)):
        data += part
    return data


def _recv(end: End, one: socket.socket, bufsize: int, flags: int = 0, /) -> bytes:
    return _receive(end, one, bufsize, flags)


def _recv_into(end: End, one: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    with memoryview(buffer).cast("B") as view:
        if nbytes > len(view):
            raise ValueError("buffer too small for requested bytes")
        data = _receive(end, one, nbytes or len(view), flags)
        view[: len(data)] = data
    return len(data)


def _recvfrom(end: End, one: socket.socket, bufsize: int, flags: int = 0, /) -> tuple[bytes, None]:
    return _receive(end, one, bufsize, flags), None


def _recvfrom_into(
    end: End, one: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0
) -> tuple[int, None]:
    return _recv_into(end, one, buffer, nbytes, flags), None


def _recvmsg(
    end: End, one: socket.socket, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
) -> tuple[bytes, list[Any], int, None]:
    return _receive(end, one, bufsize, flags), [], 0, None


def _recvmsg_into(
    end: End, one: socket.socket, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
) -> tuple[int, list[Any], int, None]:
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    data = _receive(end, one, sum(map(len, views)), flags)
    left = data
    for view in views:
        part, left = left[: len(view)], left[len(view) :]
        view[: len(part)] = part
    return len(data), [], 0, None


def _send(end: End, one: socket.socket, data: Any, flags: int = 0, /) -> int:
    return end.send(data)


def _sendall(end: End, one: socket.socket, data: Any, flags: int = 0, /) -> None:
    end.send(data)


def _sendto(end: End, one: socket.socket, data: Any, *_: Any) -> int:
    return end.send(data)


def _sendmsg(end: End, one: socket.socket, buffers: Any, *_: Any) -> int:
    return end.send(b"".join(buffers))


def _sendfile(end: End, one: Any, file: Any, offset: int = 0, count: int | None = None) -> Any:
    return one._sendfile_use_send(file, offset, count)


def _shutdown(end: End, one: socket.socket, how: int, /) -> None:
    end.shut_down(how)


def _getpeername(end: End, one: socket.socket, /) -> Address:
    return end.there


def _getsockname(end: End, one: socket.socket, /) -> Address:
    return end.here


def _getsockopt(end: End, one: socket.socket, level: int, option: int, size: int = 0, /) -> int | bytes:
    known = {socket.SO_ERROR: end.error, socket.SO_TYPE: int(socket.SOCK_STREAM)}
    value = known.get(option, 1) if level == socket.SOL_SOCKET else 1
    return value.to_bytes(size, "little") if size else value


def _setsockopt(end: End, one: socket.socket, *_: Any) -> None:
    """There is nothing to set."""


def _ended(end: End, one: Any, *_: Any) -> Any:
    forget_virtual_file(one)
    end.close()
    return NotImplemented


def _dup(end: End, one: Any) -> Any:
    """Another socket at the same end, which stays until both are closed."""
    twin = type(one)(one.family, one.type, one.proto)
    twin.settimeout(one.gettimeout())
    os.dup2(one.fileno(), twin.fileno(), inheritable=False)
    end.share()
    add_virtual_file(twin, end)
    return twin


def _makefile(end: End, one: Any, mode: str = "r", buffering: int | None = None, **options: Any) -> Any:
    if mode in ("rb", "br") and buffering != 0:
        return ReplyFile(one, end)
    if mode == "r" and buffering is None:
        return io.TextIOWrapper(ReplyFile(one, end), **options)
    return NotImplemented


AT_END: Final[dict[str, Callable[..., Any]]] = {
    "detach": _ended,
    "dup": _dup,
    "getpeername": _getpeername,
    "getsockname": _getsockname,
    "getsockopt": _getsockopt,
    "makefile": _makefile,
    "recv": _recv,
    "recv_into": _recv_into,
    "recvfrom": _recvfrom,
    "recvfrom_into": _recvfrom_into,
    "recvmsg": _recvmsg,
    "recvmsg_into": _recvmsg_into,
    "send": _send,
    "sendall": _sendall,
    "sendfile": _sendfile,
    "sendmsg": _sendmsg,
    "sendto": _sendto,
    "setsockopt": _setsockopt,
    "shutdown": _shutdown,
    "_real_close": _ended,
}
"""By its name what a method of a socket does; `NotImplemented`: its own code, which calls the others."""


@final
class ReplyFile(io.BufferedIOBase):
    """What `socket.makefile("rb")` returns; it never takes more than it is asked for."""

    def __init__(self, owner: Any, end: End) -> None:
        self._owner = owner
        self._end = end
        owner._io_refs += 1

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._owner.fileno()
        return number

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        parts: list[bytes] = []
        while wanted and (part := self.read1(wanted)):
            parts.append(part)
            wanted -= len(part) if wanted > 0 else 0
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        self._require_open()
        if not size:
            return b""
        return self._end.receive(size if size > 0 else _ALL, self._owner.gettimeout())

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer as far as bytes are there; 0 only at the end."""
        with memoryview(buffer).cast("B") as view:
            data = self.read1(len(view))
            view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        self._require_open()
        wanted = _ALL if size is None or size < 0 else size
        line = b""
        while len(line) < wanted and not line.endswith(b"\n"):
            part = self._end.receive_line(wanted - len(line), self._owner.gettimeout())
            if not part:
                break
            line += part
        return line

    def peek(self, size: int = 0, /) -> bytes:
        """No bytes ahead: looking must not count as reading."""
        return b""

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner._decref_socketios()
