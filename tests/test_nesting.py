"""JSON that is nested too deep is refused the same way wherever it comes in."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wavetank
from wavetank.nesting import DEEPEST, too_deep
from wavetank.provider.request import Request
from wavetank.scenario import Scenario
from wavetank.tank.tank import Tank

PATHS = {
    "openai": ("https://api.openai.com/v1/chat/completions", 400),
    "anthropic": ("https://api.anthropic.com/v1/messages", 400),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/models/m:generateContent", 400),
    "mistral": ("https://api.mistral.ai/v1/chat/completions", 422),
    "ollama": ("http://ollama/api/chat", 400),
    "cohere": ("https://api.cohere.com/v2/chat", 400),
}
HEADERS = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


JSON = st.recursive(
    st.one_of(st.integers(), st.text(alphabet='[]{}"\\ab', max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text('["', max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


@given(JSON, st.integers(0, 2 * DEEPEST))
def test_the_depth_of_json_is_what_a_parser_finds(value: object, around: int) -> None:
    """Brackets in strings do not count."""
    data = "[" * around + json.dumps(value) + "]" * around
    assert too_deep(data.encode()) == (around + depth(value) > DEEPEST)


@pytest.mark.parametrize("hostile", [b'"\\"', b'"', b"[]", b"[{", b'"\\', b"\\"])
def test_a_hostile_body_takes_time_in_proportion_to_its_length(hostile: bytes) -> None:
    """Also one whose strings are not closed."""

    def seconds(length: int) -> float:
        body = b"[" * (DEEPEST + 1) + (hostile * length)[:length]
        began = time.process_time()
        too_deep(body)
        return time.process_time() - began

    assert seconds(1_000_000) < 30 * max(seconds(100_000), 0.005)


@pytest.mark.parametrize("levels", [DEEPEST + 1, 900, 50_000])
def test_each_way_in_refuses_it(levels: int) -> None:
    """Over transports, installed clients and ASGI, in each dialect's own words."""

    async def main(tank: Tank) -> list[tuple[int, int]]:
        fake = tank.fake_llm
        found = []
        for transport in (fake.httpx_transport(), None, httpx.ASGITransport(fake.asgi_app())):
            async with httpx.AsyncClient(transport=transport, headers=HEADERS) as client:
                for url, expected in PATHS.values():
                    body = b'{"model":"m","messages":' + b"[" * levels + b"]" * levels + b"}"
                    answer = await client.post(url, content=body)
                    found.append((answer.status_code, expected))
        return found

    run = wavetank.simulate(main, Scenario(), checks=())
    assert run.value is not None
    assert len(run.value) == 3 * len(PATHS)
    for status, expected in run.value:
        assert status == expected


@pytest.mark.parametrize("name", ["x-twice", "cookie", "host"])
def test_repeated_headers_are_read_alike_at_every_way_in(name: str) -> None:
    """Those of one name are one list; of what may be there once, a second is refused."""

    async def main(tank: Tank) -> list[tuple[int, str | None]]:
        fake = tank.fake_llm
        seen: list[str] = []

        def item_of(request: Request) -> None:
            seen.append(request.headers.get(name, ""))

        fake.item_of = item_of
        found: list[tuple[int, str | None]] = []
        ways = [fake.httpx_transport(), httpx.ASGITransport(fake.asgi_app())]
        if name != "host":  # over a connection h11 sends no second one; `test_seams_http1` does
            ways.append(None)
        for transport in ways:
            seen.clear()
            headers = [("authorization", "Bearer k"), (name, "one"), (name, "two")]
            if name != "host":
                headers.append(("host", "api.openai.com"))
            async with httpx.AsyncClient(transport=transport) as client:
                body = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
                url = "https://api.openai.com/v1/chat/completions"
                answer = await client.post(url, headers=headers, json=body)
                found.append((answer.status_code, seen[0] if seen else None))
        return found

    run = wavetank.simulate(main, Scenario(), checks=())
    assert run.error is None
    expected = {"x-twice": (200, "one, two"), "cookie": (200, "***"), "host": (400, None)}[name]
    assert run.value is not None
    assert set(run.value) == {expected}
