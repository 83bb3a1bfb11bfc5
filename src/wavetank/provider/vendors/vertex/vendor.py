"""The headers and errors of Vertex AI, for Gemini and for Claude.

Sources: the page on error 429 of cloud.google.com's documentation of Vertex AI, and refusals that its users
have quoted. Of Claude, what is no quota of Google's comes from Anthropic.
"""

from __future__ import annotations

from typing import Any, Final

from ...dialect_base.retry_after import stated_in_body
from ...dialect_base.shared import ErrorText
from ...dialect_base.wire_dialect import Refused
from ...vendor_card import VendorCard
from ..anthropic.vendor import AnthropicVendor
from ..gemini.vendor import STATUSES, GeminiVendor, error, in_array, refused_with

CLAUDE: Final = "claude"
"""The endpoint of Claude's messages."""
COUNT: Final = "claude-count-tokens"
"""The endpoint that counts their tokens."""

_QUOTAS: Final = ("rate-limit", "quota", "throttle", "ramp")
_CLAUDE_QUOTA: Final = (
    "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: "
    "anthropic-{model}. Please submit a quota increase request. "
    "https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai."
)
_VERTEX: Final = (
    "Resource exhausted. Please try again later. Please refer to "
    "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
)
_NO_TOKEN: Final = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or "
    "other valid authentication credential."
)


class VertexVendor(GeminiVendor):
    """Vertex AI: a bare error, and when to come back, if at all, in a header."""

    retry_in_body = False
    no_key = ErrorText(_NO_TOKEN)
    no_key_status = 401

    def __init__(self, card: VendorCard) -> None:
        super().__init__(card)
        self._anthropic = AnthropicVendor(card)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """The error of a bad request: Anthropic's have a type."""
        return (
            self._anthropic.error(text, status, number) if text.kind else super().error(text, status, number)
        )

    def refusal(self, refused: Refused) -> Any:
        """The error of a refusal."""
        refusal, claude = refused.refusal, refused.request.endpoint in (CLAUDE, COUNT)
        if refusal.error in _QUOTAS:
            quota = _CLAUDE_QUOTA.format(model=refused.request.model.partition("@")[0]) if claude else _VERTEX
            message = STATUSES.get(refusal.status, quota) + stated_in_body(refusal.retry_after)
            detail = {"message": message, "domain": "global", "reason": "rateLimitExceeded"}
            body = error(message, refusal.status, errors=[detail])
        elif claude:
            return self._anthropic.refusal(refused)
        else:
            body = refused_with(refusal, refused.request, details=False)
        return in_array(body, refused)

    def mid_stream_error(self, refused: Refused) -> Any:
        """The error after a 200."""
        if refused.request.endpoint == CLAUDE:
            return self._anthropic.mid_stream_error(refused)
        return super().mid_stream_error(refused)
