"""Every card of a vendor that speaks OpenAI's format: one row a card, with what the vendor documents.

The bodies of errors are as the vendor's pages and its users quote them: see the docstring of each card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
import msgspec
import openai
import pytest

import wavetank
from wavetank import Scenario, Tank, VendorCard
from wavetank.clock import SECOND, Duration
from wavetank.provider import vendor_registry as registry
from wavetank.provider.host_patterns import answers_for, is_loopback, path_pattern
from wavetank.provider.host_rules import HostApp, HostTable
from wavetank.provider.http import BadRequest, HttpRequest
from wavetank.provider.provider import Provider
from wavetank.provider.vendor_card import COMPATIBLE
from wavetank.provider.vendor_registry import cards
from wavetank.scenario import Limits, RefusalError, RetryAfter, Wave

pytestmark = [
    # SDKs leave generators of their own to the garbage collector, of which trio warns.
    pytest.mark.filterwarnings(r"ignore:Async generator '.*:ResourceWarning"),
]

MESSAGES: Any = [{"role": "user", "content": "item-1"}]
TEXT = "[wt:item-1] is the item this answer belongs to."
OTHER_NAMES = ("0.0.0.0:4000", "0.0.0.0:1234", "litellm-*")
"""Names of servers of one's own that are like others of the same card."""


@dataclass(frozen=True)
class Row:
    """What a vendor documents.

    `refused` is the body of a 429 for the model `m-1`, which takes 500 requests a minute; `{number}` in it
    stands for the id of the request. `limits` are the headers by which an answer states limits of requests
    and tokens by the minute. `statuses` are those that differ from OpenAI's.
    """

    urls: tuple[str, ...]
    refused: Any = None
    no_key: int = 401
    limits: tuple[str, ...] = ()
    statuses: dict[RefusalError, int] = field(default_factory=dict)
    chat: bool = True


def openai_error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


GENERIC = openai_error("Rate limit exceeded", "rate_limit_error", "rate_limit_exceeded")
ROWS: dict[str, Row] = {
    "ai21": Row(("https://api.ai21.com/studio/v1",), GENERIC),
    "anyscale": Row(("https://api.endpoints.anyscale.com/v1",), GENERIC),
    "baseten": Row(
        (
            "https://inference.baseten.co/v1",
            "https://model-abc.api.baseten.co/environments/production/sync/v1",
            "https://model-abc.api.baseten.co/deployment/d1/sync/v1",
        ),
        GENERIC,
    ),
    "cerebras": Row(
        ("https://api.cerebras.ai/v1",),
        {
            "message": "Requests per minute limit exceeded - too many requests sent.",
            "type": "too_many_requests_error",
            "param": "quota",
            "code": "request_quota_exceeded",
        },
        limits=(
            "x-ratelimit-limit-requests-minute",
            "x-ratelimit-remaining-requests-minute",
            "x-ratelimit-reset-requests-minute",
            "x-ratelimit-limit-tokens-minute",
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimit-reset-tokens-minute",
        ),
    ),
    "chutes": Row(("https://llm.chutes.ai/v1",), GENERIC),
    "cloudflare": Row(
        (
            "https://api.cloudflare.com/client/v4/accounts/a1/ai/v1",
            "https://gateway.ai.cloudflare.com/v1/a1/mine/compat",
            "https://gateway.ai.cloudflare.com/v1/a1/mine/workers-ai/v1",
        ),
        {
            "success": False,
            "errors": [{"code": 3040, "message": "Capacity temporarily exceeded, please try again."}],
            "messages": [],
            "result": None,
        },
        statuses={"overloaded": 429},
    ),
    "dashscope": Row(
        (
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        ),
        {
            "error": {
                "message": "You have exceeded your current request limit. For details, see: "
                "https://www.alibabacloud.com/help/en/model-studio/error-code#rate-limit",
                "type": "limit_requests",
                "param": None,
                "code": "limit_requests",
            },
            "request_id": "{number}",
        },
        statuses={"billing": 400},
    ),
    "databricks": Row(
        (
            "https://adb-1.cloud.databricks.com/serving-endpoints",
            "https://adb-1.7.azuredatabricks.net/serving-endpoints",
            "https://1.gcp.databricks.com/ai-gateway/mlflow/v1",
        ),
        {
            "error_code": "REQUEST_LIMIT_EXCEEDED",
            "message": "REQUEST_LIMIT_EXCEEDED: Exceeded workspace rate limit for m-1.",
        },
    ),
    "deepinfra": Row(
        ("https://api.deepinfra.com/v1/openai", "https://api.deepinfra.com/v1"),
        openai_error("Rate limited", "invalid_request_error", "rate_limit_exceeded"),
        statuses={"overloaded": 429, "billing": 402},
    ),
    "deepseek": Row(
        ("https://api.deepseek.com", "https://api.deepseek.com/v1", "https://api.deepseek.com/beta"),
        openai_error("Rate limit reached", "rate_limit_error", "invalid_request_error"),
        statuses={"billing": 402},
    ),
    "digitalocean": Row(
        ("https://inference.do-ai.run/v1",),
        GENERIC,
        limits=(
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
            "x-ratelimit-limit-tokens-per-minute",
            "x-ratelimit-remaining-tokens-per-minute",
            "x-ratelimit-reset-tokens-per-minute",
        ),
    ),
    "featherless": Row(("https://api.featherless.ai/v1",), GENERIC),
    "fireworks": Row(
        ("https://api.fireworks.ai/inference/v1",),
        {
            "error": {
                "object": "error",
                "type": "invalid_request_error",
                "code": None,
                "message": "rate limit exceeded, please try again later",
            }
        },
        limits=("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
        statuses={"billing": 412},
    ),
    "friendli": Row(
        ("https://api.friendli.ai/serverless/v1", "https://api.friendli.ai/dedicated/v1"), GENERIC
    ),
    "github": Row(
        (
            "https://models.github.ai/inference",
            "https://models.github.ai/orgs/mine/inference",
            "https://models.inference.ai.azure.com",
        ),
        {
            "error": {
                "code": "RateLimitReached",
                "message": "Rate limit of 500 per 60s exceeded for UserByModelByMinute. Please wait 7 "
                "seconds before retrying.",
                "details": "Rate limit of 500 per 60s exceeded for UserByModelByMinute. Please wait 7 "
                "seconds before retrying.",
            }
        },
        limits=(
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
        ),
    ),
    "helicone": Row(("https://ai-gateway.helicone.ai", "https://oai.helicone.ai/v1"), GENERIC),
    "huggingface": Row(
        (
            "https://router.huggingface.co/v1",
            "https://router.huggingface.co/together/v1",
            "https://router.huggingface.co/novita/v3/openai",
            "https://router.huggingface.co/fireworks-ai/inference/v1",
            "https://router.huggingface.co/hf-inference/models/org/m-1/v1",
            "https://router.huggingface.co/deepinfra/v1/openai",
            "https://api-inference.huggingface.co/models/org/m-1/v1",
            "https://x1.eu-west-1.aws.endpoints.huggingface.cloud/v1",
        ),
        {"error": "Too many requests. Please try again later."},
        statuses={"billing": 402},
    ),
    "hunyuan": Row(("https://api.hunyuan.cloud.tencent.com/v1",), GENERIC),
    "hyperbolic": Row(("https://api.hyperbolic.xyz/v1",), GENERIC),
    "inception": Row(("https://api.inceptionlabs.ai/v1",), GENERIC),
    "jina": Row(
        ("https://deepsearch.jina.ai/v1", "https://api.jina.ai/v1"),
        {"detail": "Rate limit exceeded"},
        statuses={"billing": 402},
    ),
    "lambda": Row(("https://api.lambda.ai/v1", "https://api.lambdalabs.com/v1"), GENERIC),
    "lepton": Row(("https://mine.lepton.run/api/v1", "https://llama3.lepton.ai/v1"), GENERIC),
    "litellm": Row(
        (
            "http://localhost:4000",
            "http://127.0.0.1:4000/v1",
            "http://litellm.corp.example:8080/openai",
            "http://litellm/openai/v1",
        ),
        {
            "error": {
                "message": "Rate limit exceeded for api_key: wavetank. Limit type: requests. Current limit: "
                "500, Remaining: 0.",
                "type": "throttling_error",
                "param": None,
                "code": "429",
            }
        },
        limits=(
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
        ),
    ),
    "lmstudio": Row(
        ("http://localhost:1234/v1", "http://lmstudio:8080/v1"), {"error": "Rate limit exceeded"}, no_key=0
    ),
    "minimax": Row(("https://api.minimax.io/v1", "https://api.minimaxi.com/v1"), GENERIC),
    "modelscope": Row(("https://api-inference.modelscope.cn/v1",), GENERIC),
    "moonshot": Row(
        ("https://api.moonshot.ai/v1", "https://api.moonshot.cn/v1"),
        {
            "error": {
                "message": "Your account org-wavetank<ak-wavetank> request reached organization max RPM: "
                "500, please try again after 7 seconds",
                "type": "rate_limit_reached_error",
            }
        },
        statuses={"overloaded": 429},
    ),
    "nebius": Row(
        (
            "https://api.studio.nebius.ai/v1",
            "https://api.studio.nebius.com/v1",
            "https://api.tokenfactory.nebius.com/v1",
            "https://api.tokenfactory.eu-west1.nebius.com/v1",
        ),
        GENERIC,
    ),
    "novita": Row(
        (
            "https://api.novita.ai/v3/openai",
            "https://api.novita.ai/openai",
            "https://api.novita.ai/openai/v1",
        ),
        GENERIC,
    ),
    "nscale": Row(("https://inference.api.nscale.com/v1",), GENERIC),
    "nvidia": Row(
        ("https://integrate.api.nvidia.com/v1",),
        {"status": 429, "title": "Too Many Requests"},
    ),
    "ovhcloud": Row(
        (
            "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
            "https://llama.endpoints.kepler.ai.cloud.ovh.net/api/openai_compat/v1",
        ),
        GENERIC,
    ),
    "perplexity": Row(
        ("https://api.perplexity.ai", "https://api.perplexity.ai/v1"),
        {"error": {"message": "Rate limit exceeded", "type": "rate_limit_error", "code": 429}},
    ),
    "portkey": Row(("https://api.portkey.ai/v1",), GENERIC),
    "qianfan": Row(
        ("https://qianfan.baidubce.com/v2",),
        {
            "error": {
                "code": "rpm_rate_limit_exceeded",
                "message": "Rate limit reached for RPM",
                "type": "rate_limit_exceeded",
            },
            "id": "{number}",
        },
    ),
    "sambanova": Row(
        ("https://api.sambanova.ai/v1",),
        {
            **openai_error("Rate limit exceeded", "rate_limit_exceeded", "rate_limit_exceeded"),
            "request_id": "{number}",
        },
        limits=(
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ),
    ),
    "scaleway": Row(("https://api.scaleway.ai/v1", "https://api.scaleway.ai/my-project/v1"), GENERIC),
    "siliconflow": Row(
        ("https://api.siliconflow.cn/v1", "https://api.siliconflow.com/v1"),
        {
            "code": 50602,
            "message": "Request was rejected due to rate limiting. Details:RPM limit reached.",
            "data": None,
        },
        statuses={"billing": 402},
    ),
    "snowflake": Row(("https://mine.snowflakecomputing.com/api/v2/cortex/v1",), GENERIC),
    "stepfun": Row(("https://api.stepfun.com/v1", "https://api.stepfun.ai/v1"), GENERIC),
    "together": Row(
        ("https://api.together.xyz/v1", "https://api.together.ai/v1", "https://api-inference.together.ai/v1"),
        openai_error("The rate of your requests to m-1 is too high.", "dynamic_request_limited", None),
        limits=("x-ratelimit-reset",),
        statuses={"billing": 402},
    ),
    "upstage": Row(("https://api.upstage.ai/v1", "https://api.upstage.ai/v1/solar"), GENERIC),
    "venice": Row(("https://api.venice.ai/api/v1",), GENERIC),
    "vercel": Row(("https://ai-gateway.vercel.sh/v1",), GENERIC, statuses={"billing": 402}),
    "volcengine": Row(
        (
            "https://ark.cn-beijing.volces.com/api/v3",
            "https://ark.ap-southeast.bytepluses.com/api/v3",
            "https://ark.cn-beijing.volces.com/api/coding/v3",
        ),
        {
            "error": {
                "code": "RateLimitExceeded.EndpointRPMExceeded",
                "message": "The Requests Per Minute (RPM) limit of the associated endpoint for your account "
                "has been exceeded.",
                "param": "",
                "type": "TooManyRequests",
            }
        },
        statuses={"overloaded": 429, "billing": 403},
    ),
    "voyage": Row(
        ("https://api.voyageai.com/v1", "https://ai.mongodb.com/v1"),
        {
            "detail": "You have exceeded the rate limit of 500 for your organization. Please pace your "
            "requests."
        },
        chat=False,
    ),
    "wandb": Row(("https://api.inference.wandb.ai/v1",), GENERIC),
    "xai": Row(
        ("https://api.x.ai/v1", "https://us-east-1.api.x.ai/v1"),
        {
            "code": "Some resource has been exhausted",
            "error": "Too many requests for m-1. Please try again later.",
        },
        limits=(
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
        ),
        statuses={"billing": 403},
    ),
    "zai": Row(
        ("https://api.z.ai/api/paas/v4", "https://open.bigmodel.cn/api/coding/paas/v4"),
        {"error": {"code": "1302", "message": "Rate limit reached for requests"}},
        statuses={"overloaded": 429},
    ),
}
CHAT = {name: row for name, row in ROWS.items() if row.chat}
EACH = pytest.mark.parametrize("name", ROWS)
EACH_CHAT = pytest.mark.parametrize("name", CHAT)


# -- the rows ----------------------------------------------------------------------------------------


def test_each_card_has_its_row() -> None:
    """A vendor that speaks OpenAI's format has a row here; the others have theirs in `test_dialects_all`."""
    assert set(ROWS) == {card.name for card in cards() if card.wire == COMPATIBLE}


def card(name: str) -> VendorCard:
    """The card of a name."""
    return next(card for card in cards() if card.name == name)


@EACH
def test_each_host_and_base_path_is_in_a_row(name: str) -> None:
    """Each host and base path of a card is that of a URL that is tested; of this machine one is enough."""
    found = card(name)
    urls = [httpx2.URL(url) for url in ROWS[name].urls]
    for pattern in found.hosts:
        known = [url for url in urls if answers_for((pattern,), url.host, url.port)]
        assert known or is_loopback(pattern) or pattern in OTHER_NAMES, pattern
    for base in (*found.base_paths, *found.behind):
        known = [url for url in urls if re.fullmatch(path_pattern(base), url.path.rstrip("/"))]
        assert known or base in found.behind, base


# -- the wire ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """A response as it is on the wire."""

    status: int
    headers: dict[str, str]
    body: Any


def respond(
    name: str, scenario: Scenario | None = None, *, path: str | None = None, key: str = "key"
) -> Response:
    """What the fake says to a plain request at the first URL of a vendor."""
    url = httpx2.URL(ROWS[name].urls[0])
    endpoint, asked = ("/chat/completions", {"messages": MESSAGES})
    if not ROWS[name].chat:
        endpoint, asked = ("/embeddings", {"input": "item-1"})
    own = card(name).key_header
    http = HttpRequest(
        method="POST",
        host=f"{url.host}:{url.port}" if url.port else url.host,
        path=f"{url.path.rstrip('/')}{path or endpoint}",
        headers={own or "authorization": key if own else f"Bearer {key}"} if key else {},
        body=json.dumps({"model": "m-1", **asked}).encode(),
    )
    route = HostTable().route(http)
    assert route is not None
    assert not isinstance(route.answers, HostApp)
    try:
        request = route.answers.decode(route.http, now=0)
    except BadRequest as refused:
        said = refused.reply
        return Response(said.status, dict(said.headers), json.loads(said.body))
    provider, request.id = Provider(scenario or Scenario()), 1
    provider.arrive(request, 0)
    (reply,) = provider.advance(provider.next_due() or 0)
    frame = route.answers.encode(request, reply)
    assert frame.head is not None
    return Response(frame.head.status, dict(frame.head.headers), json.loads(frame.data))


def refusing(lasts: float, status: int | None = 429, **more: Any) -> Scenario:
    """All requests are refused for so many seconds; they may come back after 7."""
    back = RetryAfter(value=Duration(7 * SECOND))
    wave = Wave(lasts=Duration(round(lasts * SECOND)), status=status, **{"retry_after": back, **more})
    return Scenario(wave=(wave,))


@EACH
def test_a_rate_limit_has_the_body_of_the_vendor(name: str) -> None:
    """As its pages and its users quote it, and with the Retry-After of the scenario."""
    response = respond(name, refusing(60))
    named = [header for header, value in card(name).response_headers.items() if value == "{number}"]
    number = response.headers[named[0]] if named else ""
    assert response.body == json.loads(json.dumps(ROWS[name].refused).replace("{number}", number))
    assert (response.status, response.headers["retry-after"]) == (429, "7")


@EACH
@pytest.mark.parametrize("wrong", ["overloaded", "billing"])
def test_an_error_has_the_status_of_the_vendor(name: str, wrong: RefusalError) -> None:
    """A scenario that names no status gets the vendor's own."""
    usual = {"overloaded": 503, "billing": 429}[wrong]
    assert respond(name, refusing(60, None, error=wrong)).status == ROWS[name].statuses.get(wrong, usual)


@EACH
def test_a_request_without_a_key_is_refused(name: str) -> None:
    """Unless the vendor is a server without keys."""
    assert respond(name, key="").status == (ROWS[name].no_key or 200)


@EACH
def test_a_path_that_is_unknown_is_refused(name: str) -> None:
    """With 404, except by LM Studio, which says so with 200."""
    response = respond(name, path="/chat/complete")
    assert response.status == (200 if name == "lmstudio" else 404)
    assert "choices" not in response.body


@EACH
def test_an_answer_states_its_limits_under_the_vendor_s_names(name: str) -> None:
    """And states none where none are documented."""
    per_minute = Scenario(limits=Limits(requests_per_minute=100, tokens_per_minute=10_000))
    headers = respond(name, per_minute).headers
    own = [each.partition("{field}") for each in card(name).limit_headers.values()]
    stated = tuple(
        each
        for each in headers
        if each.startswith("x-ratelimit")
        or any(each.startswith(begins) and each.endswith(ends) for begins, _, ends in own)
    )
    assert stated == ROWS[name].limits


# -- the OpenAI SDK ----------------------------------------------------------------------------------


def run(main: Callable[[Tank], Awaitable[Any]], scenario: Scenario | None = None) -> Any:
    """What a program returns in a world of its own."""
    ran = wavetank.simulate(main, scenario or Scenario(), checks=())
    if ran.error is not None:
        raise ran.error
    return ran.value


async def streamed(chunks: Any) -> str:
    """The text of a stream."""
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


async def seen_at(tank: Tank, url: str) -> Any:
    """A plain answer and a streamed one, and the vendors they were asked of; or what went wrong."""
    before = len(tank.fake_llm.requests)
    try:
        async with openai.AsyncOpenAI(base_url=url, _strict_response_validation=True) as client:
            plain = await client.chat.completions.create(model="m-1", messages=MESSAGES)
            chunks = await client.chat.completions.create(model="m-1", messages=MESSAGES, stream=True)
            texts = plain.choices[0].message.content, await streamed(chunks)
    except Exception as error:
        return error
    return *texts, *(record.request.card.name for record in tank.fake_llm.requests[before:])


@pytest.fixture(scope="module")
def seen_by_the_sdk() -> dict[str, Any]:
    """What OpenAI's SDK sees at every base URL, one after another in one world."""

    async def main(tank: Tank) -> dict[str, Any]:
        return {url: await seen_at(tank, url) for row in CHAT.values() for url in row.urls}

    return dict(run(main))


@EACH_CHAT
def test_the_openai_sdk_reads_an_answer_at_each_base_url(name: str, seen_by_the_sdk: dict[str, Any]) -> None:
    """Plain and put together from a stream, in the dialect of the vendor."""
    urls = CHAT[name].urls
    assert {url: seen_by_the_sdk[url] for url in urls} == dict.fromkeys(urls, (TEXT, TEXT, name, name))


@EACH_CHAT
def test_a_sync_client_reads_its_answer_after_a_refusal(name: str) -> None:
    """A 429 is a `RateLimitError` with the vendor's body; and the client waits as long as it is asked to."""

    def call() -> tuple[Any, str | None]:
        asked: Any = {"model": "m-1", "messages": MESSAGES}
        with openai.OpenAI(base_url=CHAT[name].urls[0]) as client:
            with pytest.raises(openai.RateLimitError) as caught:
                client.with_options(max_retries=0).chat.completions.create(**asked)
            answer = client.chat.completions.create(**asked)
            return caught.value.response.json().keys(), answer.choices[0].message.content

    async def main(tank: Tank) -> tuple[Any, str | None, float]:
        keys, answer = await anyio.to_thread.run_sync(call)
        _, second, third = tank.fake_llm.requests
        return keys, answer, third.sent - second.sent

    assert run(main, refusing(0.1)) == (ROWS[name].refused.keys(), TEXT, pytest.approx(7.01, abs=0.01))


# -- the page ----------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "vendors.md"
SERVED = {
    "chat": "chat completions",
    "rerank": "reranking",
    "image-edits": "edits of images",
    "moderations": "moderation",
}


def codes(names: Iterable[str]) -> str:
    """Names as the page has them."""
    return ", ".join(f"`{name}`" for name in names)


def page_row(found: VendorCard) -> str:
    """The row of a vendor in the first table of the page."""
    served = ", ".join(SERVED.get(name, name) for name in found.serves)
    bases = codes(base or "/" for base in found.base_paths)
    cells = (f"`{found.name}`", codes(found.hosts), bases, served, codes(found.key_variables))
    return f"| {' | '.join(cells)} |"


def limit_row(found: VendorCard) -> str:
    """The row of a vendor in the table of limits."""
    listed = ",".join(found.limit_fields)
    field = listed if len(found.limit_fields) == 1 else f"{{{listed}}}"
    names = codes(name.replace("{field}", field) for name in found.limit_headers.values())
    resets = RESETS[found.reset] if "reset" in found.limit_fields else "none"
    return f"| `{found.name}` | {names} | {found.limits_on} | {resets} |"


def status_row(found: VendorCard) -> str:
    """The row of a vendor in the table of statuses."""
    pairs = sorted({**found.statuses, **found.over_limit}.items())
    return f"| `{found.name}` | {', '.join(f'`{error}` {status}' for error, status in pairs)} |"


RESETS = {
    "duration": "as Go prints durations",
    "seconds": "whole seconds",
    "decimal-seconds": "seconds with a fraction",
    "unix": "Unix time",
    "rfc3339": "a date in UTC",
}


def test_the_page_has_each_vendor() -> None:
    """Its hosts, base paths, endpoints, key, limits and statuses; a failure shows the rows to write."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    compatible = sorted((found for found in cards() if found.name in ROWS), key=lambda found: found.name)
    stating = [limit_row(found) for found in compatible if found.limit_headers]
    own = [status_row(found) for found in compatible if found.statuses or found.over_limit]
    rows = [*map(page_row, compatible), *stating, *own]
    missing = "\n".join(row for row in rows if row not in lines)
    assert lines == rows, f"write these rows into {PAGE.name}, each in its place:\n{missing}"


def test_the_card_of_the_page_on_adding_one_works() -> None:
    """As it is written there; and the page names every field that a card has."""
    page = (PAGE.parent / "adding-a-vendor.md").read_text("utf-8")
    defined: dict[str, Any] = {}
    exec(page.partition("```py\n")[2].partition("```")[0], defined)
    acme = defined["CARD"]

    async def main(_tank: Tank) -> Any:
        async with openai.AsyncOpenAI(base_url="https://api.acme.example/inference/v1") as client:
            asked = client.with_options(max_retries=0).chat.completions.with_raw_response
            first = await asked.create(model="m-1", messages=MESSAGES)
            with pytest.raises(openai.RateLimitError) as caught:
                await asked.create(model="m-1", messages=MESSAGES)
        return dict(first.headers), caught.value.response.json(), caught.value.response.headers["retry-after"]

    wavetank.add_vendor(acme)
    try:
        headers, body, back = run(main, Scenario(limits=Limits(requests_per_minute=1)))
    finally:
        registry._added.clear()
        registry.vendor_at.cache_clear()
        registry.looks.cache_clear()
    stated = {name: headers[f"x-acme-{name}-requests"] for name in ("limit", "remaining", "reset")}
    assert stated == {"limit": "1", "remaining": "0", "reset": back}
    assert body == {"code": "slow_down", "message": "m-1 takes 1 requests a minute"}
    table = page.partition("\n## What a card can say\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert {field.name for field in msgspec.structs.fields(VendorCard)} - {"name", "wire"} <= named
