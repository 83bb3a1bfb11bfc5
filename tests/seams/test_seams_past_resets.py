"""What the SDKs see of a provider whose clock is wrong, and of instants that have passed on arrival."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import anyio
import openai
import pytest

import wavetank
from wavetank import Run, Tank
from wavetank.clock import EPOCH_SECONDS
from wavetank.scenario import scenario_from_dict

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
OPENROUTER = "https://openrouter.ai/api/v1"
CLIENTS: dict[str, Any] = {
    "openai": lambda **given: openai.AsyncOpenAI(**given),
    "anthropic": lambda **given: anthropic.AsyncAnthropic(**given),
    "openrouter": lambda **given: openai.AsyncOpenAI(base_url=OPENROUTER, **given),
}


async def say(client: Any) -> None:
    """One request, by whichever SDK it is."""
    messages: Any = [{"role": "user", "content": "hi"}]
    if isinstance(client, openai.AsyncOpenAI):
        await client.chat.completions.create(model="m", messages=messages)
    else:
        await client.messages.create(model="m", max_tokens=5, messages=messages)


def refused(vendor: str, backend: str, **table: Any) -> tuple[dict[str, str], Run[Any]]:
    """The headers of the first refusal that an SDK meets, and the run."""

    async def main(_: Tank) -> dict[str, str]:
        async with CLIENTS[vendor](max_retries=0) as client:
            while True:
                try:
                    await say(client)
                except (openai.RateLimitError, anthropic.RateLimitError) as error:
                    return dict(error.response.headers)

    scenario = scenario_from_dict(table, name="mine", source="mine")
    run = wavetank.simulate(main, scenario, backend=backend, checks="strict")
    run.check()
    assert run.value is not None
    return run.value, run


def unix(date: str) -> float:
    """A date of a header in seconds since the start of the run."""
    return parsedate_to_datetime(date).timestamp() - EPOCH_SECONDS


@on_both
@pytest.mark.parametrize("vendor", CLIENTS)
@pytest.mark.parametrize(("clock", "skew"), [({"behind": "5m"}, -300), ({"ahead": "5m"}, 300), ({}, 0)])
def test_all_dates_come_from_the_provider_s_clock(
    vendor: str, backend: str, clock: dict[str, str], skew: int
) -> None:
    """Date and Retry-After are wrong by the same time, so that their difference is right."""
    wave = {"lasts": "9s", "retry_after": {"form": "http-date"}}
    headers, run = refused(vendor, backend, clock=clock, wave=[wave])
    assert (unix(headers["date"]), unix(headers["retry-after"])) == (skew, 9 + skew)
    [refusal] = run.events.of("refused")
    # By the client's own clock a date of the past asks for no wait: whichever is shorter binds a client.
    assert (refusal.retry_after or 0) / 1e9 == 8.99 + min(0, skew)


@pytest.mark.parametrize("by_date", [False, True], ids=["own-clock", "date-header"])
@pytest.mark.parametrize("clock", [{"behind": "5m"}, {"ahead": "5m"}], ids=["behind", "ahead"])
def test_a_client_may_read_a_date_by_either_clock(clock: dict[str, str], by_date: bool) -> None:
    """No check blames it for the one it has chosen."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        headers = {"x-wavetank-item": "a"}
        async with openai.AsyncOpenAI(max_retries=0, default_headers=headers) as client:
            for _ in range(3):
                try:
                    await say(client)
                except openai.RateLimitError as error:
                    told = error.response.headers
                    now = unix(told["date"]) if by_date else time.time() - EPOCH_SECONDS
                    await anyio.sleep(max(0.0, unix(told["retry-after"]) - now))
                else:
                    tank.ledger.complete("a")
                    return
            tank.ledger.fail("a")

    wave = {"lasts": "2s", "retry_after": {"form": "http-date"}}
    scenario = scenario_from_dict({"clock": clock, "wave": [wave]}, name="mine", source="mine")
    wavetank.simulate(main, scenario, checks="strict").check()


@on_both
@pytest.mark.parametrize(
    ("form", "header", "value"),
    [
        ("seconds", "retry-after", "-2.5"),
        ("ms", "retry-after-ms", "-2500"),
        ("http-date", "retry-after", "Wed, 31 Dec 2025 23:59:58 GMT"),
    ],
)
def test_a_retry_after_may_have_passed(form: str, header: str, value: str, backend: str) -> None:
    """It is written as it is, and the log has it below 0."""
    wave = {"lasts": "9s", "retry_after": {"form": form, "value": "-2.5s"}}
    headers, run = refused("openai", backend, wave=[wave])
    assert headers[header] == value
    assert (run.events.of("refused")[0].retry_after or 0) < 0


def test_the_retries_of_an_sdk_survive_a_past_retry_after() -> None:
    """It takes none of the three for a wait, and waits as if nothing had been said."""

    async def main(_: Tank) -> None:
        async with openai.AsyncOpenAI(max_retries=5) as client:
            await say(client)

    waves = [
        {"at": at, "lasts": "100ms", "retry_after": {"form": form, "value": "-2s"}}
        for at, form in (("0s", "seconds"), ("100ms", "ms"), ("200ms", "http-date"))
    ]
    run = wavetank.simulate(main, scenario_from_dict({"wave": waves}, name="mine", source="mine"))
    run.check()
    assert run.events.of("refused")
    assert run.virtual_seconds > 0.3


RESETS = {
    "openai": ("x-ratelimit-reset-requests", {"-2s": "-2s", "0s": "0s"}),
    "anthropic": (
        "anthropic-ratelimit-requests-reset",
        {"-2s": "2025-12-31T23:59:58Z", "0s": "2026-01-01T00:00:00Z"},
    ),
    "openrouter": ("x-ratelimit-reset", {"-2s": "1767225598000", "0s": "1767225600000"}),
}


@on_both
@pytest.mark.parametrize("stated", ["-2s", "0s"])
@pytest.mark.parametrize("vendor", RESETS)
def test_a_reset_may_be_stated_wrongly(vendor: str, stated: str, backend: str) -> None:
    """Each provider writes it in its own way: a negative duration, or an instant of the past."""
    limits = {"requests_per_minute": 60, "burst": "1s", "reset": stated}
    headers, _ = refused(vendor, backend, limits=limits)
    name, values = RESETS[vendor]
    assert headers[name] == values[stated]


@on_both
@pytest.mark.parametrize("vendor", ["anthropic", "openrouter"])
def test_a_reset_has_passed_when_a_late_refusal_arrives(vendor: str, backend: str) -> None:
    """An instant is that of the request's arrival, and a refusal that takes longer brings it too late."""
    limits = {"requests_per_minute": 60, "burst": "1s"}
    headers, run = refused(vendor, backend, limits=limits, latency={"refusal": "3s"})
    assert run.virtual_seconds == 3
    name, _ = RESETS[vendor]
    assert headers[name] == {"anthropic": "2026-01-01T00:00:01Z", "openrouter": "1767225601000"}[vendor]


def test_a_sleep_until_a_past_reset_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug that this is for: `time.sleep` of a negative length."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    async def main(_: Tank) -> None:
        async with openai.AsyncOpenAI(base_url=OPENROUTER, max_retries=0) as client:
            while True:
                try:
                    await say(client)
                except openai.RateLimitError as error:
                    time.sleep(int(error.response.headers["x-ratelimit-reset"]) / 1000 - time.time())

    table = {"limits": {"requests_per_minute": 60}, "latency": {"refusal": "3s"}}
    run = wavetank.simulate(main, scenario_from_dict(table, name="mine", source="mine"))
    assert isinstance(run.error, ValueError)
    assert "non-negative" in str(run.error)
