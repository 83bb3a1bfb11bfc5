"""`wavetank serve` and `wavetank scenarios`, as a user runs them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios

import httpx2
import openai
import pytest

from wavetank.cli import main

from .serving import ended, serving

WAVE = """
title = "One wave"
[[wave]]
at = "0s"
lasts = "1h"
retry_after = "7s"
match = { model = "gpt-*" }
[[wave]]
when_in_flight = 2
patience = "30s"
match = { model = "held" }
"""


@pytest.fixture
def wave(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scenario") / "wave.toml"
    path.write_text(WAVE)
    return str(path)


def chat(model: str = "gpt-4o") -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}]}


def test_a_client_of_another_process_meets_the_script(wave: str) -> None:
    """The server refuses in the wave, answers other models, streams, and says what it saw at the end."""
    with serving(wave) as (address, process):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
        assert refused.value.response.headers["retry-after"] == "7"
        stream = client.chat.completions.create(
            model="other", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert "[wt:hi]" in "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert "2 requests, 1 refused" in ended(process)


def test_both_dialects_are_known_by_path_and_headers(wave: str) -> None:
    """One address speaks OpenAI and Anthropic; an unknown path is answered in the dialect."""
    with serving(wave) as (address, _):
        anthropic = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
        body = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        assert httpx2.post(f"{address}/v1/messages", json=body, headers=anthropic).json()["type"] == "message"
        unknown = httpx2.post(f"{address}/v1/nothing", json={})
        assert unknown.status_code == 404
        assert "Invalid URL" in unknown.json()["error"]["message"]
        assert not unknown.headers["date"].endswith("2026 00:00:00 GMT")


def test_a_client_that_hangs_up_in_a_held_barrier_disturbs_no_other(wave: str) -> None:
    """After one of two held clients left, the next two fill the barrier and are refused together."""
    with serving(wave) as (address, process):
        url, body = f"{address}/v1/chat/completions", json.dumps(chat("held"))
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: "
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as leaves:
            leaves.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
            while '"kind":"held"' not in httpx2.get(f"{address}/_wavetank/events", timeout=120).text:
                pass
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", _POST, url],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        assert [client.communicate(timeout=300)[0].strip() for client in clients] == ["429", "429"]
        assert "3 requests, 2 refused" in ended(process)


_POST = """
import sys, httpx2
body = {"model": "held", "messages": [{"role": "user", "content": "hi"}]}
print(httpx2.post(sys.argv[1], json=body, headers={"authorization": "Bearer k"}, timeout=250).status_code)
"""


def test_a_head_request_and_garbage_end_no_server(wave: str) -> None:
    """HEAD gets a head only, bytes that are no HTTP end their own connection, and the server goes on."""
    with serving(wave) as (address, process):
        assert httpx2.head(f"{address}/v1/nothing").status_code == 404
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: "
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=120) as raw:
            raw.sendall(head + str(len(body)).encode() + b"\r\n\r\n" + body + b"\x00garbage\r\n\r\n")
            assert raw.recv(65536).startswith(b"HTTP/1.1 200")
        answer = httpx2.post(
            f"{address}/v1/chat/completions", content=body, headers={"authorization": "Bearer k"}, timeout=120
        )
        assert answer.status_code == 200
        assert "2 requests" in ended(process)


def test_a_terminal_shows_the_status_on_one_line(wave: str) -> None:
    """It comes below the addresses, is written over, fits the width, and is gone at the end."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 30))
    command = [sys.executable, "-m", "wavetank", "serve", wave, "--port", "0"]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        try:
            said = shown(screen, until="in flight 0")
            address = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert address is not None
            headers = {"authorization": "Bearer k"}
            httpx2.post(f"{address.group()}/v1/chat/completions", json=chat("other"), headers=headers)
            said += shown(screen, until="answered 1")
            process.send_signal(signal.SIGINT)
            said += shown(screen, until="1 requests, 0 refused, at most 1 in flight\r\n")
            assert process.wait(600) == 0
        finally:
            process.kill()
            os.close(screen)
    assert said.startswith("wavetank: wave, seed 0, on http://")
    statuses = [line for line in re.split(r"[\r\n]+", said) if "in flight 0 ·" in line]
    assert {status.removesuffix("\x1b[K") for status in statuses} >= {"in flight 0 · answered 1 · re"}
    assert "\r\x1b[Kwavetank: 1 requests" in said


def shown(screen: int, *, until: str) -> str:
    """What comes on a terminal, until this has come."""
    said = b""
    while until.encode() not in said:
        said += os.read(screen, 4096)
    return said.decode(errors="replace")


def test_the_error_for_a_busy_port_names_the_fix(capsys: pytest.CaptureFixture[str]) -> None:
    """A second server on a port says so in one line and fails."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "calm", "--port", port]) == 1
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "127.0.0.1:80"])
def test_the_error_for_an_unusable_address_names_the_fix(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the address and what to give instead, and no port."""
    assert main(["serve", "calm", "--port", "0", "--host", host]) == 1
    said = capsys.readouterr().err
    assert f"cannot listen on --host {host}: it is no address of this machine" in said
    assert "Leave --host out" in said
    assert "--port" not in said


def test_an_empty_address_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It would stand for all addresses of the machine."""
    with pytest.raises(SystemExit):
        main(["serve", "calm", "--host", ""])
    assert "leave --host out" in capsys.readouterr().err


def test_for_an_unknown_scenario_a_similar_one_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error in the scenario's name fails with the name that was meant."""
    assert main(["serve", "casade"]) == 1
    assert "did you mean 'cascade'" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--port", "70000"), ("--port", "x"), ("--seed", "-1")])
def test_wrong_words_are_a_usage_error(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value out of range ends with the usage and the right range."""
    with pytest.raises(SystemExit) as stop:
        main(["serve", "calm", f"{option}={value}"])
    assert stop.value.code == 2
    assert "whole number" in capsys.readouterr().err


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each scenario has a line with its story."""
    assert main(["scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    assert any(line.startswith("cascade ") and "wave" in line for line in lines)
