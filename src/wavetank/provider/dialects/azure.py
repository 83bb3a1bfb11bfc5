"""The Azure OpenAI dialect: OpenAI's formats behind deployments, with headers and errors of its own.

Sources: the REST reference of Azure OpenAI on learn.microsoft.com, the SDK's Azure client
(`openai.lib.azure`), and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ...clock import SECOND
from ..http import Decoded, Headers, HttpRequest
from ..model import LimitState, WireRetryAfter
from ..wire_formats import hexadecimal, imf_fixdate
from .hosts import HOSTS
from .openai.chat import Chat, Flavour
from .openai.embeddings import Embeddings
from .openai.models import Models
from .openai.responses import InputTokens, Responses
from .openai.vendor import counted
from .shared import InvalidRequest, bearer, data_event, limit_headers
from .wire_dialect import AnswerPart, Refused, Vendor, WireDialect

API_VERSION: Final = "2024-10-21"

_QUOTA: Final = (
    "Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default "
    "rate limit."
)
_MESSAGES: Final = {
    "too-large": "The request is larger than the token rate limit of your current OpenAI S0 pricing tier.",
    "billing": "Access denied due to the billing status of the subscription.",
    "overloaded": "System is experiencing high demand. Please try again later.",
    "server": "The server had an error processing your request. Sorry about that!",
    "timeout": "The operation was timeout.",
    "conflict": "The request conflicts with another one.",
}
_NO_KEY: Final = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key "
    "for an active subscription and use a correct regional API endpoint for your resource."
)
_OPERATIONS: Final = {
    "chat": "ChatCompletions_Create",
    "deployed-chat": "ChatCompletions_Create",
    "responses": "Responses_Create",
    "embeddings": "Embeddings_Create",
    "deployed-embeddings": "Embeddings_Create",
}
_SAFE: Final = {
    kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")
}
_PROMPT: Final = [{"prompt_index": 0, "content_filter_results": _SAFE}]


def _error(message: str, code: int | str) -> dict[str, Any]:
    """An error object: its code is a string of digits, and it has no type and no param."""
    return {"error": {"code": str(code), "message": message}}


def _whole_seconds(ns: int) -> str:
    return str(-(-ns // SECOND))


def _hint(retry_after: WireRetryAfter | None) -> str:
    if retry_after is None:
        return ""
    seconds = _whole_seconds(retry_after.value)
    return f" Please retry after {seconds} second{'' if seconds == '1' else 's'}."


def _filter_results(page: AnswerPart) -> bytes:
    """The first chunk of a stream: it has no choices, and says what the filter found in the prompt."""
    empty = {"choices": [], "created": 0, "id": "", "model": "", "object": "chat.completion.chunk"}
    return data_event(empty | {"prompt_filter_results": _PROMPT})


class AzureVendor(Vendor):
    """Resources at openai.azure.com."""

    name = "azure"
    hosts = HOSTS["azure"]
    no_key = _NO_KEY

    def key(self, request: HttpRequest) -> str:
        """The key in the header `api-key`, or a token of Entra ID."""
        key = request.headers.get("api-key", "").strip() or bearer(request.headers)
        if not key:
            raise InvalidRequest(401, _NO_KEY)
        return key

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """A path or method that the resource does not have."""
        if allowed:
            return InvalidRequest(405, "Method not allowed")
        return InvalidRequest(404, "Resource not found")

    def number(self, *key: object) -> str:
        """The request id: a UUID."""
        digits = hexadecimal(32, "azure", *key)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def headers(self, number: str, sent: int, took: int) -> Headers:
        """Date, request ids and region."""
        return (
            ("date", imf_fixdate(sent)),
            ("apim-request-id", number),
            ("x-request-id", number),
            ("x-ms-region", "East US"),
        )

    def limits(self, limits: LimitState, decoded: Decoded, sent: int, *, refused: bool) -> Headers:
        """Requests and tokens; resets are whole seconds."""
        return limit_headers((("requests", limits.requests), ("tokens", limits.tokens)), _whole_seconds)

    def invalid_request(
        self, invalid: InvalidRequest, number: str, request: HttpRequest
    ) -> tuple[int, dict[str, Any]]:
        """The error of a bad request; those of its body are OpenAI's own."""
        if invalid.param is None:
            return invalid.status, _error(invalid.message, invalid.status)
        error = {
            "message": invalid.message,
            "type": invalid.kind,
            "param": invalid.param,
            "code": invalid.code,
        }
        return invalid.status, {"error": error}

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal; a rate limit says which of two it is, and when to come back."""
        refusal = refused.refusal
        message = _MESSAGES.get(refusal.error)
        if message is not None:
            return _error(message + _hint(refusal.retry_after), refusal.status)
        kind = "token" if counted(refusal)[0] == "tokens" else "call"
        operation = _OPERATIONS.get(refused.decoded.endpoint, "Models_List")
        message = (
            f"Requests to the {operation} Operation under Azure OpenAI API version {API_VERSION} have "
            f"exceeded {kind} rate limit of your current OpenAI S0 pricing tier."
            f"{_hint(refusal.retry_after)} {_QUOTA}"
        )
        return _error(message, refusal.status)

    def mid_stream_error(self, decoded: Decoded, number: str) -> dict[str, Any]:
        """The error after a 200: the server's own."""
        return _error(_MESSAGES["server"], 500)


_FLAVOUR: Final = Flavour(
    top=lambda page: {"system_fingerprint": None},
    plain=lambda page: {"prompt_filter_results": _PROMPT},
    choice={"logprobs": None, "content_filter_results": _SAFE},
    before=_filter_results,
)
_DEPLOYMENT: Final = r"/openai/deployments/(?P<model>[^/]+)"
_NEW: Final = r"/openai(?:/v1)?"

AZURE: Final = WireDialect(
    AzureVendor(),
    (
        Chat(re.compile(f"{_DEPLOYMENT}/chat/completions"), _FLAVOUR, name="deployed-chat"),
        Embeddings(re.compile(f"{_DEPLOYMENT}/embeddings"), name="deployed-embeddings"),
        Chat(re.compile(r"/openai/v1/chat/completions"), _FLAVOUR),
        Embeddings(re.compile(r"/openai/v1/embeddings")),
        Responses(re.compile(f"{_NEW}/responses")),
        InputTokens(re.compile(f"{_NEW}/responses/input_tokens")),
        Models(re.compile(rf"{_NEW}/models(?:/(?P<model>[^/]+))?"), ("gpt-5", "text-embedding-3-small")),
    ),
)
"""`*.openai.azure.com`: deployments with an `api-version`, and `/openai/v1`."""
