"""The Azure OpenAI dialect: OpenAI's formats behind deployments, with headers and errors of its own.

Sources: the REST reference of Azure OpenAI on learn.microsoft.com, the SDK's Azure client
(`openai.lib.azure`), and refusals that its users have quoted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ....clock import SECOND
from ...dialect_base.shared import ErrorText, data_event, limit_headers
from ...dialect_base.wire_dialect import AnswerPart, Refused, Vendor, WireDialect
from ...http import Headers
from ...model import LimitState, WireRetryAfter
from ...request import Request
from ...vendor_card import VendorCard
from ...wire_formats import hexadecimal
from ..openai.background import response_endpoints
from ..openai.batches import OpenAIBatches
from ..openai.chat import Chat, Flavour
from ..openai.embeddings import Embeddings
from ..openai.media import media
from ..openai.models import Models
from ..openai.responses import InputTokens, Responses
from ..openai.uploads import Files
from ..openai.vendor import counted, error

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
    "deployed-images": "ImageGenerations_Create",
    "deployed-transcriptions": "Transcriptions_Create",
    "deployed-translations": "Translations_Create",
    "deployed-speech": "Speech_Create",
}
_SAFE: Final = {
    kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")
}
_PROMPT: Final = [{"prompt_index": 0, "content_filter_results": _SAFE}]


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

    no_key = ErrorText(_NO_KEY)
    not_found = ErrorText("Resource not found")
    not_allowed = ErrorText("Method not allowed")

    def number(self, *key: object) -> str:
        """The request id: a UUID."""
        digits = hexadecimal(32, "azure", *key)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def headers(self, number: str, took: int) -> Headers:
        """Request ids and region."""
        return (("apim-request-id", number), ("x-request-id", number), ("x-ms-region", "East US"))

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """Requests and tokens; resets are whole seconds."""
        return limit_headers((("requests", limits.requests), ("tokens", limits.tokens)), _whole_seconds)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error object: a string of digits as its code, and no type; those of a body are OpenAI's own."""
        if text.param is not None:
            return error(text)
        return {"error": {"code": str(status), "message": text.message}}

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a rate limit says which of two it is, and when to come back."""
        refusal = refused.refusal
        hint = _hint(refusal.retry_after)
        if refusal.error in _MESSAGES:
            return ErrorText(_MESSAGES[refusal.error] + hint)
        kind = "token" if counted(refusal) == "tokens" else "call"
        operation = _OPERATIONS.get(refused.request.endpoint, "Models_List")
        return ErrorText(
            f"Requests to the {operation} Operation under Azure OpenAI API version {API_VERSION} have "
            f"exceeded {kind} rate limit of your current OpenAI S0 pricing tier.{hint} {_QUOTA}"
        )


_FLAVOUR: Final = Flavour(
    top=lambda page: {"system_fingerprint": None},
    plain=lambda page: {"prompt_filter_results": _PROMPT},
    choice={"logprobs": None, "content_filter_results": _SAFE},
    before=_filter_results,
)
_DEPLOYMENT: Final = r"/openai/deployments/(?P<model>[^/]+)"
_DEPLOYED: Final = ("images", "image-edits", "transcriptions", "translations", "speech")
_NEW: Final = r"/openai(?:/v1)?"


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `*.openai.azure.com`: deployments with an `api-version`, and `/openai/v1`."""
    vendor = AzureVendor(card)
    chat = Chat(re.compile(r"/openai/v1/chat/completions"), _FLAVOUR)
    embeddings = Embeddings(re.compile(r"/openai/v1/embeddings"))
    responses = Responses(re.compile(f"{_NEW}/responses"), background=True)
    # Both forms of a line's `url` are in Azure's guide on batches: with and without `/v1`.
    asked = {
        f"{start}{path}": endpoint
        for path, endpoint in (
            ("/chat/completions", chat),
            ("/responses", responses),
            ("/embeddings", embeddings),
        )
        for start in ("", "/v1")
    }
    return WireDialect(
        vendor,
        (
            Chat(re.compile(f"{_DEPLOYMENT}/chat/completions"), _FLAVOUR, name="deployed-chat"),
            Embeddings(re.compile(f"{_DEPLOYMENT}/embeddings"), name="deployed-embeddings"),
            chat,
            embeddings,
            responses,
            InputTokens(re.compile(f"{_NEW}/responses/input_tokens")),
            *Files().endpoints(_NEW),
            *OpenAIBatches(vendor, asked).endpoints(_NEW),
            *response_endpoints(_NEW, vendor),
            *media(_DEPLOYMENT, _DEPLOYED, prefix="deployed-"),
            *media("/openai/v1", _DEPLOYED),
            Models(re.compile(rf"{_NEW}/models(?:/(?P<model>[^/]+))?"), ("gpt-5", "text-embedding-3-small")),
        ),
    )
