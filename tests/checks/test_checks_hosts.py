"""The check `hosts`: a program that was refused at hosts nothing answers for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import requests

import wavetank
from wavetank import Scenario, Tank
from wavetank.checks import hosts
from wavetank.events import EventLog
from wavetank.provider.host_rules import dialect_by_path

LLM = "https://gw.example/v1/chat/completions"
TELEMETRY = "https://eu.posthog.com/capture"

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def swallowed(*urls: str) -> None:
    """Ask each, as a pipeline that records errors does."""
    async with httpx2.AsyncClient() as client:
        for url in urls:
            with suppress(wavetank.UnknownHost):
                await client.post(url, headers={"authorization": "Bearer sk-secret-000"})


def judged(*urls: str, calls: int = 0, backend: str = "asyncio", expect: Any = None) -> wavetank.Verdict:
    """What the check says of a program that asks these URLs, and the fake so often."""

    async def main(tank: Tank) -> None:
        if expect is not None:
            tank.expect(unknown_hosts=expect)
        await swallowed(*urls)
        for _ in range(calls):
            await tank.fake_llm.call("x")

    run = wavetank.simulate(main, scenario=Scenario(), backend=backend)
    assert EventLog.from_ndjson(run.events.to_ndjson()).to_ndjson() == run.events.to_ndjson()
    return run.verdicts["hosts"]


@on_both
@pytest.mark.parametrize(
    ("urls", "calls", "expect", "passed", "said"),
    [
        ((), 0, None, None, "no host was refused"),
        ((), 1, None, None, "no host was refused"),
        ((TELEMETRY,), 1, None, True, "hosts without an LLM were refused: eu.posthog.com"),
        ((TELEMETRY,), 0, None, False, "no request reached the fake; refused: eu.posthog.com"),
        ((LLM,), 1, None, False, "requests for an LLM were refused at gw.example"),
        (
            (LLM, TELEMETRY),
            0,
            None,
            False,
            "no request reached the fake; refused: gw.example, eu.posthog.com",
        ),
        ((LLM, TELEMETRY), 1, None, False, "requests for an LLM were refused at gw.example, which"),
        ((LLM, TELEMETRY), 0, ["*.posthog.com"], False, "refused: gw.example, which"),
        ((TELEMETRY,), 0, ["*.posthog.com"], None, "no host was refused"),
        ((LLM, TELEMETRY), 0, "*.posthog.com, GW.example", None, "no host was refused"),
        (("https://gw.example:8443/x",), 0, ["gw.example"], None, "no host was refused"),
        (("https://gw.example:8443/x",), 0, ["gw.example:8443"], None, "no host was refused"),
        (("https://gw.example:8443/x",), 0, ["gw.example:8444"], False, "refused: gw.example:8443"),
    ],
)
def test_refused_hosts_are_judged(
    urls: tuple[str, ...], calls: int, expect: Any, passed: bool | None, said: str, backend: str
) -> None:
    """By whether an LLM was meant, whether the fake was reached, and what was declared."""
    verdict = judged(*urls, calls=calls, backend=backend, expect=expect)
    assert verdict.passed is passed
    assert said in verdict.summary


def test_the_evidence_has_the_request_and_the_way_out() -> None:
    """Host, method, path, place; no key; the line that answers for the host, and the one that allows it."""
    verdict = judged(f"{LLM}?key=sk-secret-000", f"{LLM}?key=sk-secret-000", TELEMETRY)
    assert "eu.posthog.com: 1 request, at 0s" in verdict.evidence[1]
    first, _, answered, allowed = verdict.evidence
    assert first.startswith(
        "gw.example: POST /v1/chat/completions, and 1 more, at 0s by 'main' (tests/checks/"
    )
    assert 'llm_hosts = gw.example=openai in the ini file, or fake_llm.add_host("gw.example", ' in answered
    assert 'tank.expect(unknown_hosts=["gw.example"])' in allowed
    assert "secret" not in str(verdict)


@on_both
@pytest.mark.parametrize(
    ("method", "calls", "expect", "passed"),
    [
        ("POST", 0, None, False),
        ("GET", 0, None, False),
        ("POST", 1, None, None),
        ("POST", 0, "api.openai.com", None),
    ],
)
def test_a_path_that_the_fake_does_not_have(
    method: str, calls: int, expect: Any, passed: bool | None, backend: str
) -> None:
    """It is named where nothing else was asked for, with the place; it is no refusal and no request."""

    async def main(tank: Tank) -> None:
        if expect is not None:
            tank.expect(unknown_hosts=expect)
        async with httpx2.AsyncClient() as client:
            answer = await client.request(method, "https://api.openai.com/v1/nothing")
        assert (answer.status_code, len(tank.fake_llm.requests)) == (404, 0)
        assert f"wavetank doesn't serve {method} /v1/nothing" in answer.json()["error"]["message"]
        for _ in range(calls):
            await tank.fake_llm.call("x")

    run = wavetank.simulate(main, scenario=Scenario(), backend=backend, checks="hosts,outcomes")
    assert (run.events.of("refused"), run.verdicts["hosts"].passed) == ([], passed)
    if passed is False:
        assert run.verdicts["hosts"].summary == f"wavetank doesn't serve {method} /v1/nothing"
        where, answered, allowed = run.verdicts["hosts"].evidence
        assert where.startswith(f"api.openai.com: {method} /v1/nothing, at 0s by 'main' (tests/checks/")
        assert 'fake_llm.add_host("api.openai.com/v1/nothing", app=...)' in answered
        assert 'tank.expect(unknown_hosts=["api.openai.com"])' in allowed


def test_the_path_of_what_is_no_llm_is_not_kept() -> None:
    """It may be a secret, as that of a webhook is."""

    async def main(tank: Tank) -> None:
        await swallowed("https://hooks.example/services/T0/secret")
        (event,) = tank.events
        assert (event.kind, event.host, event.target) == ("unknown-host", "hooks.example", None)

    assert b"secret" not in wavetank.simulate(main, scenario=Scenario(), checks=()).events.to_ndjson()


@pytest.mark.parametrize(
    ("method", "path", "dialect"),
    [
        ("POST", "/v1/chat/completions", "openai"),
        ("POST", "/chat/completions", "openai"),
        ("POST", "/compatible-mode/v1/chat/completions", "openai"),
        ("POST", "/v1/embeddings", "openai"),
        ("POST", "/openai/deployments/gpt/chat/completions", "azure"),
        ("POST", "/v1/messages", "anthropic"),
        ("POST", "/team/anthropic/v1/messages", "anthropic"),
        ("POST", "/v1beta/models/g:generateContent", "gemini"),
        ("POST", "/v1beta/models/g:streamGenerateContent", "gemini"),
        ("POST", "/v1/projects/p/locations/l/publishers/google/models/g:generateContent", "vertex"),
        ("POST", "/api/chat", "ollama"),
        ("POST", "/v2/rerank", "cohere"),
        ("POST", "/v2/chat", "cohere"),
        ("GET", "/v1/models", None),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v3/domain/messages", None),
        ("POST", "/capture", None),
        ("POST", "/", None),
        ("POST", "", None),
        ("GET", "/pypi/litellm/json", None),
    ],
)
def test_a_dialect_is_known_by_its_path(method: str, path: str, dialect: str | None) -> None:
    """Whatever stands before it; paths that others have as well are nothing's."""
    assert dialect_by_path(method, path) == dialect


def by_requests(url: str) -> None:
    requests.post(url, timeout=9)


def by_httpx(url: str) -> None:
    httpx.post(url)


@pytest.mark.parametrize("post", [by_requests, by_httpx])
def test_a_blocking_client_is_judged_in_its_thread(post: Callable[[str], None]) -> None:
    """The path is known at every way in."""

    def work() -> None:
        with suppress(wavetank.UnknownHost):
            post(LLM)

    async def main(tank: Tank) -> None:
        await anyio.to_thread.run_sync(work)
        assert [(event.target, event.dialect) for event in tank.events] == [
            ("POST /v1/chat/completions", "openai")
        ]

    assert wavetank.simulate(main, scenario=Scenario()).verdicts["hosts"].passed is False


def test_aiohttp_and_a_transport_are_judged() -> None:
    """As all others are."""
    import aiohttp

    async def main(tank: Tank) -> None:
        async with aiohttp.ClientSession() as session:
            with suppress(wavetank.UnknownHost):
                await session.post(LLM)
        async with httpx.AsyncClient(transport=tank.fake_llm.httpx_transport()) as client:
            with suppress(wavetank.UnknownHost):
                await client.post(LLM)
        assert [event.target for event in tank.events] == ["POST /v1/chat/completions"] * 2

    assert wavetank.simulate(main, scenario=Scenario()).verdicts["hosts"].passed is False


def test_a_path_beside_the_prefix_is_judged() -> None:
    """A rule that covers other paths of the host does not answer; the client gets 404."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.add_host("gw.example/team-a", dialect="openai")
        await swallowed("https://gw.example/team-b/v1/chat/completions")

    verdict = wavetank.simulate(main, scenario=Scenario()).verdicts["hosts"]
    assert verdict.passed is False
    assert "POST /team-b/v1/chat/completions" in verdict.evidence[0]


def test_a_search_finds_it() -> None:
    """In its first run; the failure is that of a check."""

    async def main(tank: Tank) -> None:
        del tank
        await swallowed(LLM)

    failure = wavetank.search(main, Scenario(), schedules=5).failure
    assert failure is not None
    assert failure.kind == "check"
    assert "POST /v1/chat/completions to gw.example was refused: an unknown host" in failure.report()
    assert "hosts failed" in failure.report()


@pytest.mark.parametrize("given", [3, "", [], [3], ["https://a.example"], ["a b"], True])
def test_what_is_no_host_is_refused(given: Any) -> None:
    """With the name of the expectation."""

    async def main(tank: Tank) -> None:
        with pytest.raises(ValueError, match=r"expect\(unknown_hosts=.*: (it must be|.* is no host)"):
            tank.expect(unknown_hosts=given)

    wavetank.simulate(main, scenario=Scenario()).check()


def test_a_log_without_declared_hosts_has_the_header_it_had() -> None:
    """So that tokens of runs that were recorded before still repeat them."""

    async def main(tank: Tank) -> None:
        assert b"unknown_hosts" not in tank.events.to_ndjson()
        assert hosts.EXPECTATION == "unknown_hosts"
        tank.expect(unknown_hosts=["a.example"])
        tank.expect(unknown_hosts=["b.example"])
        assert b'"unknown_hosts":["a.example","b.example"]' in tank.events.to_ndjson()

    wavetank.simulate(main, scenario=Scenario()).check()
