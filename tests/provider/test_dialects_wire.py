"""The dialects byte by byte: requests read, bad ones answered, replies and faults written."""

from __future__ import annotations

import email.utils
import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from wavetank.clock import EPOCH_NS, EPOCH_SECONDS, SECOND, Duration
from wavetank.provider.http import BadRequest, Dialect, Frame, HttpRequest, WireReply
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import Fault, FaultKind, Limits, Match, RetryAfter, Scenario, Wave

from .dialects import dialect_for

OPENAI, ANTHROPIC = "api.openai.com", "api.anthropic.com"
PATHS = {OPENAI: "/v1/chat/completions", ANTHROPIC: "/v1/messages"}
BOTH = pytest.mark.parametrize("host", [OPENAI, ANTHROPIC])


def dialect(host: str) -> Dialect:
    """The dialect of a host, which must have one."""
    found = dialect_for(host)
    assert found is not None
    return found


def http(host: str, body: dict[str, Any] | bytes | None = None, **changes: Any) -> HttpRequest:
    """A good request to a host; body fields and request fields can be changed, `None` removes one."""
    good = {"model": "m-1", "max_tokens": 20, "messages": [{"role": "user", "content": "item-1"}]}
    if not isinstance(body, bytes):
        merged = good | (body or {})
        body = json.dumps({name: value for name, value in merged.items() if value is not None}).encode()
    headers = {"authorization": "Bearer sk-one", "anthropic-version": "2026-10-21"} | changes.pop(
        "headers", {}
    )
    fields = {"method": "POST", "host": host, "path": PATHS[host], "body": body} | changes
    return HttpRequest(
        headers={name: value for name, value in headers.items() if value is not None}, **fields
    )


def refused(host: str, request: HttpRequest) -> WireReply:
    """The answer to a request that must be turned away."""
    with pytest.raises(BadRequest) as caught:
        dialect(host).decode(request, now=SECOND)
    return caught.value.reply


@dataclass
class Exchange:
    """A request's frames and what they add up to."""

    frames: list[Frame]

    @property
    def status(self) -> int:
        head = self.frames[0].head
        assert head is not None
        return head.status

    @property
    def headers(self) -> dict[str, str]:
        head = self.frames[0].head
        assert head is not None
        return dict(head.headers)

    @property
    def body(self) -> bytes:
        """What is sent until the connection breaks or the body ends."""
        data = b""
        for frame in self.frames:
            data += frame.data
            if frame.abort or frame.end:
                break
        return data

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def aborted(self) -> bool:
        return any(frame.abort for frame in self.frames)


def exchange(
    host: str, scenario: Scenario | None = None, *, at: int = 0, number: int = 1, **body: Any
) -> Exchange:
    """One request through the dialect, the provider and back."""
    provider = Provider(scenario or Scenario())
    speaks = dialect(host)
    decoded = speaks.decode(http(host, body), now=at)
    provider.arrive(as_request(decoded, number), at)
    frames: list[Frame] = []
    while (due := provider.next_due()) is not None:
        frames += [speaks.encode(decoded, reply) for reply in provider.advance(due)]
    return Exchange(frames)


def as_request(read: Request, number: int) -> Request:
    """The request as the desk passes it on."""
    return msgspec.structs.replace(read, id=number, key="key-1")


def wave(status: int = 429, given: RetryAfter | None = None) -> Scenario:
    """A scenario that refuses everything for ten seconds."""
    return Scenario(wave=(Wave(lasts=Duration(10 * SECOND), status=status, retry_after=given),))


# -- hosts and requests ----------------------------------------------------------------------------


def test_a_host_is_known_whatever_its_case_and_port() -> None:
    """Host names come from URLs and headers in many shapes."""
    assert dialect("API.OpenAI.com:443").card.name == "openai"
    assert dialect("api.anthropic.com.").card.name == "anthropic"
    assert dialect_for("example.com") is None


@BOTH
def test_a_good_request_is_read(host: str) -> None:
    """Model, key, identity, prompt, token count and limits come out."""
    decoded = dialect(host).decode(http(host, {"stream": True}), now=5)
    assert (decoded.model, decoded.secret, decoded.item, decoded.declared) == (
        "m-1",
        "sk-one",
        "item-1",
        False,
    )
    assert (decoded.prompt, decoded.prompt_tokens, decoded.max_tokens) == ("item-1", 2, 20)
    assert (decoded.stream, decoded.arrived) == (True, 5)


@BOTH
def test_a_request_may_declare_its_item(host: str) -> None:
    """In the header or in the metadata of the body."""
    speaks = dialect(host)
    by_header = speaks.decode(http(host, headers={"x-wavetank-item": "row-7"}))
    by_body = speaks.decode(http(host, {"metadata": {"item": "row-8"}}))
    assert [(d.item, d.declared) for d in (by_header, by_body)] == [("row-7", True), ("row-8", True)]


def test_all_messages_count_as_prompt_tokens() -> None:
    """System and earlier messages are paid for, whichever place a dialect gives them."""
    turns = [{"role": "user", "content": "x" * 40}, {"role": "user", "content": "y" * 3}]
    system = {"role": "system", "content": "s" * 20}
    openai = dialect(OPENAI).decode(http(OPENAI, {"messages": [system, *turns]}))
    anthropic = dialect(ANTHROPIC).decode(http(ANTHROPIC, {"messages": turns, "system": "s" * 20}))
    assert openai.prompt_tokens == anthropic.prompt_tokens == -(-(20 + 40 + 3 + 2) // 4)


def test_openai_knows_two_names_for_max_tokens() -> None:
    """`max_completion_tokens` is the one of today and wins; without either the answer is whole."""
    speaks = dialect(OPENAI)
    assert speaks.decode(http(OPENAI, {"max_completion_tokens": 7})).max_tokens == 7
    assert speaks.decode(http(OPENAI, {"max_tokens": None})).max_tokens is None


def test_anthropic_takes_either_header_for_the_key() -> None:
    """`x-api-key` comes before the bearer token."""
    headers = {"x-api-key": "sk-two"}
    assert dialect(ANTHROPIC).decode(http(ANTHROPIC, headers=headers)).secret == "sk-two"
    alone = {"x-api-key": "sk-two", "authorization": None}
    assert dialect(ANTHROPIC).decode(http(ANTHROPIC, headers=alone)).secret == "sk-two"


WRONG_MESSAGES: list[Any] = [
    7,
    [],
    ["x"],
    [{"content": "no role"}],
    [{"role": 7, "content": "no name"}],
    [{"role": "usr", "content": "no such role"}],
    [{"role": "user"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": 7}],
]


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"path": "/v1/foo"}, 404, None, None),
        ({"method": "GET"}, 405, "method_not_supported", None),
        ({"headers": {"authorization": None}}, 401, "invalid_api_key", None),
        ({"headers": {"authorization": "Basic x"}}, 401, "invalid_api_key", None),
        ({"body": b"{nonsense"}, 400, None, None),
        ({"body": b"[]"}, 400, None, None),
        ({"body": b"\xff\xfe"}, 400, None, None),
        ({"body": {"model": None}}, 400, "missing_required_parameter", "model"),
        ({"body": {"model": 7}}, 400, "invalid_type", "model"),
        ({"body": {"messages": None}}, 400, "missing_required_parameter", "messages"),
        ({"body": {"stream": "yes"}}, 400, "invalid_type", "stream"),
        ({"body": {"max_tokens": 0}}, 400, "invalid_type", "max_tokens"),
        ({"body": {"max_tokens": True}}, 400, "invalid_type", "max_tokens"),
    ],
)
def test_openai_turns_bad_requests_away(
    changes: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    """The error object has all four keys, and says which parameter is wrong."""
    reply = refused(OPENAI, http(OPENAI, **changes))
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["param"]) == (status, code, param)
    assert (sorted(error), error["type"]) == (["code", "message", "param", "type"], "invalid_request_error")
    headers = dict(reply.headers)
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert headers["date"] == "Thu, 01 Jan 2026 00:00:01 GMT"


@pytest.mark.parametrize(
    ("changes", "status", "kind", "message"),
    [
        ({"path": "/v1/foo"}, 404, "not_found_error", "Not found"),
        ({"method": "GET"}, 405, "invalid_request_error", "Method Not Allowed"),
        ({"headers": {"authorization": None}}, 401, "authentication_error", "x-api-key header is required"),
        ({"headers": {"anthropic-version": None}}, 400, "invalid_request_error", "anthropic-version: header"),
        ({"body": b"{nonsense"}, 400, "invalid_request_error", "not valid JSON"),
        ({"body": {"max_tokens": None}}, 400, "invalid_request_error", "max_tokens: Field required"),
        ({"body": {"model": None}}, 400, "invalid_request_error", "model: Field required"),
        ({"body": {"model": ""}}, 400, "invalid_request_error", "model: Input"),
        ({"body": {"messages": None}}, 400, "invalid_request_error", "messages: Field required"),
        ({"body": {"stream": "yes"}}, 400, "invalid_request_error", "stream: Input"),
        ({"body": {"max_tokens": -1}}, 400, "invalid_request_error", "max_tokens: Input"),
    ],
)
def test_anthropic_turns_bad_requests_away(
    changes: dict[str, Any], status: int, kind: str, message: str
) -> None:
    """The error names its type and repeats the id of the request."""
    reply = refused(ANTHROPIC, http(ANTHROPIC, **changes))
    body = json.loads(reply.body)
    assert (reply.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert message in body["error"]["message"]
    assert body["request_id"] == dict(reply.headers)["request-id"]


@BOTH
@pytest.mark.parametrize("messages", WRONG_MESSAGES)
def test_messages_must_be_messages(host: str, messages: Any) -> None:
    """A list of objects with roles and content, and not an empty one."""
    assert refused(host, http(host, {"messages": messages})).status == 400


def test_a_tool_call_needs_no_content() -> None:
    """An assistant's turn of OpenAI that only calls a tool has `null` there."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert dialect(OPENAI).decode(http(OPENAI, {"messages": turns})).prompt == "x"


@BOTH
def test_a_wrong_method_hears_the_right_one(host: str) -> None:
    """A 405 names the method that is allowed."""
    assert dict(refused(host, http(host, method="PUT")).headers)["allow"] == "POST"


# -- replies ---------------------------------------------------------------------------------------


@BOTH
def test_the_same_exchange_gives_the_same_bytes(host: str) -> None:
    """Bytes depend on the request, its number and the instant alone; another number has other ids."""
    assert exchange(host, stream=True).frames == exchange(host, stream=True).frames
    assert exchange(host).body != exchange(host, number=2).body


@BOTH
def test_dates_are_those_of_the_run(host: str) -> None:
    """The instant 0 is the epoch of the run; a caller on real time passes another one."""
    assert exchange(host, at=90 * SECOND).headers["date"] == "Thu, 01 Jan 2026 00:01:30 GMT"
    speaks = dialect(host)
    decoded = speaks.decode(http(host))
    provider = Provider(Scenario())
    provider.arrive(as_request(decoded, 1), 0)
    (frame,) = (speaks.encode(decoded, reply, epoch_ns=0) for reply in provider.advance(0))
    assert frame.head is not None
    assert dict(frame.head.headers)["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


@BOTH
def test_heads_leave_the_framing_to_the_http_layer(host: str) -> None:
    """No frame sets a length or a transfer coding; all have a content type."""
    for found in (exchange(host), exchange(host, stream=True), exchange(host, wave())):
        assert not {"content-length", "transfer-encoding"} & set(found.headers)
        assert "content-type" in found.headers
    assert exchange(host, stream=True).headers["content-type"] == "text/event-stream; charset=utf-8"


@BOTH
@pytest.mark.parametrize(
    ("given", "header", "text"),
    [
        (RetryAfter(), ("retry-after", "10"), "10s"),
        (RetryAfter(value=Duration(3 * SECOND // 2)), ("retry-after", "1.5"), "1.5s"),
        (RetryAfter(form="ms", value=Duration(1_500_500_000)), ("retry-after-ms", "1500.5"), "1.5005s"),
        (
            RetryAfter(form="http-date", value=Duration(20 * SECOND)),
            ("retry-after", "Thu, 01 Jan 2026 00:00:21 GMT"),
            "20.99s",
        ),
        (RetryAfter(form="body", value=Duration(1_798_000_000)), None, "1.798s"),
        (RetryAfter(form="none"), None, None),
    ],
)
def test_each_form_of_retry_after(
    host: str, given: RetryAfter, header: tuple[str, str] | None, text: str | None
) -> None:
    """Seconds, a date or milliseconds in their header; `body` in the text; `none` nowhere."""
    found = exchange(host, wave(given=given))
    stated = [pair for pair in found.headers.items() if pair[0].startswith("retry-after")]
    assert stated == ([header] if header else [])
    hint = f"Please try again in {text}." if text and (host == OPENAI or given.form == "body") else None
    message = found.json["error"]["message"]
    assert (hint in message) if hint else ("try again in" not in message)


@BOTH
def test_a_dated_retry_after_is_the_value_the_provider_stated(host: str) -> None:
    """The date is exactly the instant of sending plus the value that the event log holds."""
    provider, speaks = Provider(wave(given=RetryAfter(form="http-date"))), dialect(host)
    decoded = speaks.decode(http(host))
    provider.arrive(as_request(decoded, 1), 0)
    (reply,) = provider.advance(SECOND)
    head = speaks.encode(decoded, reply).head
    assert head is not None
    date = email.utils.parsedate_to_datetime(dict(head.headers)["retry-after"]).timestamp()
    given = getattr(reply.outcome, "retry_after", None)
    assert given is not None
    assert date * SECOND == EPOCH_NS + reply.at + given.value


def test_openai_states_its_limits_in_headers() -> None:
    """Limit, rest and a Go duration, for requests and tokens; none without limits."""
    limits = Limits(requests_per_minute=600, tokens_per_minute=60_000, burst=Duration(6 * SECOND))
    given = {n: v for n, v in exchange(OPENAI, Scenario(limits=limits)).headers.items() if "ratelimit" in n}
    assert given == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "5978",
        "x-ratelimit-reset-tokens": "22ms",
    }
    assert not any("ratelimit" in name for name in exchange(OPENAI).headers)


def test_anthropic_states_its_limits_in_headers() -> None:
    """Limit, rest and a date in whole seconds, rounded up, also on a refusal."""
    limits = Limits(requests_per_minute=600, tokens_per_minute=60_000, burst=Duration(6 * SECOND))
    scenario = Scenario(limits=limits, wave=wave(529).wave)
    refusal = exchange(ANTHROPIC, scenario)
    assert refusal.headers["anthropic-ratelimit-requests-remaining"] == "60"
    given = {
        n: v for n, v in exchange(ANTHROPIC, Scenario(limits=limits)).headers.items() if "ratelimit" in n
    }
    assert given == {
        "anthropic-ratelimit-requests-limit": "600",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:01Z",
        "anthropic-ratelimit-tokens-limit": "60000",
        "anthropic-ratelimit-tokens-remaining": "5978",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:01Z",
    }


def second_refusal(host: str, limits: Limits) -> Any:
    """The error of the second of two equal requests at one instant."""
    provider, speaks = Provider(Scenario(limits=limits)), dialect(host)
    decoded = speaks.decode(http(host))
    for number in (1, 2):
        provider.arrive(as_request(decoded, number), 0)
    frames = [speaks.encode(decoded, reply) for reply in provider.advance(SECOND)]
    return json.loads(frames[-1].data)["error"]


def test_openai_names_the_limit_that_was_hit() -> None:
    """The texts have the numbers that clients read out of them."""
    requests = second_refusal(OPENAI, Limits(requests_per_minute=60))
    assert (requests["type"], requests["code"]) == ("requests", "rate_limit_exceeded")
    assert "(RPM): Limit 60, Used 60, Requested 1. Please try again in 1s." in requests["message"]
    tokens = second_refusal(OPENAI, Limits(tokens_per_minute=60))
    assert tokens["type"] == "tokens"
    assert "(TPM): Limit 60, Used 60, Requested 22. Please try again in 22s." in tokens["message"]
    large = second_refusal(OPENAI, Limits(tokens_per_minute=20))
    assert large["message"].startswith("Request too large for m-1")
    assert "Limit 20, Requested 22." in large["message"]


def test_anthropic_names_the_limit_that_was_hit() -> None:
    """A scripted wave speaks of the account, a limit of its number."""
    tokens = second_refusal(ANTHROPIC, Limits(tokens_per_minute=30_000, burst=Duration(1)))
    assert "rate limit of 30,000 tokens per minute" in tokens["message"]
    requests = second_refusal(ANTHROPIC, Limits(requests_per_minute=50))
    assert "rate limit of 50 requests per minute" in requests["message"]
    assert exchange(ANTHROPIC, wave()).json["error"] == {
        "type": "rate_limit_error",
        "message": "This request would exceed your account's rate limit. Please try again later.",
    }


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, ("requests", "rate_limit_exceeded"), "rate_limit_error"),
        (401, ("invalid_request_error", "invalid_api_key"), "authentication_error"),
        (402, ("insufficient_quota", "credit_balance_exhausted"), "billing_error"),
        (403, ("invalid_request_error", None), "permission_error"),
        (408, ("timeout", None), "timeout_error"),
        (418, ("requests", "rate_limit_exceeded"), "rate_limit_error"),
        (429, ("requests", "rate_limit_exceeded"), "rate_limit_error"),
        (500, ("server_error", None), "api_error"),
        (503, ("service_unavailable_error", "server_is_overloaded"), "overloaded_error"),
        (504, ("server_error", None), "timeout_error"),
        (529, ("service_unavailable_error", "server_is_overloaded"), "overloaded_error"),
        (599, ("server_error", None), "api_error"),
    ],
)
def test_each_status_has_its_error(status: int, openai: tuple[str, str | None], anthropic: str) -> None:
    """A wave's status is sent as written, with the error type that belongs to it."""
    error = exchange(OPENAI, wave(status)).json["error"]
    assert (exchange(OPENAI, wave(status)).status, (error["type"], error["code"])) == (status, openai)
    found = exchange(ANTHROPIC, wave(status))
    assert (found.status, found.json["error"]["type"]) == (status, anthropic)
    assert found.json["request_id"] == found.headers["request-id"]


def data_lines(body: bytes) -> list[str]:
    """The data of each event of a stream."""
    return [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]


def test_an_openai_stream_in_its_order() -> None:
    """Role, tokens, finish reason, usage if asked for, and the end mark."""
    lines = data_lines(exchange(OPENAI, stream=True, stream_options={"include_usage": True}).body)
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(c["choices"][0]["delta"]["content"] for c in chunks[1:-2]).startswith("[wt:item-1] is")
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 2 + 8
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1


def test_openai_gives_no_usage_unless_asked() -> None:
    """Without `include_usage` a stream has no usage at all."""
    body = exchange(OPENAI, stream=True).body
    assert b"usage" not in body
    assert b"event:" not in body


def test_created_is_the_arrival() -> None:
    """It stays the same in all chunks, however long a stream takes."""
    chunk = json.loads(data_lines(exchange(OPENAI, at=90 * SECOND, stream=True).body)[0])
    assert chunk["created"] == EPOCH_SECONDS + 90


def test_an_anthropic_stream_in_its_order() -> None:
    """Every event has its name, and the last usage covers the whole message."""
    body = exchange(ANTHROPIC, stream=True).body.decode()
    names = re.findall(r"^event: (\w+)$", body, flags=re.MULTILINE)
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names[3:-3] == ["content_block_delta"] * 8
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    events = [json.loads(line) for line in data_lines(body.encode())]
    assert [event["type"] for event in events] == names
    assert events[0]["message"]["usage"]["input_tokens"] == 2
    assert events[-2]["usage"]["output_tokens"] == 8
    assert events[-2]["delta"]["stop_reason"] == "end_turn"


@BOTH
def test_an_answer_cut_by_max_tokens_says_so(host: str) -> None:
    """Plain and streamed answers name the reason in the words of the dialect."""
    word = b'"length"' if host == OPENAI else b'"max_tokens"'
    for stream in (False, True):
        assert word in exchange(host, max_tokens=3, stream=stream).body
        assert word not in exchange(host, stream=stream).body


# -- faults ----------------------------------------------------------------------------------------


def faulty(host: str, kind: FaultKind, after: int = 2, **body: Any) -> Exchange:
    """One exchange that goes wrong."""
    fault = Fault(kind=kind, after_chunks=after, lasts=Duration(SECOND), match=Match(item="item-*"))
    return exchange(host, Scenario(fault=(fault,)), **body)


def tokens(found: Exchange) -> int:
    """How many tokens of the answer are in a stream."""
    return len(re.findall(rb'"content":"[^"]|"text":"[^"]', found.body))


@BOTH
@pytest.mark.parametrize(("after", "sent"), [(0, 0), (2, 2), (99, 8)])
def test_a_cut_stream_breaks_after_its_chunks(host: str, after: int, sent: int) -> None:
    """What came before the cut is the untouched beginning of the answer; the end never comes."""
    found, whole = faulty(host, "cut-mid-stream", after, stream=True), exchange(host, stream=True)
    assert (found.status, tokens(found), found.aborted) == (200, sent, True)
    assert whole.body.startswith(found.body)
    assert found.body != whole.body
    assert not any(frame.end for frame in found.frames)


@BOTH
def test_a_cut_plain_answer_promises_more_than_it_sends(host: str) -> None:
    """The head announces the whole length and the body breaks off half-way."""
    found, whole = faulty(host, "cut-mid-stream"), exchange(host)
    (frame,) = found.frames
    assert frame.head is not None
    assert (frame.head.length, frame.abort, frame.end) == (len(whole.body), True, False)
    assert frame.data == whole.body[: len(whole.body) // 2]


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_sends_nothing(host: str, stream: bool) -> None:
    """No head, no byte, only a broken connection."""
    frames = faulty(host, "reset", stream=stream).frames
    assert all(frame == Frame(abort=True) for frame in frames)


@BOTH
@pytest.mark.parametrize("after", [2, 99])
def test_a_malformed_chunk_is_no_json(host: str, after: int) -> None:
    """Exactly one event cannot be parsed; the stream still ends."""
    found = faulty(host, "malformed-chunk", after, stream=True)
    torn = [line for line in data_lines(found.body) if line != "[DONE]" and not parses(line)]
    assert len(torn) == 1
    assert (found.frames[-1].end, found.aborted) == (True, False)
    assert tokens(found) == (7 if after == 2 else 8)


@BOTH
def test_a_malformed_plain_answer_is_no_json(host: str) -> None:
    """The body ends in the middle, with status 200 and a clean end."""
    found = faulty(host, "malformed-chunk")
    assert (found.status, parses(found.body.decode()), found.frames[-1].end) == (200, False, True)


def parses(text: str) -> bool:
    """Whether a text is JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@BOTH
def test_an_error_in_a_stream_is_the_last_thing_in_it(host: str) -> None:
    """After its chunks comes the dialect's own error event and nothing else."""
    found = faulty(host, "error-in-stream", stream=True)
    assert (found.status, tokens(found), found.frames[-1].end) == (200, 2, True)
    last = json.loads(data_lines(found.body)[-1])
    assert last["error"]["type"] == ("server_error" if host == OPENAI else "overloaded_error")
    assert (b"event: error\n" in found.body) == (host == ANTHROPIC)


@BOTH
def test_an_error_in_a_plain_answer_has_status_200(host: str) -> None:
    """The body is an error object all the same."""
    found = faulty(host, "error-in-stream")
    assert found.status == 200
    assert found.json["error"]["message"]


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_body(host: str, stream: bool) -> None:
    """Status 200, a head, and nothing after it."""
    found = faulty(host, "empty-body", stream=stream)
    assert (found.status, found.body, found.frames[-1].end) == (200, b"", True)


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_a_page_of_html(host: str, stream: bool) -> None:
    """What a gateway says when it cannot reach the provider."""
    found = faulty(host, "html-body", stream=stream)
    assert (found.status, found.headers["content-type"]) == (502, "text/html")
    assert found.body.startswith(b"<html>")
    assert found.body.count(b"</html>") == 1
    assert found.frames[-1].end


@BOTH
@pytest.mark.parametrize("kind", ["stall", "slow-trickle"])
@pytest.mark.parametrize("stream", [False, True])
def test_slowness_changes_no_bytes(host: str, kind: FaultKind, stream: bool) -> None:
    """Apart from the date, a slow answer is the answer."""
    assert faulty(host, kind, stream=stream).body == exchange(host, stream=stream).body
