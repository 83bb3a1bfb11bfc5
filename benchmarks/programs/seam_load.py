"""A client of a server on this machine that costs next to nothing itself: plain sockets, one answer each."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import Final, NamedTuple, final

CONNECTIONS: Final = 8
WARM_UP: Final = 400
BODY: Final = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}'
REQUEST: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\naccept-encoding: gzip, deflate\r\n"
    b"connection: keep-alive\r\naccept: application/json\r\ncontent-type: application/json\r\n"
    b"user-agent: OpenAI/Python 3.57.0\r\nx-stainless-lang: python\r\nx-stainless-package-version: 3.57.0\r\n"
    b"x-stainless-os: Linux\r\nx-stainless-arch: x64\r\nx-stainless-runtime: CPython\r\n"
    b"authorization: Bearer sk-key\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@final
class Load(NamedTuple):
    """What a server did: microseconds of its CPU time a request, requests a second, its megabytes then."""

    cpu: float
    rate: float
    megabytes: float


def load(port: int, pid: int, requests: int) -> Load:
    """Ask `requests` times over eight connections that are kept, and look at the server's own figures.

    The figures are read from the system's process table, as Linux has it.
    """
    clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CONNECTIONS)]
    try:
        _ask(clients, WARM_UP)
        cpu, started = _cpu_seconds(pid), time.perf_counter()
        _ask(clients, requests)
        took, spent = time.perf_counter() - started, _cpu_seconds(pid) - cpu
    finally:
        for client in clients:
            client.close()
    return Load(spent / requests * 1e6, requests / took, _megabytes(pid))


def _ask(clients: list[socket.socket], requests: int) -> None:
    for _ in range(requests // CONNECTIONS):
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            _read_answer(client)


def _read_answer(client: socket.socket) -> None:
    data = client.recv(65536)
    while not _is_whole(data):
        part = client.recv(65536)
        if not part:
            raise RuntimeError(f"the server closed the connection after {data[:200]!r}")
        data += part
    if b" 200 " not in data[:16]:
        raise RuntimeError(f"the server answered {data[:200]!r}")


def _is_whole(data: bytes) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = _LENGTH.search(data, 0, end)
    if length is None:
        return data.endswith(b"0\r\n\r\n")
    return len(data) >= end + 4 + int(length[1])


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
