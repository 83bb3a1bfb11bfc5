"""Decides whether a failed request should wait, be tried again, or be given up.

It reads the fields of an exception, never the words of its text, because any text may contain
"429" or "quota". In the body of a refusal it reads numbers and names, and whether its message
begins by saying that the request is too large. Only the output of a command-line agent is read
as whole sentences, since there is nothing else.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any, Final, Protocol

from ..wall_clock import wall_seconds
from .agent_output import classify_output
from .error_fields import (
    ErrorFields,
    causes_of,
    error_object,
    read_attribute,
    read_error_fields,
    unwrap_single_group,
)
from .rate_headers import rate_info
from .request_failure import Failure, FailureKind
from .reset_times import RESETS, clock_text, finite
from .stated_wait import stated_wait
from .unreadable import is_unreadable

# Quota and billing: OpenAI (help centre, 2026 billing codes), Anthropic (error.type and
# error.details.error_code), Codex, Gemini CLI. Some are sent as 429, but waiting does not help.
SPENT_CODES: Final = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_error",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "usage_not_included",
    "QUOTA_EXHAUSTED",
    "INSUFFICIENT_G1_CREDITS_BALANCE",
)
TOO_LARGE_CODES: Final = ("request_too_large", "context_length_exceeded")
# Overload stated inside a 200 or without a status, as in streams: Anthropic, OpenAI, Gemini,
# Mistral, Bedrock, Codex, OpenRouter.
OVERLOAD_CODES: Final = (
    "overloaded_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "ramp_limit_exceeded",
    "rate_limited",
    "usage_limit_reached",
    "server_is_overloaded",
    "slow_down",
    "RESOURCE_EXHAUSTED",
    "RATE_LIMIT_EXCEEDED",
    "MODEL_CAPACITY_EXHAUSTED",
    "openrouter_in_flight_budget",
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ModelNotReadyException",
    "ServiceUnavailableException",
)
TRANSIENT_CODES: Final = (
    "server_error",
    "api_error",
    "timeout_error",
    "INTERNAL",
    "UNAVAILABLE",
    "ModelTimeoutException",
    "ModelStreamErrorException",
    "InternalServerException",
)

# Of these, the ones that name the provider's own state and not the client's rate.
OVERLOADED_CODES: Final = (
    "overloaded_error",
    "server_is_overloaded",
    "MODEL_CAPACITY_EXHAUSTED",
    "ModelNotReadyException",
    "ServiceUnavailableException",
)
# A refused key or an unknown model with another status than 401, 403 and 404: Gemini sends
# API_KEY_INVALID with 400; OpenRouter and proxies send such errors inside a 200.
DENIED_CODES: Final = ("API_KEY_INVALID", "invalid_api_key", "authentication_error", "model_not_found")

OVERLOAD_STATUSES: Final = (429, 498, 503, 529)
OVERLOADED_STATUSES: Final = (498, 503, 529)
DENIED_STATUSES: Final = (401, 403, 404)
TRANSIENT_STATUSES: Final = (408, 409, 424, 425, 499)

_SPENT_CLASSES: Final = ("QuotaExhausted",)
_TOO_LARGE_CLASSES: Final = ("RequestTooLarge",)
# Ends of the class names of builtins, httpx, httpcore, aiohttp, trio, botocore and the providers' clients.
_CONNECTION_CLASSES: Final = (
    "ConnectionError",
    "TimeoutError",
    "TimeoutExpired",
    "ConnectionLost",
    "TransportError",
    "TimeoutException",
    "NetworkError",
    "RemoteProtocolError",
    "ClientPayloadError",
    "HTTPClientError",
    "TooSlowError",
)

# Raised while a connection is made, by builtins, httpcore, httpx, aiohttp, urllib3, requests and botocore.
_CONNECTING_CLASSES: Final = (
    "ConnectionRefusedError",
    "gaierror",
    "ConnectError",
    "ConnectTimeout",
    "ClientConnectorError",
    "ConnectionTimeoutError",
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "EndpointConnectionError",
)
_NO_ROUTE: Final = (
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
)
# Raised when a pool lost a worker: concurrent.futures (joblib and loky use its classes) and anyio.
_DEAD_WORKER_CLASSES: Final = ("BrokenExecutor", "BrokenWorkerProcess", "BrokenWorkerInterpreter")

_LIMIT_AND_REQUEST: Final = re.compile(r"Limit:? ([\d,]+),(?: Used:? [\d,]+,)? Requested:? ([\d,]+)")
# How the message begins if the request is too large, with any status: OpenAI and Groq, Azure,
# Gemini, Mistral, Cohere, vLLM, OpenRouter, Anthropic, Ollama.
_SAYS_TOO_LARGE: Final = re.compile(
    r"Request too large\b|The request is larger than\b|The input token count\b.* exceeds the maximum\b"
    r"|Prompt contains more tokens than\b|too many tokens: |prompt is too long\b"
    r"|This (?:model|endpoint)'s maximum context length\b|(?:the )?input length exceeds\b",
    re.IGNORECASE,
)
_PER_MINUTE_SECONDS: Final = 60.0
"""Gemini names a quota by the minute without a wait: within a minute it is free again."""
_NO_QUOTA: Final = "no quota"
_SEVERITY: Final[Mapping[FailureKind, int]] = {"transient": 0, "rate-limited": 1, "terminal": 2}


class ErrorClassifier(Protocol):
    """Classifies errors: any function like `classify`."""

    def __call__(self, error: BaseException, /) -> Failure:
        """Classify an error that a call raised."""
        ...


def classify(error: BaseException, *, now: float | None = None, tz: tzinfo = UTC) -> Failure:
    """Classify an error that a call raised.

    It reads `status_code`, `status`, `response.status_code` and a numeric `code`; the
    headers of `response` or of the exception; `retry_after` in seconds; `code`, `type` and
    similar fields of the exception and of its `body`, `details` or response; and `returncode`
    with `stdout` and `stderr`. A group is classified by its members: it is terminal if one of
    them is, else rate-limited if one of them is, with the longest wait. An exception with an
    attribute `failure` that is a `Failure` is classified already.

    >>> classify(ConnectionResetError()).kind
    'transient'
    >>> classify(ValueError("429: rate limit")).kind
    'terminal'

    Args:
        error: the exception.
        now: the present, in seconds since 1970; by default the machine's clock.
        tz: the time zone of clock times that name none, and of those in reasons.
    """
    cause = unwrap_single_group(error)
    if isinstance(known := read_attribute(cause, "failure"), Failure):
        # It was classified where more of it was known, as in a worker process.
        return replace(known, error=error)
    now = wall_seconds() if now is None else now
    if isinstance(cause, BaseExceptionGroup):
        return _classify_group(error, [classify(member, now=now, tz=tz) for member in cause.exceptions])
    if isinstance(code := read_attribute(cause, "returncode"), int):
        return _classify_process(error, cause, code, now, tz)
    fields = read_error_fields(cause)
    wait = _wait(cause, fields, now, tz)
    info, source = rate_info(fields.headers, now=now), f"exception {type(cause).__name__}"
    if (used_up := _used_up(cause, fields)) is not None:
        # With a quota of 0, the stated wait belongs to another limit.
        wait = None if used_up == _NO_QUOTA else wait
        resets = f"{RESETS}{clock_text(now + wait, tz)}" if wait else ""
        return Failure("terminal", error, f"{used_up}{resets}", wait, info, closes=True, source=source)
    kind, reason = _kind_and_reason(cause, fields)
    died = _first(fields.classes, _DEAD_WORKER_CLASSES) is not None
    if "BrokenExecutor" in fields.classes:
        reason = f"{type(cause).__name__}: this executor takes no more calls; your call has to make another"
    return Failure(
        kind,
        error,
        reason,
        wait,
        info,
        source=source,
        worker_died=died,
        unreachable=kind == "transient" and fields.status is None and _is_unreachable(cause),
        overloaded=kind == "rate-limited" and _is_overloaded(fields),
        denied=kind == "terminal" and _is_denied(fields),
        forbidden=fields.status == 403,
    )


def error_in_answer(answer: Mapping[str, Any], *, now: float | None = None) -> Failure | None:
    """Classify an answer with status 200 that holds an error in place of a result; `None` for a result.

    OpenRouter and some proxies send such answers. Only the structure of the answer is read:
    an `error` at its top, never its words.

    >>> error_in_answer({"choices": [{"text": "429 means too many requests"}]}) is None
    True
    >>> error_in_answer({"error": {"code": 429, "message": "Rate limit exceeded"}}).kind
    'rate-limited'
    """
    body = error_object(answer)
    if body is answer or not body:
        return None
    return classify(AnswerError(body), now=now)


class AnswerError(RuntimeError):
    """An error inside an answer with status 200; `body` is its error object."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(f"the answer holds an error: {body.get('message', body)}")
        self.body = body
        self.code = body.get("code")


def _classify_group(error: BaseException, members: list[Failure]) -> Failure:
    """The most severe of several failures, with the longest wait that one of them states."""
    worst = max(members, key=lambda one: (one.closes, _SEVERITY[one.kind]))
    waits = [one.retry_after_seconds for one in members if one.retry_after_seconds is not None]
    wait = worst.retry_after_seconds if worst.kind == "terminal" else max(waits, default=None)
    return replace(worst, error=error, retry_after_seconds=wait)


def _kind_and_reason(error: BaseException, fields: ErrorFields) -> tuple[FailureKind, str]:
    status, codes, where = fields.status, fields.codes, _where(error, fields)
    if large := _first(codes, TOO_LARGE_CODES) or _first(fields.classes, _TOO_LARGE_CLASSES):
        return "terminal", f"{where}, {large}: waiting does not help"
    if (excess := _too_large(fields)) is not None:
        return "terminal", f"{where}, too large{excess}"
    if status in OVERLOAD_STATUSES:
        return "rate-limited", where
    # A 402 of OpenRouter may be about its budget of requests under way.
    may_hide_overload = status is None or status >= 500 or 200 <= status < 300 or status == 402
    if may_hide_overload and (code := _first(codes, OVERLOAD_CODES)):
        return "rate-limited", f"{where}, {code}"
    if (status is None or status < 300) and (code := _first(codes, DENIED_CODES)):
        return "terminal", f"{where}, {code}"
    return _kind_of_other_error(error, fields), where


def _used_up(error: BaseException, fields: ErrorFields) -> str | None:
    """What is used up for every request of the scope: a quota, a budget or the credit, in words."""
    if (daily := _daily_quota(fields)) is not None:
        return daily
    where = _where(error, fields)
    if code := _first(fields.codes, SPENT_CODES) or _first(fields.classes, _SPENT_CLASSES):
        return f"{where}, {code}: used up"
    return f"{where}, payment required" if _wants_payment(fields) else None


def _wants_payment(fields: ErrorFields) -> bool:
    return fields.status == 402 and _first(fields.codes, (*OVERLOAD_CODES, *TOO_LARGE_CODES)) is None


def _where(error: BaseException, fields: ErrorFields) -> str:
    return f"status {fields.status}" if fields.status is not None else f"no status, {type(error).__name__}"


def _kind_of_other_error(error: BaseException, fields: ErrorFields) -> FailureKind:
    """An error with a 2xx is an answer that broke off or cannot be read, so another try may succeed."""
    status = fields.status
    if status is not None:
        retryable = status in TRANSIENT_STATUSES or status >= 500 or 200 <= status < 300
    else:
        # ConnectionError and TimeoutError are OSErrors.
        lost = isinstance(error, OSError) or any(
            name.endswith(_CONNECTION_CLASSES) for name in fields.classes
        )
        lost |= _first(fields.classes, _DEAD_WORKER_CLASSES) is not None
        retryable = lost or _first(fields.codes, TRANSIENT_CODES) is not None or is_unreadable(error)
    return "transient" if retryable else "terminal"


def _is_unreachable(error: BaseException) -> bool:
    """Whether no connection was made, by the error or by one that it was raised from."""
    return any(
        any(one.__name__ in _CONNECTING_CLASSES for one in type(cause).__mro__)
        or (isinstance(cause, OSError) and cause.errno in _NO_ROUTE)
        for cause in causes_of(error)
    )


def _is_overloaded(fields: ErrorFields) -> bool:
    return fields.status in OVERLOADED_STATUSES or _first(fields.codes, OVERLOADED_CODES) is not None


def _is_denied(fields: ErrorFields) -> bool:
    """Whether the key, the permission or the model is refused, and not only this request.

    OpenRouter's 403 for a prompt that its moderation flagged has the flagged text in `metadata`.
    """
    if _first(fields.codes, TOO_LARGE_CODES):
        return False
    metadata = fields.body.get("metadata")
    if isinstance(metadata, Mapping) and ("flagged_input" in metadata or "reasons" in metadata):
        return False
    return fields.status in DENIED_STATUSES or _first(fields.codes, DENIED_CODES) is not None


def _classify_process(
    error: BaseException, cause: BaseException, code: int, now: float, tz: tzinfo
) -> Failure:
    stdout = _text(read_attribute(cause, "stdout") or read_attribute(cause, "output"))
    # It was raised as an error, so its output is no answer, even with exit code 0.
    found = classify_output(code or 1, stdout, _text(read_attribute(cause, "stderr")), now=now, tz=tz)
    if found is None:
        return Failure("transient", error, f"exit code {code}")
    return replace(found, error=error)


def _text(output: object) -> str:
    if isinstance(output, bytes):
        return output.decode("utf-8", "replace")
    return output if isinstance(output, str) else ""


def _first(found: tuple[str, ...], known: tuple[str, ...]) -> str | None:
    return next((name for name in found if name in known), None)


def _too_large(fields: ErrorFields) -> str | None:
    """By how much the request is too large, if that is stated; OpenAI calls that a rate limit, too."""
    if fields.status not in (None, 413, 429):
        return None
    if found := _LIMIT_AND_REQUEST.search(fields.message):
        limit, requested = (finite(number.replace(",", "")) for number in found.groups())
        if limit is not None and requested is not None and requested > limit:
            return f": {requested:.0f} tokens of at most {limit:.0f}"
    return "" if _SAYS_TOO_LARGE.match(fields.message) else None


def _daily_quota(fields: ErrorFields) -> str | None:
    """The daily quota that is spent, which Gemini and OpenRouter name; it is not waited for."""
    if fields.status not in (None, 402, 429):
        return None
    for quota in _quota_ids(fields):
        if "PerDay" in quota or "Daily" in quota:
            return "daily quota"
    if re.search(r"\bfree-models-per-day\b", fields.message):
        return "daily quota"
    return _NO_QUOTA if re.search(r"\blimit: 0\b", fields.message) else None


def _quota_ids(fields: ErrorFields) -> list[str]:
    lists = [detail.get("violations") for detail in fields.details]
    violations = [one for some in lists if isinstance(some, list) for one in some]
    return [str(one.get("quotaId", "")) for one in violations if isinstance(one, Mapping)]


def _wait(error: BaseException, fields: ErrorFields, now: float, tz: tzinfo) -> float | None:
    attribute = read_attribute(error, "retry_after")
    wait = None if isinstance(attribute, str) else finite(attribute)
    if wait is None or wait <= 0:
        wait = stated_wait(fields.headers, fields.body, now=now, tz=tz)
    if wait is None and any("PerMinute" in quota for quota in _quota_ids(fields)):
        return _PER_MINUTE_SECONDS
    return wait
