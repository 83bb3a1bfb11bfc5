"""`wavetank run --batch`: rows go through the vendors' batch APIs, and none is sent twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

import wavetank
from wavetank.cli import main
from wavetank.processor.journal import Journal, StoredBatch, look_at_journal
from wavetank.run.run_statistics import RunStatistics

from ..depth import DEEP, in_turn, n_of
from .batch_runs import VENDORS, Steps, enter, options, run, sent, settle, write_rows
from .output import rows

QUICK = 'title = "Quick"\n[batch]\nprocessing = "1m..2m"\n'
BACKENDS = ("asyncio", "trio")
STRIDE = 9
"""Of the points at which a run can be killed, a deep run takes all, and others each ninth."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with six rows."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 6)
    return tmp_path


def scenario(folder: Path, text: str = QUICK) -> str:
    (folder / "scenario.toml").write_text(text)
    return str(folder / "scenario.toml")


def simulated(
    folder: Path, *words: str, text: str = QUICK, provider: str = "openai", backend: str = "asyncio"
) -> tuple[RunStatistics, list[str], dict[str, int], wavetank.Run[Any]]:
    """A run of one process: its statistics, what it said, how often each row was sent, and the simulation."""
    said: list[str] = []

    async def program(tank: wavetank.Tank) -> tuple[RunStatistics, dict[str, int]]:
        enter(tank, folder)
        found = await run(options(folder, *words, provider=provider), said)
        settle(tank, folder)
        for id in {f"q{number}" for number in range(6)} - set(rows(folder)):
            tank.ledger.cancel(id)
        return found, sent(tank)

    result = wavetank.simulate(program, scenario(folder, text), backend=backend)
    if result.error is not None:
        raise result.error
    assert result.value is not None
    return result.value[0], said, result.value[1], result


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("provider", [*VENDORS, "openai-compatible"])
def test_rows_get_their_own_answers_in_the_order_of_the_input(
    folder: Path, provider: str, backend: str
) -> None:
    """Results come in any order, and two batches end at any time; the output has the order of the input."""
    words = ["--batch-rows", "4", "--price-input", "1000000", "--price-output", "0"]
    statistics, _, often, result = simulated(folder, *words, provider=provider, backend=backend)
    result.check()
    assert list(rows(folder)) == [f"q{number}" for number in range(6)]
    assert set(often.values()) == {1}
    # A prompt of three tokens at half of one each.
    assert statistics.all.cost == statistics.all.input_tokens / 2 > 0
    assert all(row["attempts"] == "1" and not row["error"] for row in rows(folder).values())


@pytest.mark.parametrize("provider", VENDORS)
def test_a_run_killed_at_any_step_sends_no_row_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    """Killed before or after any request, write or transaction, the next run finds what the vendor has."""
    write_rows(folder, 3)
    steps = Steps(monkeypatch)
    path = scenario(folder)

    async def program(tank: wavetank.Tank, left: int) -> int:
        enter(tank, folder)
        for name in ("out.csv", "out.csv.journal"):
            (folder / name).unlink(missing_ok=True)
        wanted = options(folder, "--batch-rows", "2", provider=provider)
        with steps.counted(left):
            await run(wanted)
        taken = steps.taken
        await run(wanted)
        settle(tank, folder)
        assert set(sent(tank).values()) == {1}
        return taken

    whole = wavetank.simulate(lambda tank: program(tank, 1 << 60), path).value
    assert whole is not None
    # Not every kind of step has the same number for two vendors, so together they are met at all.
    first = VENDORS.index(provider)
    for number, left in enumerate(range(0, whole, 1) if DEEP else range(first, whole, STRIDE)):
        backend = BACKENDS[number % 2]
        result = wavetank.simulate(lambda tank: program(tank, left), path, backend=backend)  # noqa: B023
        result.check()
        assert len(rows(folder)) == 3, left


@pytest.mark.parametrize("provider", VENDORS)
def test_a_run_killed_at_any_instant_sends_no_row_twice(folder: Path, provider: str) -> None:
    """A request that is on its way when the process dies may still create the batch: it is waited for."""
    path = scenario(folder, 'title = "Slow"\n[batch]\nprocessing = "1m"\n[latency]\nfirst_token = "2s"\n')

    async def program(tank: wavetank.Tank, instant: float) -> None:
        enter(tank, folder)
        wanted = options(folder, "--journal", f"{instant}.db", provider=provider)
        (folder / "out.csv").unlink(missing_ok=True)
        with anyio.move_on_after(instant):
            await run(wanted)
        await run(wanted)
        settle(tank, folder)
        assert set(sent(tank).values()) == {1}

    first = 1 + VENDORS.index(provider) * n_of(6, 0)
    for tenths in (*range(first, 60, n_of(24, 1)), 300, 900):
        wavetank.simulate(lambda tank: program(tank, tenths / 10), path).check()  # noqa: B023


def test_a_run_that_forgets_its_key_would_pay_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof above can fail: without the note before the creation, a kill after it costs a batch."""
    monkeypatch.setattr("wavetank.processor.journal.BatchRecords.creation_tried", lambda *_: None)
    steps = Steps(monkeypatch)
    often = []

    async def program(tank: wavetank.Tank, left: int) -> None:
        enter(tank, folder)
        wanted = options(folder, "--journal", f"{left}.db")
        (folder / "out.csv").unlink(missing_ok=True)
        with steps.counted(left):
            await run(wanted)
        await run(wanted)
        often.append(max(sent(tank).values()))

    for left in range(14, 48, 3):
        wavetank.simulate(lambda tank: program(tank, left), scenario(folder))  # noqa: B023
        if max(often) == 2:
            break
    assert max(often) == 2


@pytest.mark.parametrize("kind", ["reset", "reset-after-headers", "cut-mid-stream"])
@pytest.mark.parametrize("provider", VENDORS)
def test_a_lost_answer_to_the_creation_is_looked_up(folder: Path, provider: str, kind: str) -> None:
    """Whether the batch was created is read from the provider's list, and only then it is created again."""
    paths = {
        "anthropic": "/v1/messages/batches",
        "gemini": "*:batchGenerateContent",
        "mistral": "/v1/batch/*",
    }
    path = paths.get(provider, "/v1/batches")
    fault = f'[[fault]]\nkind = "{kind}"\ntimes = 1\nmatch = {{ path = "{path}" }}\n'
    _, _, often, result = simulated(folder, text=QUICK + fault, provider=provider)
    result.check()
    assert any(event.fault is not None for event in result.events.of("answered"))
    assert set(often.values()) == {1}
    assert not any(row["error"] for row in rows(folder).values())


LINE_FAULTS = """
[[batch.fault]]
kind = "fails"
error = "rate-limit"
times = 1
match = { item = "q1" }
[[batch.fault]]
kind = "missing"
times = 1
match = { item = "q2" }
[[batch.fault]]
kind = "expires"
times = 1
match = { item = "q3" }
[[batch.fault]]
kind = "fails"
error = "too-large"
match = { item = "q4" }
"""


@pytest.mark.parametrize("provider", ["openai", "anthropic", "mistral"])
def test_what_failed_is_reported(folder: Path, provider: str) -> None:
    """A line that failed, is missing or has expired is a row with its own error; the others have answers."""
    statistics, *_ = simulated(folder, "--poll", "7200", text=QUICK + LINE_FAULTS, provider=provider)
    found = rows(folder)
    assert [id for id, row in found.items() if row["error"]] == ["q1", "q2", "q3", "q4"]
    assert found["q1"]["reason"] == "status 429"
    assert "no result" in found["q2"]["error"]
    assert found["q3"]["reason"] == "expired"
    assert "too large" in found["q4"]["reason"] or "waiting does not help" in found["q4"]["reason"]
    assert statistics.all.failed == 4


@pytest.mark.parametrize("provider", ["openai", "anthropic", "mistral"])
def test_retries_send_again_what_may_succeed(folder: Path, provider: str) -> None:
    """Only the line that is wrong itself stays failed, and was sent once."""
    statistics, said, often, _ = simulated(
        folder, "--retries", "1", text=QUICK + LINE_FAULTS, provider=provider
    )
    found = rows(folder)
    assert [id for id, row in found.items() if row["error"]] == ["q4"]
    assert {id: n for id, n in often.items() if n > 1} == {"q1": 2, "q2": 2, "q3": 2}
    assert {id: row["attempts"] for id, row in found.items() if row["attempts"] != "1"} == {
        "q1": "2",
        "q2": "2",
        "q3": "2",
    }
    # It is not known whether the line without a result was paid for.
    assert [id for id, row in found.items() if row["possibly_repeated"]] == ["q2"]
    assert statistics.retries == 3
    assert any("3 sent again" in line for line in said)


@pytest.mark.parametrize("provider", VENDORS)
def test_what_expired_is_sent_again_by_retry_failed(folder: Path, provider: str) -> None:
    """A batch that is late is reported with its rows; a later run sends them in a new one."""
    late = 'title = "Late"\n[batch]\nprocessing = "100h"\n'
    statistics, *_ = simulated(folder, "--poll", "7200", text=late, provider=provider)
    failed = [id for id, row in rows(folder).items() if row["reason"] == "expired"]
    assert len(failed) == statistics.all.failed > 0
    statistics, _, often, _ = simulated(folder, "--retry-failed", provider=provider)
    assert statistics.all.failed == 0
    assert sorted(often) == failed


@pytest.mark.parametrize("known", [True, False], ids=["stated", "learnt"])
@pytest.mark.parametrize("provider", VENDORS)
def test_a_full_queue_is_waited_for(folder: Path, provider: str, known: bool) -> None:
    """Batches that are larger than the queue are made smaller; the others wait until there is room."""
    write_rows(folder, 40)
    text = QUICK + "enqueued_tokens = 45\n"
    words = ["--enqueued-tokens", "40"] if known else []
    _, said, often, _ = simulated(folder, *words, text=text, provider=provider)
    assert not any(row["error"] for row in rows(folder).values())
    # A batch that OpenAI refused had its lines read, but none processed.
    assert set(often) == {f"q{number}" for number in range(40)}
    assert sum("was created" in line for line in said) >= 3
    assert len(rows(folder)) == 40
    assert known is not any("smaller batches are made" in line for line in said)


def test_a_batch_that_fails_fails_its_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of the provider is in each row, with the line of the file."""
    monkeypatch.setattr(
        "wavetank.run.batches.openai_batches.OpenAIBatches.line",
        lambda _, custom_id, body: {"custom_id": custom_id, "method": "POST", "url": "/v1/x", "body": body},
    )
    simulated(folder)
    errors = {row["error"] for row in rows(folder).values()}
    assert len(errors) == 1
    assert "the batch failed: line 1: The URL provided" in errors.pop()


@pytest.mark.parametrize("provider", VENDORS)
def test_cancel_keeps_what_was_done(folder: Path, provider: str) -> None:
    """The rows that were done have answers, the others stay open, and a later run sends only them."""
    path = scenario(folder, 'title = "Long"\n[batch]\nprocessing = "1h"\ncancelling = "30s"\n')

    async def program(tank: wavetank.Tank) -> tuple[RunStatistics, dict[str, dict[str, str]]]:
        enter(tank, folder)
        with anyio.move_on_after(1800):
            await run(options(folder, provider=provider))
        cancelled = await run(options(folder, "--cancel", provider=provider))
        done = rows(folder)
        await run(options(folder, provider=provider))
        settle(tank, folder)
        assert {id for id, often in sent(tank).items() if often > 1} == set(rows(folder)) - set(done)
        return cancelled, done

    result = wavetank.simulate(program, path, max_virtual_seconds=10 * 86400)
    result.check()
    assert result.value is not None
    statistics, done = result.value
    # Of a job that was cancelled, Gemini and Mistral keep the file of what was done as well.
    assert 0 < len(done) < 6
    assert not any(row["error"] for row in done.values())
    assert statistics.all.done == len(done)


def test_the_provider_away_stops_the_run_and_leaves_the_batch(folder: Path) -> None:
    """After the longest outage the run ends; the batch goes on, and a later run collects it."""
    away = '[[fault]]\nkind = "connection-refused"\nat = "30s"\nlasts = "20m"\n'
    path = scenario(folder, QUICK + away)

    async def program(tank: wavetank.Tank) -> RunStatistics:
        enter(tank, folder)
        first = await run(options(folder, "--max-outage", "60"))
        assert rows(folder) == {}
        await anyio.sleep(1800)
        await run(options(folder))
        settle(tank, folder)
        assert set(sent(tank).values()) == {1}
        return first

    result = wavetank.simulate(program, path)
    result.check()
    assert result.value is not None
    assert result.value.stopped_by_provider
    assert "the provider is away" in (result.value.stopped or "")


def test_a_provider_that_never_says_what_it_created_stops_the_run(folder: Path) -> None:
    """It is looked for, tried again, and given up after the longest outage; the rows stay open."""
    wave = '[[wave]]\nlasts = "2h"\nerror = "server"\nmatch = { path = "*:batchGenerateContent" }\n'
    statistics, _, often, _ = simulated(folder, text=QUICK + wave, provider="gemini")
    assert "no batch can be created" in (statistics.stopped or "")
    assert statistics.stopped_by_provider
    assert (rows(folder), often) == ({}, {})


def test_limits_and_faults_of_every_request_are_survived(folder: Path) -> None:
    """Refusals with a wait, errors of the server and torn answers cost time, and no row."""
    faults = """
[[wave]]
lasts = "20s"
retry_after = "5s"
[[fault]]
kind = "truncated-json"
share = 0.2
[[fault]]
kind = "reset"
share = 0.2
"""
    statistics, _, often, result = simulated(folder, "--batch-rows", "2", text=QUICK + faults)
    result.check()
    assert set(often.values()) == {1}
    assert statistics.all.refusals > 0


def test_rows_without_a_prompt_fail_alone(folder: Path) -> None:
    """Nothing is sent for them, and no batch is made if there is no other row."""
    (folder / "in.csv").write_text("id,prompt\nq0,\nq1,Question 1\n")
    _, _, often, _ = simulated(folder)
    assert rows(folder)["q0"]["reason"] == "NoPrompt"
    assert often == {"q1": 1}


def test_the_journal_has_a_batch_until_it_is_settled(tmp_path: Path) -> None:
    """A batch is stored with its rows in one transaction, and goes with their outcomes in another."""
    with Journal(tmp_path / "run.db") as journal:
        journal.register([("a", b"1"), ("b", b"2")])
        planned = StoredBatch("k", "openai/m", ("b", "a"))
        journal.batches.plan([planned])
        journal.batches.uploaded("k", "file")
        journal.batches.creation_tried("k", 5.0)
        journal.batches.created("k", "batch")
    with Journal(tmp_path / "run.db", resume=True) as journal:
        assert journal.batches.all() == (StoredBatch("k", "openai/m", ("a", "b"), "file", 5.0, "batch"),)
        journal.batches.plan([StoredBatch("l", "openai/m", ("a",))], instead_of="k")
        assert [batch.key for batch in journal.batches.all()] == ["l"]
        journal.batches.settled("l", (), sent_again=["a"])
        assert journal.batches.all() == ()


WORDS = ["run", "in.csv", "-o", "out.csv", "--model", "m"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--batch", "-j", "5"], "--parallel is about rows that are sent one by one"),
        (["--batch", "--rate", "5/s"], "--rate is about rows that are sent one by one"),
        (["--batch", "--max-cost", "5"], "--max-cost is about rows that are sent one by one"),
        (["--batch", "--preflight"], "--preflight is about rows that are sent one by one"),
        (["--retries", "2"], "--retries is about batches: add --batch"),
        (["--poll", "2"], "--poll is about batches: add --batch"),
        (["--batch", "--cancel"], "--cancel needs --resume"),
        (["--batch", "--provider", "ollama"], "ollama, to which row 1 goes, has no batch API"),
        (["--batch", "--provider", "openrouter", "--scenario", "calm"], "openrouter, to which row 1 goes"),
        (["--batch", "--retries", "-1"], "no count"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    """The error names the option and the fix, the status is 2, and no file is left."""
    try:
        status = main([*WORDS, *words])
    except SystemExit as exit:
        status = exit.code  # type: ignore[assignment]
    assert status == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["in.csv"]


def test_a_journal_of_one_way_is_not_resumed_the_other_way(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row in a batch under way would be sent a second time."""
    simulated(folder)
    assert main([*WORDS, "--journal", "out.csv.journal", "--resume", "--provider", "openai"]) == 2
    err = capsys.readouterr().err
    assert "--batch" in err or "OPENAI_API_KEY" in err


@pytest.mark.parametrize("provider", VENDORS)
def test_a_rehearsal_takes_milliseconds_for_a_day(
    folder: Path, capsys: pytest.CaptureFixture[str], provider: str
) -> None:
    """It writes no file, and prints the forecast with the verdicts."""
    path = scenario(folder, 'title = "Day"\n[batch]\nprocessing = "23h"\n')
    assert main([*WORDS, "--batch", "--poll", "3600", "--provider", provider, "--scenario", path]) == 0
    out = capsys.readouterr().out
    assert "in batches: 23h" in out
    assert "6 of 6 rows have answers" in out
    assert "exactly_once passed: 6 item(s)" in out
    assert "right_answer passed: 6 value(s)" in out
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv", "scenario.toml"]


# -- real processes, real time and a real server -------------------------------------------------------

WAVETANK = [sys.executable, "-m", "wavetank"]
SERVED = """
title = "Served"
[batch]
validating = "100ms"
processing = "1s"
finalizing = "100ms"
cancelling = "100ms"
"""
ENVIRONMENT = {"OPENAI_API_KEY": "sk-0123456789abcdef", "ANTHROPIC_API_KEY": "sk-ant-0123456789", "PATH": ""}


@contextmanager
def serving(folder: Path, text: str = SERVED) -> Iterator[str]:
    """A server in a process of its own: its address. Its journal is `served.ndjson`."""
    command = [*WAVETANK, "serve", scenario(folder, text), "--port", "0", "--journal", "served.ndjson"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address is not None
            yield address.group()
        finally:
            process.kill()


def started(folder: Path, provider: str, address: str, *words: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    url = f"{address}/v1" if provider == "openai" else address
    command = [*WAVETANK, *WORDS, "--batch", "--provider", provider, "--base-url", url, "--poll", "0.1"]
    return subprocess.Popen(
        [*command, "--resume", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )


def arrivals(folder: Path) -> list[dict[str, Any]]:
    """The requests that the server met, and the lines of batches."""
    text = (folder / "served.ndjson").read_text()
    events = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [event for event in events if event.get("kind") == "arrived"]


def lines_served(folder: Path) -> list[str]:
    """The items of the lines that the server met in batches."""
    return [event["item"] for event in arrivals(folder) if event.get("batch")]


@pytest.mark.parametrize("provider", in_turn(0, ["openai", "anthropic"]))
def test_a_killed_process_is_resumed_by_another_one(folder: Path, provider: str) -> None:
    """Killed as soon as the server has met a next request of it, twice, each row is in one batch."""
    with serving(folder) as address:
        for _ in range(2):
            before = len(arrivals(folder))
            process = started(folder, provider, address)
            while len(arrivals(folder)) == before and process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.01)
            process.kill()
            process.communicate()
        done = started(folder, provider, address)
        printed, _ = done.communicate(timeout=300)
        assert done.returncode == 0, printed
    assert "6 of 6 rows have answers" in printed
    assert len(rows(folder)) == 6
    assert set(Counter(lines_served(folder)).values()) == {1}
    assert len(lines_served(folder)) == 6


def test_ctrl_c_leaves_the_batch_and_says_how_to_go_on(folder: Path) -> None:
    """It names the batch that goes on, the command that resumes, and the one that cancels."""
    with serving(folder, SERVED.replace('"1s"', '"1h"')) as address:
        process = started(folder, "openai", address)
        assert process.stdout is not None
        while "was created with 6 rows of openai/m" not in process.stdout.readline():
            assert process.poll() is None
        # The server reads them when it has validated the file, which takes a tenth of a second.
        while len(lines_served(folder)) < 6:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 130
        assert look_at_journal(folder / "out.csv.journal").under_way == 6
        assert re.search(
            r"1 batch with 6 rows goes on at the provider, and will be paid for: batch_\w+", printed
        )
        assert re.search(r"to go on: wavetank run .* --resume$", printed, re.M)
        assert re.search(r"to cancel the batches .*: wavetank run .* --resume --cancel$", printed, re.M)
        cancelling = started(folder, "openai", address, "--cancel")
        printed, _ = cancelling.communicate(timeout=300)
        assert cancelling.returncode == 1
    assert "6 rows left for later: the batch was cancelled" in printed
    assert len(lines_served(folder)) == 6
