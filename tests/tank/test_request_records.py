"""What `fake_llm.requests` shows of each request, and how some of them are selected."""

from __future__ import annotations

import asyncio

import openai
import pytest

from wavetank import simulate
from wavetank.clock import SECOND, Duration
from wavetank.scenario import Scenario, Wave
from wavetank.seams.errors import RateLimited
from wavetank.tank.tank import Tank

KEY = "sk-a-key-that-nobody-may-see"
REFUSED_ONCE = Scenario(wave=(Wave(lasts=Duration(SECOND)),))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_record_has_the_prompt_the_body_and_the_headers(backend: str) -> None:
    """All that the client sent is there, apart from its key."""

    async def main(tank: Tank) -> None:
        async with openai.AsyncOpenAI(api_key=KEY, max_retries=0) as client:
            await client.chat.completions.create(
                model="gpt-5", messages=[{"role": "user", "content": "classify row-1"}], temperature=0.3
            )
        (record,) = tank.fake_llm.requests
        assert record.prompt == "classify row-1"
        assert record.payload["temperature"] == 0.3
        assert record.payload["messages"] == [{"role": "user", "content": "classify row-1"}]
        assert record.headers["authorization"] == "Bearer key-1"
        assert (record.key, record.host, record.model) == ("key-1", "api.openai.com", "gpt-5")
        assert KEY not in repr(record)

    simulate(main, scenario=Scenario(), backend=backend).check()


def test_a_direct_call_has_a_prompt_and_nothing_of_http() -> None:
    """There is no body and no header."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("hello", item="a", key=KEY)
        (record,) = tank.fake_llm.requests
        assert (record.prompt, record.payload, record.headers, record.host) == ("hello", {}, {}, "")
        assert record.key == "key-1"
        assert not record.inferred

    simulate(main, scenario=Scenario()).check()


def test_requests_are_selected_by_all_that_is_given() -> None:
    """Item, model and host are patterns; an item with brackets is found by its own name."""

    async def main(tank: Tank) -> None:
        for item in ("row-1", "row-1", "row-2", "[odd]"):
            try:
                await tank.fake_llm.call("hello", item=item, model=f"m-{item}")
            except RateLimited:
                await asyncio.sleep(2)
        requests = tank.fake_llm.requests
        assert [record.id for record in requests.of(item="row-1")] == [1, 2]
        assert [record.id for record in requests.of(item="row-*", status=200)] == [2, 3]
        assert [record.id for record in requests.of(item="[odd]")] == [4]
        assert [record.id for record in requests.of(model="m-row-2")] == [3]
        assert requests.of(status=429)[0].id == 1
        assert not requests.of(host="api.openai.com")
        assert len(requests.of()) == len(requests)

    simulate(main, scenario=REFUSED_ONCE, checks=()).check()


def test_a_short_key_is_hidden_in_its_own_header_alone() -> None:
    """A dummy key such as `openai` is part of other values."""

    async def main(tank: Tank) -> None:
        async with openai.AsyncOpenAI(
            api_key="openai", default_headers={"x-my": "for openai only"}
        ) as client:
            await client.models.list()
        headers = tank.fake_llm.requests[0].headers
        assert headers["authorization"] == "Bearer key-1"
        assert (headers["host"], headers["x-my"]) == ("api.openai.com", "for openai only")
        assert tank.fake_llm.requests.of(host="API.openai.com")
        with pytest.raises(TypeError, match="give a number"):
            tank.fake_llm.requests.of(status="429")  # type: ignore[arg-type]

    simulate(main, scenario=Scenario(), checks=()).check()
