"""Waves, limits and faults of one host: whether a client goes on at another one."""

from __future__ import annotations

from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest

import wavetank
from wavetank import Run, Tank
from wavetank.scenario import Scenario, scenario_from_dict

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
OPENAI, ANTHROPIC = "api.openai.com", "api.anthropic.com"
OF_OPENAI = {"host": "*.openai.com"}
FAILED = (openai.APIError, anthropic.APIError)


def scripted(**table: Any) -> Scenario:
    """A scenario of this table."""
    return scenario_from_dict(table, name="mine", source="mine")


async def ask(vendor: str, item: str = "a") -> str:
    """One request to one of the two, without retries."""
    given: Any = {"max_retries": 0, "timeout": 5, "default_headers": {"x-wavetank-item": item}}
    messages: Any = [{"role": "user", "content": item}]
    if vendor == OPENAI:
        async with openai.AsyncOpenAI(**given) as client:
            answer = await client.chat.completions.create(model="same", messages=messages)
            return answer.choices[0].message.content or ""
    async with anthropic.AsyncAnthropic(**given) as other:
        said: Any = await other.messages.create(model="same", max_tokens=50, messages=messages)
        return str(said.content[0].text)


async def first_that_answers(tank: Tank, item: str = "a") -> str:
    """OpenAI, or at once Anthropic: the one that has answered."""
    tank.ledger.submit(item)
    for vendor in (OPENAI, ANTHROPIC):
        try:
            tank.ledger.complete(item, await ask(vendor, item))
        except FAILED:
            continue
        return vendor
    tank.ledger.fail(item)
    return ""


@on_both
@pytest.mark.parametrize(
    ("table", "scope"),
    [
        ({"fault": [{"kind": "connection-refused", "lasts": "1m", "match": OF_OPENAI}]}, None),
        ({"fault": [{"kind": "connection-refused", "times": 9, "match": OF_OPENAI}]}, None),
        ({"fault": [{"kind": "no-answer", "lasts": "1m", "match": OF_OPENAI}]}, None),
        ({"fault": [{"kind": "html-body", "lasts": "1m", "match": OF_OPENAI}]}, None),
        ({"wave": [{"lasts": "1m", "match": OF_OPENAI}]}, f"host:{OPENAI}"),
        (
            {"wave": [{"lasts": "1m", "match": OF_OPENAI | {"item": "a"}}]},
            f"host:{OPENAI}/item:a",
        ),
        (
            {"wave": [{"lasts": "1m", "match": OF_OPENAI | {"model": "same"}}]},
            f"host:{OPENAI}/model:same",
        ),
        (
            {"wave": [{"lasts": "1m", "match": OF_OPENAI, "stagger": "1ns", "scope": "key"}]},
            f"host:{OPENAI}/key:key-1",
        ),
    ],
    ids=["refused", "refused-so-often", "silent", "pages", "host", "item", "model", "key"],
)
def test_a_client_goes_on_at_another_host(table: dict[str, Any], scope: str | None, backend: str) -> None:
    """It may do so at once: what one host refuses binds nobody at another."""

    async def main(tank: Tank) -> str:
        await anyio.sleep(1)
        return await first_that_answers(tank)

    run = wavetank.simulate(main, scripted(**table), backend=backend, checks="strict,exercised")
    run.check()
    assert run.value == ANTHROPIC
    assert [event.scope for event in run.events.of("refused")] == ([scope] if scope else [])
    assert [event.host for event in run.events.of("arrived")][-1] == ANTHROPIC


@on_both
def test_a_client_that_goes_on_at_the_same_host_is_blamed(backend: str) -> None:
    """The refusal holds there for every request, as any other does."""

    async def main(tank: Tank) -> None:
        for item in ("a", "b"):
            tank.ledger.submit(item)
            with pytest.raises(openai.RateLimitError):
                await ask(OPENAI, item)
            tank.ledger.fail(item)
            await anyio.sleep(0.1)

    wave = {"lasts": "1m", "match": OF_OPENAI}
    run = wavetank.simulate(main, scripted(wave=[wave]), backend=backend, checks="shared_pause,no_storm")
    assert [run.verdicts[name].passed for name in ("shared_pause", "no_storm")] == [False, False]
    assert "arrived at api.openai.com" in "\n".join(run.verdicts["shared_pause"].evidence)


async def twice_each(_: Tank) -> list[str]:
    """What two requests to each of two hosts get."""
    seen: list[str] = []
    for vendor in (OPENAI, ANTHROPIC) * 2:
        try:
            await ask(vendor, f"{vendor}-{len(seen)}")
        except FAILED as error:
            seen.append(type(error).__name__)
        else:
            seen.append("answered")
    return seen


@on_both
@pytest.mark.parametrize(
    ("limits", "seen"),
    [
        ({"scope": "host"}, ["answered", "answered", "RateLimitError", "RateLimitError"]),
        ({}, ["answered", "RateLimitError", "RateLimitError", "RateLimitError"]),
        ({"match": OF_OPENAI}, ["answered", "answered", "RateLimitError", "answered"]),
        ({"match": {"host": "API.openai.com:443"}}, ["answered", "answered", "RateLimitError", "answered"]),
        ({"match": {"host": "api.openai.com:8443"}}, ["answered"] * 4),
    ],
    ids=["each-host", "account", "one-host", "its-port", "other-port"],
)
def test_a_limit_may_be_each_hosts_own(limits: dict[str, Any], seen: list[str], backend: str) -> None:
    """With the scope `host` each has its budget; a match leaves the others without a limit."""
    table = {"requests_per_minute": 1, "window": "calendar", **limits}
    run: Run[list[str]] = wavetank.simulate(twice_each, scripted(limits=table), backend=backend, checks=())
    assert run.value == seen
    scope = "account" if not limits else f"host:{OPENAI}"
    refused = run.events.of("refused")
    assert [event.scope for event in refused][:1] == ([scope] if "RateLimitError" in seen else [])


@pytest.mark.parametrize("port", [8443, 8444])
def test_a_host_may_have_a_port(port: int) -> None:
    """A pattern with a port means that port only."""

    async def main(tank: Tank) -> int:
        tank.fake_llm.add_host("gateway.corp.example", dialect="openai")
        url = f"https://gateway.corp.example:{port}/v1/models"
        async with httpx2.AsyncClient(headers={"authorization": "Bearer k"}) as client:
            return (await client.get(url)).status_code

    wave = {"lasts": "1m", "match": {"host": "gateway.corp.example:8443"}}
    run = wavetank.simulate(main, scripted(wave=[wave]), checks=())
    assert run.value == (429 if port == 8443 else 200)


@on_both
def test_an_address_of_our_own_counts_as_the_vendors(backend: str) -> None:
    """By the path, as behind `wavetank serve`: the wave of one host leaves the other alone."""

    async def main(tank: Tank) -> list[int]:
        transport = httpx2.ASGITransport(app=tank.fake_llm.asgi_app())
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
            paths = ("/openai/v1/models", "/anthropic/v1/models")
            return [(await client.get(path, headers=headers)).status_code for path in paths]

    wave = {"lasts": "1m", "match": OF_OPENAI}
    run = wavetank.simulate(main, scripted(wave=[wave]), backend=backend, checks=())
    assert run.value == [429, 200]
    assert [event.host for event in run.events.of("arrived")] == [OPENAI, ANTHROPIC]


def test_a_direct_call_has_no_host() -> None:
    """Only what matches every host means it."""

    async def main(tank: Tank) -> str:
        return (await tank.fake_llm.call("hi")).text

    wave = {"lasts": "1m", "match": {"host": "?*"}}
    run = wavetank.simulate(main, scripted(wave=[wave]), checks=())
    assert run.value
