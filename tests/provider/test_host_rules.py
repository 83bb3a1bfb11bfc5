"""Hosts that users name: patterns, ports, prefixes, gateways, and vendors of their own."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

import wavetank
from wavetank import Tank, VendorCard, add_vendor, simulate
from wavetank.provider import host_rules, vendor_registry
from wavetank.provider.host_rules import HostApp, HostTable, configure_host, host_rule, written_rule
from wavetank.provider.http import HttpRequest
from wavetank.scenario import Host, Scenario


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test adds for the whole process is taken back."""
    yield
    host_rules.forget_configured()
    vendor_registry._added.clear()
    vendor_registry.vendor_at.cache_clear()
    vendor_registry.looks.cache_clear()


def found(table: HostTable, host: str, path: str = "/v1/chat/completions") -> tuple[str, str] | None:
    """The vendor that answers, and the path it sees."""
    route = table.route(HttpRequest(method="POST", host=host, path=path, headers={}))
    if route is None:
        return None
    assert not isinstance(route.answers, HostApp)
    return route.answers.card.name, route.http.path


@pytest.mark.parametrize(
    ("line", "host", "path", "seen"),
    [
        ("llm.corp.example=openai", "llm.corp.example", "/v1/messages", ("openai", "/v1/messages")),
        ("*.corp.example=anthropic", "a.corp.example", "/v1/messages", ("anthropic", "/v1/messages")),
        ("localhost:4000=openai", "localhost:4000", "/chat/completions", ("openai", "/chat/completions")),
        ("localhost:4000=openai", "localhost:4001", "/chat/completions", None),
        ("llm.corp.example/a=groq", "llm.corp.example", "/a/openai/v1/models", ("groq", "/openai/v1/models")),
        ("llm.corp.example/a=groq", "llm.corp.example", "/ab/openai/v1/models", None),
        ("llm.corp.example/a/=groq", "llm.corp.example", "/a", ("groq", "")),
        ("LLM.Corp.example = openai", "llm.corp.EXAMPLE.", "/x", ("openai", "/x")),
        ("api.openai.com=anthropic", "api.openai.com", "/x", ("anthropic", "/x")),
        ("x.example=openai", "api.openai.com", "/x", ("openai", "/x")),
    ],
)
def test_a_line_names_a_host(line: str, host: str, path: str, seen: tuple[str, str] | None) -> None:
    """Patterns, ports and prefixes, in upper case or lower; a user's rule comes before a vendor's host."""
    table = HostTable()
    table.add(written_rule(line))
    assert found(table, host, path) == seen


def test_of_two_prefixes_the_longer_one_counts() -> None:
    """In whatever order they were added; the rest of the host may have a dialect, too."""
    table = HostTable()
    for line in ("x.example=openai", "x.example/a=groq", "x.example/a/b=anthropic"):
        table.add(written_rule(line))
    assert found(table, "x.example", "/a/b/c") == ("anthropic", "/c")
    assert found(table, "x.example", "/a/c") == ("groq", "/c")
    assert found(table, "x.example", "/c") == ("openai", "/c")


def test_a_table_s_own_hosts_come_before_configured_ones() -> None:
    """`fake_llm.add_host` in a test counts more than the ini file."""
    configure_host(written_rule("x.example=openai"))
    table = HostTable()
    assert found(table, "x.example", "/") == ("openai", "/")
    table.add(written_rule("x.example=anthropic"))
    assert found(table, "x.example", "/") == ("anthropic", "/")
    assert found(HostTable(), "x.example", "/") == ("openai", "/")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x.example", "write HOST"),
        ("=openai", "is no host"),
        ("https://x.example=openai", 'without "https://"'),
        ("x example=openai", "is no host"),
        ("x.example:abc=openai", "is no host"),
        ("x.example:99999=openai", "is no host"),
        ("user@x.example=openai", "is no host"),
        ("x.example/a/../b=openai", "is no host"),
        ("[::1=openai", "is no host"),
        ("x.example=opnai", "there is no dialect 'opnai': did you mean 'openai'"),
        ("x.example=zzz", "choose one of anthropic, azure"),
    ],
)
def test_a_line_that_is_no_rule_is_refused(line: str, said: str) -> None:
    """The text says what to write."""
    with pytest.raises(ValueError, match=said):
        written_rule(line)


def test_two_dialects_for_one_place_are_refused() -> None:
    """The same line twice is none; the text names both."""
    table = HostTable()
    table.add(host_rule("x.example", "openai"))
    table.add(host_rule("x.example", "openai"))
    with pytest.raises(ValueError, match=r"two dialects or apps for x\.example: openai and groq"):
        table.add(host_rule("x.example", "groq"))


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        ("openai", "/team-a/v1/chat/completions"),
        ("openai", "/chat/completions"),
        ("openai", "/llm/proxy/chat/completions"),
        ("azure", "/my-openai/deployments/gpt/chat/completions"),
        ("azure", "/apim/openai/deployments/gpt/chat/completions"),
        ("groq", "/chat/completions"),
        ("anthropic", "/anthropic/v1/messages"),
        ("anthropic", "/messages"),
        ("gemini", "/models/g:generateContent"),
        ("ollama", "/ollama/api/chat"),
    ],
)
def test_a_gateway_may_put_anything_before_a_path_and_replace_its_beginning(dialect: str, path: str) -> None:
    """As Azure's API management does; the vendors' own hosts stay strict."""
    table = HostTable()
    table.add(host_rule("gw.corp.example", dialect))
    messages = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}'
    body = messages if dialect != "gemini" else b'{"contents": [{"parts": [{"text": "hello"}]}]}'
    headers = {"authorization": "Bearer k", "anthropic-version": "1", "api-key": "k", "x-goog-api-key": "k"}
    route = table.route(
        HttpRequest(method="POST", host="gw.corp.example", path=path, headers=headers, body=body)
    )
    assert route is not None
    assert not isinstance(route.answers, HostApp)
    request = route.answers.decode(route.http)
    assert request.prompt == "hello"
    assert request.model == ("gpt" if dialect == "azure" else "g" if dialect == "gemini" else "m")


def ask(base_url: str) -> str:
    """One question to a host."""
    client = openai.OpenAI(base_url=base_url, max_retries=0, api_key="k")
    answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "row-1"}])
    return str(answer.choices[0].message.content)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_host_is_added_in_a_test(backend: str) -> None:
    """The SDK meets it at once; the record says which host was asked."""

    async def main(tank: Tank) -> None:
        tank.fake_llm.add_host("llm-gateway.corp.example:8443/team-a", dialect="openai")
        assert "row-1" in ask("https://llm-gateway.corp.example:8443/team-a/v1")
        assert tank.fake_llm.requests[0].host == "llm-gateway.corp.example:8443"
        assert tank.fake_llm.requests.of(host="llm-gateway*")
        with pytest.raises(openai.NotFoundError):
            ask("https://llm-gateway.corp.example:8443/team-b/v1")
        with pytest.raises(wavetank.UnknownHost, match=r"llm_hosts = other\.example=openai"):
            ask("https://other.example/v1")

    simulate(main, scenario=Scenario(), backend=backend, checks=()).check()


def test_a_scenario_has_hosts() -> None:
    """In a `[[host]]` table; one that cannot be used is named."""

    async def main(tank: Tank) -> None:
        assert "row-1" in ask("https://gw.example/v1")
        assert len(tank.fake_llm.requests) == 1

    simulate(main, scenario=Scenario(host=(Host(host="gw.example", dialect="openai"),)), checks=()).check()
    wrong = Scenario(name="s", host=(Host(host="gw.example", dialect="opnai"),))
    with pytest.raises(wavetank.ScenarioError, match=r"s: \[\[host\]\] number 1: .* did you mean 'openai'"):
        simulate(main, scenario=wrong)


def test_a_vendor_is_added() -> None:
    """Its card is all that an OpenAI-compatible vendor needs."""
    card = VendorCard(
        name="acme",
        hosts=("api.acme.example",),
        limit_headers={"requests": "x-acme-{field}"},
        errors={"rate-limit": ("Slow down", "acme_error", "acme")},
    )
    add_vendor(card)
    add_vendor(card)

    async def main(tank: Tank) -> None:
        assert "row-1" in ask("https://api.acme.example/v1")
        assert tank.fake_llm.requests[0].request.dialect == "acme"

    simulate(main, scenario=Scenario(), checks=()).check()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (VendorCard(name="openai", hosts=("a.example",)), "there is a vendor 'openai' already"),
        (VendorCard(name="b", hosts=("b.example",), wire="nope.mod"), r"there is no module 'nope\.mod'"),
        (VendorCard(name="b", hosts=("api.openai.com",)), r"two vendors have the host 'api\.openai\.com'"),
    ],
)
def test_a_card_that_clashes_is_refused(card: VendorCard, said: str) -> None:
    """By its name, a host, or a module that there is not; nothing is added."""
    with pytest.raises(ValueError, match=said):
        add_vendor(card)
    with pytest.raises(ValueError, match="there is no dialect 'b'"):
        vendor_registry.card_named("b")


def test_what_is_no_card_is_refused() -> None:
    """Such as its name."""
    with pytest.raises(TypeError, match=r"give a wavetank\.VendorCard"):
        add_vendor("acme")  # type: ignore[arg-type]
