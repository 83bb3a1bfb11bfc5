"""OpenAI's formats at other vendors: the vendor's card says what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from ....clock import SECOND
from ...dialect_base.retry_after import with_hint
from ...dialect_base.shared import ErrorText, InvalidRequest, is_limit, limit_hit, unit_of
from ...dialect_base.wire_dialect import Endpoint, Refused, Vendor, WireDialect
from ...host_patterns import path_pattern
from ...http import Headers, HttpRequest
from ...model import BucketState, LimitState, Refusal, Reply
from ...request import Request
from ...vendor_card import VendorCard
from ...wire_formats import decimal, go_duration, rfc3339
from .chat import Chat, Flavour, shown_as
from .completions import Completions
from .embeddings import Embeddings
from .media import MEDIA, MEDIA_PATHS
from .models import Models
from .requests import INVALID
from .rerank import Rerank, data, results
from .responses import Responses
from .vendor import counted, used

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
    404: ErrorText("The model does not exist or you do not have access to it.", INVALID, "model_not_found"),
}
_TOP: Final = {"service_tier": "default", "system_fingerprint": None}


def _texts(own: Mapping[Any, tuple[str, ...]], generic: Mapping[Any, ErrorText]) -> dict[Any, ErrorText]:
    return {**generic, **{key: ErrorText(*text) for key, text in own.items()}}


def _filled(shape: Any, values: Mapping[str, Any]) -> Any:
    """The shape of a body with the values in their places; a message that is empty is left out."""
    if isinstance(shape, str):
        return values[shape[1:-1]] if shape.startswith("{") else shape
    if isinstance(shape, Mapping):
        filled = {key: _filled(value, values) for key, value in shape.items()}
        return {key: value for key, value in filled.items() if value != "" or shape[key] != "{message}"}
    return [_filled(value, values) for value in shape] if isinstance(shape, list | tuple) else shape


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _wait(refusal: Refusal) -> int:
    """The seconds of the Retry-After."""
    return 0 if refusal.retry_after is None else -(-refusal.retry_after.value // SECOND)


class CompatibleVendor(Vendor):
    """What a card says of a vendor's headers and errors."""

    def __init__(self, card: VendorCard) -> None:
        super().__init__(card)
        self.errors = _texts(card.errors, _ERRORS)
        self.statuses = _texts(card.status_texts, _STATUSES)
        self.no_key = self.statuses[401] if card.needs_key else None
        self.not_found = ErrorText(*card.unknown_path)

    def headers(self, number: str, took: int) -> Headers:
        """The headers of every response that the card names."""
        named = self.card.response_headers.items()
        return tuple((name, value.format(number=number, took=took)) for name, value in named)

    def limits(self, limits: LimitState, request: Request, measured: int, *, refused: bool) -> Headers:
        """The limits that the card has names for."""
        if self.card.limits_on == ("answers" if refused else "refusals"):
            return ()
        headers: list[tuple[str, str]] = []
        for kind, named in self.card.limit_headers.items():
            bucket = getattr(limits, kind)
            if bucket is not None:
                stated = self._stated(bucket, measured)
                headers += ((named.format(field=field), stated[field]) for field in self.card.limit_fields)
        return tuple(headers)

    def _stated(self, bucket: BucketState, measured: int) -> dict[str, str]:
        """A limit's words for the fields of its headers."""
        return {
            "limit": str(bucket.limit),
            "remaining": str(bucket.remaining),
            "reset": self._reset(bucket.reset, measured),
        }

    def _reset(self, wait: int, measured: int) -> str:
        match self.card.reset:
            case "duration":
                return go_duration(wait)
            case "seconds":
                return str(-(-wait // SECOND))
            case "decimal-seconds":
                return decimal(wait, SECOND)
            case "unix":
                return str(-(-(measured + wait) // SECOND))
            case "rfc3339":
                return rfc3339(measured + wait)

    def refusal_headers(self, refused: Refused) -> Headers:
        """The headers that a rate limit has beside those of all refusals."""
        if not is_limit(refused.refusal):
            return ()
        code = self._text(refused.refusal).code or ""
        values = {"number": refused.number, "code": code, "wait": _wait(refused.refusal)}
        return tuple((name, value.format_map(values)) for name, value in self.card.refusal_headers.items())

    def error(self, text: ErrorText, status: int, number: str) -> Any:
        """An error in the shape of the card."""
        code = text.code
        values = {
            "message": text.message,
            "type": text.kind,
            "param": text.param,
            "code": code,
            "code-number": int(code) if code is not None and code.isdecimal() else None,
            "status": status,
            "status-text": str(status),
            "title": _title(status),
            "number": number,
        }
        return _filled(self.card.error_body, values)

    def unknown_route(self, request: HttpRequest, allowed: tuple[str, ...]) -> InvalidRequest:
        """What is said to a path that is not known, with the status of the card."""
        invalid = super().unknown_route(request, allowed)
        if not allowed:
            invalid.status = self.card.unknown_path_status
        return invalid

    def refusal_text(self, refused: Refused) -> ErrorText:
        """What a refusal says; its places are filled in."""
        refusal, text = refused.refusal, self._text(refused.refusal)
        buckets = refusal.limits
        usual = buckets.tokens if counted(refusal) == "tokens" else buckets.requests
        limit, spent = used(refusal, usual)
        message = text.message.format(
            model=refused.request.model,
            limit=limit,
            used=spent,
            unit=unit_of(limit_hit(refusal)),
            wait=_wait(refusal),
            method="POST",
            path="",
        )
        return text._replace(message=with_hint(message, refusal.retry_after))

    def _text(self, refusal: Refusal) -> ErrorText:
        """By the limit that was hit or the status that was scripted, or else by what is wrong."""
        text = self.errors[refusal.error]
        if not is_limit(refusal):
            return text
        general = "tokens" if refusal.reason.endswith("-tokens") else refusal.reason
        by_limit = self.errors.get(refusal.reason) or self.errors.get(general) or text
        return self.statuses.get(refusal.status, by_limit)


def wire(card: VendorCard) -> WireDialect:
    """The dialect of a vendor that uses OpenAI's format."""
    named = dict.fromkeys(card.serves)
    return WireDialect(CompatibleVendor(card), [_ENDPOINTS[name](card, _path(card, name)) for name in named])


def _path(card: VendorCard, endpoint: str) -> re.Pattern[str]:
    """The paths of an endpoint; a `*` stands for one part of a path."""
    own = card.endpoint_paths.get(endpoint)
    paths = [own] if own is not None else [f"{base}{_OWN_PATHS[endpoint]}" for base in card.base_paths]
    found = "|".join(map(path_pattern, paths))
    return re.compile(f"(?:{found}){_ONE_MODEL if endpoint == 'models' else ''}")


_ONE_MODEL: Final = r"(?:/(?P<model>.+))?"
_OWN_PATHS: Final = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
    "rerank": "/rerank",
    "models": "/models",
    **MEDIA_PATHS,
}


def _chat(card: VendorCard, path: re.Pattern[str]) -> Endpoint:
    own = card.answer_fields
    fields, plain = {**_TOP, **own.get("body", {})}, own.get("plain", {})

    def failed(body: Any, request: Request, reply: Reply, epoch_ns: int) -> Any:
        values = {"error": body, "status": _status(card, reply)}
        return _filled(card.stream_error, values) if card.stream_error else body

    flavour = Flavour(
        top=lambda page: fields,
        plain=lambda page: dict(plain),
        deltas=own.get("delta", {}),
        thought=shown_as(card.reasoning),
        reasoners=card.reasoners,
        failed=failed,
        whole_calls=card.whole_calls,
        numbered_calls=card.numbered_calls,
    )
    return Chat(path, flavour)


def _status(card: VendorCard, reply: Reply) -> int:
    """The status of an error that comes in a stream."""
    outcome = reply.outcome
    if isinstance(outcome, Refusal):
        return outcome.status
    error = outcome.fault.error if outcome.fault is not None else None
    return card.status_of_error(error or CompatibleVendor.breaks_with)


def _media(name: str, card: VendorCard, path: re.Pattern[str]) -> Endpoint:
    endpoint: Endpoint = MEDIA[name](path, name=name)
    return endpoint


_ENDPOINTS: Final[dict[str, Callable[[VendorCard, re.Pattern[str]], Endpoint]]] = {
    "chat": _chat,
    "completions": lambda card, path: Completions(path),
    "embeddings": lambda card, path: Embeddings(path),
    "responses": lambda card, path: Responses(path),
    "rerank": lambda card, path: Rerank(path, data if card.rerank_list == "data" else results),
    "models": lambda card, path: Models(path, card.models),
    **{name: partial(_media, name) for name in MEDIA},
}
