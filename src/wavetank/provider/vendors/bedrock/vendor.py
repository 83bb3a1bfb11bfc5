"""The headers and errors of Amazon Bedrock.

Sources: `service-2.json` of botocore's `bedrock-runtime` (names and statuses), the page "Troubleshooting
Amazon Bedrock API Error Codes" of its user guide, and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ....clock import MILLISECOND
from ....scenario import RefusalError
from ...dialect_base.retry_after import with_hint
from ...dialect_base.shared import ErrorText, InvalidRequest, bearer
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import Headers, HttpRequest
from ...model import Refusal, Reply
from ...wire_formats import hexadecimal

VALIDATION: Final = "ValidationException"

_TYPE: Final = "http://internal.amazon.com/coral/com.amazon.bedrock/"
"""What follows the name of an error in its header."""
_CREDENTIAL: Final = re.compile(r"AWS4-HMAC-SHA256\s.*?Credential=(?P<key>[^/,\s]+)/")
_AGAIN: Final = ", please wait before trying again."
_THROTTLED: Final = "ThrottlingException"

# By what is wrong.
_ERRORS: Final = {
    "rate-limit": ErrorText(f"Too many requests{_AGAIN}", _THROTTLED),
    "too-large": ErrorText("Input is too long for requested model.", VALIDATION),
    "quota": ErrorText(f"Too many tokens per day{_AGAIN}", _THROTTLED),
    "billing": ErrorText(
        "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: A valid payment instrument must be "
        "provided.",
        "AccessDeniedException",
    ),
    "ramp": ErrorText(f"Too many requests{_AGAIN}", _THROTTLED),
    "throttle": ErrorText(
        "The model specified in the request is not ready to serve inference requests.",
        "ModelNotReadyException",
    ),
    "overloaded": ErrorText(
        "Bedrock is unable to process your request.",
        "ServiceUnavailableException",
    ),
    "server": ErrorText(
        "The system encountered an unexpected error during processing. Try your request again.",
        "InternalServerException",
    ),
    "timeout": ErrorText(
        "Model has timed out in processing the request. Try your request again.", "ModelTimeoutException"
    ),
    "conflict": ErrorText(
        "Error occurred because of a conflict while performing an operation.", "ConflictException"
    ),
}
# By the limit that was hit.
_LIMITS: Final = {
    "requests": "requests",
    "requests-per-day": "requests per day",
    "tokens": "tokens",
    "input-tokens": "tokens",
    "output-tokens": "tokens",
    "tokens-per-day": "tokens per day",
    "concurrent": "connections",
}
# Statuses that speak for themselves, whatever a scenario says is wrong.
_STATUSES: Final = {
    400: ErrorText("The provided request is not valid.", VALIDATION),
    401: ErrorText("The security token included in the request is invalid.", "UnrecognizedClientException"),
    403: ErrorText(
        "You don't have access to the model with the specified model ID.", "AccessDeniedException"
    ),
    404: ErrorText("Could not resolve the foundation model.", "ResourceNotFoundException"),
    408: _ERRORS["timeout"],
    424: ErrorText(
        "The model encountered an unexpected error during processing. Try your request again.",
        "ModelErrorException",
    ),
    500: _ERRORS["server"],
    503: ErrorText(f"Too many connections{_AGAIN}", "ServiceUnavailableException"),
}
# What a stream can be broken off with, beside `internalServerException`.
_IN_STREAMS: Final = (
    "ThrottlingException",
    "ValidationException",
    "ServiceUnavailableException",
    "ModelTimeoutException",
)


def exception_in_stream(reply: Reply) -> str:
    """The name of the exception that a stream ends with."""
    outcome = reply.outcome
    if isinstance(outcome, Refusal):
        name = text_of_refusal(outcome).kind
    else:
        error: RefusalError | None = outcome.fault.error if outcome.fault is not None else None
        name = "ModelStreamErrorException" if error is None else _ERRORS[error].kind
    if name not in (*_IN_STREAMS, "ModelStreamErrorException"):
        name = "InternalServerException"
    return name[0].lower() + name[1:]


def text_of_refusal(refusal: Refusal) -> ErrorText:
    """What a refusal says, and the name of its exception."""
    too_dear = refusal.error == "too-large" and refusal.status == 429
    if too_dear:
        return ErrorText(f"Too many tokens{_AGAIN}", _THROTTLED)
    if refusal.error != "rate-limit":
        return _ERRORS[refusal.error]
    if refusal.reason in _LIMITS:
        return ErrorText(f"Too many {_LIMITS[refusal.reason]}{_AGAIN}", _THROTTLED)
    return _STATUSES.get(refusal.status, _ERRORS["rate-limit"])


def named(text: ErrorText) -> Headers:
    """The header that names an exception, which clients go by."""
    return (("x-amzn-errortype", f"{text.kind}:{_TYPE}"),)


class BedrockVendor(Vendor):
    """bedrock-runtime.*.amazonaws.com."""

    no_key = ErrorText("Missing Authentication Token", "MissingAuthenticationTokenException")
    no_key_status = 403
    not_found = ErrorText(
        "Unable to determine service/operation name to be authorized", "UnknownOperationException"
    )
    not_allowed = ErrorText("{method} is not allowed on {path}.", "UnknownOperationException")
    invalid_kind = VALIDATION

    def key(self, request: HttpRequest) -> str:
        """The access key id that a request is signed with, or a bearer's API key; no signature is checked."""
        signed = _CREDENTIAL.match(request.headers.get("authorization", ""))
        key = signed["key"] if signed is not None else bearer(request.headers)
        if not key:
            raise InvalidRequest.saying(self.no_key, self.no_key_status)
        return key

    def number(self, *key: object) -> str:
        """The request id: a UUID."""
        digits = hexadecimal(32, "bedrock", *key)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def headers(self, number: str, took: int) -> Headers:
        """The request id."""
        return (("x-amzn-requestid", number),)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error body: a message alone; the name of the exception is in a header."""
        return {"message": text.message}

    def invalid_headers(self, invalid: InvalidRequest) -> Headers:
        """The name of the exception."""
        return named(invalid.text)

    def refusal_headers(self, refused: Refused) -> Headers:
        """The name of the exception, and when to come back as AWS's SDKs read it: in milliseconds."""
        stated = refused.refusal.retry_after
        told = stated is not None and stated.form in ("seconds", "ms")
        wait = (("x-amz-retry-after", str(stated.value // MILLISECOND)),) if stated and told else ()
        return (*named(text_of_refusal(refused.refusal)), *wait)

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says."""
        text = text_of_refusal(refused.refusal)
        return text._replace(message=with_hint(text.message, refused.refusal.retry_after))

    def mid_stream_error(self, refused: Refused) -> Any:
        """The error of a stream that breaks off (`ModelStreamErrorException`)."""
        return {"message": "The model produced an unexpected error while streaming. Try your request again."}
