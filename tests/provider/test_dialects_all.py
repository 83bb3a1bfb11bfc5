"""What holds for every dialect: answers, streams, refusals, bad requests, hosts and secrets."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from wavetank.clock import SECOND, Duration
from wavetank.provider.answer_texts import marks_in
from wavetank.provider.dialect_base.wire_dialect import WireDialect
from wavetank.provider.event_stream import is_event_stream
from wavetank.provider.host_rules import HostApp, HostTable
from wavetank.provider.http import BadRequest, Frame, HttpRequest, WireReply
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.provider.schema_answers import value_for
from wavetank.provider.vendor_card import COMPATIBLE
from wavetank.provider.vendor_registry import card_named, cards
from wavetank.provider.vendors.openai.moderations import Moderations
from wavetank.provider.vendors.openai.vendor import OpenAIVendor
from wavetank.scenario import Fault, FaultKind, Limits, RefusalError, RetryAfter, Scenario, Wave, Wrapping

from .dialects import dialect_for, route

MESSAGES: Any = [{"role": "user", "content": "item-1"}]
CHAT: dict[str, Any] = {"model": "m-1", "messages": MESSAGES}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "item-1"}]}]}


@dataclass(frozen=True)
class Way:
    """How a question is put to a dialect, plain and streamed, and where its answer is."""

    host: str
    path: str
    body: dict[str, Any]
    name: str = ""
    stream_path: str = ""
    query: str = ""
    stream: dict[str, Any] = field(default_factory=lambda: {"stream": True})
    no_key: int = 401
    headers: dict[str, str] = field(default_factory=dict)


CONVERSED: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "item-1"}]}]}
CLAUDE: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 20, "anthropic_version": "v"}
AWS = "bedrock-runtime.eu-west-1.amazonaws.com"
GEMINI = "/v1beta/models/m-1:"
VERTEX = "/v1beta1/projects/p/locations/us-central1/publishers/google/models/m-1:"
WAYS = {
    "openai": Way("api.openai.com", "/v1/chat/completions", CHAT),
    "openai-responses": Way("api.openai.com", "/v1/responses", {"model": "m-1", "input": "item-1"}, "openai"),
    "openai-completions": Way(
        "api.openai.com", "/v1/completions", {"model": "m-1", "prompt": "item-1"}, "openai"
    ),
    "anthropic": Way("api.anthropic.com", "/v1/messages", {**CHAT, "max_tokens": 20}),
    "anthropic-openai": Way("api.anthropic.com", "/v1/chat/completions", CHAT, "anthropic"),
    "bedrock": Way(
        AWS, "/model/m-1/converse", CONVERSED, stream_path="/model/m-1/converse-stream", stream={}, no_key=403
    ),
    "bedrock-invoke": Way(
        AWS,
        "/model/m-1/invoke",
        CLAUDE,
        "bedrock",
        stream_path="/model/m-1/invoke-with-response-stream",
        stream={},
        no_key=403,
    ),
    "azure": Way("mine.openai.azure.com", "/openai/deployments/m-1/chat/completions", {"messages": MESSAGES}),
    "azure-v1": Way("mine.openai.azure.com", "/openai/v1/chat/completions", CHAT, "azure"),
    "gemini": Way(
        "generativelanguage.googleapis.com",
        f"{GEMINI}generateContent",
        CONTENTS,
        stream_path=f"{GEMINI}streamGenerateContent",
        query="alt=sse",
        stream={},
        no_key=403,
    ),
    "gemini-array": Way(
        "generativelanguage.googleapis.com",
        f"{GEMINI}generateContent",
        CONTENTS,
        "gemini",
        stream_path=f"{GEMINI}streamGenerateContent",
        stream={},
        no_key=403,
    ),
    "gemini-openai": Way(
        "generativelanguage.googleapis.com",
        "/v1beta/openai/chat/completions",
        CHAT,
        "gemini",
        no_key=403,
    ),
    "vertex": Way(
        "us-central1-aiplatform.googleapis.com",
        f"{VERTEX}generateContent",
        CONTENTS,
        stream_path=f"{VERTEX}streamGenerateContent",
        query="alt=sse",
        stream={},
    ),
    "vertex-claude": Way(
        "us-east5-aiplatform.googleapis.com",
        "/v1/projects/p/locations/us-east5/publishers/anthropic/models/m-1:rawPredict",
        CLAUDE,
        "vertex",
    ),
    "openrouter": Way("openrouter.ai", "/api/v1/chat/completions", CHAT),
    "ollama": Way("localhost:11434", "/api/chat", {**CHAT, "stream": False}, no_key=0),
    "ollama-generate": Way(
        "localhost:11434",
        "/api/generate",
        {"model": "m-1", "prompt": "item-1", "stream": False},
        "ollama",
        no_key=0,
    ),
    "ollama-v1": Way("localhost:11434", "/v1/chat/completions", CHAT, "ollama", no_key=0),
    "mistral": Way("api.mistral.ai", "/v1/chat/completions", CHAT),
    "groq": Way("api.groq.com", "/openai/v1/chat/completions", CHAT),
    "cohere": Way("api.cohere.com", "/v2/chat", CHAT),
    "cohere-lines": Way("api.cohere.com", "/v2/chat", CHAT, "cohere", headers={"accept": "application/json"}),
    "cohere-v1": Way("api.cohere.com", "/v1/chat", {"model": "m-1", "message": "item-1"}, "cohere"),
    "replicate": Way("openai-proxy.replicate.com", "/v1/chat/completions", CHAT),
    "vllm": Way("vllm", "/v1/chat/completions", CHAT, no_key=0),
}
EACH = pytest.mark.parametrize("way", WAYS)


def http(name: str, *, stream: bool = False, **changes: Any) -> HttpRequest:
    """A good request; its parts can be changed, and fields of its body replaced or (`None`) removed."""
    way = WAYS[name]
    body = changes.pop("body", {})
    if isinstance(body, dict):
        merged = way.body | (way.stream if stream else {}) | body
        body = json.dumps({key: value for key, value in merged.items() if value is not None}).encode()
    headers = {"authorization": "Bearer sk-one", "anthropic-version": "2026-10-21", **way.headers}
    fields = {
        "method": "POST",
        "host": way.host,
        "path": (way.stream_path or way.path) if stream else way.path,
        "query": way.query if stream else "",
        "headers": headers,
        "body": body,
    }
    return HttpRequest(**(fields | changes))


def exchange(
    request: HttpRequest, scenario: Scenario | None = None, *, times: int = 1, number: int = 1
) -> list[Frame]:
    """The frames of the last of some equal requests at one instant."""
    dialect = dialect_for(request.host)
    assert dialect is not None
    decoded = dialect.decode(request, now=0)
    provider = Provider(scenario or Scenario())
    for n in range(times):
        provider.arrive(as_request(decoded, number + n), 0)
    frames = []
    while (due := provider.next_due()) is not None:
        for reply in provider.advance(due):
            if reply.request_id == number + times - 1:
                frames.append(dialect.encode(decoded, reply))
    return frames


def as_request(read: Request, number: int) -> Request:
    """The request as the desk passes it on."""
    return msgspec.structs.replace(read, id=number, key="key-1")


def sent(frames: list[Frame]) -> bytes:
    """All bytes until the end or the break."""
    data = b""
    for frame in frames:
        data += frame.data
        if frame.end or frame.abort:
            break
    return data


def head(frames: list[Frame]) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    first = frames[0].head
    assert first is not None
    return first.status, dict(first.headers)


def text_in(value: Any) -> str:
    """All strings in a JSON value, joined: the pieces of a text among them in their order."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(text_in(one) for key, one in value.items() if key not in ("content_filter_results",))
    return "".join(text_in(one) for one in value) if isinstance(value, list) else ""


PIECES = (
    "contentBlockDelta",
    "content",
    "text",
    "delta",
    "response",
    "parts",
    "message",
    "choices",
    "candidates",
)


def pieces(value: Any) -> str:
    """The text in the places where dialects put text, and nothing else."""
    if isinstance(value, list):
        return "".join(pieces(one) for one in value)
    if not isinstance(value, dict):
        return ""
    return "".join(
        (one if isinstance(one, str) else pieces(one)) for key, one in value.items() if key in PIECES
    )


def events(data: bytes) -> list[Any]:
    """The JSON of each event, line or element of a stream; of AWS's what is in its messages."""
    if is_event_stream(data):
        buffer = EventStreamBuffer()
        buffer.add_data(data)
        said = [json.loads(message.payload) for message in buffer]
        return [json.loads(b64decode(one["bytes"])) if "bytes" in one else one for one in said]
    if data.startswith(b"["):
        found: list[Any] = json.loads(data)
        return found
    lines = [line.removeprefix("data: ").strip() for line in data.decode().replace("\r", "").split("\n")]
    return [json.loads(line) for line in lines if line.startswith("{")]


def wave(status: int = 429, **fields: Any) -> Scenario:
    """A scenario that refuses everything for ten seconds."""
    return Scenario(wave=(Wave(lasts=Duration(10 * SECOND), status=status, **fields),))


# -- hosts -----------------------------------------------------------------------------------------


@EACH
def test_a_host_has_its_dialect(way: str) -> None:
    """The dialect of a host is the one that its request is read in."""
    dialect = dialect_for(WAYS[way].host)
    assert dialect is not None
    assert dialect.card.name == (WAYS[way].name or way)
    assert dialect.decode(http(way)).dialect == dialect.card.name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("eu.api.openai.com", "openai"),
        ("europe-west4-aiplatform.googleapis.com", "vertex"),
        ("aiplatform.us.rep.googleapis.com", "vertex"),
        ("127.0.0.1:11434", "ollama"),
        ("[::1]:11434", "ollama"),
        ("ollama:8080", "ollama"),
        ("vllm-7b.internal:8000", "vllm"),
        ("localhost", None),
        ("localhost:8000", None),
        ("openai.com", None),
        ("myopenai.azure.com", None),
        ("api.openai.com.evil.example", None),
    ],
)
def test_hosts_are_patterns(host: str, name: str | None) -> None:
    """Regions and resources are sub-domains; what merely looks alike is not answered for."""
    dialect = dialect_for(host)
    assert (dialect and dialect.card.name) == name


def test_a_port_may_be_stated_beside_the_host() -> None:
    """Clients know the two apart; a port in the host itself wins."""
    assert dialect_for("localhost", 11434) is not None
    assert dialect_for("localhost", 8000) is None
    assert dialect_for("::1", 11434) is not None


@pytest.mark.parametrize(
    ("host", "path", "header", "name"),
    [
        ("127.0.0.1:8429", "/v1/chat/completions", "authorization", "openai"),
        ("127.0.0.1:8429", "/v1/messages", "authorization", "anthropic"),
        ("127.0.0.1:8429", "/v1/models", "anthropic-version", "anthropic"),
        ("127.0.0.1:8429", "/openai/deployments/m/chat/completions", "api-key", "azure"),
        ("127.0.0.1:8429", "/openai/v1/chat/completions", "api-key", "azure"),
        ("127.0.0.1:8429", "/openai/v1/chat/completions", "authorization", "openai"),
        ("127.0.0.1:8429", "/v1beta/models/m:generateContent", "x-goog-api-key", "gemini"),
        ("testserver", "/v1/publishers/google/models/m:generateContent", "authorization", "vertex"),
        ("testserver", "/api/v1/chat/completions", "authorization", "openrouter"),
        ("testserver", "/api/chat", "accept", "ollama"),
        ("testserver", "/v2/chat", "authorization", "cohere"),
        ("testserver", "/v1/chat", "authorization", "cohere"),
        ("testserver", "/mistral/v1/chat/completions", "authorization", "mistral"),
        ("testserver", "/nothing", "authorization", "openai"),
        ("api.groq.com", "/v1/messages", "x-api-key", "groq"),
    ],
)
def test_a_request_to_no_provider_s_host_is_recognized_by_its_looks(
    host: str, path: str, header: str, name: str
) -> None:
    """By its path, by a name in it, by its headers; a provider's host is the provider's."""
    assert route(host, path, {header: "x"}).card.name == name


def test_the_page_has_every_dialect_and_host() -> None:
    """The table of hosts is that of the code, and so is that of wrappings; each dialect has a way above."""
    hosts = {
        (cells[0], tuple(re.findall(r"`([^`]+)`", cells[1])))
        for cells in page_table("Hosts")
        if cells[0].startswith("`")
    }
    own = [card for card in cards() if card.wire != COMPATIBLE]
    assert hosts == {(f"`{card.name}`", card.hosts) for card in own}
    assert {way.name or name for name, way in WAYS.items()} == {card.name for card in own}
    wrappings = [cells[0].strip("`") for cells in page_table("Refusals")]
    assert set(wrappings) >= set(get_args(Wrapping))


def page_table(title: str) -> list[list[str]]:
    """The cells of the tables under a heading of the page on dialects."""
    page = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text("utf-8")
    _, _, rest = page.partition(f"\n## {title}\n")
    lines = re.split(r"\n##+ ", rest)[0].splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]


@EACH
def test_a_dialect_is_recognized_by_its_name_on_loopback(way: str) -> None:
    """A path that begins with the name of the dialect is that dialect's, and the rest is its path."""
    name = WAYS[way].name or way
    asked = http(way, host="127.0.0.1", path=f"/{name}{WAYS[way].path}")
    dialect, seen, _ = HostTable().route_here(asked)
    assert not isinstance(dialect, HostApp)
    assert dialect.card.name == name
    assert dialect.decode(seen).item == "item-1"


# -- answers ---------------------------------------------------------------------------------------


@EACH
def test_an_answer_carries_the_mark_of_its_item(way: str) -> None:
    """Plain and streamed answers hold the same text, and the same request gives the same bytes."""
    plain = exchange(http(way))
    streamed = exchange(http(way, stream=True))
    assert head(plain)[0] == head(streamed)[0] == 200
    assert head(plain)[1]["content-type"] == "application/json"
    whole = sent(plain).decode()
    assert marks_in(whole) == ("item-1",)
    assert marks_in(pieces(events(sent(streamed)))) == ("item-1",)
    assert "[wt:item-1] is the item this answer belongs to." in whole
    assert exchange(http(way, stream=True)) == streamed


@EACH
def test_usage_adds_up(way: str) -> None:
    """What is in the body of a plain answer is what a stream says at its end."""
    asks = (
        {"stream_options": {"include_usage": True}} if "stream_options" in STREAM_USAGE.get(way, ()) else {}
    )
    plain = json.loads(sent(exchange(http(way))))
    last = [e for e in events(sent(exchange(http(way, stream=True, body=asks)))) if counts(e)]
    prompt, completion, total = counts(plain) or (0, 0, None)
    assert (prompt, completion) == (2, 8)
    assert total in (None, 10)
    assert counts(last[-1]) == (prompt, completion, total)


STREAM_USAGE = dict.fromkeys(
    (
        "openai",
        "openai-completions",
        "replicate",
        "anthropic-openai",
        "gemini-openai",
        "azure",
        "azure-v1",
        "ollama-v1",
        "vllm",
    ),
    ("stream_options",),
)


def counts(value: Any) -> tuple[int, int, int | None] | None:
    """Prompt, completion and total tokens, wherever they are in a body."""
    if isinstance(value, list):
        return next((found for one in value if (found := counts(one))), None)
    if not isinstance(value, dict):
        return None
    for names in (
        ("prompt_tokens", "completion_tokens", "total_tokens"),
        ("input_tokens", "output_tokens", "total_tokens"),
        ("inputTokens", "outputTokens", "totalTokens"),
        ("promptTokenCount", "candidatesTokenCount", "totalTokenCount"),
        ("prompt_eval_count", "eval_count", "-"),
    ):
        if names[0] in value and names[1] in value:
            return value[names[0]], value[names[1]], value.get(names[2])
    return next((found for one in value.values() if (found := counts(one))), None)


@EACH
def test_the_longest_answer_can_be_set(way: str) -> None:
    """Each dialect has its own name for it, and for why the answer ends."""
    short: dict[str, Any] = {"max_tokens": 3}
    if way == "openai-responses":
        short = {"max_output_tokens": 3}
    elif way in ("ollama", "ollama-generate"):
        short = {"options": {"num_predict": 3}}
    elif way == "bedrock":
        short = {"inferenceConfig": {"maxTokens": 3}}
    elif WAYS[way].body is CONTENTS:
        short = {"generationConfig": {"maxOutputTokens": 3}}
    for stream in (False, True):
        data = sent(exchange(http(way, stream=stream, body=short)))
        if is_event_stream(data):
            data = json.dumps(events(data)).encode()
        assert re.search(rb'"(length|max_tokens|MAX_TOKENS|max_output_tokens)"', data)
        assert b"belongs" not in data


# -- refusals --------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("stream", [False, True])
def test_a_429_says_when_to_come_back(way: str, stream: bool) -> None:
    """In a header, or in Gemini's details; the body is an error in JSON."""
    frames = exchange(http(way, stream=stream), wave())
    status, headers = head(frames)
    body = json.loads(sent(frames))
    assert (status, headers["content-type"]) == (429, "application/json")
    if way.startswith("gemini"):
        (error,) = (one["error"] for one in (body if isinstance(body, list) else [body]))
        assert error["details"][-1]["retryDelay"] == "10s"
        assert "Please retry in 10s." in error["message"]
        assert "retry-after" not in headers
    else:
        assert headers["retry-after"] == "10"


ERRORS: tuple[RefusalError, ...] = (
    "rate-limit",
    "too-large",
    "quota",
    "billing",
    "ramp",
    "throttle",
    "overloaded",
    "server",
    "timeout",
    "conflict",
)


@EACH
def test_each_error_has_words_of_its_own(way: str) -> None:
    """Every kind of refusal is an error in JSON, and a plain rate limit differs from an overload."""
    words: dict[str, str] = {}
    for error in ERRORS:
        frames = exchange(http(way), wave(error=error))
        assert head(frames)[0] == 429
        words[error] = text_in(json.loads(sent(frames)))
        assert "[wt:" not in words[error]
    assert words["rate-limit"] != words["overloaded"] != words["server"] != words["billing"]


@EACH
@pytest.mark.parametrize("error", ["rate-limit", "throttle"])
def test_a_throttle_states_no_limits(way: str, error: RefusalError) -> None:
    """Limit headers come with every other refusal, where the dialect has them."""
    limits = Limits(requests_per_minute=60, tokens_per_minute=6000)
    scenario = Scenario(limits=limits, wave=wave(error=error).wave)
    names = {name.lower() for name in head(exchange(http(way), scenario))[1]}
    stated = {name for name in names if "ratelimit" in name or "call-limit" in name}
    silent = ("gemini", "vertex", "bedrock", "ollama", "vllm")
    assert bool(stated) == (error == "rate-limit" and not way.startswith(silent))


@EACH
@pytest.mark.parametrize("wrapping", ["html", "empty", "text"])
def test_a_refusal_may_come_wrapped(way: str, wrapping: Wrapping) -> None:
    """As a proxy's page, with no body at all, or in the words of a command-line agent."""
    frames = exchange(http(way), wave(wrapping=wrapping, should_retry=False))
    status, headers = head(frames)
    assert (status, headers["retry-after"], headers["x-should-retry"]) == (429, "10", "false")
    if wrapping == "html":
        assert b"<h1>429 Too Many Requests</h1>" in sent(frames)
    elif wrapping == "text":
        assert sent(frames).decode() == "You've hit your limit · resets 4:01pm (America/Los_Angeles)\n"
    else:
        assert (sent(frames), "content-type" in headers) == (b"", False)


@EACH
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_may_come_in_a_200(way: str, stream: bool) -> None:
    """Its body is the error; in a stream it is an event."""
    frames = exchange(http(way, stream=stream), wave(wrapping="in-200"))
    status, headers = head(frames)
    assert (status, headers["retry-after"] if not way.startswith("gemini") else "10") == (200, "10")
    stated = text_in(events(sent(frames)) if stream else json.loads(sent(frames))).lower()
    assert re.search(b"error|message|detail", sent(frames))
    assert re.search("rate|limit|quota|exhausted|many|wait", stated)


@EACH
def test_an_item_too_large_never_succeeds(way: str) -> None:
    """The refusal of a request over the whole budget says so, without a Retry-After; Groq's status is 413."""
    frames = exchange(http(way), Scenario(limits=Limits(tokens_per_minute=9)))
    status, headers = head(frames)
    assert (status, "retry-after" in headers) == (413 if way == "groq" else 429, False)
    assert "RetryInfo" not in sent(frames).decode()


# -- faults ----------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("after", [0, 2])
def test_an_error_in_a_stream_is_its_own(way: str, after: int) -> None:
    """What came before it can be read, and it is the last thing said."""
    fault = Fault(kind="error-in-stream", after_chunks=after)
    frames = exchange(http(way, stream=True), Scenario(fault=(fault,)))
    found = events(sent(frames))
    assert "error" in found[-1] or "error" in json.dumps(found[-1])
    assert pieces(found[:-1]).strip() == ("" if after == 0 else "[wt:item-1] is")
    assert frames[-1].end


@EACH
@pytest.mark.parametrize("kind", ["cut-mid-stream", "malformed-chunk", "empty-body", "html-body", "reset"])
def test_every_fault_spoils_every_stream(way: str, kind: FaultKind) -> None:
    """The bytes differ from those of a good stream."""
    good = exchange(http(way, stream=True))
    bad = exchange(http(way, stream=True), Scenario(fault=(Fault(kind=kind, after_chunks=2),)))
    assert sent(bad) != sent(good)


# -- bad requests ----------------------------------------------------------------------------------


def turned_away(request: HttpRequest) -> WireReply:
    """The answer to a request that cannot be taken."""
    dialect = dialect_for(request.host)
    assert dialect is not None
    with pytest.raises(BadRequest) as caught:
        dialect.decode(request, now=0)
    return caught.value.reply


def bad(way: str) -> dict[str, HttpRequest]:
    """Requests that no provider takes, by what is wrong with them."""
    said = next(
        name for name in ("messages", "contents", "input", "message", "prompt") if name in WAYS[way].body
    )
    wrong: dict[str, HttpRequest] = {
        "path": http(way, path="/v9/nothing"),
        "method": http(way, method="DELETE"),
        "no JSON": http(way, body=b"{nonsense"),
        "no object": http(way, body=b"[]"),
        "no UTF-8": http(way, body=b"\xff\xfe"),
        "wrong type": http(way, body={said: 7}),
        "key": http(way, headers={"anthropic-version": "2026-10-21"}),
    }
    if "model" in WAYS[way].body and way != "cohere-v1":
        wrong["no model"] = http(way, body={"model": None})
        wrong["model of a wrong type"] = http(way, body={"model": 7})
    if "stream" in WAYS[way].stream:
        wrong["stream"] = http(way, body={"stream": "yes"})
    if WAYS[way].no_key == 0:
        del wrong["key"]
    return wrong


@EACH
def test_a_bad_request_is_turned_away(way: str) -> None:
    """With a 4xx that fits, in JSON, and without the key in it."""
    for what, request in bad(way).items():
        reply = turned_away(request)
        wanted = {"path": {404}, "method": {405}, "key": {WAYS[way].no_key}}.get(what, {400, 422})
        assert reply.status in wanted, what
        assert json.loads(reply.body), what
        assert b"sk-one" not in reply.body
        assert all("sk-one" not in value for _, value in reply.headers)


@EACH
def test_no_answer_repeats_the_key(way: str) -> None:
    """Neither a success nor a refusal names it."""
    for scenario in (Scenario(), wave(), wave(401), wave(error="billing")):
        frames = exchange(http(way), scenario)
        assert b"sk-one" not in sent(frames)
        assert all("sk-one" not in value for value in head(frames)[1].values())


# -- whatever comes --------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "any",
        "ANY",
        "allowed_tools",
        "array",
        "auto",
        "function",
        "integer",
        "json",
        "json_object",
        "json_schema",
        "look",
        "number",
        "object",
        "REQUIRED",
        "required",
        "string",
        "tool",
        "text",
        "user",
        "#",
        "#/x",
    ]
)
NAMES = st.sampled_from(
    [
        "$ref",
        "allOf",
        "allowedFunctionNames",
        "allowed_tools",
        "anyOf",
        "content",
        "enum",
        "format",
        "function",
        "functionCallingConfig",
        "functionDeclarations",
        "input_schema",
        "items",
        "json_schema",
        "maxOutputTokens",
        "minItems",
        "minLength",
        "minimum",
        "mode",
        "multipleOf",
        "name",
        "num_predict",
        "parameters",
        "parts",
        "prefixItems",
        "properties",
        "required",
        "role",
        "schema",
        "text",
        "tools",
        "type",
        "x",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "chat_history",
        "content",
        "contents",
        "dimensions",
        "embedding_types",
        "encoding_format",
        "format",
        "functionDeclarations",
        "generationConfig",
        "input",
        "instructions",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "message",
        "messages",
        "metadata",
        "model",
        "options",
        "output_config",
        "prompt",
        "requests",
        "response_format",
        "stream",
        "stream_options",
        "system",
        "systemInstruction",
        "text",
        "texts",
        "tool_choice",
        "toolConfig",
        "tools",
    ]
)
PATHS = sorted(
    {(way.host, way.path) for way in WAYS.values()}
    | {
        ("api.openai.com", "/v1/embeddings"),
        ("api.anthropic.com", "/v1/messages/count_tokens"),
        ("generativelanguage.googleapis.com", f"{GEMINI}embedContent"),
        ("generativelanguage.googleapis.com", f"{GEMINI}batchEmbedContents"),
        ("generativelanguage.googleapis.com", f"{GEMINI}countTokens"),
        ("generativelanguage.googleapis.com", f"{GEMINI}streamGenerateContent"),
        ("localhost:11434", "/api/embed"),
        ("api.cohere.com", "/v1/embed"),
        ("api.cohere.com", "/v2/embed"),
    }
)
GOOD: dict[str, Any] = {
    **CHAT,
    **CONTENTS,
    "content": CONTENTS["contents"][0],
    "input": "item-1",
    "max_tokens": 20,
    "message": "item-1",
    "texts": ["item-1"],
}


def test_no_schema_is_too_strange() -> None:
    """Whatever is called a schema has a value, and it can be written as JSON."""

    @given(VALUES, st.text(max_size=5))
    def has_value(schema: Any, word: str) -> None:
        json.dumps(value_for(schema, word))

    has_value()


STRANGE: list[dict[str, Any]] = [
    {"tools": 7, "tool_choice": "required"},
    {"tools": [7, {}, {"type": "function"}], "tool_choice": "required"},
    {"tools": [{"name": 7}, {"function": {"name": "look", "parameters": 7}}], "tool_choice": "required"},
    {"tools": [{"name": "look", "input_schema": 7}], "tool_choice": {"type": "any"}},
    {"tools": [{"name": "look"}], "tool_choice": {"type": "tool", "name": 7}},
    {"tool_choice": {"type": "allowed_tools", "allowed_tools": 7}},
    {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": 7}},
    {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [7, {"name": []}]}},
    {"tool_choice": {"type": "function", "function": 7}},
    {"tool_choice": {"type": "function", "name": ["x"]}},
    {"response_format": {"type": "json_schema"}},
    {"response_format": {"type": "json_schema", "json_schema": 7}},
    {"response_format": {"type": "json_object", "schema": 7}},
    {"text": {"format": {"type": "json_schema", "schema": {"$ref": "#"}}}},
    {"output_config": {"format": {"schema": {"allOf": [{"$ref": "#/x"}, 7]}}}},
    {
        "format": {
            "type": "object",
            "required": ["many", "long"],
            "properties": {
                "many": {"type": "array", "minItems": 10**9, "items": {"type": "string"}},
                "long": {"type": "string", "minLength": 10**9},
            },
        }
    },
    {"tools": [{"functionDeclarations": 7}], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    {
        "tools": [{"functionDeclarations": [{"name": "look"}, 7]}],
        "toolConfig": {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": 7}},
    },
    {
        "tools": [{"functionDeclarations": [{"name": "look"}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": [7, []]}},
    },
    {"generationConfig": {"responseSchema": {"type": ["null"], "required": 7, "properties": {"x": 7}}}},
    {"generationConfig": 7, "systemInstruction": {"parts": {"text": 7}}},
    {"contents": {"parts": [7, {"text": 7}]}},
    {"metadata": {"item": 7}, "instructions": {}, "system": [7]},
    {"requests": [7]},
    {"requests": [{"content": {"parts": 7}}]},
    {"input": [[1, 2], "x"], "dimensions": True},
    {"input": [1, 2], "encoding_format": "base64"},
    {"texts": ["x"], "embedding_types": 7},
    {"chat_history": [7, {"role": 7, "message": 7}]},
]


@pytest.mark.parametrize("changes", STRANGE, ids=json.dumps)
def test_no_value_is_too_strange(changes: dict[str, Any]) -> None:
    """What looks almost like a tool, a schema or a text is answered or turned away everywhere."""
    for host, path in PATHS:
        judge(host, path, changes)


@given(st.sampled_from(PATHS), st.dictionaries(FIELDS, VALUES, max_size=3), st.booleans())
def test_no_body_is_too_strange(where: tuple[str, str], changes: dict[str, Any], refused: bool) -> None:
    """A request is answered, refused or turned away in JSON, whatever is in its body."""
    judge(*where, changes, refused=refused)


def judge(host: str, path: str, changes: dict[str, Any], *, refused: bool = False) -> None:
    """A request whose body has been changed gets an answer that can be read."""
    headers = {"authorization": "Bearer sk-one", "anthropic-version": "2026-10-21"}
    body = json.dumps(GOOD | changes).encode()
    request = HttpRequest(method="POST", host=host, path=path, headers=headers, body=body)
    reply = answer(request, wave() if refused else Scenario())
    if isinstance(reply, WireReply):
        assert 400 <= reply.status < 500
        assert json.loads(reply.body)
        return
    assert reply[-1].end
    assert head(reply)[0] == (429 if refused else 200)
    assert refused or events(sent(reply)) or json.loads(sent(reply))


def answer(request: HttpRequest, scenario: Scenario) -> list[Frame] | WireReply:
    """What is sent to a request, good or bad."""
    try:
        return exchange(request, scenario)
    except BadRequest as turned:
        return turned.reply


# -- tools and schemas -----------------------------------------------------------------------------

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
CALLED = '{"city":"[wt:item-1]","n":0}'
NAMED = {"type": "function", "function": {"name": "look"}}
NESTED: dict[str, Any] = {
    "tools": [
        {"type": "function", "function": {"name": "other"}},
        {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}},
    ],
    "tool_choice": NAMED,
}
FLAT = [{"type": "function", "name": "look", "parameters": PARAMETERS}]
DECLARED = [{"functionDeclarations": [{"name": "look", "parameters": PARAMETERS}]}]
TOOLS: dict[str, dict[str, Any]] = {
    "openai": NESTED,
    "openai-responses": {"tools": FLAT, "tool_choice": {"type": "function", "name": "look"}},
    "anthropic": {
        "tools": [{"name": "look", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "tool", "name": "look"},
    },
    "gemini": {"tools": DECLARED, "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    "gemini-array": {"tools": DECLARED, "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    "mistral": NESTED | {"tools": NESTED["tools"][1:], "tool_choice": "any"},
    "groq": NESTED,
    "openrouter": NESTED,
    "cohere": NESTED | {"tools": NESTED["tools"][1:], "tool_choice": "REQUIRED"},
    "cohere-lines": NESTED | {"tools": NESTED["tools"][1:], "tool_choice": "REQUIRED"},
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "openai": {"response_format": {"type": "json_schema", "json_schema": {"schema": PARAMETERS}}},
    "openai-responses": {"text": {"format": {"type": "json_schema", "name": "x", "schema": PARAMETERS}}},
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": PARAMETERS}}},
    "gemini": {"generationConfig": {"responseMimeType": "application/json", "responseSchema": PARAMETERS}},
    "cohere": {"response_format": {"type": "json_object", "json_schema": PARAMETERS}},
    "cohere-v1": {"response_format": {"type": "json_object", "schema": PARAMETERS}},
    "ollama": {"format": PARAMETERS},
    "ollama-generate": {"format": PARAMETERS},
}


def arguments(value: Any) -> str:
    """The arguments of calls in a body or in events, put together."""
    if isinstance(value, list):
        return "".join(arguments(one) for one in value)
    if not isinstance(value, dict):
        return ""
    found = ""
    for key, one in value.items():
        if key in ("arguments", "partial_json") or (key == "delta" and isinstance(one, str)):
            found += one
        elif key in ("args", "input") and isinstance(one, dict) and one:
            found += json.dumps(one, separators=(",", ":"))
        else:
            found += arguments(one)
    return found


@pytest.mark.parametrize("way", TOOLS)
def test_a_tool_that_is_forced_is_called(way: str) -> None:
    """Plain and streamed, with arguments that fulfil its schema; one that is cut short is cut."""
    assert arguments(json.loads(sent(exchange(http(way, body=TOOLS[way]))))) == CALLED
    streamed = events(sent(exchange(http(way, stream=True, body=TOOLS[way]))))
    deltas = [event for event in streamed if "done" not in str(event.get("type", ""))]
    whole = [event for event in deltas if event.get("type") != "response.completed"]
    assert arguments(whole) == CALLED
    assert any("look" in json.dumps(event) for event in streamed)


@pytest.mark.parametrize("way", TOOLS)
def test_a_tool_that_is_only_offered_is_not_called(way: str) -> None:
    """The answer is text."""
    offered = {"tools": TOOLS[way]["tools"]}
    assert "is the item this answer belongs to." in sent(exchange(http(way, body=offered))).decode()


@pytest.mark.parametrize("way", ["openai", "openai-responses", "anthropic", "groq"])
def test_a_tool_that_is_not_there_cannot_be_called(way: str) -> None:
    """The choice is a bad request."""
    reply = turned_away(http(way, body=TOOLS[way] | {"tools": []}))
    assert (reply.status, b"tool_choice" in reply.body) == (400, True)


@pytest.mark.parametrize("way", ["openai", "openai-responses", "groq"])
def test_no_call_can_be_forced_where_no_tool_is_offered(way: str) -> None:
    """The choice is a bad request, as it is at the vendors'."""
    reply = turned_away(http(way, body={"tool_choice": "required"}))
    assert (reply.status, b"only allowed when 'tools' are specified" in reply.body) == (400, True)


@pytest.mark.parametrize("way", ["openai", "groq", "gemini", "anthropic", "openai-responses"])
def test_a_call_may_be_cut_short(way: str) -> None:
    """The reason is the one of a text that is cut."""
    short: dict[str, Any] = {"max_tokens": 3, "max_output_tokens": 3}
    if way == "gemini":
        short = {"generationConfig": {"maxOutputTokens": 3}}
    for stream in (False, True):
        data = sent(exchange(http(way, stream=stream, body=TOOLS[way] | short)))
        assert re.search(rb'"(length|max_tokens|MAX_TOKENS|max_output_tokens)"', data)
        assert b'"n\\":0}' not in data


@pytest.mark.parametrize("way", SCHEMAS)
def test_an_answer_fulfils_the_schema_that_is_asked_for(way: str) -> None:
    """Its text is the JSON, plain and put together from a stream."""
    plain = sent(exchange(http(way, body=SCHEMAS[way])))
    assert json.dumps(CALLED)[1:-1].encode() in plain
    streamed = events(sent(exchange(http(way, stream=True, body=SCHEMAS[way]))))
    assert CALLED in pieces([event for event in streamed if "done" not in str(event.get("type", ""))])


def test_any_object_will_do() -> None:
    """Without a schema there is one field, with the mark."""
    wanted = {"response_format": {"type": "json_object"}}
    text = json.loads(sent(exchange(http("openai", body=wanted))))["choices"][0]["message"]["content"]
    assert json.loads(text) == {"answer": "[wt:item-1]"}


def test_a_choice_among_allowed_tools() -> None:
    """OpenAI's newest way to force one of some."""
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
    body = {"tools": NESTED["tools"], "tool_choice": allowed}
    assert arguments(json.loads(sent(exchange(http("openai", body=body))))) == CALLED


@pytest.mark.parametrize("error", ERRORS)
def test_an_agent_has_words_for_each_error(error: RefusalError) -> None:
    """One line; without a Retry-After no time is named."""
    frames = exchange(
        http("anthropic"), wave(error=error, wrapping="text", retry_after=RetryAfter(form="none"))
    )
    words = sent(frames).decode()
    assert words.count("\n") == 1
    assert "resets" not in words


@pytest.mark.parametrize("status", [429, 599])
def test_a_proxy_names_the_status(status: int) -> None:
    """Also one that has no name."""
    page = sent(exchange(http("openai"), wave(status, wrapping="html"))).decode()
    assert f"<title>{status}" in page


def test_two_endpoints_of_one_name_are_refused() -> None:
    """A request is written by the endpoint of its name: the first would have written what the second read."""
    both = [Moderations(re.compile(f"/{version}/moderations")) for version in ("v1", "v2")]
    message = (
        "the dialect 'openai' has two endpoints named 'moderations', /v1/moderations and /v2/moderations"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        WireDialect(OpenAIVendor(card_named("openai")), both)
