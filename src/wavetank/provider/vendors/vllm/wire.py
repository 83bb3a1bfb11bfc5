"""The vLLM dialect: OpenAI's formats as the self-hosted server writes them.

Source: `vllm/entrypoints/openai/engine/protocol.py` of vllm-project/vllm (`ErrorInfo`,
`ErrorResponse`) and its chat completion protocol.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from ...dialect_base.shared import DONE, ErrorText, InvalidRequest, Values
from ...dialect_base.wire_dialect import AnswerPart, Vendor, WireDialect
from ...http import HttpRequest
from ...vendor_card import VendorCard
from ..openai.chat import Chat, Flavour, shown_as, usage
from ..openai.completions import Completions
from ..openai.embeddings import Embeddings
from ..openai.models import Models
from ..openai.responses import Responses

_MESSAGES: Final = {
    "rate-limit": "Too many requests",
    "too-large": "This model's maximum context length is exceeded. Please reduce the length of the messages.",
    "quota": "Too many requests",
    "billing": "Too many requests",
    "ramp": "Too many requests",
    "throttle": "Too many requests",
    "overloaded": "The server is overloaded: too many requests are waiting",
    "server": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
    "timeout": "Request timed out",
    "conflict": "The request conflicts with another one",
}


def _kind(status: int) -> str:
    """The name of the exception that a status stands for."""
    try:
        name = "".join(word.capitalize() for word in HTTPStatus(status).phrase.split())
    except ValueError:
        name = "ServiceUnavailable" if status >= 500 else "BadRequest"
    return name if name.endswith("Error") else f"{name}Error"


class VllmVendor(Vendor):
    """A server of one's own: a host named `vllm`, or one whose name begins with `vllm-` or `vllm.`."""

    no_key = None
    errors: Mapping[str, ErrorText] = {error: ErrorText(message) for error, message in _MESSAGES.items()}

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error object: its code is the HTTP status, a number."""
        error = {"message": text.message, "type": _kind(status), "param": text.param, "code": status}
        return {"error": error}

    def invalid_request(self, invalid: InvalidRequest, number: str, request: HttpRequest) -> tuple[int, Any]:
        """The error of a bad request; the web framework answers for paths and methods."""
        if invalid.status in (404, 405):
            return invalid.status, {"detail": invalid.text.message}
        return super().invalid_request(invalid, number, request)


def _top(page: AnswerPart) -> Values:
    return {} if page.reply.count > 1 else {"service_tier": None, "system_fingerprint": None}


def _plain(page: AnswerPart) -> Values:
    return {"prompt_logprobs": None, "kv_transfer_params": None}


_FLAVOUR: Final = Flavour(
    ident=lambda page: f"chatcmpl-{page.digits(32)}",
    call_ident=lambda page, number: f"chatcmpl-tool-{page.digits(32, 'call', number)}",
    top=_top,
    plain=_plain,
    choice={"logprobs": None, "stop_reason": None},
    message={"refusal": None, "annotations": None, "audio": None, "function_call": None, "tool_calls": []},
    delta={},
    usage=usage,
    after_failure=DONE,
    thought=shown_as("reasoning_content"),
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: A host named `vllm`, and `/vllm/v1` of the loopback server."""
    return WireDialect(
        VllmVendor(card),
        (
            Chat(re.compile(r"/v1/chat/completions"), _FLAVOUR),
            Responses(re.compile(r"/v1/responses")),
            Completions(
                re.compile(r"/v1/completions"),
                ident=lambda page: f"cmpl-{page.digits(32)}",
                choice={"stop_reason": None},
                after_failure=DONE,
            ),
            Embeddings(re.compile(r"/v1/embeddings")),
            Models(re.compile(r"/v1/models"), ("served-model",)),
        ),
    )
