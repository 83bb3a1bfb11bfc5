"""What the processor makes of the exceptions of the providers' clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
import trio

from wavetank.processor import FailureKind, classify, error_in_answer
from wavetank.processor.errors.reset_times import UntilInstant
from wavetank.processor.errors.stated_wait import stated_wait


class ClientError(Exception):
    """An error with whatever attributes a test gives it."""

    def __init__(self, message: str = "", /, **attributes: object) -> None:
        super().__init__(message)
        for name, value in attributes.items():
            setattr(self, name, value)


class Response:
    """What clients attach to their errors."""

    def __init__(self, status_code: int, headers: Mapping[str, str] | None = None, text: str = "") -> None:
        self.status_code = status_code
        self.headers = headers or {}
        self.text = text


class QuotaExhausted(ClientError):
    """As a client may call it."""


class RequestTooLarge(ClientError):
    """As a client may call it."""


class ConnectionLost(ClientError):
    """As a client may call it."""


class MyTimeoutError(ClientError):
    """As a client may call it."""


def openai_error(status: int, body: dict[str, Any], headers: dict[str, str]) -> openai.APIStatusError:
    """What the OpenAI client raises for an answer: it unwraps the error object."""
    request = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")
    response = httpx2.Response(status, headers=headers, json={"error": body}, request=request)
    kind = openai.RateLimitError if status == 429 else openai.APIStatusError
    return kind("Error code", response=response, body=body)


def anthropic_error(status: int, error: dict[str, Any]) -> anthropic.APIStatusError:
    """What the Anthropic client raises for an answer: the body stays whole."""
    request = httpx2.Request("POST", "https://api.anthropic.com/v1/messages")
    body = {"type": "error", "error": error}
    response = httpx2.Response(status, json=body, request=request)
    return anthropic.APIStatusError("Error code", response=response, body=body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rate-limited"),
        (503, "rate-limited"),
        (529, "rate-limited"),
        (408, "transient"),
        (409, "transient"),
        (500, "transient"),
        (502, "transient"),
        (504, "transient"),
        (524, "transient"),
        (200, "transient"),
        (400, "terminal"),
        (401, "terminal"),
        (402, "terminal"),
        (403, "terminal"),
        (404, "terminal"),
        (413, "terminal"),
        (422, "terminal"),
    ],
)
@pytest.mark.parametrize("where", ["status", "status_code", "response", "code"])
def test_statuses(status: int, kind: FailureKind, where: str) -> None:
    """Each status has its kind, wherever the exception holds it, and the reason names it."""
    attributes: dict[str, Any] = {where: Response(status) if where == "response" else status}
    error = ClientError(**attributes)
    failure = classify(error)
    assert failure.kind == kind
    assert str(status) in failure.reason
    assert failure.error is error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), "transient"),
        (ConnectionRefusedError(), "transient"),
        (TimeoutError(), "transient"),
        (OSError("no route to host"), "transient"),
        (ConnectionLost(status=0), "transient"),
        (MyTimeoutError(), "transient"),
        (trio.TooSlowError(), "transient"),
        (httpx.ReadTimeout("slow"), "transient"),
        (httpx.ConnectError("refused"), "transient"),
        (httpx2.RemoteProtocolError("cut"), "transient"),
        (openai.APIConnectionError(request=httpx2.Request("POST", "https://x")), "transient"),
        (openai.APITimeoutError(request=httpx2.Request("POST", "https://x")), "transient"),
        (ClientError(code="server_error"), "transient"),
        (ValueError("bad row"), "terminal"),
        (KeyError("row"), "terminal"),
        (ExceptionGroup("", [ConnectionResetError()]), "transient"),
        (ExceptionGroup("", [ConnectionResetError(), ValueError()]), "terminal"),
        (asyncio.CancelledError(), "terminal"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_errors_without_a_status(error: BaseException, kind: FailureKind) -> None:
    """Lost connections and timeouts are worth another try, an error of the caller's own code is not."""
    assert classify(error).kind == kind


@pytest.mark.parametrize(
    "text", ["429", "rate limit reached", "You exceeded your current quota", "503 timeout"]
)
def test_words_in_a_message_decide_nothing(text: str) -> None:
    """A message that talks of limits makes no rate limit, and one of quota no quota."""
    assert classify(RuntimeError(text)).kind == "terminal"
    assert classify(ClientError(text, status=429)).kind == "rate-limited"
    assert classify(ClientError(text, status=500)).kind == "transient"


@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    ],
)
@pytest.mark.parametrize("place", ["code", "type", "body", "wrapped", "text", "bytes"])
def test_a_429_for_quota_is_terminal(code: str, place: str) -> None:
    """Quota and billing codes end the item at once, wherever they stand, and the reason names the code."""
    as_json = f'{{"error": {{"message": "m", "code": "{code}"}}}}'
    error = {
        "code": ClientError(status_code=429, code=code),
        "type": ClientError(status_code=429, type=code, code=None),
        "body": ClientError(status_code=429, body={"code": code}),
        "wrapped": ClientError(status_code=429, body={"error": {"type": code}}),
        "text": ClientError(response=Response(429, text=as_json)),
        "bytes": ClientError(status_code=429, body=as_json.encode()),
    }[place]
    failure = classify(error)
    assert failure.kind == "terminal"
    assert code in failure.reason
    assert failure.closes
    assert not failure.pauses


def test_errors_of_the_openai_client() -> None:
    """A 429 for tokens is a rate limit with its Retry-After, one for quota is terminal."""
    limited = classify(openai_error(429, {"code": "rate_limit_exceeded"}, {"Retry-After": "20"}))
    assert (limited.kind, limited.retry_after_seconds) == ("rate-limited", 20)
    quota = {"type": "insufficient_quota", "code": "insufficient_quota"}
    assert classify(openai_error(429, quota, {"x-should-retry": "true"})).kind == "terminal"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"type": "rate_limit_error"}, "rate-limited"),
        (529, {"type": "overloaded_error"}, "rate-limited"),
        (200, {"type": "overloaded_error"}, "rate-limited"),
        (500, {"type": "overloaded_error"}, "rate-limited"),
        (200, {"type": "api_error"}, "transient"),
        (
            429,
            {"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}},
            "rate-limited",
        ),
        (
            429,
            {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}},
            "terminal",
        ),
        (402, {"type": "billing_error"}, "terminal"),
        (413, {"type": "request_too_large"}, "terminal"),
        (400, {"type": "overloaded_error"}, "terminal"),
    ],
)
def test_errors_of_the_anthropic_client(status: int, error: dict[str, Any], kind: FailureKind) -> None:
    """Its types are read inside the wrapped body, also those in the middle of a stream."""
    assert classify(anthropic_error(status, error)).kind == kind


def test_an_overload_stated_without_a_status_is_a_rate_limit() -> None:
    """An error event in a stream has no status, but its code says what it is."""
    assert classify(ClientError(code="rate_limit_exceeded")).kind == "rate-limited"
    assert classify(ClientError(body=[{"error": {"status": "RESOURCE_EXHAUSTED"}}])).kind == "rate-limited"


def test_class_names_that_say_it_all() -> None:
    """A 429 of a class named after quota or size is terminal."""
    assert classify(QuotaExhausted(status=429)).kind == "terminal"
    spent = classify(QuotaExhausted(status=429, retry_after=600), now=0.0)
    assert (spent.kind, spent.closes, spent.retry_after_seconds) == ("terminal", True, 600)
    assert spent.reason == "status 429, QuotaExhausted: used up, resets 1970-01-01 00:10 UTC"
    assert classify(RequestTooLarge(status=429)).kind == "terminal"


def test_refusals_that_hold_for_the_whole_scope() -> None:
    """A quota, a budget or the credit does, by code or status 402; an error of one request does not."""
    per_day = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    nothing = gemini_429(RETRY_INFO, message="quota exceeded, limit: 0")
    billing = anthropic_error(402, {"type": "billing_error"})
    assert all(
        classify(error).closes for error in (ClientError(status_code=402), billing, gemini_429(per_day))
    )
    assert (classify(nothing).closes, classify(nothing).retry_after_seconds) == (True, None)
    in_flight = {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}
    one_item_only = (
        RequestTooLarge(status=429),
        ClientError(status_code=402, body={"error": {"type": "context_length_exceeded"}}),
        ClientError(status_code=402, body={"error": in_flight}),
        openai_error(429, {"code": "rate_limit_exceeded"}, {}),
        ClientError(status_code=401),
        ValueError("insufficient_quota"),
    )
    assert not any(classify(error).closes for error in one_item_only)


def test_x_should_retry_is_ignored() -> None:
    """Neither value of the header changes the kind."""
    for status, kind in ((400, "terminal"), (429, "rate-limited")):
        for value in ("true", "false"):
            response = Response(status, {"x-should-retry": value})
            assert classify(ClientError(response=response)).kind == kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"RETRY-AFTER-MS": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "0", "retry-after": "3"}, 3.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT", "date": "Thu, 01 Jan 2026 00:01:00 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 -0000", "date": "Thu, 01 Jan 2026 00:01:00 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT", "date": "Thu, 01 Jan 2026 00:01:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("where", ["response", "error", "httpx"])
def test_forms_of_retry_after(headers: dict[str, str], seconds: float | None, where: str) -> None:
    """Every form gives its seconds, exactly; what cannot be read or is not above 0 gives none."""
    error = {
        "response": ClientError(response=Response(429, headers)),
        "error": ClientError(status=429, headers=headers),
        "httpx": ClientError(response=httpx2.Response(429, headers=headers)),
    }[where]
    assert classify(error).retry_after_seconds == seconds


def test_a_date_without_date_beside_it_is_read_by_the_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is counted from the clock of the machine."""
    monkeypatch.setattr("time.time", lambda: 1_767_225_600.0)
    response = Response(429, {"retry-after": "Thu, 01 Jan 2026 00:00:45 GMT"})
    assert classify(ClientError(response=response)).retry_after_seconds == 45


@pytest.mark.parametrize(
    ("value", "seconds"), [(2.5, 2.5), (3, 3.0), (0, 9.0), (None, 9.0), ("2", 9.0), (float("nan"), 9.0)]
)
def test_the_attribute_retry_after(value: object, seconds: float) -> None:
    """Seconds on the exception count before the headers; anything else there is passed over."""
    error = ClientError(retry_after=value, response=Response(429, {"retry-after": "9"}))
    assert classify(error).retry_after_seconds == seconds


def test_the_retry_info_of_gemini() -> None:
    """The delay is found among the details, in any order; without a header it counts."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s"},
    ]
    error = ClientError(
        code=429,
        status="RESOURCE_EXHAUSTED",
        details={"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}},
    )
    failure = classify(error)
    assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", 26)
    details[1]["retryDelay"] = "soon"
    assert classify(error).retry_after_seconds is None


def test_which_failures_pause_the_scope() -> None:
    """A rate limit does, a retryable error only if it states a wait, a terminal one never."""
    waits = {"retry-after": "5"}
    assert classify(ClientError(status=429)).pauses
    assert not classify(ClientError(status=500)).pauses
    assert classify(ClientError(status=500, headers=waits)).pauses
    assert not classify(ClientError(status=401, headers=waits)).pauses


def test_an_exception_that_cannot_be_read_is_classified_all_the_same() -> None:
    """Attributes that raise, bodies that do not parse and odd values disturb nothing."""

    class Hostile(Exception):
        @property
        def response(self) -> object:
            raise RuntimeError("the answer has not been read")

    assert classify(Hostile()).kind == "terminal"
    for body in ("{", "<html>", b"\xff", [], ["x"], 3, {"error": "server busy"}, "[" * 100_000):
        assert classify(ClientError(status=429, body=body)).kind == "rate-limited"
    assert classify(ClientError(status=True)).kind == "terminal"
    assert classify(ClientError(status=0)).kind == "terminal"
    assert classify(ClientError(status="429")).kind == "terminal"


class TooManyRequestsError(ClientError):
    """As a client may call it."""


def gemini_429(*details: dict[str, Any], message: str = "You exceeded your current quota") -> ClientError:
    """What google-genai raises: a numeric code, a status, and the whole body as details."""
    body = {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": [*details]}}
    return ClientError(code=429, status="RESOURCE_EXHAUSTED", details=body)


def quota_failure(quota: str) -> dict[str, Any]:
    """The detail that names a quota."""
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s"}


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Limit 30000, Used 25339, Requested 5560. Please try again in 1.798s. Visit us.", 1.798),
        ("Limit 500, Used 500, Requested 1. Please try again in 120ms. Visit us.", 0.12),
        ("on tokens per minute (TPM): Please try again in 9m38.016s. Need more tokens?", 578.016),
        ("have exceeded token rate limit. Please retry after 7 seconds. Please go here", 7.0),
        ("head to: https://example.org.\nPlease retry in 36.473s.", 36.473),
        ("Overloaded", None),
    ],
)  # fmt: skip
def test_the_wait_in_a_refusals_own_sentence(message: str, seconds: float | None) -> None:
    """It counts where no header states one, and a header comes first."""
    error = openai_error(429, {"message": message, "code": "rate_limit_exceeded"}, {})
    assert classify(error).retry_after_seconds == seconds
    stated = openai_error(429, {"message": message}, {"retry-after": "3"})
    assert classify(stated).retry_after_seconds == 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("You've hit your limit \u00b7 resets 4:11pm (America/Los_Angeles)\n", 660.0),
        ("Your limit resets at 1:10 am", 600.0),
        ("Too many requests, please try again in 30 seconds.", 30.0),
        ("<html><body>Try again in 30 seconds</body></html>", None),
        ("429 Too Many Requests", None),
    ],
)
@pytest.mark.parametrize("where", ["response", "body"])
def test_the_wait_in_a_refusal_that_is_no_json(text: str, seconds: float | None, where: str) -> None:
    """It is read from a line of text, also as a clock time; a page states nothing."""
    places: dict[str, Any] = {"response": {"response": Response(429, text=text)}, "body": {"body": text}}
    error = ClientError(status_code=429, **places[where])
    failure = classify(error, now=1_767_225_600, tz=timezone(timedelta(hours=1)))
    assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", seconds)
    assert isinstance(failure.retry_after_seconds, UntilInstant) is ("resets" in text)


def test_the_text_of_an_answer_is_no_refusal() -> None:
    """An error that belongs to a status of success may hold what a model wrote."""
    failure = classify(ClientError(response=Response(200, text="Please try again in 30 seconds.")))
    assert (failure.kind, failure.retry_after_seconds) == ("transient", None)


def test_a_request_above_the_whole_limit_is_too_large() -> None:
    """OpenAI and Groq call it a rate limit, but the numbers show that waiting does not help."""
    message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30,000, Requested 30,601."
    for status in (429, 413):
        failure = classify(openai_error(status, {"message": message, "code": "rate_limit_exceeded"}, {}))
        assert failure.kind == "terminal"
        assert "too large: 30601 tokens of at most 30000" in failure.reason


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 500, Requested 11."},
        {"message": f"Request too large for gpt-4o: Limit {'9' * 5000}, Requested ,"},
        {"message": "The request is larger than the token rate limit of your current pricing tier."},
        {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."},
        {"error": "the input length exceeds the context length"},
    ],
)
def test_a_refusal_that_begins_with_too_large_is_believed(body: dict[str, Any]) -> None:
    """Whatever its numbers say, and whether or not it is an object; elsewhere such words decide nothing."""
    failure = classify(ClientError(status=429, body=body))
    assert (failure.kind, failure.reason) == ("terminal", "status 429, too large")
    quoted = {"message": f"Slow down. Not: {body.get('message') or body['error']}"}
    assert classify(ClientError(status=429, body=quoted)).kind == "rate-limited"
    assert classify(ClientError(status=503, body=body)).kind == "rate-limited"


LIMITED, BROKEN = ClientError(status=429, retry_after=3), ConnectionResetError()
LONGER, SPENT = (
    ClientError(status=429, retry_after=9),
    ClientError(status=429, code="insufficient_quota", retry_after=5),
)


@pytest.mark.parametrize(
    ("members", "kind", "wait", "closes"),
    [
        ([LIMITED, LONGER], "rate-limited", 9, False),
        ([BROKEN, LIMITED], "rate-limited", 3, False),
        ([BROKEN, BROKEN], "transient", None, False),
        ([LONGER, ValueError()], "terminal", None, False),
        ([ValueError(), LONGER, SPENT], "terminal", 5, True),
        ([BROKEN, ExceptionGroup("inner", [LIMITED, LONGER])], "rate-limited", 9, False),
    ],
    ids=range(6),
)
def test_a_group_is_judged_by_its_members(
    members: list[Exception], kind: FailureKind, wait: float | None, closes: bool
) -> None:
    """A call that sends two requests in a task group, and is refused twice, is refused."""
    group = ExceptionGroup("two requests", members)
    failure = classify(group)
    assert (failure.kind, failure.retry_after_seconds, failure.closes) == (kind, wait, closes)
    assert failure.error is group


def test_daily_quotas_are_terminal_and_say_when_they_reset() -> None:
    """Gemini names the quota, OpenRouter has it in a fixed name."""
    per_day = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    failure = classify(gemini_429(quota_failure(per_day), RETRY_INFO), now=0.0)
    assert (failure.kind, failure.reason) == ("terminal", "daily quota, resets 1970-01-01 00:00 UTC")
    assert classify(gemini_429(quota_failure(per_day))).reason == "daily quota"
    message = "Rate limit exceeded: free-models-per-day. Add 10 credits"
    repeated = {"X-RateLimit-Limit": "50", "X-RateLimit-Reset": "1741305600000"}
    body = {"message": message, "code": 429, "metadata": {"headers": repeated}}
    failure = classify(ClientError(status_code=429, body={"error": body}), now=1_741_300_000.0)
    assert (failure.kind, failure.reason) == ("terminal", "daily quota, resets 2025-03-07 00:00 UTC")
    assert classify(gemini_429(message="quota exceeded, limit: 0")).reason == "no quota"


def test_a_quota_of_a_minute_is_waited_for() -> None:
    """With the delay that is stated, else for the minute."""
    per_minute = quota_failure("GenerateContentInputTokensPerModelPerMinute-FreeTier")
    assert classify(gemini_429(per_minute, RETRY_INFO)).retry_after_seconds == 26
    failure = classify(gemini_429(per_minute))
    assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", 60)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("RATE_LIMIT_EXCEEDED", "rate-limited"),
        ("MODEL_CAPACITY_EXHAUSTED", "rate-limited"),
        ("QUOTA_EXHAUSTED", "terminal"),
        ("INSUFFICIENT_G1_CREDITS_BALANCE", "terminal"),
    ],
)
def test_reasons_in_error_info(reason: str, kind: FailureKind) -> None:
    """The reason among the details decides."""
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    assert classify(gemini_429(detail)).kind == kind


def botocore_error(code: str, status: int, headers: dict[str, str] | None = None) -> ClientError:
    """What botocore raises: the response is a dictionary."""
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError(
        response={"Error": {"Code": code, "Message": "Too many"}, "ResponseMetadata": metadata}
    )


def test_errors_of_botocore() -> None:
    """Code, status and the wait in milliseconds are read from the dictionary."""
    failure = classify(botocore_error("ThrottlingException", 429, {"x-amz-retry-after": "1500"}))
    assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", 1.5)
    assert classify(botocore_error("ServiceUnavailableException", 503)).kind == "rate-limited"
    assert classify(botocore_error("ModelStreamErrorException", 424)).kind == "transient"
    assert classify(botocore_error("ValidationException", 400)).kind == "terminal"
    streamed = ClientError(headers={"x-amzn-errortype": "ThrottlingException:http://internal"})
    assert classify(streamed).kind == "rate-limited"


def test_errors_of_codex_and_openrouter() -> None:
    """The instant of the reset, the budget of requests under way, and hints about the wait are read."""
    codex = ClientError(status_code=429, body={"error": {"type": "usage_limit_reached", "resets_at": 1060}})
    assert classify(codex, now=1000.0).retry_after_seconds == 60
    assert (
        classify(ClientError(status_code=429, body={"error": {"type": "usage_not_included"}})).kind
        == "terminal"
    )
    in_flight = {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}
    failure = classify(ClientError(status_code=402, body={"error": in_flight}, headers={"retry-after": "2"}))
    assert (failure.kind, failure.retry_after_seconds) == ("rate-limited", 2)
    hint = ClientError(status_code=503, body={"error": {"code": 503, "availability": {"retry_after": 4}}})
    assert classify(hint).retry_after_seconds == 4


def test_an_error_inside_a_200_is_found_by_its_structure() -> None:
    """An answer with an error at its top is one; an answer that speaks of errors is none."""
    failure = error_in_answer({"error": {"code": 429, "message": "Rate limit exceeded"}})
    assert failure is not None
    assert failure.kind == "rate-limited"
    assert error_in_answer({"choices": [{"message": {"content": '{"error": {"code": 429}}'}}]}) is None
    assert error_in_answer({}) is None


def test_the_limits_in_a_refusals_headers_come_with_the_failure() -> None:
    """So that the gate can learn from refusals too."""
    headers = {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "0"}
    info = classify(ClientError(status=429, headers=headers)).info
    assert info is not None
    assert info.requests is not None
    assert info.requests.per_second == 1


@pytest.mark.parametrize(
    ("headers", "body", "is_instant"),
    [
        ({"retry-after": "120"}, {}, False),
        ({"retry-after": "Sun, 29 Nov 2026 12:02:00 GMT"}, {}, True),
        ({}, {"resets_at": 1_795_953_720}, True),
        ({}, {"message": "Please try again in 120s"}, False),
    ],
)
def test_a_wait_that_was_written_as_an_instant_is_known_as_one(
    headers: dict[str, str], body: dict[str, object], is_instant: bool
) -> None:
    """The margin of a pause depends on it."""
    wait = stated_wait(headers, body, now=1_795_953_600)
    assert wait == 120
    assert isinstance(wait, UntilInstant) == is_instant
