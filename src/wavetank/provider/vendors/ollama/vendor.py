"""Ollama's errors: a string, or OpenAI's object where OpenAI's paths are asked.

Sources: `server/routes.go`, `server/sched.go` and `openai/openai.go` of ollama/ollama, and
`docs/api/errors.mdx` of the same.
"""

from __future__ import annotations

from typing import Any, Final

from ...dialect_base.retry_after import stated_in_body
from ...dialect_base.shared import ErrorText, InvalidRequest
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import HttpRequest

# Two spaces: so it is in server/sched.go.
_BUSY: Final = "server busy, please try again.  maximum pending requests exceeded"
_MESSAGES: Final = {
    "rate-limit": "too many requests",
    "too-large": "the input length exceeds the context length",
    "quota": "you have reached your weekly usage limit, please upgrade to continue",
    "billing": "you have reached your usage limit, please upgrade to continue",
    "ramp": "too many requests",
    "throttle": "too many concurrent requests",
    "overloaded": _BUSY,
    "server": "llama runner process has terminated: exit status 2",
    "timeout": "timed out waiting for llama runner to start",
    "conflict": "the request conflicts with another one",
}
_COMPATIBLE: Final = "/v1/"
_COMPATIBLE_ENDPOINTS: Final = ("chat", "embeddings", "models")


class OllamaVendor(Vendor):
    """A server of one's own on its own port, one named `ollama`, or ollama.com."""

    no_key = None
    not_found = ErrorText("404 page not found")
    not_allowed = ErrorText("405 method not allowed")

    def invalid_request(self, invalid: InvalidRequest, number: str, request: HttpRequest) -> tuple[int, Any]:
        """The error of a bad request."""
        compatible = _COMPATIBLE in request.path
        return invalid.status, _error(invalid.text.message, invalid.status, compatible=compatible)

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The error of a refusal."""
        refusal = refused.refusal
        message = refusal.message or _MESSAGES[refusal.error] + stated_in_body(refusal.retry_after)
        compatible = refused.request.endpoint in _COMPATIBLE_ENDPOINTS
        return _error(message, refusal.status, compatible=compatible)


def _error(message: str, status: int, *, compatible: bool) -> dict[str, Any]:
    if not compatible:
        return {"error": message}
    kind = "invalid_request_error" if status in (400, 404) else "api_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
