"""A client of another process is judged from outside: ledger, verdict, events, journal, signals, TLS."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from wavetank import EventLog
from wavetank.checks import judge
from wavetank.cli import main

from .serving import ended, serving

SECRET = "sk-this-must-stay-secret"
BEARER = {"authorization": f"Bearer {SECRET}"}


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "quiet.toml"
    path.write_text('title = "Quiet"\n')
    return str(path)


def ask(client: httpx2.Client, item: str) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return client.post(
        "/v1/chat/completions", json=body, headers={**BEARER, "x-wavetank-item": item}
    ).status_code


def verdict(client: httpx2.Client, checks: str = "default") -> Any:
    return client.get("/_wavetank/verdict", params={"checks": checks}).json()


@pytest.mark.parametrize("journaled", [False, True], ids=["memory", "journal"])
def test_exactly_once_is_judged_from_outside(scenario: str, tmp_path: Path, journaled: bool) -> None:
    """The ledger is posted, the verdict is that of the log so far, and a second payment fails it."""
    journal = tmp_path / "run.ndjson"
    options = ["--journal", str(journal)] if journaled else []
    with (
        serving(scenario, *options) as (address, process),
        httpx2.Client(base_url=address) as client,
    ):
        entries = [{"event": "submitted", "item": "a"}, {"event": "submitted", "item": "b"}]
        assert client.post("/_wavetank/items", json=entries).json() == {"entered": 2}
        assert ask(client, "a") == 200
        client.post("/_wavetank/items", json={"event": "completed", "item": "a", "value": "[wt:a]"})
        lost = verdict(client)
        assert lost["passed"] is False
        assert "item 'b' was lost" in lost["checks"]["exactly_once"]["summary"]
        client.post("/_wavetank/items", json={"event": "failed", "item": "b", "error": "gave up"})
        right = verdict(client)
        assert (right["passed"], right["checks"]["right_answer"]["passed"]) == (True, True)
        assert ask(client, "a") == 200
        paid_twice = verdict(client, "exactly_once")
        assert [*paid_twice["checks"]] == ["exactly_once"]
        assert "paid 2 times" in paid_twice["checks"]["exactly_once"]["summary"]
        log = EventLog.from_ndjson(client.get("/_wavetank/events").content)
        assert [event.kind for event in log.of("submitted", "completed", "failed")] == [
            *["submitted"] * 2, "completed", "failed",
        ]  # fmt: skip
        assert len(log) == paid_twice["events"]
        assert "2 requests" in ended(process, signal.SIGTERM, status=1)
    if journaled:
        written = journal.read_bytes()
        whole = EventLog.from_ndjson(written)
        assert whole.end is not None
        assert judge(whole)["exactly_once"].passed is False
        assert SECRET.encode() not in written


def test_the_servers_own_pages_say_what_they_take(scenario: str) -> None:
    """Unknown pages, methods, checks and entries get a clear 4xx in JSON; the scenario has its page."""
    with (
        serving(scenario, "--seed", "7") as (address, process),
        httpx2.Client(base_url=f"{address}/_wavetank") as client,
    ):
        page = client.get("/scenario").json()
        assert (page["name"], page["seed"], page["scenario"]) == ("quiet", 7, {"title": "Quiet"})
        for answer, status, text in (
            (client.get("/nothing"), 404, "GET /_wavetank/verdict"),
            (client.delete("/events"), 405, "takes GET, not DELETE"),
            (client.get("/items"), 405, "takes POST"),
            (client.get("/verdict?checks=exactly_onc"), 400, "did you mean 'exactly_once'"),
            (client.post("/items", content=b"{"), 400, '"item": "row-1"'),
            (client.post("/items", json={"event": "done", "item": "a"}), 400, "$.event"),
            (client.post("/items", json={"event": "failed", "item": 3}), 400, "$.item"),
        ):
            assert answer.status_code == status
            assert text in answer.json()["error"]
        assert client.head("/verdict").content == b""
        assert SECRET not in ended(process)


def test_a_ledger_that_matches_no_request_is_reported(scenario: str) -> None:
    """The verdict says how a client names its items."""
    with serving(scenario) as (address, _), httpx2.Client(base_url=address) as client:
        client.post("/_wavetank/items", json={"event": "submitted", "item": "row-1"})
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        client.post("/v1/chat/completions", json=body, headers=BEARER)
        assert "x-wavetank-item" in verdict(client)["warning"]


def test_https_is_served_with_a_certificate(scenario: str, tmp_path: Path) -> None:
    """With `--tls-cert` and `--tls-key` the server speaks TLS; a client without TLS disturbs no other one."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    certificate.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = ["--tls-cert", str(chain), "--tls-key", str(key)]
    with serving(scenario, *options, scheme="https") as (address, process):
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(address.replace("https", "http"))
        with httpx2.Client(base_url=address, verify=context) as client:
            assert ask(client, "a") == 200
        assert "1 requests" in ended(process, signal.SIGTERM)


def test_what_cannot_be_served_gets_one_line_with_the_fix(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake gets one line, and nothing is left behind."""
    old = tmp_path / "old.ndjson"
    old.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = str(taken.getsockname()[1])
        for arguments, text in (
            ([], "name a scenario"),
            (["calm", "--scenario", "herd"], "not calm and herd"),
            ([scenario, "--port", "0", "--journal", str(old)], "give --journal another name"),
            ([scenario, "--port", "0", "--journal", str(tmp_path / "no" / "x")], "cannot write the journal"),
            ([scenario, "--port", busy, "--journal", str(tmp_path / "new")], "cannot listen"),
            ([scenario, "--tls-key", "x.pem"], "add --tls-cert"),
            ([scenario, "--tls-cert", str(tmp_path / "x.pem")], "cannot read the certificate"),
        ):
            assert main(["serve", *arguments])
            said = capsys.readouterr().err
            assert text in said
            assert len(said.splitlines()) == 1
    assert old.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.ndjson", "quiet.toml"]


def test_an_open_address_is_warned_of(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that others can reach is served, with a warning."""
    with socket.create_server(("", 0)) as taken:
        assert main(["serve", scenario, "--host", "0.0.0.0", "--port", str(taken.getsockname()[1])]) == 1
    assert "every machine on the network can send requests" in capsys.readouterr().err


def test_a_journal_can_be_read_while_the_server_runs(scenario: str, tmp_path: Path) -> None:
    """It is flushed by the time the events are asked for, and what is read is whole lines."""
    journal = tmp_path / "run.ndjson"
    with (
        serving(scenario, "--journal", str(journal)) as (address, _),
        httpx2.Client(base_url=address) as client,
    ):
        for number in range(5):
            ask(client, f"row-{number}")
        events = client.get("/_wavetank/events").content
        assert journal.read_bytes().startswith(events)
    assert [json.loads(line).get("item") for line in events.splitlines()[1::3]] == [
        f"row-{number}" for number in range(5)
    ]
