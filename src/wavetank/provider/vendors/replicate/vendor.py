"""Replicate's headers and errors.

Sources: the pages on rate limits and on errors of replicate.com/docs, and refusals that users have quoted.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from ....clock import SECOND
from ...dialect_base.shared import ErrorText, limit_headers
from ...dialect_base.wire_dialect import Refused, Vendor
from ...http import Headers, HttpRequest
from ...model import LimitState
from ...request import Request

_CREDIT: Final = (
    "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to "
    "purchase credit. Once you purchase credit, please wait a few minutes before trying again."
)
_ERRORS: Final = {
    "rate-limit": ErrorText("Request was throttled."),
    "too-large": ErrorText("The request is too large."),
    "quota": ErrorText("You've hit your monthly spend limit."),
    "billing": ErrorText(_CREDIT),
    "ramp": ErrorText("Request was throttled. Your requests grow too fast."),
    "throttle": ErrorText("Request was throttled."),
    "overloaded": ErrorText("Service is temporarily unavailable. Please try again later."),
    "server": ErrorText("An unexpected error occurred."),
    "timeout": ErrorText("The request timed out."),
    "conflict": ErrorText("The request conflicts with another one."),
}
_STATUSES: Final = {
    401: ErrorText("You did not pass a valid authentication token"),
    403: ErrorText("You do not have permission to perform this action."),
    404: ErrorText("The requested resource could not be found."),
}
_TITLES: Final = {401: "Unauthenticated", 402: "Insufficient credit", 422: "Input validation failed"}


class ReplicateVendor(Vendor):
    """api.replicate.com."""

    no_key = ErrorText("You did not pass an authentication token")
    not_found = ErrorText("The requested resource could not be found.")
    not_allowed = ErrorText('Method "{method}" not allowed.')
    errors = _ERRORS
    statuses = _STATUSES

    def key(self, request: HttpRequest) -> str:
        """A bearer token, or one behind `Token`, as old clients send it."""
        scheme, _, key = request.headers.get("authorization", "").strip().partition(" ")
        return key.strip() if scheme.lower() == "token" and key.strip() else super().key(request)

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """The requests, with the seconds until they are whole again."""
        named = "ratelimit-{field}{name}"
        return limit_headers((("", limits.requests),), lambda ns: str(-(-ns // SECOND)), named=named)

    def error(self, text: ErrorText, status: int, number: str) -> dict[str, Any]:
        """A problem: title, details and status (RFC 9457)."""
        try:
            title = _TITLES.get(status) or HTTPStatus(status).phrase
        except ValueError:
            title = "Error"
        return {"title": title, "detail": text.message, "status": status}

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; a limit names when it resets."""
        text, wait = super().refusal_text(refused), refused.refusal.retry_after
        if refused.refusal.error != "rate-limit" or wait is None or refused.refusal.status != 429:
            return text
        return text._replace(
            message=f"{text.message} Your rate limit resets in ~{-(-wait.value // SECOND)}s."
        )

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The body of a refusal; one that says when to come back has that in seconds as well."""
        body: dict[str, Any] = super().refusal(refused)
        wait = refused.refusal.retry_after
        return body if wait is None else body | {"retry_after": -(-wait.value // SECOND)}
