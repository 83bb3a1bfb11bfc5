"""`wavetank serve` under hostile clients, over real sockets: a clear answer or the end, and it lives."""

from __future__ import annotations

import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2

from ..depth import DEEP, n_of
from .serving import serving

CONNECTIONS = n_of(200, 1000)
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
WHOLE = CHAT + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
MEGABYTE = 1 << 20


@contextmanager
def quietly_serving(tmp_path: Path, files: int | None = None) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server that refuses no request, with room for so many files, and its port."""
    scenario = tmp_path / "quiet.toml"
    scenario.write_text('title = "Quiet"\n')
    with serving(str(scenario), files=files) as (address, process):
        yield int(address.rpartition(":")[2]), process


@contextmanager
def many_files() -> Iterator[None]:
    """Room for a socket for each of many clients, here and in processes that are started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=120)


def all_of(client: socket.socket) -> bytes:
    """What comes until the end of the connection."""
    data = b""
    while part := client.recv(65536):
        data += part
    return data


def peak_megabytes(process: subprocess.Popen[str]) -> float:
    """The most memory a process ever had, where the system tells it."""
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0


def parts_of(megabytes: int) -> Iterator[bytes]:
    part = bytes(MEGABYTE)
    for _ in range(megabytes):
        yield part


def test_bodies_of_a_hundred_megabytes_are_refused_at_the_limit(tmp_path: Path) -> None:
    """413 reaches a client that is still sending, with a length or in chunks; memory stays bounded."""
    with quietly_serving(tmp_path) as (port, process):
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        length = {"content-length": str(100 * MEGABYTE)}
        assert httpx2.post(url, content=parts_of(100), headers=length).status_code == 413
        assert httpx2.post(url, content=parts_of(100)).status_code == 413
        with connected(port) as client:
            client.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
            assert client.recv(65536).startswith(b"HTTP/1.1 431 ")
        with connected(port) as client:
            client.sendall(WHOLE)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert peak_megabytes(process) < 200


def test_large_prompts_are_answered_and_dropped(tmp_path: Path) -> None:
    """Different prompts of eight megabytes are not held in memory together."""
    with quietly_serving(tmp_path) as (port, process), httpx2.Client(timeout=60) as client:
        at_rest = peak_megabytes(process)
        for number in range(6):
            text = f"{number}" + "x" * (8 * MEGABYTE)
            body = b'{"model":"m","messages":[{"role":"user","content":"' + text.encode() + b'"}]}'
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            answer = client.post(url, content=body, headers={"authorization": "Bearer k"})
            assert answer.json()["usage"]["prompt_tokens"] == (len(text) + 3) // 4
        # One takes up to five times its size, with what is imported for it; six that are held take ten times.
        assert peak_megabytes(process) < at_rest + 7 * 8


# It sends gigabytes.
if DEEP:

    def test_a_thousand_large_bodies_do_not_fill_the_memory(tmp_path: Path) -> None:
        """All together they get what room there is; those beyond it 503, and others their answers."""
        with many_files(), quietly_serving(tmp_path) as (port, process), ExitStack() as held:
            head = CHAT + b"content-length: %d\r\n\r\n" % (8 * MEGABYTE)
            for _ in range(CONNECTIONS):
                client = held.enter_context(connected(port))
                with suppress(ConnectionError):
                    client.sendall(head + bytes(4 * MEGABYTE))
            client.settimeout(20)
            assert client.recv(65536).startswith(b"HTTP/1.1 503 ")
            with connected(port) as small:
                small.sendall(WHOLE)
                assert small.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert peak_megabytes(process) < 900


def test_many_silent_clients_keep_no_other_out(tmp_path: Path) -> None:
    """Connections with nothing, half a head or half a body are held; others are answered meanwhile."""
    with many_files(), quietly_serving(tmp_path) as (port, process), ExitStack() as held:
        for number in range(CONNECTIONS):
            client = held.enter_context(connected(port))
            client.sendall((b"", WHOLE[:40], WHOLE[:-9])[number % 3])
        with connected(port) as client:
            client.sendall(WHOLE * 50 + b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert all_of(client).count(b"HTTP/1.1 200 ") == 50
        held.close()
        with connected(port) as client:
            client.sendall(WHOLE)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert peak_megabytes(process) < 200


def test_a_client_that_closes_its_sending_side_has_hung_up(tmp_path: Path) -> None:
    """Its connection is closed, with whatever was answered by then, and the server goes on."""
    with quietly_serving(tmp_path) as (port, _):
        for beginning in (
            b"",
            b"\x00\x01",
            WHOLE[:50],
            CHAT + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        ):
            with connected(port) as client:
                client.sendall(beginning)
                client.shutdown(socket.SHUT_WR)
                assert all_of(client)[:13] in (b"", b"HTTP/1.1 400 ", b"HTTP/1.1 100 ")
        with connected(port) as client:
            client.sendall(WHOLE)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_more_clients_than_files_are_reported_once(tmp_path: Path) -> None:
    """With no room for more files the server says so in one line, and serves again when there is room."""
    with many_files(), quietly_serving(tmp_path, files=40) as (port, process), ExitStack() as held:
        for _ in range(60):
            held.enter_context(connected(port))
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "ulimit -n" not in lines[-1]:
            lines.append(process.stdout.readline())
        held.close()
        with connected(port) as client:
            client.sendall(WHOLE)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=300)
    said = "".join(lines) + rest
    assert said.count("ulimit -n") == 1
    assert "Traceback" not in said
    assert "1 requests" in said
