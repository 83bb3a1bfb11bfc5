"""The dialects judged by the vendors' own SDKs, with their strict parsers switched on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import httpx2
import msgspec
import openai
import pytest

from wavetank.clock import SECOND, Duration
from wavetank.provider.answer_texts import marks_in
from wavetank.provider.http import BadRequest, Frame, HttpRequest
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import Fault, FaultKind, Limits, RetryAfter, Scenario, Wave

from .dialects import dialect_for

pytestmark = [
    pytest.mark.anyio,
    # Both SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '(openai|anthropic)\.:ResourceWarning"),
]


class FakeNetwork:
    """A transport handler that takes each request through dialect, provider and back at one instant."""

    def __init__(self, scenario: Scenario) -> None:
        self._provider = Provider(scenario)
        self._count = 0

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        dialect = dialect_for(request.url.host)
        assert dialect is not None
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.aread()
        incoming = HttpRequest(
            method=request.method,
            host=request.url.host,
            path=request.url.path,
            query=request.url.query.decode(),
            headers=headers,
            body=body,
        )
        try:
            decoded = dialect.decode(incoming, now=0)
        except BadRequest as refused:
            reply = refused.reply
            return httpx2.Response(reply.status, headers=list(reply.headers), content=reply.body)
        frames = [dialect.encode(decoded, reply) for reply in self._replies(decoded)]
        return response(frames)

    def _replies(self, decoded: Request) -> Iterator[Any]:
        self._count += 1
        request = msgspec.structs.replace(decoded, id=self._count, key="key-1")
        self._provider.arrive(request, 0)
        while (due := self._provider.next_due()) is not None:
            yield from self._provider.advance(due)


class Body(httpx2.AsyncByteStream):
    """The bytes of the frames, readable once; a broken connection is an error while reading."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = iter(frames)
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        frame = None if self._over else next(self._frames, None)
        if frame is None:
            raise StopAsyncIteration
        if frame.abort and not frame.data:
            raise httpx2.RemoteProtocolError("the connection was cut")
        self._over = frame.end
        return frame.data


def response(frames: list[Frame]) -> httpx2.Response:
    """The frames as a response."""
    head = frames[0].head
    if head is None:
        raise httpx2.RemoteProtocolError("the connection was reset")
    return httpx2.Response(head.status, headers=list(head.headers), stream=Body(frames))


def openai_client(scenario: Scenario | None = None, **options: Any) -> openai.AsyncOpenAI:
    """An OpenAI client on the fake network that does not retry and takes nothing loosely."""
    transport = httpx2.MockTransport(FakeNetwork(scenario or Scenario()))
    return openai.AsyncOpenAI(
        **{
            "api_key": "sk-one",
            "base_url": "https://api.openai.com/v1",
            "http_client": httpx2.AsyncClient(transport=transport),
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }
    )


def anthropic_client(scenario: Scenario | None = None, **options: Any) -> anthropic.AsyncAnthropic:
    """An Anthropic client on the fake network that does not retry and takes nothing loosely."""
    transport = httpx2.MockTransport(FakeNetwork(scenario or Scenario()))
    return anthropic.AsyncAnthropic(
        **{
            "api_key": "sk-one",
            "base_url": "https://api.anthropic.com",
            "http_client": httpx2.AsyncClient(transport=transport),
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }
    )


OPENAI_ASKED: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "item-1"}]}
ANTHROPIC_ASKED: dict[str, Any] = {
    "model": "claude-test",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "item-1"}],
}


def wave(status: int, retry_after: RetryAfter | None = None) -> Scenario:
    """A scenario that refuses everything."""
    return Scenario(wave=(Wave(lasts=Duration(20 * SECOND), status=status, retry_after=retry_after),))


def fault(kind: FaultKind) -> Scenario:
    """A scenario whose first answer goes wrong after two chunks."""
    return Scenario(fault=(Fault(kind=kind, after_chunks=2),))


# -- OpenAI ----------------------------------------------------------------------------------------


async def test_openai_reads_a_plain_answer() -> None:
    """Text, finish reason and usage are all there, and the usage adds up."""
    async with openai_client() as client:
        answer = await client.chat.completions.create(**OPENAI_ASKED)
    assert marks_in(answer.choices[0].message.content or "") == ("item-1",)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")
    assert answer.id.startswith("chatcmpl-")


async def test_openai_reads_a_stream() -> None:
    """The joined chunks are the plain answer, and the usage at the end adds up."""
    async with openai_client() as client:
        plain = await client.chat.completions.create(**OPENAI_ASKED)
        stream = await client.chat.completions.create(
            **OPENAI_ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 2 + len(chunks) - 3


async def test_openai_helper_gathers_a_stream() -> None:
    """The SDK's own stream helper ends with a whole completion."""
    async with openai_client() as client, client.chat.completions.stream(**OPENAI_ASKED) as stream:
        completion = await stream.get_final_completion()
    assert marks_in(completion.choices[0].message.content or "") == ("item-1",)


async def test_openai_sees_an_answer_cut_short() -> None:
    """`max_tokens` ends an answer early with the reason `length`."""
    async with openai_client() as client:
        answer = await client.chat.completions.create(**OPENAI_ASKED, max_completion_tokens=1)
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("length", "[wt:item-1]")


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, openai.BadRequestError, "rate_limit_exceeded"),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (403, openai.PermissionDeniedError, None),
        (404, openai.NotFoundError, "model_not_found"),
        (409, openai.ConflictError, "conflict"),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (500, openai.InternalServerError, None),
        (503, openai.InternalServerError, "server_is_overloaded"),
        (529, openai.InternalServerError, "server_is_overloaded"),
    ],
)
async def test_openai_raises_the_error_of_a_status(
    status: int, error: type[openai.APIStatusError], code: str | None
) -> None:
    """Type, code and request id are read from the body and the headers."""
    async with openai_client(wave(status)) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(**OPENAI_ASKED)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.type
    assert caught.value.request_id == caught.value.response.headers["x-request-id"]


async def test_openai_hears_of_a_bad_request() -> None:
    """A bad parameter, a bad path and a missing key each raise their own error."""
    async with openai_client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**OPENAI_ASKED, max_tokens=0)
        assert caught.value.param == "max_tokens"
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            await client.fine_tuning.jobs.list()
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(**OPENAI_ASKED, extra_headers={"Authorization": ""})


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        (RetryAfter(), 20),
        (RetryAfter(value=Duration(SECOND // 2)), 0.5),
        (RetryAfter(form="ms", value=Duration(SECOND // 4)), 0.25),
        (RetryAfter(form="body"), None),
        (RetryAfter(form="none"), None),
    ],
)
async def test_openai_understands_retry_after(retry_after: RetryAfter, delay: float | None) -> None:
    """The SDK's own reader gets the value the scenario wrote."""
    async with openai_client(wave(429, retry_after)) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**OPENAI_ASKED)
        assert client._parse_retry_after_header(caught.value.response.headers) == delay


async def test_openai_raw_headers_hold_the_limits() -> None:
    """The names are those that clients look for."""
    limits = Limits(requests_per_minute=60, tokens_per_minute=6000)
    async with openai_client(Scenario(limits=limits)) as client:
        raw = await client.chat.completions.with_raw_response.create(**OPENAI_ASKED)
    names = {name for name in raw.headers if name.startswith(("x-ratelimit", "openai-"))}
    kinds = ("limit", "remaining", "reset")
    assert names == {
        *(f"x-ratelimit-{kind}-{what}" for kind in kinds for what in ("requests", "tokens")),
        "openai-organization",
        "openai-processing-ms",
        "openai-version",
    }


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut-mid-stream", (openai.APIConnectionError, httpx2.RemoteProtocolError)),
        ("reset", (openai.APIConnectionError,)),
        ("malformed-chunk", (ValueError,)),
        ("error-in-stream", (openai.APIError,)),
        ("html-body", (openai.InternalServerError,)),
    ],
)
async def test_openai_meets_each_fault_in_a_stream(
    kind: FaultKind, error: tuple[type[Exception], ...]
) -> None:
    """What came before the fault is read, and then the SDK raises."""
    pieces: list[str] = []

    async def read(client: openai.AsyncOpenAI) -> None:
        async for chunk in await client.chat.completions.create(**OPENAI_ASKED, stream=True):
            pieces.append(chunk.choices[0].delta.content or "")

    async with openai_client(fault(kind)) as client:
        with pytest.raises(error):
            await read(client)
    assert "".join(pieces) == ("" if kind in ("reset", "html-body") else "[wt:item-1] is")


# -- Anthropic -------------------------------------------------------------------------------------


async def test_anthropic_reads_a_plain_answer() -> None:
    """Text, stop reason and usage are all there."""
    async with anthropic_client() as client:
        answer = await client.messages.create(**ANTHROPIC_ASKED)
    (block,) = answer.content
    assert block.type == "text"
    assert marks_in(block.text) == ("item-1",)
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 2, 8)
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_011C")
    assert answer.id.startswith("msg_01")


async def test_anthropic_helper_gathers_a_stream() -> None:
    """The SDK's own stream helper ends with the message a plain request gets."""
    async with anthropic_client() as client:
        plain = await client.messages.create(**ANTHROPIC_ASKED)
        async with client.messages.stream(**ANTHROPIC_ASKED) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            message = await stream.get_final_message()
    assert [(block.type, getattr(block, "text", None)) for block in plain.content] == [("text", text)]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "end_turn",
        2,
        8,
    )


async def test_anthropic_reads_the_raw_events_of_a_stream() -> None:
    """Each event passes the strict parser; the last usage is the whole message's."""
    async with anthropic_client() as client:
        events = [event async for event in await client.messages.create(**ANTHROPIC_ASKED, stream=True)]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_delta") == 8


async def test_anthropic_sees_an_answer_cut_short() -> None:
    """`max_tokens` ends an answer early with its own reason."""
    async with anthropic_client() as client:
        answer = await client.messages.create(**ANTHROPIC_ASKED | {"max_tokens": 3})
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "rate_limit_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.APIStatusError, "overloaded_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
async def test_anthropic_raises_the_error_of_a_status(
    status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    """Type and request id are read from the body and the headers."""
    async with anthropic_client(wave(status)) as client:
        with pytest.raises(error) as caught:
            await client.messages.create(**ANTHROPIC_ASKED)
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.request_id == caught.value.response.headers["request-id"]


@pytest.mark.parametrize(("status", "name"), [(503, "ServiceUnavailableError"), (529, "OverloadedError")])
async def test_anthropic_has_classes_of_its_own_for_overload(status: int, name: str) -> None:
    """The SDK tells an overload from other server errors."""
    async with anthropic_client(wave(status)) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(**ANTHROPIC_ASKED)
    assert type(caught.value).__name__ == name


async def test_anthropic_hears_of_a_bad_request() -> None:
    """A bad parameter and a bad path each raise their own error."""
    async with anthropic_client() as client:
        with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
            await client.messages.create(**ANTHROPIC_ASKED | {"max_tokens": 0})
        with pytest.raises(anthropic.NotFoundError):
            await client.beta.files.list()


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        (RetryAfter(), 20),
        (RetryAfter(value=Duration(3 * SECOND // 2)), 1.5),
        (RetryAfter(form="ms", value=Duration(SECOND // 4)), 0.25),
        (RetryAfter(form="body"), None),
        (RetryAfter(form="none"), None),
    ],
)
async def test_anthropic_understands_retry_after(retry_after: RetryAfter, delay: float | None) -> None:
    """The SDK's own reader gets the value the scenario wrote."""
    async with anthropic_client(wave(429, retry_after)) as client:
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(**ANTHROPIC_ASKED)
        assert client._parse_retry_after_header(caught.value.response.headers) == delay


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut-mid-stream", (anthropic.APIConnectionError, httpx2.RemoteProtocolError)),
        ("reset", (anthropic.APIConnectionError,)),
        ("malformed-chunk", (ValueError,)),
        ("error-in-stream", (anthropic.APIStatusError,)),
        ("html-body", (anthropic.InternalServerError,)),
    ],
)
async def test_anthropic_meets_each_fault_in_a_stream(
    kind: FaultKind, error: tuple[type[Exception], ...]
) -> None:
    """What came before the fault is read, and then the SDK raises."""
    pieces: list[str] = []

    async def read(client: anthropic.AsyncAnthropic) -> None:
        async for event in await client.messages.create(**ANTHROPIC_ASKED, stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                pieces.append(event.delta.text)

    async with anthropic_client(fault(kind)) as client:
        with pytest.raises(error):
            await read(client)
    assert "".join(pieces) == ("" if kind in ("reset", "html-body") else "[wt:item-1] is")
