"""Refusals and limits in the words, codes and headers that each provider has been seen to use."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from wavetank.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from wavetank.processor import classify
from wavetank.provider.http import Frame, HttpRequest
from wavetank.provider.model import BucketState, LimitState, Reason, Refusal, Reply, WireRetryAfter
from wavetank.provider.request import Request
from wavetank.scenario import RefusalError

from .dialects import dialect_for

PATHS = {
    "api.openai.com": "/v1/chat/completions",
    "api.anthropic.com": "/v1/messages",
    "mine.openai.azure.com": "/openai/v1/chat/completions",
    "generativelanguage.googleapis.com": "/v1beta/models/m-1:generateContent",
    "aiplatform.googleapis.com": "/v1/publishers/google/models/m-1:generateContent",
    "openrouter.ai": "/api/v1/chat/completions",
    "localhost:11434": "/api/chat",
    "api.mistral.ai": "/v1/chat/completions",
    "api.groq.com": "/openai/v1/chat/completions",
    "api.cohere.com": "/v2/chat",
    "vllm": "/v1/chat/completions",
}
OPENAI, ANTHROPIC, AZURE, GEMINI, VERTEX, OPENROUTER, OLLAMA, MISTRAL, GROQ, COHERE, VLLM = PATHS
BODY = {
    "model": "m-1",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "item-1"}],
    "contents": [{"parts": [{"text": "item-1"}]}],
}


def bucket(limit: int, remaining: int, reset: int, per: int = MINUTE) -> BucketState:
    """A limit, what is left of it, and milliseconds until it is whole."""
    return BucketState(limit, remaining, reset * MILLISECOND, per)


LIMITS = LimitState(
    requests=bucket(600, 59, 100),
    tokens=bucket(60_000, 0, 6 * 60_000),
    input_tokens=bucket(40_000, 30_000, 15_000),
    output_tokens=bucket(8000, 7000, 7500),
    requests_per_day=bucket(14_400, 14_399, 6000, DAY),
    tokens_per_day=bucket(1_000_000, 999_000, 86_400, DAY),
)


def decoded(host: str, path: str | None = None) -> Request:
    """A good request to a host."""
    dialect = dialect_for(host)
    assert dialect is not None
    headers = {"authorization": "Bearer sk-one", "anthropic-version": "2026-10-21"}
    body = json.dumps(BODY).encode()
    request = HttpRequest(method="POST", host=host, path=path or PATHS[host], headers=headers, body=body)
    return dialect.decode(request, now=0)


def refused(
    host: str,
    error: RefusalError = "rate-limit",
    status: int = 429,
    *,
    reason: Reason = "wave",
    limits: LimitState | None = None,
    after: float | None = None,
    path: str | None = None,
) -> Frame:
    """A refusal as a host writes it."""
    retry = WireRetryAfter("seconds", round(after * SECOND)) if after is not None else None
    refusal = Refusal(status, reason, "account", retry, limits or LimitState(), error=error)
    dialect = dialect_for(host)
    assert dialect is not None
    return dialect.encode(decoded(host, path), Reply(1, refusal, 0, 1, 10 * MILLISECOND))


def body(frame: Frame) -> Any:
    """The JSON of a refusal."""
    return json.loads(frame.data)


def headers_with(frame: Frame, *parts: str) -> dict[str, str]:
    """The headers whose names have one of these parts."""
    assert frame.head is not None
    return {name: value for name, value in frame.head.headers if any(part in name.lower() for part in parts)}


# -- limits ----------------------------------------------------------------------------------------

SILENT = (GEMINI, VERTEX, OLLAMA, VLLM)


@pytest.mark.parametrize("host", SILENT)
def test_some_dialects_state_no_limits(host: str) -> None:
    """They have no names for them."""
    assert headers_with(refused(host, limits=LIMITS), "limit", "quota") == {}


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (
            OPENAI,
            {
                "x-ratelimit-limit-requests": "600",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "100ms",
                "x-ratelimit-limit-tokens": "60000",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
        ),
        (
            AZURE,
            {
                "x-ratelimit-limit-requests": "600",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1",
                "x-ratelimit-limit-tokens": "60000",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "360",
            },
        ),
        (
            ANTHROPIC,
            {
                "anthropic-ratelimit-requests-limit": "600",
                "anthropic-ratelimit-requests-remaining": "59",
                "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:01Z",
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "30000",
                "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:15Z",
                "anthropic-ratelimit-output-tokens-limit": "8000",
                "anthropic-ratelimit-output-tokens-remaining": "7000",
                "anthropic-ratelimit-output-tokens-reset": "2026-01-01T00:00:08Z",
                "anthropic-ratelimit-tokens-limit": "60000",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-01-01T00:06:00Z",
            },
        ),
        (
            GROQ,
            {
                "x-ratelimit-limit-requests": "14400",
                "x-ratelimit-remaining-requests": "14399",
                "x-ratelimit-reset-requests": "6s",
                "x-ratelimit-limit-tokens": "60000",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
        ),
        (
            MISTRAL,
            {
                "x-ratelimit-limit-req-minute": "600",
                "x-ratelimit-remaining-req-minute": "59",
                "x-ratelimit-limit-tokens-minute": "60000",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-tokens-query-cost": "22",
            },
        ),
        (
            OPENROUTER,
            {
                "X-RateLimit-Limit": "600",
                "X-RateLimit-Remaining": "59",
                "X-RateLimit-Reset": "1767225600100",
            },
        ),
        (COHERE, {"x-trial-endpoint-call-limit": "600", "x-trial-endpoint-call-remaining": "59"}),
    ],
)
def test_limits_have_each_dialect_s_names_and_units(host: str, headers: dict[str, str]) -> None:
    """Each dialect tells what it has names for, and nothing of what is not limited."""
    assert headers_with(refused(host, limits=LIMITS), "ratelimit", "call") == headers
    assert headers_with(refused(host), "limit") == {}
    assert headers_with(refused(host, "throttle", limits=LIMITS), "limit") == {}


def test_openai_reports_days_where_minutes_are_free() -> None:
    """The names are the same."""
    days = LimitState(requests_per_day=bucket(200, 0, 500, DAY), tokens_per_day=bucket(9, 9, 0, DAY))
    headers = headers_with(refused(OPENAI, limits=days), "ratelimit-limit")
    assert headers == {"x-ratelimit-limit-requests": "200", "x-ratelimit-limit-tokens": "9"}


def test_a_date_in_the_limits_is_counted_from_when_they_were_read() -> None:
    """Two hours into the run a budget that is whole in 100 ms is so at two hours, rounded up."""
    dialect, request = dialect_for(ANTHROPIC), decoded(ANTHROPIC)
    assert dialect is not None
    resets = [
        dict(dialect.limits(request, structs.replace(LIMITS, at=at), epoch_ns=0))[
            "anthropic-ratelimit-requests-reset"
        ]
        for at in (0, 2 * HOUR)
    ]
    assert resets == ["1970-01-01T00:00:01Z", "1970-01-01T02:00:01Z"]


# -- words and codes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("quota", "insufficient_quota", "insufficient_quota"),
        ("billing", "insufficient_quota", "credit_balance_exhausted"),
        ("ramp", "rate_limit_error", "slow_down"),
        ("throttle", "requests", "rate_limit_exceeded"),
        ("overloaded", "service_unavailable_error", "server_is_overloaded"),
        ("server", "server_error", None),
        ("too-large", "tokens", "rate_limit_exceeded"),
    ],
)
def test_openai_s_codes(error: RefusalError, kind: str, code: str | None) -> None:
    """Type and code tell what a 429 means."""
    found = body(refused(OPENAI, error))["error"]
    assert (found["type"], found["code"], found["param"]) == (kind, code, None)


@pytest.mark.parametrize("host", [OPENAI, GROQ])
@pytest.mark.parametrize("limits", [None, LIMITS])
def test_what_is_too_large_is_above_the_limit_it_names(host: str, limits: LimitState | None) -> None:
    """Also where a scenario says that it is, and no limit was hit."""
    message = body(refused(host, "too-large", limits=limits))["error"]["message"]
    assert "Limit 21, Requested 22." in message


@pytest.mark.parametrize("host", [OPENAI, AZURE, OPENROUTER, OLLAMA, MISTRAL, GROQ, COHERE, VLLM])
def test_what_is_too_large_can_be_distinguished_from_a_rate_limit(host: str) -> None:
    """By its code, its numbers or its words; Anthropic and Google have the same for both."""

    class Told(Exception):
        status = 429
        body = refused(host, "too-large").data

    assert classify(Told()).kind == "terminal"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("quota", "rate_limit_error", "enforced_spend_limit_reached"),
        ("billing", "billing_error", None),
        ("ramp", "rate_limit_error", "ramp_limit_exceeded"),
        ("throttle", "rate_limit_error", None),
        ("overloaded", "overloaded_error", None),
        ("too-large", "rate_limit_error", None),
        ("timeout", "timeout_error", None),
        ("conflict", "conflict_error", None),
    ],
)
def test_anthropic_s_codes(error: RefusalError, kind: str, code: str | None) -> None:
    """The SDK has classes of its own for two of them."""
    found = body(refused(ANTHROPIC, error))["error"]
    assert (found["type"], found.get("details", {}).get("error_code")) == (kind, code)
    assert error != "throttle" or found["message"] == "Error"


def test_anthropic_s_413_is_too_large() -> None:
    """With its own status it has its own type."""
    assert body(refused(ANTHROPIC, "too-large", 413))["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (OPENAI, "on requests per day (RPD): Limit 14400, Used 1, Requested 1. Please try again in 2h0m0s."),
        (GROQ, "on requests per day (RPD): Limit 14400, Used 1, Requested 1. Please try again in 2h0m0s."),
        (ANTHROPIC, "rate limit of 14,400 requests per day"),
        (GEMINI, "generate_content_free_tier_requests, limit: 14400\nPlease retry in 7200s."),
        (OPENROUTER, "Rate limit exceeded: free-models-per-day"),
        (AZURE, "Please retry after 7200 seconds."),
    ],
)
def test_a_day_s_budget_is_named(host: str, words: str) -> None:
    """One that was hit is a rate limit, and no lack of credit."""
    frame = refused(host, "quota", reason="requests-per-day", limits=LIMITS, after=7200)
    error = body(frame)["error"]
    assert words in error["message"]
    assert error.get("code") in ("rate_limit_exceeded", 429, "429", None)


@pytest.mark.parametrize(
    ("host", "per", "words"),
    [
        (OPENAI, SECOND, "on requests per second (RPS): Limit 10"),
        (OPENAI, 5 * HOUR, "on requests per 5h: Limit 10"),
        (GROQ, MINUTE, "on requests per minute (RPM): Limit 10"),
        (ANTHROPIC, HOUR, "rate limit of 10 requests per hour"),
        (OPENROUTER, SECOND, "free-models-per-second"),
        (COHERE, SECOND, "limited to 10 API calls / second."),
        (GEMINI, SECOND, "GenerateRequestsPerSecondPerProjectPerModel-FreeTier"),
        (MISTRAL, SECOND, "x-ratelimit-limit-req-second"),
    ],
)
def test_a_limit_is_named_by_the_time_it_is_for(host: str, per: int, words: str) -> None:
    """Not every limit is one of a minute."""
    limits = LimitState(requests=bucket(10, 0, 500, per))
    frame = refused(host, reason="requests", limits=limits, after=1)
    assert words in f"{frame.data.decode()}{frame.head}"


def test_azure_names_the_operation_and_the_kind_of_limit() -> None:
    """The code is a string, and there is neither type nor param."""
    error = body(refused(AZURE, reason="tokens", limits=LIMITS, after=6.8))["error"]
    assert error.keys() == {"code", "message"}
    assert error["code"] == "429"
    assert "ChatCompletions_Create" in error["message"]
    assert "exceeded token rate limit" in error["message"]
    assert "Please retry after 7 seconds." in error["message"]
    assert "call rate limit" in body(refused(AZURE))["error"]["message"]
    assert "Please retry after 1 second." in body(refused(AZURE, after=1))["error"]["message"]


def test_gemini_names_the_quota() -> None:
    """Violation, help and when to come back; the quota of a day has another id."""
    error = body(refused(GEMINI, reason="requests", limits=LIMITS, after=26))["error"]
    kinds = [detail["@type"].rpartition(".")[2] for detail in error["details"]]
    assert (error["code"], error["status"], kinds) == (
        429,
        "RESOURCE_EXHAUSTED",
        ["QuotaFailure", "Help", "RetryInfo"],
    )
    (violation,) = error["details"][0]["violations"]
    assert violation["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert (violation["quotaValue"], violation["quotaDimensions"]["model"]) == ("600", "m-1")
    day = body(refused(GEMINI, "quota"))["error"]
    assert "PerDay" in day["details"][0]["violations"][0]["quotaId"]
    assert len(day["details"]) == 2
    tokens = body(refused(GEMINI, reason="tokens", limits=LIMITS))["error"]
    assert "InputTokensPerModelPerMinute" in tokens["details"][0]["violations"][0]["quotaId"]


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        ("overloaded", 503, "UNAVAILABLE"),
        ("server", 500, "INTERNAL"),
        ("timeout", 504, "DEADLINE_EXCEEDED"),
        ("conflict", 409, "ABORTED"),
        ("billing", 429, "RESOURCE_EXHAUSTED"),
        ("throttle", 429, "RESOURCE_EXHAUSTED"),
        ("too-large", 400, "INVALID_ARGUMENT"),
        ("rate-limit", 403, "PERMISSION_DENIED"),
    ],
)
@pytest.mark.parametrize("host", [GEMINI, VERTEX])
def test_gemini_s_codes_are_google_s(host: str, error: RefusalError, status: int, name: str) -> None:
    """Number and name of the code are both in the body."""
    found = body(refused(host, error, status))["error"]
    assert (found["code"], found["status"]) == (status, name)


def test_vertex_is_brief() -> None:
    """No details, and when to come back in a header."""
    frame = refused(VERTEX, after=7)
    error = body(frame)["error"]
    assert "error-code-429" in error["message"]
    assert "details" not in error
    assert error["errors"][0]["reason"] == "rateLimitExceeded"
    assert headers_with(frame, "retry") == {"retry-after": "7"}


def test_gemini_s_array_holds_errors_too() -> None:
    """A stream that is not one of events answers with an array of one error."""
    frame = refused(GEMINI, path="/v1beta/models/m-1:streamGenerateContent")
    (only,) = body(frame)
    assert only["error"]["code"] == 429


def test_openrouter_separates_its_own_limits_from_those_behind_it() -> None:
    """A limit that was hit has its numbers in the metadata, too; a wave is a provider's."""
    own = body(refused(OPENROUTER, reason="requests", limits=LIMITS))["error"]
    assert own["message"] == "Rate limit exceeded: free-models-per-min."
    assert own["metadata"]["headers"]["X-RateLimit-Limit"] == "600"
    other = body(refused(OPENROUTER))["error"]
    assert (other["code"], other["metadata"]["provider_code"]) == (429, "rate_limited")
    assert body(refused(OPENROUTER, "quota"))["error"]["message"].startswith(
        "Rate limit exceeded: free-models-per-day"
    )
    assert body(refused(OPENROUTER, "billing", 402))["error"]["code"] == 402


def test_ollama_has_strings() -> None:
    """Two spaces are in the one for a full queue; under `/v1` it is an object."""
    full = body(refused(OLLAMA, "overloaded", 503))
    assert full == {"error": "server busy, please try again.  maximum pending requests exceeded"}
    other = body(refused(OLLAMA, "overloaded", 503, path="/v1/chat/completions"))["error"]
    assert (other["type"], other["code"]) == ("api_error", None)


def test_mistral_s_codes() -> None:
    """A string of digits, and the status beside it."""
    found = body(refused(MISTRAL))
    assert (found["object"], found["type"], found["code"], found["raw_status_code"]) == (
        "error",
        "rate_limited",
        "1300",
        429,
    )
    assert "capacity exceeded" in body(refused(MISTRAL, "overloaded", 503))["message"]


def test_groq_speaks_as_openai_does() -> None:
    """The same sentences with the model in quotes, and no `param`."""
    error = body(refused(GROQ, reason="tokens", limits=LIMITS, after=11.455))["error"]
    assert error.keys() == {"message", "type", "code"}
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
    assert (
        "for model `m-1` in organization `org_wavetank` service tier `on_demand` on tokens per minute (TPM): "
        "Limit 60000, Used 60000, Requested 22. Please try again in 11.455s."
    ) in error["message"]


def test_cohere_speaks_of_a_trial_key() -> None:
    """Where calls of a minute are the limit that was hit."""
    message = body(refused(COHERE, reason="requests", limits=LIMITS))["message"]
    assert "Trial key, which is limited to 600 API calls / minute" in message
    assert body(refused(COHERE))["message"] == "Please wait and try again later"


def test_vllm_s_code_is_a_number() -> None:
    """And its type is the name of an exception."""
    assert body(refused(VLLM, "server", 500))["error"] == {
        "message": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        "type": "InternalServerError",
        "param": None,
        "code": 500,
    }
    assert body(refused(VLLM))["error"]["type"] == "TooManyRequestsError"
    assert body(refused(VLLM, status=599))["error"]["type"] == "ServiceUnavailableError"
