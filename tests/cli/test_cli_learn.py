"""`wavetank learn`: from the journal of a real server to a scenario that refuses the same."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

import wavetank
from wavetank import ProviderError, Tank
from wavetank.cli import main
from wavetank.clock import SECOND
from wavetank.events import EventLog

from .serving import ended, serving

REAL = """
[limits]
requests_per_minute = 1200

[[wave]]
at = "300ms"
lasts = "200ms"
status = 503
"""


def fates(log: EventLog) -> list[tuple[int, bool]]:
    """When each request arrived, and whether it was refused."""
    refused = {event.request for event in log.of("refused")}
    return [(event.at, event.request in refused) for event in log.of("arrived")]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """What a real server wrote of 120 requests, one after the other."""
    (tmp_path / "real.toml").write_text(REAL)
    file = tmp_path / "served.ndjson"
    with serving(str(tmp_path / "real.toml"), "--journal", str(file)) as (url, process):
        with httpx2.Client(headers={"Authorization": "Bearer sk-real-key-0123456789"}) as http:
            for number in range(120):
                messages = [{"role": "user", "content": f"the secret prompt {number}"}]
                body = {"model": "gpt-4o-mini", "messages": messages}
                http.post(f"{url}/v1/chat/completions", json=body)
        ended(process, signal.SIGINT)
    return file


def test_the_journal_of_a_real_server_is_repeated_exactly(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same requests at the same instants meet the same; neither prompt nor key is in the file."""
    output = tmp_path / "incident.toml"
    assert main(["learn", str(journal), "-o", str(output)]) == 0
    said = capsys.readouterr().out
    log = EventLog.from_ndjson(journal.read_bytes())
    assert 0 < len(log.of("refused")) < 120
    assert f"120 requests, {len(log.of('refused'))} refused" in said
    assert "120 of 120 requests meet the same" in said
    assert not {"secret", "sk-real-key", "0123456789"} & set(output.read_text().split())
    assert "secret prompt" not in output.read_text()

    async def send(tank: Tank, number: int, at: int) -> None:
        await asyncio.sleep(at / SECOND)
        with suppress(ProviderError):
            await tank.fake_llm.call(f"other {number}", item=f"item-{number}", model="gpt-4o-mini")

    async def again(tank: Tank) -> None:
        await asyncio.gather(*(send(tank, number, at) for number, (at, _) in enumerate(fates(log))))

    assert fates(wavetank.simulate(again, scenario=str(output), checks=[]).events) == fates(log)


def test_without_an_output_the_scenario_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found is said on the other stream."""
    log = tmp_path / "log.csv"
    log.write_text("time,status\n0,200\n1,503\n2,200\n")
    assert main(["learn", str(log)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("# Learned by wavetank")
    assert "status = 503" in printed.out
    assert "3 requests, 1 refused: 1 wave" in printed.err


def test_an_unusable_file_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And with the line."""
    log = tmp_path / "log.csv"
    log.write_text("time,status\nsoon,200\n")
    assert main(["learn", str(log)]) == 2
    assert "log.csv, line 2: no time" in capsys.readouterr().err
