"""`wavetank serve` in a build: when time begins, one run after another, its last words and exit status."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic_ns
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from wavetank import EventLog
from wavetank.cli import main
from wavetank.cli.serve import environment

from .serving import serving

LEDGER = "/_wavetank/items"
EARLY = 'title = "Early"\n[[wave]]\nat = "0s"\nlasts = "1h"\nretry_after = "7s"\n'
HELD = 'title = "Held"\n[[wave]]\nwhen_in_flight = 2\npatience = "1h"\n'
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ASK = f"""
import json, os, sys, urllib.error, urllib.request as requests

def post(url, body, **headers):
    headers = {{"content-type": "application/json", "authorization": "Bearer k", **headers}}
    try:
        return requests.urlopen(requests.Request(url, json.dumps(body).encode(), headers)).status
    except urllib.error.HTTPError as error:
        return error.code

for item in sys.argv[1:]:
    ledger = os.environ["WAVETANK_URL"] + "{LEDGER}"
    chat = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    post(ledger, {{"event": "submitted", "item": item}})
    status = post(chat, {CHAT}, **{{"x-wavetank-item": item}})
    post(ledger, {{"event": "completed" if status == 200 else "failed", "item": item}})
"""


@pytest.fixture
def early(tmp_path: Path) -> str:
    (tmp_path / "early.toml").write_text(EARLY)
    return str(tmp_path / "early.toml")


def chat(client: httpx2.Client, item: str = "a") -> int:
    headers = {"authorization": "Bearer k", "x-wavetank-item": item}
    return client.post("/v1/chat/completions", json=CHAT, headers=headers).status_code


def entered(client: httpx2.Client, event: str, item: str) -> None:
    assert client.post(LEDGER, json={"event": event, "item": item}).json() == {"entered": 1}


def log_of(client: httpx2.Client) -> EventLog:
    return EventLog.from_ndjson(client.get("/_wavetank/events").content)


def served(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A server that ends with its command."""
    return subprocess.run(
        [sys.executable, "-m", "wavetank", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environment,
    )


def test_time_begins_with_the_first_request(early: str) -> None:
    """What was entered before it has the instant 0, so a wave at 0s meets it however late it comes."""
    with serving(early) as (address, _), httpx2.Client(base_url=address) as client:
        entered(client, "submitted", "a")
        entered(client, "submitted", "b")
        before = monotonic_ns()
        assert chat(client) == 429
        taken = monotonic_ns() - before
        log = log_of(client)
    assert [event.at for event in log.of("submitted")] == [0, 0]
    arrived = log.of("arrived")[0]
    assert arrived.sent is not None
    assert 0 <= arrived.sent <= arrived.at <= taken


def test_time_can_begin_with_the_server(early: str) -> None:
    """With `--start now` the scenario does not wait for a client."""
    with serving(early, "--start", "now") as (address, _), httpx2.Client(base_url=address) as client:
        entered(client, "submitted", "a")
        assert log_of(client)[0].kind == "wave-opened"
        assert log_of(client).of("submitted")[0].at > 0


def test_a_refused_connection_begins_it_as_well(tmp_path: Path) -> None:
    """Else a scenario that refuses the first connections would never go on."""
    path = tmp_path / "refused.toml"
    path.write_text('title = "R"\n[[fault]]\nkind = "connection-refused"\nat = "0s"\ntimes = 1\n')
    with serving(str(path)) as (address, _):
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{address}/v1/models")
        with httpx2.Client(base_url=address) as client:
            entered(client, "submitted", "a")
            assert log_of(client).of("submitted")[0].at > 0


def test_the_day_of_a_limit_is_the_day_of_the_first_request(tmp_path: Path) -> None:
    """The Unix time at which days begin is taken when time begins."""
    path = tmp_path / "daily.toml"
    path.write_text('title = "D"\n[limits]\nrequests_per_day = 5\nday = "calendar"\n')
    with serving(str(path)) as (address, _), httpx2.Client(base_url=address) as client:
        headers = {"authorization": "Bearer k"}
        answer = client.post("/v1/chat/completions", json=CHAT, headers=headers)
        assert answer.headers["x-ratelimit-remaining-requests"] == "4"
        sent = parsedate_to_datetime(answer.headers["date"]).timestamp()
        assert answer.json()["created"] == pytest.approx(sent, abs=2)


@pytest.mark.parametrize("journaled", [False, True], ids=["memory", "journal"])
def test_a_reset_begins_another_run(early: str, tmp_path: Path, journaled: bool) -> None:
    """It has a log, ledger and time of its own, the ended one is judged, and the connection is kept."""
    options = ["--journal", str(tmp_path / "run.ndjson")] if journaled else []
    with serving(early, *options) as (address, process), httpx2.Client(base_url=address) as client:
        entered(client, "submitted", "a")
        assert chat(client) == 429
        with httpx2.Client(base_url=address) as other:
            assert other.get("/_wavetank/scenario").json()["name"] == "early"
            ended = client.post("/_wavetank/reset").json()
            assert (ended["scenario"], ended["seed"]) == ("early", 0)
            assert ended["ended"]["passed"] is False
            assert "item 'a' was lost" in ended["ended"]["checks"]["exactly_once"]["summary"]
            # It was connected before the reset.
            assert len(EventLog.from_ndjson(other.get("/_wavetank/events").content)) == 0
        entered(client, "submitted", "b")
        entered(client, "failed", "b")
        assert [event.at for event in log_of(client)] == [0, 0, 0]  # the wave as well
        assert client.get("/_wavetank/verdict").json()["passed"] is True
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "run 1: exactly_once failed: item 'a' was lost" in said
    if journaled:
        first, second = (EventLog.from_ndjson((tmp_path / f"run{n}.ndjson").read_bytes()) for n in ("", "-2"))
        assert [event.item for event in first.of("submitted")] == ["a"]
        assert [event.item for event in second.of("submitted")] == ["b"]
        assert first.end is not None
        assert second.end is not None


def test_a_reset_ends_the_requests_under_way(tmp_path: Path) -> None:
    """A client that still waits for the run before hears of the end, and is not in the log of the next."""
    path = tmp_path / "held.toml"
    path.write_text(HELD)
    body = json.dumps(CHAT)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    with serving(str(path)) as (address, _), httpx2.Client(base_url=address) as client:
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=100) as waits:
            waits.sendall((head + body).encode())
            while not log_of(client).of("held"):
                pass
            assert client.post("/_wavetank/reset").status_code == 200
            with suppress(ConnectionResetError):
                assert waits.recv(100) == b""
        assert len(log_of(client)) == 0


def test_the_next_run_may_be_another(early: str) -> None:
    """Scenario, seed, checks and expectations of a reset are for one run: the next begins as the first."""
    changes = {"scenario": "calm", "seed": 3, "checks": "strict", "expect": {"refused": 0}}
    with serving(early, "--expect", "failed=0") as (address, _), httpx2.Client(base_url=address) as client:
        assert client.post("/_wavetank/reset", json=changes).json()["scenario"] == "calm"
        assert log_of(client).header.expects == {"failed": 0, "refused": 0}
        assert (log_of(client).header.seed, chat(client)) == (3, 200)
        assert "no_storm" in client.get("/_wavetank/verdict").json()["checks"]
        again = client.get("/_wavetank/scenario").json()["scenario"]
        ended = client.post("/_wavetank/reset").json()
        assert (ended["scenario"], ended["seed"]) == ("early", 0)
        assert "no_storm" in ended["ended"]["checks"]
        assert chat(client) == 429
        assert client.post("/_wavetank/reset", json={"scenario": again}).json()["scenario"] == "posted"
        assert chat(client) == 200


@pytest.mark.parametrize("journaled", [False, True], ids=["memory", "journal"])
def test_expectations_come_over_http(early: str, tmp_path: Path, journaled: bool) -> None:
    """At any time; they are in the header of the log, in memory and in the file, and are judged."""
    journal = tmp_path / "run.ndjson"
    options = ["--journal", str(journal)] if journaled else []
    with serving(early, *options) as (address, process), httpx2.Client(base_url=address) as client:
        assert chat(client) == 429
        assert client.get("/_wavetank/verdict").json()["passed"] is None
        declared = client.post("/_wavetank/expect", json={"refused": 0, "within": "10m"})
        assert declared.json() == {"declared": 2}
        assert log_of(client).header.expects == {"refused": 0, "within": 600 * 10**9}
        judged = client.get("/_wavetank/verdict").json()
        assert judged["passed"] is False
        assert "at most 0" in judged["checks"]["outcomes"]["summary"]
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "outcomes failed: 1 request(s) were refused" in said
    if journaled:
        written = EventLog.from_ndjson(journal.read_bytes())
        assert (written.header.expects["refused"], len(written.of("refused"))) == (0, 1)


@pytest.mark.parametrize(
    ("page", "body", "says"),
    [
        ("expect", {"faild": 0}, "did you mean 'failed'"),
        ("expect", {"within": 3}, "with its unit"),
        ("expect", {"completed": 10**30}, "Expected `int` <= 9007199254740992"),
        ("expect", [1], 'write {"failed": 0'),
        ("reset", {"seeds": 1}, '"seed": 1'),
        ("reset", {"seed": -1}, ">= 0"),
        ("reset", {"scenario": "clam"}, "did you mean 'calm'"),
        ("reset", {"scenario": "../early.toml"}, "is in the catalogue"),
        ("reset", {"scenario": {"titel": "x"}}, "did you mean 'title'"),
        ("reset", {"checks": "livenes"}, "did you mean 'liveness'"),
        ("reset", {"expect": {"failed": -1}}, "at least 0"),
    ],
)
def test_what_cannot_be_used_changes_nothing(page: str, body: Any, says: str, early_server: str) -> None:
    """It gets 400, with what to write instead."""
    with httpx2.Client(base_url=early_server) as client:
        before = log_of(client)
        answer = client.post(f"/_wavetank/{page}", json=body)
        assert answer.status_code == 400
        assert says in answer.json()["error"]
        assert log_of(client).to_ndjson() == before.to_ndjson()


@pytest.fixture(scope="module")
def early_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("scenario") / "early.toml"
    path.write_text(EARLY)
    with serving(str(path)) as (address, _):
        yield address


def test_a_journal_that_is_there_stops_the_reset_and_not_the_run(early: str, tmp_path: Path) -> None:
    """It is left as it is, and the answer names it."""
    (tmp_path / "run-2.ndjson").write_text("mine")
    journal = tmp_path / "run.ndjson"
    with (
        serving(early, "--journal", str(journal)) as (address, _),
        httpx2.Client(base_url=address) as client,
    ):
        entered(client, "submitted", "a")
        answer = client.post("/_wavetank/reset")
        assert answer.status_code == 409
        assert "run-2.ndjson" in answer.json()["error"]
        assert len(log_of(client).of("submitted")) == 1
    assert (tmp_path / "run-2.ndjson").read_text() == "mine"


def test_a_command_gets_the_address_and_decides_with_the_checks(early: str) -> None:
    """It is served on a free port, its environment has the address, and the server ends with it."""
    ran = served(early, "--expect", "completed=1", "--", sys.executable, "-c", ASK, "a", "b")
    assert ran.returncode == 1
    assert "outcomes failed: 0 item(s) were completed (declared: at least 1)" in ran.stderr
    ran = served("calm", "--expect", "failed=0", "--", sys.executable, "-c", ASK, "a")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "passed (" in ran.stderr
    assert "1 requests, 0 refused" in ran.stderr


def test_a_command_that_no_request_comes_from_fails() -> None:
    """Its clients did not take the address; without a fault of its own its status is its own."""
    ran = served("calm", "--", "true")
    assert ran.returncode == 1
    assert "no request came" in ran.stderr
    assert served("calm", "--", "sh", "-c", "exit 7").returncode == 7
    assert served("calm", "--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_the_environment_of_the_command() -> None:
    """The keys that are set stay, the others are dummies, and no proxy comes between."""
    names = "WAVETANK_URL OPENAI_BASE_URL ANTHROPIC_BASE_URL OPENAI_API_KEY ANTHROPIC_API_KEY NO_PROXY"
    show = f"for name in {names}; do eval echo \\$$name; done"
    ran = served("calm", "--", "sh", "-c", show, OPENAI_API_KEY="sk-mine", NO_PROXY="corp.example")
    address, openai, anthropic, mine, dummy, no_proxy = ran.stdout.splitlines()
    assert (openai, anthropic) == (f"{address}/v1", address)
    assert (mine, no_proxy) == ("sk-mine", "corp.example,127.0.0.1")
    assert dummy.startswith("sk-ant-")


def test_the_requests_of_a_batch_behind_the_server_go_to_it(tmp_path: Path) -> None:
    """With real keys `wavetank run` would pay for them at the real hosts."""
    providers = ("openai", "openai-compatible", "anthropic", "gemini", "ollama")
    rows = "".join(f"{name},Question,{name}\n" for name in providers)
    (tmp_path / "in.csv").write_text(f"id,prompt,provider\n{rows}")
    batch = ["run", str(tmp_path / "in.csv"), "--model", "m", "-o", str(tmp_path / "out.csv")]
    ran = served("calm", "--", sys.executable, "-m", "wavetank", *batch, OPENAI_API_KEY="sk-mine")
    assert ran.returncode == 0, ran.stderr
    assert f"{len(providers)} requests, 0 refused" in ran.stderr
    assert (tmp_path / "out.csv").read_text().count("wt:") == len(providers)


def test_the_sdks_take_the_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at the path of its own vendor, without a word about it in the program."""
    hi: Any = [{"role": "user", "content": "hi"}]
    with serving("calm") as (address, _):
        for name, value in environment(address, "127.0.0.1").items():
            monkeypatch.setenv(name, value)
        with openai.OpenAI() as plain:
            assert plain.chat.completions.create(model="m", messages=hi).choices[0].message.content
        with openai.AzureOpenAI(api_version="2025-01-01") as azure:
            assert azure.chat.completions.create(model="m", messages=hi).choices[0].message.content
        with anthropic.Anthropic() as claude:
            assert claude.messages.create(model="m", max_tokens=9, messages=hi).content


def test_a_signal_is_for_the_command_first() -> None:
    """SIGTERM is passed on, and the server waits until the command has ended as it likes."""
    script = "trap 'echo ended; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    command = [sys.executable, "-m", "wavetank", "serve", "calm", "--", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=600)
    assert (said, process.returncode) == ("ended\n", 5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--expect", "failed"], "write NAME=VALUE"),
        (["--expect", "faild=0"], "did you mean 'failed'"),
        (["--checks", "livenes"], "did you mean 'liveness'"),
        (["--start", "later"], "first-request"),
        (["--", "no-such-program-here"], "no command 'no-such-program-here'"),
    ],
)
def test_wrong_words_are_named(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is served."""
    try:
        status = main(["serve", "calm", *words])
    except SystemExit as stop:
        status = int(str(stop.code))
    assert status in (2, 127)
    assert says in capsys.readouterr().err


def test_ten_lines_of_shell_are_enough(early: str, tmp_path: Path) -> None:
    """A server in the background, ended by a script, has the verdict for its status."""
    script = f"""
    {shlex.quote(sys.executable)} -m wavetank serve {shlex.quote(early)} --port 0 --expect refused=0 > log &
    until grep -q verdict log; do :; done
    url=$(grep -om1 'http://127.0.0.1:[0-9]*' log)
    curl -s -d '{json.dumps(CHAT)}' -H 'authorization: Bearer k' $url/v1/chat/completions > answer
    kill $!; wait $!
    """
    ran = subprocess.run(["sh", "-c", script], cwd=tmp_path, timeout=300)
    assert ran.returncode == 1
    assert "rate" in (tmp_path / "answer").read_text()
    assert "outcomes failed: 1 request(s) were refused" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("words", [["sh", "batch.sh"], ["node", "--test"]], ids=["curl", "node"])
def test_the_examples_of_the_docs_pass(words: list[str]) -> None:
    """Each waits for its Retry-After, and its ledger is whole."""
    if not all(map(shutil.which, {"curl", words[0]})):
        pytest.skip(f"curl or {words[0]} is not installed")
    served = [sys.executable, "-m", "wavetank", "serve", "simultaneous", "--expect", "failed=0"]
    folder = Path(__file__).parents[2] / "examples" / "serve"
    ran = subprocess.run([*served, "--", *words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert "passed (exactly_once" in ran.stderr
