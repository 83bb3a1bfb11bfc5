"""Claude at Vertex AI, and behind Anthropic's paths for OpenAI's SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.scenario import Fault, Limits, RefusalError, Wave

pytestmark = [
    # SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
]

MESSAGES: Any = [{"role": "user", "content": "item-1"}]
ASKED: dict[str, Any] = {"model": "claude-sonnet-4-5@20250929", "max_tokens": 99, "messages": MESSAGES}


def run(main: Callable[[Tank], Awaitable[Any]], scenario: Scenario | None = None) -> Any:
    """What a program returns in a world of its own."""
    ran = wavetank.simulate(main, scenario or Scenario(), checks=())
    if ran.error is not None:
        raise ran.error
    return ran.value


def refusing(status: int | None, **more: Any) -> Scenario:
    """All requests are refused for a minute."""
    return Scenario(wave=(Wave(lasts=Duration(60 * SECOND), status=status, **more),))


def vertex(**options: Any) -> anthropic.AsyncAnthropicVertex:
    """A client with a token of no use."""
    return anthropic.AsyncAnthropicVertex(project_id="p", access_token="token", max_retries=0, **options)


def as_openai() -> openai.AsyncOpenAI:
    """OpenAI's client at Anthropic."""
    return openai.AsyncOpenAI(base_url="https://api.anthropic.com/v1/", max_retries=0)


@pytest.mark.parametrize("region", ["us-east5", "global", "us", "eu"])
def test_claude_answers_in_each_region_of_vertex(region: str) -> None:
    """With the ids of Vertex AI; the tokens of a request can be counted."""

    async def main(_: Tank) -> Any:
        async with vertex(region=region, _strict_response_validation=True) as client:
            answer = await client.messages.create(**ASKED)
            counted = await client.messages.count_tokens(model=ASKED["model"], messages=MESSAGES)
        return answer.id[:11], answer.model, counted.input_tokens

    assert run(main) == ("msg_vrtx_01", ASKED["model"], 2)


@pytest.mark.parametrize(
    ("scenario", "error", "said"),
    [
        (refusing(429), anthropic.RateLimitError, "base model: anthropic-claude-sonnet-4-5. Please submit"),
        (refusing(None, error="overloaded"), anthropic.ServiceUnavailableError, "overloaded_error"),
        (refusing(None, error="server"), anthropic.InternalServerError, "api_error"),
    ],
)
def test_a_quota_is_google_s_and_the_rest_is_anthropic_s(scenario: Scenario, error: Any, said: str) -> None:
    """The body of a refusal says whose it is."""

    async def main(_: Tank) -> str:
        async with vertex(region="us-east5") as client:
            with pytest.raises(error) as caught:
                await client.messages.create(**ASKED)
        return str(caught.value)

    assert said in run(main, scenario)


def test_a_stream_of_vertex_breaks_off_with_anthropic_s_error() -> None:
    """An event `error`, as from Anthropic itself."""

    async def main(_: Tank) -> Any:
        async with vertex(region="us-east5") as client:
            events = await client.messages.create(**ASKED, stream=True)
            with pytest.raises(anthropic.APIStatusError) as caught:
                async for _event in events:
                    pass
        return caught.value.body

    body = run(main, Scenario(fault=(Fault(kind="error-in-stream", after_chunks=2),)))
    assert body == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def test_a_body_for_vertex_must_say_its_version() -> None:
    """`anthropic_version`, which the SDK adds."""

    async def main(_: Tank) -> Any:
        async with vertex(region="us-east5") as client:
            with pytest.raises(
                anthropic.BadRequestError, match="anthropic_version: Field required"
            ) as caught:
                await client.messages.create(**ASKED, extra_body={"anthropic_version": None})
        return caught.value.body["error"]["type"]  # type: ignore[index]

    assert run(main) == "invalid_request_error"


def test_openai_s_sdk_at_anthropic_reads_limits_and_errors_of_its_own_kind() -> None:
    """Limits are under OpenAI's names, and errors have OpenAI's shape with Anthropic's words."""

    async def main(_: Tank) -> Any:
        async with as_openai() as client:
            asked = client.chat.completions.with_raw_response
            first = await asked.create(model="claude-opus-5-5", messages=MESSAGES)
            with pytest.raises(openai.RateLimitError) as caught:
                await asked.create(model="claude-opus-5-5", messages=MESSAGES)
        stated = {name for name in first.headers if "ratelimit" in name}
        return first.parse().choices[0].message.content, stated, caught.value.response.json()

    text, stated, body = run(main, Scenario(limits=Limits(requests_per_minute=1)))
    assert text == "[wt:item-1] is the item this answer belongs to."
    assert stated == {f"x-ratelimit-{field}-requests" for field in ("limit", "remaining", "reset")}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "rate_limit_error"
    assert "organization's rate limit of 1 requests per minute" in body["error"]["message"]


@pytest.mark.parametrize(("error", "status"), [("overloaded", 529), ("billing", 402)])
def test_openai_s_sdk_gets_anthropic_s_statuses(error: RefusalError, status: int) -> None:
    """As Anthropic's own client does."""

    async def main(_: Tank) -> int:
        async with as_openai() as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="m", messages=MESSAGES)
        return caught.value.status_code

    assert run(main, refusing(None, error=error)) == status
