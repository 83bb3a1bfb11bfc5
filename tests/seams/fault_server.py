"""A real server that misbehaves as the first part of a request's path says; the test starts it as a process.

It prints its ports, and ends when its standard input does.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trustme

ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    }
).encode()
EVENT: Final = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
)
ERROR: Final = b'{"error":{"message":"no","type":"error","param":null,"code":null}}'
STREAM: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"
    % (len(EVENT), EVENT)
)


Act = Callable[[socket.socket], object]


def response(
    body: bytes = ANSWER, *, status: str = "200 OK", length: int | None = None, more: str = ""
) -> bytes:
    """A response with its length, or with another."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n{more}\r\n"
    return head.encode() + body


def reset(one: socket.socket) -> None:
    """End a connection with a reset."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(one: socket.socket) -> None:
    """Wait until the client has gone."""
    one.settimeout(20)
    one.recv(1)


def trickle(one: socket.socket) -> None:
    """Send an answer a few bytes at a time."""
    whole = response()
    for start in range(0, len(whole), 60):
        one.sendall(whole[start : start + 60])
        time.sleep(0.001)


def redirect(one: socket.socket) -> None:
    """Lead a client back to where it came from."""
    one.sendall(
        response(b"", status="307 Temporary Redirect", more="location: /redirect/v1/chat/completions\r\n")
    )


def closed_later(one: socket.socket) -> None:
    """Answer once, and close when the client asks again."""
    one.sendall(response())
    request(one)


def _after(data: bytes, then: Act = lambda _: None) -> Act:
    def act(one: socket.socket) -> None:
        one.sendall(data)
        then(one)

    return act


ACTS: Final[dict[str, Act]] = {
    "no-answer": hang,
    "silent-body": _after(STREAM, hang),
    "reset": reset,
    "reset-after-headers": _after(response(b"", length=len(ANSWER)), reset),
    "closed": lambda _: None,
    "cut-body": _after(response(ANSWER[:40], length=len(ANSWER))),
    "cut-stream": _after(STREAM),
    "length-too-long": _after(response(length=len(ANSWER) + 1000)),
    "length-too-short": _after(response(ANSWER[:40], length=40)),
    "malformed-status-line": _after(b"HTTP/1.1 OK\r\n\r\n"),
    "malformed-headers": _after(b"HTTP/1.1 200 OK\r\ncontent type application/json\r\n\r\n"),
    "malformed-chunk-size": _after(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nsize\r\n{}\r\n"),
    "bad-gzip": _after(response(more="content-encoding: gzip\r\n")),
    "empty-body": _after(response(b"")),
    "html-body": _after(response(b"<html></html>", status="502 Bad Gateway")),
    "closed-later": closed_later,
    "429": _after(response(ERROR, status="429 Too Many Requests", more="retry-after: 7\r\n")),
    "503": _after(response(ERROR, status="503 Service Unavailable")),
    "trickle": trickle,
    "redirect": redirect,
}


def request(one: socket.socket) -> bytes:
    """The first line of a request that has been read to its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = one.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += one.recv(65536)
    return head.partition(b"\r\n")[0]


def serve(one: socket.socket) -> None:
    """Meet one client."""
    with one, suppress(OSError):
        while line := request(one):
            name = line.split(b"/")[1].decode()
            ACTS[name](one)
            if name != "redirect":
                break


def listen(act: Act) -> int:
    """Take clients in threads; the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            one, _ = listener.accept()
            threading.Thread(target=act, args=(one,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def untrusted() -> Act:
    """Show each client a certificate that it cannot trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def act(one: socket.socket) -> None:
        with one, suppress(OSError):
            context.wrap_socket(one, server_side=True)

    return act


def full() -> tuple[int, list[socket.socket]]:
    """A port whose queue is full, so that Linux leaves further clients without an answer."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [listener]
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    return listener.getsockname()[1], waiting


def main() -> None:
    """Print the ports by name, and wait."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()[1]
    queue, _kept = full()
    print(
        json.dumps({"http": listen(serve), "tls": listen(untrusted()), "nobody": nobody, "full": queue}),
        flush=True,
    )
    sys.stdin.read()


if __name__ == "__main__":
    main()
