"""The vLLM dialect: OpenAI's formats as the self-hosted server writes them.

Source: `vllm/entrypoints/openai/engine/protocol.py` of vllm-project/vllm (`ErrorInfo`,
`ErrorResponse`) and its chat completion protocol.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, ClassVar, Final

from ..http import HttpRequest
from .hosts import HOSTS
from .openai.chat import Chat, Flavour, usage
from .openai.completions import Completions
from .openai.embeddings import Embeddings
from .openai.models import Models
from .openai.responses import Responses
from .shared import DONE, ErrorText, InvalidRequest, Values
from .wire_dialect import AnswerPart, Vendor, WireDialect

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

    name = "vllm"
    hosts = HOSTS["vllm"]
    no_key = None
    errors: ClassVar = {error: ErrorText(message) for error, message in _MESSAGES.items()}

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
    call_ident=lambda page: f"chatcmpl-tool-{page.digits(32, 'call')}",
    top=_top,
    plain=_plain,
    choice={"logprobs": None, "stop_reason": None},
    message={"refusal": None, "annotations": None, "audio": None, "function_call": None, "tool_calls": []},
    delta={},
    usage=usage,
    after_failure=DONE,
)

VLLM: Final = WireDialect(
    VllmVendor(),
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
"""A host named `vllm`, and `/vllm/v1` of the loopback server."""
