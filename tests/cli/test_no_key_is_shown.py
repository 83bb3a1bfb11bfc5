"""A marked key goes in at every way, and no output of any kind shows it."""

from __future__ import annotations

import base64
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
from urllib.parse import quote

import httpx2
import pytest

import wavetank
from wavetank.cli import main
from wavetank.tank.tank import Tank

from ..depth import in_turn
from ..test_shown import ENCODINGS

KEY = "sk-marked/0123456789-abcdefgh"
PARTS = ("marked", "0123456789", "abcdefgh")
SHORT = "zq7xk"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "row 1"}]}


def assert_hidden(*texts: str) -> None:
    for text in texts:
        assert SHORT not in text, text[:2000]
        for part in (*PARTS, *(ENCODINGS[how](KEY) for how in ENCODINGS if "half" not in how)):
            assert part not in text, text[:2000]


def files_under(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name
            yield path.read_bytes().decode("utf-8", "replace")


# -- objects and reports ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, SHORT])
def test_no_object_and_no_report_shows_the_key(key: str) -> None:
    """Records, what `item_of` is shown, ledger texts, log, verdicts and report know labels only."""
    seen: list[str] = []

    async def pipeline(tank: Tank) -> None:
        def item_of(request: Any) -> None:
            seen.extend((repr(request), str(request), repr(dict(request.headers)), request.key))

        tank.fake_llm.item_of = item_of
        for item in ("row 1", "row 2"):
            tank.ledger.submit(item)
        headers = {"authorization": f"Bearer {key}", "x-api-key": key, "cookie": f"session={key}"}
        async with httpx2.AsyncClient(transport=tank.fake_llm.httpx2_transport(), headers=headers) as client:
            for url in ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/nothing"):
                answer = await client.post(url, params={"key": key}, json=CHAT)
                seen.extend((answer.text, repr(answer.headers)))
        await tank.fake_llm.call("row 2", key=key)
        tank.ledger.complete("row 1", f"the key was api_key={key}")
        tank.ledger.fail("row 2", RuntimeError(f"401 for Bearer {key}"))
        fake = tank.fake_llm
        assert [record.key for record in fake.requests] == ["key-1", "key-1"]
        seen.extend(map(repr, (*fake.requests, fake, fake._desk, fake._desk.secrets, tank, tank.ledger)))
        raise RuntimeError(f"gave up on ?key={key} and Bearer {key}")

    run = wavetank.simulate(pipeline, scenario="calm", checks="strict")
    log = run.events.to_ndjson().decode()
    verdicts = (str(verdict) for verdict in run.verdicts.values())
    assert_hidden(*seen, log, run.report(), repr(run), *verdicts)
    assert "401 for Bearer key-1" in log
    assert "gave up on ?key=key-1 and Bearer key-1" in replace(run, verdicts={}).report()


def test_what_is_inside_shows_no_key_either() -> None:
    """A traceback prints the arguments of the fake's own calls."""
    from wavetank.provider.http import HttpRequest
    from wavetank.provider.request import Request
    from wavetank.provider.vendor_registry import card_named, dialect_of
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
    inner = Request(id=1, model="m", secret=KEY, item="a", declared=True, prompt="a", prompt_tokens=1)
    head = RequestHead("POST", f"/v1?key={KEY}", 1, headers, False)
    assert_hidden(*map(repr, (request, dialect_of(card_named("openai")).decode(request), inner, head)))


# -- pytest -----------------------------------------------------------------------------------------

FAILING = """
import httpx2, pytest, wavetank
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
    tank.ledger.fail("row 1", "401 for Bearer " + KEY)
    tank.ledger.complete("row 1", '{"api_key": "' + KEY + '"}')
def test_unknown_host(tank):
    post("https://user:" + KEY.replace("/", "%2F") + "@unknown.example/v1?key=" + KEY)
def test_hang(fake_llm):
    import asyncio
    async def main():
        async with httpx2.AsyncClient(headers={"x-api-key": KEY}) as client:
            await client.get("https://api.openai.com/v1/models?key=" + KEY)
            await asyncio.Event().wait()
    asyncio.run(main())
@wavetank.explore(scenario="calm", schedules=2)
async def test_explored(tank):
    async with httpx2.AsyncClient(headers={"x-api-key": KEY}) as client:
        await client.get("https://api.openai.com/v1/models?key=" + KEY)
        raise RuntimeError(f"{tank.fake_llm.requests} and {tank.fake_llm!r}")
"""


@pytest.mark.parametrize("key", [KEY, SHORT])
def test_failing_tests_and_their_logs_show_no_key(
    key: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Assertions on records, rules that raise, ledgers, kept logs, reports as files and annotations."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    pytester.makepyfile(FAILING)
    secret = pytester.path / "key.txt"
    secret.write_text(key)
    options = ("-p", "no:cacheprovider", "-p", "no:langsmith_plugin", "-p", "no:asyncio", "--tb=short", "-rA")
    written = ("--llm-report=on", "--llm-report-dir=logs", "--llm-report-json=r.json", "--junitxml=j.xml")
    result = pytester.runpytest(*options, *written, "--llm-scenario=calm", "-o", "junit_logging=all")
    result.assert_outcomes(failed=8)
    result.stdout.fnmatch_lines("::error *")
    secret.unlink()
    logs = list(files_under(pytester.path))
    assert len(logs) >= 14
    assert "key-1" in (pytester.path / "r.json").read_text()
    assert_hidden(str(result.stdout), str(result.stderr), *logs)


LOST = """
import httpx2, pathlib, wavetank
@wavetank.explore(scenario="calm", backends=("asyncio",))
async def test_lost(tank):
    key = pathlib.Path("key.txt").read_text()
    tank.ledger.submit("row 1")
    async with httpx2.AsyncClient(headers={"x-api-key": key}) as client:
        await client.get("https://api.openai.com/v1/models?key=" + key)
        tank.ledger.fail("row 1", f"401 for Bearer {key}")
        tank.ledger.fail("row 1", f"api_key={key}")
        await client.post("https://unknown.example/v1?key=" + key)
"""


@pytest.mark.parametrize("key", in_turn(0, [KEY, SHORT]))
def test_a_campaign_shows_no_key(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in its JSON, which has the report of the failure, nor in what it keeps."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take two seconds in each process
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p xdist -p wavetank\n")
    secret = tmp_path / "key.txt"
    secret.write_text(key)
    (tmp_path / "test_lost.py").write_text(LOST)
    words = ["explore", "test_lost.py", "--schedules", "2", "-n", "0", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "wavetank", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    secret.unlink()
    assert json.loads(done.stdout)["failed"] == 1
    assert "unknown.example" in done.stdout
    assert_hidden(done.stdout, done.stderr, *files_under(tmp_path))


# -- serve ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, SHORT])
def test_a_server_shows_no_key(key: str, tmp_path: Path) -> None:
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
        with httpx2.Client(base_url=address.group(), headers={"authorization": f"Bearer {key}"}) as client:
            gemini = "/gemini/v1beta/models/m:generateContent"
            for path, body in (("/v1/chat/completions", CHAT), (gemini, {}), ("/v1/nothing", CHAT)):
                pages.append(client.post(path, params={"key": key}, json=body).text)
            entry = {"event": "failed", "item": "row 1", "error": f"401 for Bearer {key}"}
            client.post("/_wavetank/items", json=[{"event": "submitted", "item": "row 1"}, entry])
            pages += [client.get(f"/_wavetank/{page}").text for page in ("events", "verdict", "scenario")]
            pages.append(client.get("/_wavetank/nothing", params={"key": key}).text)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=300)
    assert_hidden(said, journal.read_text(), *pages)
    assert "401 for Bearer key-1" in journal.read_text()


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
            key = self.headers["authorization"].removeprefix("Bearer ")
            status, body = modes[-1](key)
            self.send_response(status, f"No {key}")
            self.send_header("x-echo", key)
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


IN_PLACES: dict[str, Callable[[str], tuple[int, bytes]]] = {
    "field": lambda key: (401, json.dumps({"error": {"message": "no", "api_key": key}}).encode()),
    "bearer": lambda key: (401, error(f"got 'Bearer {key}'")),
    "header": lambda key: (400, f"<p>{quote(f'Authorization: Bearer {key}')}</p>".encode()),
    "basic": lambda key: (403, error(f"Basic {base64.b64encode(f':{key}'.encode()).decode()}")),
    "no answer": lambda key: (200, json.dumps({"choices": [], "api-key": key}).encode()),
}
"""Answers that have a key where its place says that it is one."""


@pytest.mark.parametrize(
    ("key", "mode"), [*((KEY, mode) for mode in ANSWERS), *((SHORT, mode) for mode in IN_PLACES)]
)
def test_a_run_keeps_no_key_that_a_provider_echoes(
    key: str,
    mode: str,
    echoing: tuple[str, list[Callable[[str], tuple[int, bytes]]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in its output, its journal, its words, nor in the line that resumes; in the address neither."""
    url, modes = echoing
    modes.append((ANSWERS if key == KEY else IN_PLACES)[mode])
    refused = modes[-1](key)[0] in (401, 403)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", f" {key}\r\n")
    (tmp_path / "in.csv").write_text("prompt\nhello\n")
    words = ["run", "in.csv", "-o", "out.csv", "--model", "m", "--provider", "openai-compatible"]
    words += ["--base-url", f"{url}/v1?key={key}", "--journal", "run.db", "--max-seconds", "300"]
    words += ["--max-requests", "1"]
    status = main(words)
    said = capfd.readouterr()
    assert status == (0 if mode == "answer" else 3 if refused else 1)
    assert main(["journal", "run.db"]) == 0
    assert main(["journal", "run.db", "--json"]) == 0
    kept = capfd.readouterr()
    assert_hidden(said.out, said.err, kept.out, kept.err, *files_under(tmp_path))
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
