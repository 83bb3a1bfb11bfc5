"""What is learned from event logs refuses the same requests at the same times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import wavetank
from wavetank import ProviderError, Tank
from wavetank.clock import SECOND
from wavetank.events import EventLog
from wavetank.incidents import Learned, learn
from wavetank.incidents.writing import as_toml
from wavetank.scenario import load_scenario

Fates = list[tuple[int, bool]]


def client(
    times: Sequence[float], models: Sequence[str] = ("gpt-4o-mini",)
) -> Callable[[Tank], Awaitable[None]]:
    """A program that sends one request at each time, with two keys in turn, and never again."""

    async def send(tank: Tank, number: int, at: float) -> None:
        await asyncio.sleep(at)
        with suppress(ProviderError):
            await tank.fake_llm.call(
                f"prompt {number}",
                item=f"item-{number}",
                model=models[number % len(models)],
                key=f"sk-key-{number % 2}",
                max_tokens=40,
            )

    async def main(tank: Tank) -> None:
        await asyncio.gather(*(send(tank, number, at) for number, at in enumerate(times)))

    return main


def irregular(count: int, seconds: float) -> list[float]:
    """Times at random, always the same and no two alike."""
    dice = random.Random(3)
    return [round(dice.random() * seconds, 3) + number * 1e-6 for number in range(count)]


def played(scenario: Path | str, program: Callable[[Tank], Awaitable[None]], seed: int = 0) -> EventLog:
    """The log of a program in a scenario."""
    run = wavetank.simulate(program, scenario=str(scenario), checks=[], seed=seed, max_virtual_seconds=10**6)
    return run.events


def fates(log: EventLog) -> Fates:
    """When each request arrived, and whether it was refused."""
    refused = {event.request for event in log.of("refused")}
    return sorted((event.at, event.request in refused) for event in log.of("arrived"))


def learned_from(log: EventLog, folder: Path) -> Learned:
    """What is learned from a log, and written to `incident.toml` in the folder."""
    file = folder / "journal.ndjson"
    file.write_bytes(log.to_ndjson())
    learned = learn([file])
    (folder / "incident.toml").write_text(as_toml(learned), "utf-8")
    return learned


@pytest.mark.parametrize(
    "name",
    [
        "acceleration-limit",
        "brownout",
        "concurrency-cap",
        "daily-quota",
        "disguised-limits",
        "key-rotation",
        "mixed",
        "retry-after-forms",
        "simultaneous",
        "swizzle",
        "token-limits",
    ],
)
def test_a_catalogue_scenario_is_repeated_exactly(name: str, tmp_path: Path) -> None:
    """The same requests at the same instants are refused, also with another seed."""
    program = client(irregular(80, 60), models=("gpt-4o", "gpt-4o-mini", "claude-haiku-4-5"))
    log = played(name, program)
    learned = learned_from(log, tmp_path)
    assert learned.replayed.exact
    assert fates(played(tmp_path / "incident.toml", program, seed=7)) == fates(log)


LIMITS = {
    "bucket": "[limits]\nrequests_per_minute = 60",
    "whole-minute": '[limits]\nrequests_per_minute = 60\nburst = "1m"',
    "sliding": '[limits]\nrequests_per_minute = 60\nwindow = "sliding"',
    "sliding-and-counting": '[limits]\nrequests_per_minute = 60\nwindow = "sliding"\ncount_refused = true',
    "calendar": '[limits]\nrequests_per_minute = 60\nwindow = "calendar"\n[clock]\nahead = "17s"',
    "seconds": '[limits]\nrequests = 2\nper = "1s"\nwindow = "sliding"',
    "each-key": '[[limit]]\nrequests_per_minute = 30\nwindow = "sliding"\nscope = "key"',
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_found_again(name: str, tmp_path: Path) -> None:
    """Its size, its window and its scope are inferred, and there is no wave."""
    (tmp_path / "real.toml").write_text(LIMITS[name])
    program = client(irregular(260, 150))
    log = played(tmp_path / "real.toml", program)
    learned = learned_from(log, tmp_path)
    real, found = load_scenario(tmp_path / "real.toml"), load_scenario(tmp_path / "incident.toml")
    assert found.limit == ((real.limits,) if name != "each-key" else real.limit)
    assert (found.wave, found.clock) == ((), real.clock)
    assert learned.limits[0].low <= learned.limits[0].size <= learned.limits[0].high
    assert fates(played(tmp_path / "incident.toml", program)) == fates(log)


def test_a_limit_and_a_wave_are_told_apart(tmp_path: Path) -> None:
    """The log gives the reason of each refusal, so that each is explained by its own part."""
    real = LIMITS["sliding"] + '\n[[wave]]\nat = "20s"\nlasts = "5s"\nstatus = 503'
    (tmp_path / "real.toml").write_text(real)
    program = client(irregular(260, 150))
    log = played(tmp_path / "real.toml", program)
    learned_from(log, tmp_path)
    found = load_scenario(tmp_path / "incident.toml")
    assert [each.requests_per_minute for each in found.limit] == [60]
    assert [each.status for each in found.wave] == [503]
    assert fates(played(tmp_path / "incident.toml", program)) == fates(log)


def test_one_burst_proves_no_limit(tmp_path: Path) -> None:
    """Ten requests and then a wall, once: any number might be meant, so it becomes a wave."""
    (tmp_path / "real.toml").write_text('[[wave]]\nat = "1s"\nlasts = "1h"')
    learned = learned_from(played(tmp_path / "real.toml", client(irregular(60, 6))), tmp_path)
    assert (len(learned.limits), len(learned.waves)) == (0, 1)


def test_the_end_of_a_wave_is_what_its_refusals_state(tmp_path: Path) -> None:
    """Retry-After counts down to the end, so the learned wave states the same."""
    (tmp_path / "real.toml").write_text('[[wave]]\nat = "10s"\nlasts = "12s"')
    learned = learned_from(played(tmp_path / "real.toml", client(irregular(80, 40))), tmp_path)
    (wave,) = load_scenario(tmp_path / "incident.toml").wave
    assert wave.lasts is not None
    assert (wave.at + wave.lasts, wave.retry_after) == (22 * SECOND, None)
    assert "Retry-After says" in as_toml(learned)


def test_requests_of_one_instant_with_two_fates_become_a_share(tmp_path: Path) -> None:
    """No time tells them apart; the file says that the seed decides."""
    (tmp_path / "real.toml").write_text("[limits]\nconcurrent = 2\n[latency]\nfirst_token = '1s'")
    learned = learned_from(played(tmp_path / "real.toml", client([5.0] * 8)), tmp_path)
    (wave,) = load_scenario(tmp_path / "incident.toml").wave
    assert wave.share == 0.75
    text = as_toml(learned)
    assert "both refused and served" in text
    assert "6 requests ran into a limit (concurrent)" in text


def test_too_many_waves_are_put_together(tmp_path: Path) -> None:
    """Neighbours become one wave with a share, and the file says so."""
    log = played("server-errors", client(irregular(300, 60)))
    file = tmp_path / "journal.ndjson"
    file.write_bytes(log.to_ndjson())
    learned = learn([file], most_waves=5)
    assert 1 <= len(learned.waves) <= 5
    assert all(0 < each.wave.share <= 1 for each in learned.waves)
    assert sum(each.stretch.refused for each in learned.waves) == len(log.of("refused"))
    assert "put together" in as_toml(learned)


def test_only_the_models_that_were_refused_are(tmp_path: Path) -> None:
    """Where other models are served all the while, waves match the one that was not."""
    (tmp_path / "real.toml").write_text('[[wave]]\nat = "5s"\nlasts = "20s"\nmatch = { model = "gpt-4o" }')
    program = client(irregular(90, 40), models=("gpt-4o", "gpt-4o-mini"))
    log = played(tmp_path / "real.toml", program)
    learned_from(log, tmp_path)
    (wave,) = load_scenario(tmp_path / "incident.toml").wave
    assert wave.match.model == "gpt-4o"
    assert fates(played(tmp_path / "incident.toml", program)) == fates(log)


def test_the_same_log_gives_the_same_file(tmp_path: Path) -> None:
    """To the byte: no clock, no order of hashes."""
    log = played("mixed", client(irregular(120, 60), models=("a", "b", "c")))
    texts = {as_toml(learned_from(log, tmp_path)) for _ in range(3)}
    assert len(texts) == 1
