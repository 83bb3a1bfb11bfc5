"""Strategies made from the name of a provider: what they are wired to, who closes what, and clear errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

import wavetank
from wavetank.processor import BatchResult, Decision, LLMWorkItem, ParallelBatchProcessor, TokenUsage
from wavetank.run import PROVIDERS, ApiError, Prices, RunError, list_models, make_strategy, provider_strategy

KEY = "sk-secret-0123456789"
CHAT = {"choices": [{"message": {"content": "WAVE"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
ITEM = LLMWorkItem("row-1", "wave")

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is in the environment."""
    for provider in PROVIDERS.values():
        for name in provider.keys:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[httpx2.AsyncClient]:
    """The clients that strategies open."""
    clients: list[httpx2.AsyncClient] = []
    real = provider_strategy.new_client

    def new_client(**options: Any) -> httpx2.AsyncClient:
        clients.append(real(**options))
        return clients[-1]

    monkeypatch.setattr(provider_strategy, "new_client", new_client)
    return clients


async def batch(strategy: Any, count: int = 1) -> BatchResult[str]:
    async with ParallelBatchProcessor[str](strategy, workers=5) as processor:
        for number in range(count):
            await processor.add_work(LLMWorkItem(f"row-{number}", f"Question {number}"))
        return await processor.process_all()


@both
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_strategy_is_made_from_a_name(name: str, backend: str, opened: list[httpx2.AsyncClient]) -> None:
    """Each provider is asked at its address, for the model, over one client that is closed in the end."""
    base_url = "http://vllm/v1" if name == "openai-compatible" else None

    async def main(tank: wavetank.Tank) -> tuple[BatchResult[str], set[str]]:
        strategy = make_strategy(name, "some-model", key=KEY, base_url=base_url, prices=Prices(1.0, 2.0))
        result = await batch(strategy, 8)
        return result, {request.model for request in tank.fake_llm.requests}

    run = wavetank.simulate(main, "mixed", backend=backend, checks=[])
    assert run.value is not None, run.error
    result, models = run.value
    assert (result.succeeded, models) == (8, {"some-model"})
    assert result.cost > 0
    (client,) = opened
    assert client.is_closed


@both
def test_a_client_that_is_given_is_shared_and_left_open(
    backend: str, opened: list[httpx2.AsyncClient]
) -> None:
    """Its owner closes it, also after a batch with errors; the strategy opens none."""

    async def main(_: wavetank.Tank) -> int:
        async with httpx2.AsyncClient() as client:
            for name in ("openai", "anthropic"):
                strategy = make_strategy(name, "m", key=KEY, client=client)
                assert (await batch(strategy, 3)).succeeded == 3
                assert not client.is_closed
            await client.aclose()
            return (await batch(make_strategy("openai", "m", key=KEY, client=client))).failed

    run = wavetank.simulate(main, "calm", backend=backend, checks=[])
    assert (run.value, run.error, opened) == (1, None, [])


async def ended_by_an_error(outer: ParallelBatchProcessor[str], strategy: Any) -> None:
    async with ParallelBatchProcessor[str](strategy) as inner:
        await inner.add_work(ITEM)
        await outer.process_all()
        await inner.process_all()
        raise LookupError


@both
def test_processors_share_the_client_and_the_last_one_closes_it(
    backend: str, opened: list[httpx2.AsyncClient]
) -> None:
    """One client for both; it is closed when both are done, also where the block ends with an error."""

    async def main(_: wavetank.Tank) -> None:
        strategy = make_strategy("openai", "m", key=KEY)
        async with ParallelBatchProcessor[str](strategy) as outer:
            await outer.add_work(ITEM)
            with pytest.raises(LookupError):
                await ended_by_an_error(outer, strategy)
            (client,) = opened
            assert not client.is_closed
        assert client.is_closed
        # It may be used once more, with a new client.
        assert (await batch(strategy)).succeeded == 1
        assert [client.is_closed for client in opened] == [True, True]

    wavetank.simulate(main, "calm", backend=backend, checks=[]).check()


@both
def test_a_request_outside_of_a_processor_has_a_client_for_itself(
    backend: str, opened: list[httpx2.AsyncClient]
) -> None:
    """It is closed after the request, also after one that failed."""

    async def main(_: wavetank.Tank) -> str:
        strategy = make_strategy("gemini", "m", key=KEY)
        await strategy.cleanup()
        with pytest.raises(ApiError):
            await bad.execute(ITEM)
        return (await strategy.execute(ITEM)).value

    bad = make_strategy("anthropic", "m", key=KEY, base_url="https://api.anthropic.com/nowhere")
    run = wavetank.simulate(main, "calm", backend=backend, checks=[])
    assert run.error is None
    assert run.value
    assert [client.is_closed for client in opened] == [True, True]


async def sent(**options: Any) -> httpx2.Request:
    """The request that a strategy with these options makes over a client that was given."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=CHAT)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), timeout=7.0) as client:
        result = await make_strategy("openai", "m", key=KEY, client=client, **options).execute(ITEM)
    assert (result.value, result.usage) == ("WAVE", TokenUsage(3, 4))
    return seen[0]


@pytest.mark.anyio
async def test_the_timeout_is_that_of_the_argument_or_of_the_client(
    opened: list[httpx2.AsyncClient],
) -> None:
    """A client that is given keeps its own unless one is asked for; one's own has 120 s by default."""
    own = {"connect": 7.0, "read": 7.0, "write": 7.0, "pool": 7.0}
    assert (await sent()).extensions["timeout"] == own
    asked = {"connect": 10.0, "read": 30, "write": 30, "pool": None}
    assert (await sent(timeout_seconds=30)).extensions["timeout"] == asked
    for seconds, expected in ((None, 120.0), (5, 5)):
        strategy = make_strategy("openai", "m", key=KEY, timeout_seconds=seconds)
        await strategy.prepare()
        await strategy.cleanup()
        assert opened[-1].timeout == httpx2.Timeout(expected, connect=min(10.0, expected), pool=None)


@pytest.mark.anyio
async def test_the_key_comes_from_the_variable_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that is set, without the line end that a file may have given it; the argument wins."""
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(200, json=CHAT)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        await make_strategy("openai", "m", client=client).execute(ITEM)
        await make_strategy("openai", "m", client=client, key="other").execute(ITEM)
    assert seen == [f"Bearer {KEY}", "Bearer other"]


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: make_strategy("opnai", "m", key=KEY), "there is no provider 'opnai'; did you mean 'openai'"),
    (lambda: make_strategy(KEY, "m", key=KEY), "there is no provider of that name; there are openai"),
    (lambda: make_strategy("x" * 39, "m", key=KEY), "there is no provider of that name; there are openai"),
    (lambda: make_strategy(None, "m", key=KEY), "there is no provider None; there are openai"),  # type: ignore[arg-type]
    (lambda: make_strategy("Gemini ", "m", key=KEY), "did you mean 'gemini'"),
    (lambda: make_strategy("nobody", "m", key=KEY), "there are openai, openai-compatible, anthropic, gemini"),
    (lambda: make_strategy("openai", " ", key=KEY), "name a model of openai; `wavetank run --list-models`"),
    (
        lambda: make_strategy("openai", "m"),
        "set OPENAI_API_KEY to the API key of openai, or give it as `key`",
    ),
    (lambda: make_strategy("gemini", "m"), "set GEMINI_API_KEY or GOOGLE_API_KEY"),
    (lambda: make_strategy("openai", "m", key=" "), "the API key of openai is empty"),
    (
        lambda: make_strategy("openai", "m", key=f"{KEY}\nx"),
        "the API key of openai cannot be an API key: character 21 of 22 is U+000A",
    ),
    (lambda: make_strategy("openai", "m", key=f"{KEY}\u2026"), "character 21 of 21 is U+2026"),
    (lambda: make_strategy("openai-compatible", "m", key=KEY), "needs the base URL of the server"),
    (
        lambda: make_strategy("openai", "m", key=KEY, base_url=f"u:{KEY}@host"),
        "is no URL such as https://host",
    ),
    (lambda: make_strategy("openai", "m", key=KEY, base_url="http://[x"), "is no URL such as https://host"),
    (lambda: make_strategy("openai", "m", key=KEY, max_tokens=0), "must be a whole number from 1 on, not 0"),
    (lambda: make_strategy("openai", "m", key=KEY, max_tokens="9"), "max_tokens must be a whole number"),  # type: ignore[arg-type]
    (lambda: make_strategy("openai", "m", key=KEY, max_tokens=9.5), "max_tokens must be a whole number"),  # type: ignore[arg-type]
    (lambda: make_strategy("openai", "m", key=KEY, temperature="hot"), "must be a number, not 'hot'"),  # type: ignore[arg-type]
    (lambda: make_strategy("openai", "m", key=KEY, temperature=float("nan")), "must be a number, not nan"),
    (lambda: make_strategy("openai", "m", key=KEY, prices=(1, 2)), "prices must be such as Prices("),  # type: ignore[arg-type]
    (lambda: make_strategy("openai", "m", key=KEY.encode()), "of openai must be a str, not bytes"),  # type: ignore[arg-type]
    (lambda: make_strategy("openai", "m", key=KEY, timeout_seconds=0), "above 0, not 0"),
    (lambda: make_strategy("openai", "m", key=KEY, timeout_seconds=-1.5), "above 0, not -1.5"),
    (lambda: make_strategy("openai", "m", key=KEY, timeout_seconds=float("nan")), "above 0, not nan"),
    (lambda: make_strategy("openai", "m", key=KEY, timeout_seconds=float("inf")), "above 0, not inf"),
    (
        lambda: make_strategy("openai", "m", key=KEY, timeout_seconds="30s"),  # type: ignore[arg-type]
        "a number of seconds above 0, not '30s'",
    ),
    (
        lambda: make_strategy("openai", "m", key=KEY, client=httpx2.Client()),  # type: ignore[arg-type]
        "client must be an httpx2.AsyncClient, not Client",
    ),
]


@pytest.mark.parametrize(("make", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_argument_is_an_error_that_hides_the_key(make: Callable[[], object], said: str) -> None:
    """The text says what to do, names what is near, and shows no key."""
    with pytest.raises(RunError) as wrong:
        make()
    assert said in str(wrong.value)
    assert KEY not in f"{wrong.value!r} {wrong.value.__context__!r}"
    assert isinstance(wrong.value, ValueError)


def test_a_variable_that_holds_no_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, and its value is not shown."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"key: {KEY}")
    with pytest.raises(
        RunError, match="the API key in ANTHROPIC_API_KEY cannot be an API key: character 5"
    ) as wrong:
        make_strategy("anthropic", "m")
    assert KEY not in str(wrong.value)


def test_a_missing_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(RunError, match=r"pip install 'wavetank\[run\]'"):
        make_strategy("openai", "m", key=KEY)


def test_no_key_is_in_what_a_strategy_shows_of_itself() -> None:
    """Neither the key nor an address with a password."""
    strategy = make_strategy("openai", "gpt-5", key=KEY, base_url="https://me:secret@gateway.example/v1")
    assert repr(strategy) == "<ProviderStrategy openai/gpt-5>"


@both
@pytest.mark.parametrize("scope", [None, "account"])
def test_each_model_has_a_gate_of_its_own_unless_they_share_a_scope(scope: str | None, backend: str) -> None:
    """A model that is away for half a minute holds up the other one only where both name one scope."""

    async def main(tank: wavetank.Tank) -> tuple[set[str], float]:
        large, small = (
            make_strategy("openai", model, key=KEY, scope=scope) for model in ("gpt-4o", "gpt-4o-mini")
        )
        items = [LLMWorkItem(f"large-{number}", "wave") for number in range(4)]
        items += [LLMWorkItem(f"small-{number}", "wave", strategy=small) for number in range(4)]
        scopes, last = set(), 0.0

        def observe(decision: Decision) -> None:
            scopes.add(decision.scope)

        async with ParallelBatchProcessor(large, workers=2, observer=observe) as processor:
            async for result in processor.process(items):
                assert result.error is None
                if result.id.startswith("small"):
                    last = tank.now()
        return scopes - {""}, last

    run = wavetank.simulate(main, "one-model-down", backend=backend)
    assert run.value is not None, run.error
    scopes, last = run.value
    assert scopes == {scope or "openai/gpt-4o"}
    assert (last < 10) == (scope is None)


# -- models ----------------------------------------------------------------------------------------

MODELS = {
    "openai": ("gpt-5", "gpt-5-mini", "text-embedding-3-small"),
    "openai-compatible": ("served-model",),
    "anthropic": ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
    "mistral": ("mistral-large-latest", "mistral-small-latest"),
    "openrouter": ("openai/gpt-5", "anthropic/claude-sonnet-5.5"),
    "ollama": ("llama3.2:latest",),
}
SMALL = {"anthropic": {"limit": "1"}, "gemini": {"pageSize": "1"}, "openrouter": {"limit": "1"}}


@both
@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("small", [False, True])
def test_the_models_of_a_provider_are_listed(
    name: str, backend: str, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages, in the provider's own order, over a client that is given or one of its own."""
    if small:
        provider = PROVIDERS[name]
        listing = replace(provider.models, query=SMALL.get(name, {}))
        monkeypatch.setitem(PROVIDERS, name, replace(provider, models=listing))
    base_url = "http://vllm/v1" if name == "openai-compatible" else None

    async def main(tank: wavetank.Tank) -> tuple[tuple[str, ...], int]:
        found = await list_models(name, key=KEY, base_url=base_url)
        asked = len(tank.fake_llm.requests)
        async with httpx2.AsyncClient() as client:
            assert await list_models(name, key=KEY, base_url=base_url, client=client) == found
            assert not client.is_closed
        return found, asked

    run = wavetank.simulate(main, "calm", backend=backend, checks=[])
    pages = len(MODELS[name]) if small and name in SMALL else 1
    assert (run.value, run.error) == ((MODELS[name], pages), None)


async def refused(answer: Callable[[httpx2.Request], httpx2.Response], name: str, **options: Any) -> str:
    """What is said where a provider does not list its models."""
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        with pytest.raises(RunError) as wrong:
            await list_models(name, client=client, **options)
    assert KEY not in f"{wrong.value!r} {wrong.value.__cause__!r}"
    return str(wrong.value)


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_an_error_with_its_variable(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that repeats the key in its error does not bring it into the text."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json={"error": {"message": f"Incorrect API key provided: {KEY}"}})

    said = await refused(answer, "openai", key=KEY)
    assert said == f"openai refused the API key: status {status}: Incorrect API key provided: key-1"
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    assert "gemini refused the API key in GOOGLE_API_KEY: status" in await refused(answer, "gemini")


@pytest.mark.anyio
async def test_an_error_says_why_models_cannot_be_listed() -> None:
    """No network, another error, another page than the list, and a list that never ends."""

    def lost(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("Name or service not known", request=request)

    def late(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("", request=request)

    def busy(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(503, text="try later")

    def page(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text=f"<html>{KEY}</html>")

    def endless(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"data": [{"id": "m"}], "has_more": True, "last_id": "m"})

    cannot = "cannot reach openai: {}; check the network, a proxy and the base URL"
    assert await refused(lost, "openai", key=KEY) == cannot.format("Name or service not known")
    assert await refused(late, "openai", key=KEY) == cannot.format("ReadTimeout")
    assert await refused(busy, "openai", key=KEY) == "openai does not list its models: status 503: try later"
    assert "openai answered with no list of models" in await refused(page, "openai", key=KEY)
    assert "the same page of its models again" in await refused(endless, "anthropic", key=KEY)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("opnai", {"key": KEY}, "did you mean 'openai'"),
        ("openai", {}, "set OPENAI_API_KEY"),
        ("openai", {"key": KEY, "timeout_seconds": 0}, "above 0, not 0"),
        ("openai-compatible", {"key": KEY}, "needs the base URL"),
    ],
)
async def test_wrong_arguments_of_a_listing_are_errors(name: str, options: dict[str, Any], said: str) -> None:
    """As those of a strategy, before anything is asked."""
    with pytest.raises(RunError, match=said):
        await list_models(name, **options)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("box.local:8080/", "http://box.local:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("https://box.local/ollama", "https://box.local/ollama"),
        ("", None),
    ],
)
def test_the_host_of_ollama_needs_no_scheme(host: str, url: str | None) -> None:
    """It is read as the SDK of Ollama reads it."""
    assert PROVIDERS["ollama"].address({"OLLAMA_HOST": host}) == url


def test_an_address_in_the_environment_that_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, and does not show the value."""
    monkeypatch.setenv("OPENAI_BASE_URL", "me:secret@host")
    with pytest.raises(RunError, match="in OPENAI_BASE_URL is no URL such as https://host/v1") as caught:
        make_strategy("openai", "m", key=KEY)
    assert "secret" not in str(caught.value)
    make_strategy("openai", "m", key=KEY, base_url="https://host/v1")
