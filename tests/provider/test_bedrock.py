"""Amazon Bedrock, with boto3 and Anthropic's client: formats of models, exceptions, retries, credentials."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from typing import Any

import anyio.to_thread
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError, HTTPClientError

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import SECOND, Duration
from wavetank.provider.http import HttpRequest
from wavetank.scenario import DurationRange, Fault, Latency, Limits, RefusalError, RetryAfter, Wave

from .dialects import dialect_for

KEYS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIAWAVETANK",
    "aws_secret_access_key": "secret-of-the-test",
}
TEXT = "[wt:item-1] is the item this answer belongs to."
MESSAGES: list[Any] = [{"role": "user", "content": [{"text": "item-1"}]}]
CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "item-1"}],
}


def client(**options: Any) -> Any:
    """A client of Bedrock's runtime."""
    return boto3.client("bedrock-runtime", **KEYS, **options)


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """On a busy machine boto3 reads its models for longer than a thread may block on something real."""
    client()


def in_a_thread(work: Callable[[Tank], Any], scenario: Scenario | None = None, **options: Any) -> Any:
    """What blocking work returns in a world of its own."""

    async def main(tank: Tank) -> Any:
        return await anyio.to_thread.run_sync(work, tank)

    run = wavetank.simulate(main, scenario or Scenario(), **{"checks": (), **options})
    if run.error is not None:
        raise run.error
    return run.value


def refusing(lasts: float, status: int | None = 429, **more: Any) -> Scenario:
    """All requests are refused for so many seconds."""
    return Scenario(wave=(Wave(lasts=Duration(round(lasts * SECOND)), status=status, **more),))


# -- answers ---------------------------------------------------------------------------------------


def test_converse_says_what_it_cost_and_how_long_it_took() -> None:
    """Usage and metrics are in a plain answer and at the end of a stream."""

    def work(_: Tank) -> Any:
        plain = client().converse(modelId="amazon.nova-lite-v1:0", messages=MESSAGES)
        events = list(client().converse_stream(modelId="amazon.nova-lite-v1:0", messages=MESSAGES)["stream"])
        return plain, events

    plain, events = in_a_thread(
        work, Scenario(latency=Latency(first_token=DurationRange(Duration(SECOND), Duration(SECOND))))
    )
    assert plain["output"]["message"] == {"role": "assistant", "content": [{"text": TEXT}]}
    assert plain["stopReason"] == "end_turn"
    counted = {key: plain["usage"][key] for key in ("inputTokens", "outputTokens", "totalTokens")}
    assert counted == {"inputTokens": 2, "outputTokens": 8, "totalTokens": 10}
    kinds = [next(iter(event)) for event in events]
    assert kinds == [
        "messageStart",
        *["contentBlockDelta"] * 8,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[-1]["metadata"]["usage"] == plain["usage"]
    assert plain["metrics"] == events[-1]["metadata"]["metrics"] == {"latencyMs": 1000}


def test_reasoning_and_a_call_stream_as_blocks_of_their_own() -> None:
    """Reasoning ends with its signature, and only a call says that it begins."""
    spec = {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}

    def work(_: Tank) -> Any:
        return list(
            client().converse_stream(
                modelId="m",
                messages=MESSAGES,
                toolConfig={"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": "look"}}},
                additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 1024}},
            )["stream"]
        )

    events = in_a_thread(work)
    starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
    assert [(one["contentBlockIndex"], one["start"]["toolUse"]["name"]) for one in starts] == [(1, "look")]
    stops = [
        event["contentBlockStop"]["contentBlockIndex"] for event in events if "contentBlockStop" in event
    ]
    assert stops == [0, 1]
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert any("signature" in delta.get("reasoningContent", {}) for delta in deltas)


MODELS: dict[str, tuple[dict[str, Any], Callable[[Any], str], Callable[[Any], str]]] = {
    "us.anthropic.claude-opus-5-5-v1:0": (
        CLAUDE,
        lambda body: body["content"][0]["text"],
        lambda chunk: chunk.get("delta", {}).get("text", ""),
    ),
    "amazon.nova-lite-v1:0": (
        {"messages": MESSAGES},
        lambda body: body["output"]["message"]["content"][0]["text"],
        lambda chunk: chunk.get("contentBlockDelta", {}).get("delta", {}).get("text", ""),
    ),
    "amazon.titan-text-express-v1": (
        {"inputText": "item-1"},
        lambda body: body["results"][0]["outputText"],
        lambda chunk: chunk["outputText"],
    ),
    "meta.llama3-8b-instruct-v1:0": (
        {"prompt": "item-1"},
        lambda body: body["generation"],
        lambda chunk: chunk["generation"],
    ),
    "mistral.mistral-7b-instruct-v0:2": (
        {"prompt": "item-1"},
        lambda body: body["outputs"][0]["text"],
        lambda chunk: chunk["outputs"][0]["text"],
    ),
    "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc": (
        CLAUDE,
        lambda body: body["content"][0]["text"],
        lambda chunk: chunk.get("delta", {}).get("text", ""),
    ),
}


@pytest.mark.parametrize("model", MODELS)
def test_each_maker_s_models_have_their_format(model: str) -> None:
    """Plain and streamed; the last chunk has the metrics, and a plain answer has them in headers."""
    asked, whole, piece = MODELS[model]

    def work(_: Tank) -> Any:
        body = json.dumps(asked)
        plain = client().invoke_model(modelId=model, body=body)
        events = client().invoke_model_with_response_stream(modelId=model, body=body)["body"]
        chunks = [json.loads(event["chunk"]["bytes"]) for event in events]
        return plain["ResponseMetadata"]["HTTPHeaders"], json.loads(plain["body"].read()), chunks

    headers, body, chunks = in_a_thread(work)
    assert (whole(body), "".join(map(piece, chunks))) == (TEXT, TEXT)
    assert headers["x-amzn-bedrock-output-token-count"] == "8"
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (2, 8)


def test_vectors_and_counts() -> None:
    """Titan embeds, and tokens are counted for either way to ask."""

    def work(_: Tank) -> Any:
        asked = json.dumps({"inputText": "a", "dimensions": 3})
        vector = client().invoke_model(modelId="amazon.titan-embed-text-v2:0", body=asked)["body"].read()
        ways: list[Any] = [
            {"converse": {"messages": MESSAGES}},
            {"invokeModel": {"body": json.dumps(CLAUDE)}},
        ]
        counts = [client().count_tokens(modelId="anthropic.claude", input=way)["inputTokens"] for way in ways]
        return json.loads(vector)["embedding"], counts

    vector, counts = in_a_thread(work)
    assert sum(number**2 for number in vector) == pytest.approx(1)
    assert (len(vector), counts) == (3, [2, 2])


def test_the_item_may_be_named_in_the_request_s_metadata() -> None:
    """`requestMetadata` of Converse, as `metadata` elsewhere."""

    def work(tank: Tank) -> Any:
        client().converse(modelId="m", messages=MESSAGES, requestMetadata={"item": "row-9"})
        (record,) = tank.fake_llm.requests
        return record.request.item, record.request.declared

    assert in_a_thread(work) == ("row-9", True)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "name", "retried"),
    [
        ("overloaded", 503, "ServiceUnavailableException", True),
        ("throttle", 429, "ModelNotReadyException", True),
        ("server", 500, "InternalServerException", True),
        ("quota", 429, "ThrottlingException", True),
        ("timeout", 408, "ModelTimeoutException", False),
        ("billing", 403, "AccessDeniedException", False),
        ("too-large", 400, "ValidationException", False),
        ("conflict", 400, "ConflictException", False),
    ],
)
def test_an_error_is_aws_s_own_exception(error: RefusalError, status: int, name: str, retried: bool) -> None:
    """With its status; botocore asks again only for what it counts as passing."""

    def work(tank: Tank) -> Any:
        with pytest.raises(ClientError) as caught:
            client().converse(modelId="m", messages=MESSAGES)
        answer = caught.value.response
        return (
            answer["Error"]["Code"],
            answer["ResponseMetadata"]["HTTPStatusCode"],
            len(tank.fake_llm.requests),
        )

    assert in_a_thread(work, refusing(600, None, error=error)) == (name, status, 3 if retried else 1)


@pytest.mark.parametrize(
    ("status", "name"),
    [(404, "ResourceNotFoundException"), (424, "ModelErrorException"), (401, "UnrecognizedClientException")],
)
def test_a_status_has_its_exception(status: int, name: str) -> None:
    """Where a scenario names the status alone."""

    def work(_: Tank) -> Any:
        with pytest.raises(ClientError) as caught:
            client().converse(modelId="m", messages=MESSAGES)
        return caught.value.response["Error"]["Code"]

    assert in_a_thread(work, refusing(600, status)) == name


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(requests_per_minute=1), "Too many requests, please wait before trying again."),
        (Limits(tokens_per_minute=12), "Too many tokens, please wait before trying again."),
        (Limits(tokens_per_day=12), "Too many tokens per day, please wait before trying again."),
        (Limits(tokens_per_minute=5), "Too many tokens, please wait before trying again."),
    ],
)
def test_a_limit_says_what_there_is_too_much_of(limits: Limits, said: str) -> None:
    """In the words that users of Bedrock quote."""

    def work(_: Tank) -> Any:
        once = client(config=Config(retries={"total_max_attempts": 1}))
        try:
            once.converse(modelId="m", messages=MESSAGES)
            once.converse(modelId="m", messages=MESSAGES)
        except ClientError as refusal:
            return refusal.response["Error"]

    error = in_a_thread(work, Scenario(limits=limits))
    assert (error["Code"], error["Message"]) == ("ThrottlingException", said)


ATTEMPTS = {"legacy": 5, "standard": 3, "adaptive": 3}


@pytest.mark.parametrize("mode", ATTEMPTS)
def test_botocore_s_own_retries_meet_the_wave(mode: str) -> None:
    """Each mode gives up after its own number of attempts, having waited in virtual time alone."""

    def work(tank: Tank) -> Any:
        began = time.monotonic()
        with pytest.raises(ClientError, match="reached max retries"):
            client(config=Config(retries={"mode": mode})).converse(modelId="m", messages=MESSAGES)
        sent = [record.sent for record in tank.fake_llm.requests]
        return sent, time.monotonic() - began

    sent, took = in_a_thread(work, refusing(600, retry_after=RetryAfter(form="none")))
    assert len(sent) == ATTEMPTS[mode]
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert all(0 < gap < 16 for gap in gaps)
    assert took == pytest.approx(sum(gaps), abs=0.1)


@pytest.mark.parametrize(("mode", "waits"), [("legacy", False), ("standard", True), ("adaptive", True)])
def test_botocore_comes_back_when_it_is_asked_to(mode: str, waits: bool) -> None:
    """`x-amz-retry-after` is in milliseconds; the oldest mode does not read it."""

    def work(tank: Tank) -> Any:
        answer = client(config=Config(retries={"mode": mode})).converse(modelId="m", messages=MESSAGES)
        first, *_, last = (record.sent for record in tank.fake_llm.requests)
        return answer["output"]["message"]["content"][0]["text"], last - first

    text, waited = in_a_thread(work, refusing(0.1, retry_after=RetryAfter(value=Duration(3 * SECOND))))
    assert text == TEXT
    assert (waited == pytest.approx(3.01)) == waits


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (None, "modelStreamErrorException"),
        ("rate-limit", "throttlingException"),
        ("billing", "internalServerException"),
    ],
)
def test_a_stream_breaks_off_with_an_exception(error: RefusalError | None, name: str) -> None:
    """The last message; what has none of its own in a stream is an internal error."""
    fault = Fault(kind="error-in-stream", after_chunks=2, error=error)

    def work(_: Tank) -> Any:
        with closing(client().converse_stream(modelId="m", messages=MESSAGES)["stream"]) as stream:
            events = iter(stream)
            said = [next(events) for _ in range(3)]
            with pytest.raises(EventStreamError) as caught:
                next(events)
        return said[-1]["contentBlockDelta"]["delta"]["text"], caught.value.response["Error"]["Code"]

    assert in_a_thread(work, Scenario(fault=(fault,))) == (" is", name)


def test_many_threads_share_the_wave_and_are_judged() -> None:
    """Eight threads with botocore's retries: all items are answered, once each, with their own answer."""

    def work(tank: Tank) -> None:
        from concurrent.futures import ThreadPoolExecutor

        patient = client(config=Config(retries={"mode": "legacy", "total_max_attempts": 10}))

        def ask(item: str) -> None:
            tank.ledger.submit(item)
            messages = [{"role": "user", "content": [{"text": item}]}]
            answer = patient.converse(modelId="m", messages=messages)
            tank.ledger.complete(item, answer["output"]["message"]["content"][0]["text"])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, [f"row-{number}" for number in range(20)]))

    async def main(tank: Tank) -> None:
        await anyio.to_thread.run_sync(work, tank)

    run = wavetank.simulate(main, refusing(3, retry_after=RetryAfter(form="none")), checks="default")
    run.check()
    assert run.outcomes.completed == 20


# -- keys ------------------------------------------------------------------------------------------


def test_keys_are_access_key_ids_or_bearers() -> None:
    """A signature is of no account; without either a request is refused."""
    dialect = dialect_for("bedrock-runtime.us-east-1.amazonaws.com")
    assert dialect is not None
    scope = "20260101/us-east-1/bedrock/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential=AKIA1/{scope}, SignedHeaders=host, Signature=0"
    for header, key in ((signed, "AKIA1"), ("Bearer bedrock-api-key-1", "bedrock-api-key-1")):
        http = HttpRequest(
            method="POST",
            host="bedrock-runtime.us-east-1.amazonaws.com",
            path="/model/m/converse",
            headers={"authorization": header},
            body=json.dumps({"messages": MESSAGES}).encode(),
        )
        assert dialect.decode(http).secret == key


def test_a_client_without_credentials_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's last resort is the metadata service, an unknown host; nothing is sent there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nothing/is/here")

    def work(_: Tank) -> str:
        with pytest.raises(HTTPClientError) as caught:
            boto3.Session(region_name="us-east-1").client("bedrock-runtime")
        return str(caught.value)

    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in in_a_thread(work)


@pytest.mark.parametrize("messages", [[], [{"role": "assistant", "content": [{"text": "a"}]}]])
def test_a_conversation_starts_with_its_user(messages: list[Any]) -> None:
    """So Converse says, also of one that is empty."""

    def work(_: Tank) -> None:
        with pytest.raises(ClientError, match="must start with a user message"):
            client().converse(modelId="amazon.nova-lite-v1:0", messages=messages)

    in_a_thread(work)


def test_what_is_not_served_says_so() -> None:
    """A model without a format here, and an endpoint; the latter is no refusal, and is not counted."""

    def work(tank: Tank) -> Any:
        with pytest.raises(ClientError, match=r"wavetank doesn't serve InvokeModel of stability\.x"):
            client().invoke_model(modelId="stability.x", body="{}")
        with pytest.raises(ClientError, match="wavetank doesn't serve POST /guardrail/g/version/1/apply"):
            client().apply_guardrail(
                guardrailIdentifier="g",
                guardrailVersion="1",
                source="INPUT",
                content=[{"text": {"text": "a"}}],
            )
        return [record.status for record in tank.fake_llm.requests]

    assert in_a_thread(work) == [400]
