"""OpenAI's formats as others speak them: a vendor's card says what of it is the vendor's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ....clock import SECOND
from ...dialects.shared import ErrorText, limit_headers, with_hint
from ...dialects.wire_dialect import Endpoint, Refused, Vendor, WireDialect
from ...http import Headers
from ...model import LimitState
from ...request import Request
from ...vendor_card import VendorCard
from ...wire_formats import go_duration, rfc3339
from .chat import Chat, Flavour, shown_as
from .completions import Completions
from .embeddings import Embeddings
from .models import Models
from .requests import INVALID
from .responses import Responses
from .vendor import error

_ERRORS: Final = {
    "rate-limit": ErrorText("Rate limit exceeded", "rate_limit_error", "rate_limit_exceeded"),
    "too-large": ErrorText("The request is too large.", INVALID, "context_length_exceeded"),
    "quota": ErrorText("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "billing": ErrorText("Your credit balance is too low.", "insufficient_quota", "insufficient_quota"),
    "ramp": ErrorText("Your traffic grows too fast.", "rate_limit_error", "rate_limit_exceeded"),
    "throttle": ErrorText("Too many requests", "rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ErrorText("The server is overloaded.", "service_unavailable_error", "overloaded"),
    "server": ErrorText("Internal server error", "server_error", "internal_error"),
    "timeout": ErrorText("Request timed out.", "timeout", "timeout"),
    "conflict": ErrorText("The request conflicts with another one.", INVALID, "conflict"),
}
_STATUSES: Final = {
    401: ErrorText("Invalid API key", "authentication_error", "invalid_api_key"),
    403: ErrorText("You are not allowed to make this request.", "permission_error", "forbidden"),
    404: ErrorText("Not Found", INVALID, "not_found"),
}


def _texts(own: Any, generic: dict[Any, ErrorText]) -> dict[Any, ErrorText]:
    return generic | {key: ErrorText(*text) for key, text in own.items()}


class CompatibleVendor(Vendor):
    """What a card says of a vendor's headers and errors."""

    def __init__(self, card: VendorCard) -> None:
        super().__init__(card)
        self.errors = _texts(card.errors, _ERRORS)
        self.statuses = _texts(card.status_texts, _STATUSES)
        self.no_key = self.statuses[401] if card.needs_key else None
        self.not_found = self.statuses[404]

    def headers(self, number: str, took: int) -> Headers:
        """The request id, where there is one."""
        return ((self.card.request_id, number),) if self.card.request_id else ()

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """The limits that the card has names for."""
        if self.card.limits_on_refusals and not refused:
            return ()
        headers: Headers = ()
        for kind, named in self.card.limit_headers.items():
            headers += limit_headers(((kind, getattr(limits, kind)),), self._reset(measured), named=named)
        return headers

    def _reset(self, measured: int) -> Callable[[int], str] | None:
        match self.card.reset:
            case "duration":
                return go_duration
            case "seconds":
                return lambda wait: str(-(-wait // SECOND))
            case "unix":
                return lambda wait: str(-(-(measured + wait) // SECOND))
            case "rfc3339":
                return lambda wait: rfc3339(measured + wait)
            case "none":
                return None

    def error(self, text: ErrorText, status: int, number: str) -> Any:
        """An error in the shape that the card names."""
        if self.card.error_body == "openai":
            return error(text)
        return {self.card.error_body: text.message}

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says."""
        refusal = refused.refusal
        text = self.errors[refusal.error]
        if refusal.error == "rate-limit":
            text = self.statuses.get(refusal.status, text)
        return text._replace(message=with_hint(text.message, refusal.retry_after))


def wire(card: VendorCard) -> WireDialect:
    """The dialect of a vendor that speaks OpenAI's format."""
    base = f"(?:{'|'.join(map(re.escape, card.base_paths))})"
    flavour = Flavour(thought=shown_as(card.reasoning), reasoners=card.reasoners)
    endpoints: dict[str, Callable[[], Endpoint]] = {
        "chat": lambda: Chat(re.compile(f"{base}/chat/completions"), flavour),
        "completions": lambda: Completions(re.compile(f"{base}/completions")),
        "embeddings": lambda: Embeddings(re.compile(f"{base}/embeddings")),
        "responses": lambda: Responses(re.compile(f"{base}/responses")),
        "models": lambda: Models(re.compile(rf"{base}/models(?:/(?P<model>.+))?"), card.models),
    }
    return WireDialect(CompatibleVendor(card), [endpoints[name]() for name in card.serves])
