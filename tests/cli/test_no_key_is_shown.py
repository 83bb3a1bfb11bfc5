"""A marked key goes in at every way, and no output of any kind shows it."""

from __future__ import annotations

import http.server
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

import wavetank
from wavetank.cli import main
from wavetank.tank.tank import Tank

from ..test_shown import ENCODINGS

KEY = "sk-marked/0123456789-abcdefgh"
PARTS = ("marked", "0123456789", "abcdefgh")
CHAT = {"model": "m", "messages": [{"role": "user", "content": "row 1"}]}


def assert_hidden(*texts: str) -> None:
    for text in texts:
        for part in (*PARTS, *(ENCODINGS[how](KEY) for how in ENCODINGS if "half" not in how)):
            assert part not in text, text[:2000]


def files_under(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name
            yield path.read_bytes().decode("utf-8", "replace")


# -- objects and reports ------------------------------------------------------------------------------


def test_no_object_and_no_report_shows_the_key() -> None:
    """Records, what `item_of` is shown, ledger texts, log, verdicts and report know labels only."""
    seen: list[str] = []

    async def pipeline(tank: Tank) -> None:
        def item_of(request: Any) -> None:
            seen.extend((repr(request), str(request), repr(dict(request.headers)), request.key))

        tank.fake_llm.item_of = item_of
        for item in ("row 1", "row 2"):
            tank.ledger.submit(item)
        headers = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "cookie": f"session={KEY}"}
        async with httpx2.AsyncClient(transport=tank.fake_llm.httpx2_transport(), headers=headers) as client:
            for url in ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/nothing"):
                answer = await client.post(url, params={"key": KEY}, json=CHAT)
                seen.extend((answer.text, repr(answer.headers)))
        await tank.fake_llm.call("row 2", key=KEY)
        tank.ledger.complete("row 1", f"the key was {KEY}")
        tank.ledger.fail("row 2", RuntimeError(f"401 for Bearer {KEY}"))
        fake = tank.fake_llm
        assert [record.key for record in fake.requests] == ["key-1", "key-2", "key-1"]
        seen.extend(map(repr, (*fake.requests, fake, fake._desk, fake._desk.secrets, tank, tank.ledger)))
        raise RuntimeError(f"gave up on ?key={KEY} and {KEY}")

    run = wavetank.simulate(pipeline, scenario="calm", checks="strict")
    log = run.events.to_ndjson().decode()
    verdicts = (str(verdict) for verdict in run.verdicts.values())
    assert_hidden(*seen, log, run.report(), repr(run), *verdicts)
    assert "401 for Bearer key-1" in log
    assert "gave up on ?key=key-1 and key-1" in replace(run, verdicts={}).report()


def test_what_is_inside_shows_no_key_either() -> None:
    """A traceback prints the arguments of the fake's own calls."""
    from wavetank.provider.dialects.openai import OPENAI
    from wavetank.provider.http import HttpRequest
    from wavetank.provider.model import Request
    from wavetank.seams.request_reader import RequestHead

    headers = {"authorization": f"Bearer {KEY}"}
    request = HttpRequest(
        method="POST",
        host="api.openai.com",
        path="/v1/chat/completions",
        query=f"key={KEY}",
        headers=headers,
        body=json.dumps(CHAT).encode(),
    )
    inner = Request(1, "openai", "m", KEY, "key-1", "a", True, "a", 1)
    head = RequestHead("POST", f"/v1?key={KEY}", 1, headers, False)
    assert_hidden(*map(repr, (request, OPENAI.decode(request), inner, head)))


# -- pytest -----------------------------------------------------------------------------------------

FAILING = """
import httpx2, pytest
from pathlib import Path
KEY = Path("key.txt").read_text()
def post(url="https://api.openai.com/v1/chat/completions"):
    body = {"model": "m", "messages": [{"role": "user", "content": "row 1"}]}
    return httpx2.post(url, headers={"authorization": "Bearer " + KEY}, json=body)
def test_record(tank):
    tank.ledger.submit("row 1")
    post()
    assert tank.fake_llm.requests[0].status == 429
def test_records(fake_llm):
    post()
    assert fake_llm.requests == []
def test_item_of(tank):
    def item_of(request):
        raise ValueError(f"no item of {request}")
    tank.fake_llm.item_of = item_of
    post()
def test_ledger(tank):
    tank.ledger.submit("row 1")
    post()
    tank.ledger.fail("row 1", "401 for " + KEY)
    tank.ledger.complete("row 1", "x")
def test_unknown_host(tank):
    post("https://user:" + KEY.replace("/", "%2F") + "@unknown.example/v1?key=" + KEY)
"""


def test_failing_tests_and_their_logs_show_no_key(pytester: pytest.Pytester) -> None:
    """Assertions on records, rules that raise, ledgers and kept logs."""
    pytester.makepyfile(FAILING)
    pytester.path.joinpath("key.txt").write_text(KEY)
    options = ("-p", "no:cacheprovider", "-p", "no:langsmith_plugin", "--tb=short")
    result = pytester.runpytest(
        *options, "--llm-scenario=calm", "--llm-report=on", "--llm-report-dir=logs", "-rA"
    )
    result.assert_outcomes(failed=5)
    logs = list(files_under(pytester.path / "logs"))
    assert len(logs) >= 10
    assert_hidden(str(result.stdout), str(result.stderr), *logs)


# -- serve ------------------------------------------------------------------------------------------


def test_a_server_shows_no_key(tmp_path: Path) -> None:
    """Not on its pages, not in its journal, not in what it says."""
    journal = tmp_path / "journal.ndjson"
    command = [
        sys.executable,
        "-m",
        "wavetank",
        "serve",
        "calm",
        "--port",
        "0",
        "--journal",
        str(journal),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        address = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert address is not None
        pages: list[str] = []
        with httpx2.Client(base_url=address.group(), headers={"authorization": f"Bearer {KEY}"}) as client:
            gemini = "/gemini/v1beta/models/m:generateContent"
            for path, body in (("/v1/chat/completions", CHAT), (gemini, {}), ("/v1/nothing", CHAT)):
                pages.append(client.post(path, params={"key": KEY}, json=body).text)
            entry = {"event": "failed", "item": "row 1", "error": f"401 for {KEY}"}
            client.post("/_wavetank/items", json=[{"event": "submitted", "item": "row 1"}, entry])
            pages += [client.get(f"/_wavetank/{page}").text for page in ("events", "verdict", "scenario")]
            pages.append(client.get("/_wavetank/nothing", params={"key": KEY}).text)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    assert_hidden(said, journal.read_text(), *pages)
    assert "401 for key-1" in journal.read_text()


# -- run ----------------------------------------------------------------------------------------------


@pytest.fixture
def echoing() -> Iterator[tuple[str, list[Callable[[str], tuple[int, bytes]]]]]:
    """A provider that answers as the list's last entry says, and its address."""
    modes: list[Callable[[str], tuple[int, bytes]]] = []

    class Echo(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing is written."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, body = modes[-1](KEY)
            self.send_response(status, f"No {KEY}")
            self.send_header("x-echo", KEY)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", modes
        server.shutdown()


def error(echo: str) -> bytes:
    return json.dumps({"error": {"message": f"Incorrect API key provided: {echo}"}}).encode()


ANSWERS: dict[str, Callable[[str], tuple[int, bytes]]] = {
    "escaped": lambda key: (401, error("|").replace(b"|", ENCODINGS["percent"](key).encode())),
    "slashes": lambda key: (401, error(key).replace(b"/", b"\\/")),
    "basic": lambda key: (403, error(ENCODINGS["basic auth with the key as password"](key))),
    "page": lambda key: (400, f"<h1>bad key {ENCODINGS['HTML numbers'](key)}</h1>".encode()),
    "answer": lambda key: (200, json.dumps({"choices": [{"message": {"content": f"Use {key}"}}]}).encode()),
    "no answer": lambda key: (200, json.dumps({"choices": f"your key {key}"}).encode()),
    "blocked": lambda key: (200, json.dumps({"promptFeedback": {"blockReason": f"key {key}"}}).encode()),
    "half": lambda key: (401, error(f"{key[:14]}…")),
}


@pytest.mark.parametrize("mode", ANSWERS)
def test_a_run_keeps_no_key_that_a_provider_echoes(
    mode: str,
    echoing: tuple[str, list[Callable[[str], tuple[int, bytes]]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in its output, its journal, its words, nor in the line that resumes; in the address neither."""
    url, modes = echoing
    modes.append(ANSWERS[mode])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\r\n")
    (tmp_path / "in.csv").write_text("prompt\nhello\n")
    words = ["run", "in.csv", "-o", "out.csv", "--model", "m", "--provider", "openai-compatible"]
    words += ["--base-url", f"{url}/v1?key={KEY}", "--journal", "run.db", "--max-seconds", "20"]
    words += ["--max-requests", "1"]
    status = main(words)
    said = capfd.readouterr()
    assert status == (0 if mode == "answer" else 1)
    assert_hidden(said.out, said.err, *files_under(tmp_path))
    if mode != "answer":
        assert "?key=key-1" in said.out


@pytest.mark.parametrize("wrong", ["\nsecond", "\x01x", "\u2019"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before anything is sent or written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY + wrong)
    (tmp_path / "in.csv").write_text("prompt\nhello\n")
    assert main(["run", "in.csv", "-o", "out.csv", "--model", "m"]) == 2
    said = capfd.readouterr()
    assert_hidden(said.out, said.err)
    assert f"OPENAI_API_KEY cannot be an API key: character {len(KEY) + 1} of " in said.err
    assert not (tmp_path / "out.csv").exists()


def test_words_that_are_not_understood_show_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    """A misspelt option may hold an address."""
    with pytest.raises(SystemExit):
        main(
            ["run", "in.csv", "-o", "o.csv", "--model", "m", "--base-urll", f"http://u:sk-1@host/?key={KEY}"]
        )
    assert "sk-" not in capfd.readouterr().err
