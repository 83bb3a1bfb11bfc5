"""Cohere's headers and errors.

Sources: the pages on errors and rate limits of docs.cohere.com, the error types of its SDK
(`cohere.errors`), and refusals that its users have quoted.
"""

from __future__ import annotations

from typing import Any, Final

from ...dialect_base.retry_after import with_hint
from ...dialect_base.shared import JSON, ErrorText, limit_hit, unit_of
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import Headers, HttpRequest
from ...model import LimitState
from ...request import Request
from ...wire_formats import hexadecimal

_MESSAGES: Final = {
    "rate-limit": "Please wait and try again later",
    "too-large": "too many tokens: the total number of tokens in the prompt exceeds the limit",
    "quota": "Your API key has reached its monthly limit of calls. Upgrade to a Production key.",
    "billing": "Your billing has failed or you have reached your maximum billing limit",
    "ramp": "Please wait and try again later",
    "throttle": "Please wait and try again later",
    "overloaded": "The service is temporarily unavailable, please try again later",
    "server": "internal server error, this has been reported to our developers",
    "timeout": "The request timed out",
    "conflict": "The request conflicts with another one",
}
_STATUSES: Final = {
    401: "invalid api token",
    403: "Forbidden",
    404: "model not found, make sure the correct model ID was used and that you have access to the model.",
}


class CohereVendor(Vendor):
    """api.cohere.com."""

    no_key = ErrorText("no api key supplied")

    def path(self, request: HttpRequest) -> str:
        """With `?lines` where the client accepts only JSON: its streams have an event a line."""
        lines = request.headers.get("accept", "").strip() == JSON
        return f"{request.path}?lines" if lines and request.path.endswith("/v2/chat") else request.path

    def number(self, *key: object) -> str:
        """The id with which support can find a request."""
        return hexadecimal(32, "cohere", *key)

    def headers(self, number: str, took: int) -> Headers:
        """Ids and the time at the backend."""
        return (("x-debug-trace-id", number), ("x-envoy-upstream-service-time", str(took)))

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """The calls of a trial key, without a reset."""
        bucket = limits.requests
        if bucket is None:
            return ()
        return (
            ("x-trial-endpoint-call-limit", str(bucket.limit)),
            ("x-trial-endpoint-call-remaining", str(bucket.remaining)),
        )

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """An error body: a message, and the id of the request."""
        return {"id": number, "message": text.message}

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a limit that was hit is that of a trial key."""
        refusal = refused.refusal
        message = _MESSAGES[refusal.error]
        if refusal.error == "rate-limit":
            message = _STATUSES.get(refusal.status, message)
            hit = limit_hit(refusal)
            if hit is not None and refusal.reason == "requests":
                message = (
                    f"You are using a Trial key, which is limited to {hit.limit} API calls / {unit_of(hit)}. "
                    "You can continue to use the Trial key for free or upgrade to a Production key with "
                    "higher rate limits at 'https://dashboard.cohere.com/api-keys'."
                )
        return ErrorText(with_hint(message, refusal.retry_after))
