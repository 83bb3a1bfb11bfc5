"""Reads status, headers, body and codes of an exception, wherever its library puts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, final

from .json_object import json_value

_CAUSES_FOLLOWED: Final = 5
"""SDKs wrap the error of their HTTP client, and that the error of the socket: three or four levels."""


@final
@dataclass(frozen=True, slots=True)
class ErrorFields:
    """What an exception holds of an HTTP answer.

    `headers` have names in lower case. `body` is the error object, without the `error` around
    it. `codes` are its machine-readable names, the most exact first. `classes` are the names
    of the exception's class and its bases.
    """

    status: int | None
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    codes: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def message(self) -> str:
        """The text in the error object; the exception's own text is not read."""
        # Ollama's whole error is a string.
        text = self.body.get("message") or self.body.get("Message") or self.body.get("error")
        return text if isinstance(text, str) else ""

    @property
    def details(self) -> list[Mapping[str, Any]]:
        """The `google.rpc` details of the error, in their order, which varies."""
        details = self.body.get("details")
        return [one for one in details if isinstance(one, Mapping)] if isinstance(details, list) else []


def read_error_fields(error: BaseException) -> ErrorFields:
    """Read the fields of an exception.

    It knows the exceptions of OpenAI, Anthropic, Google, Groq, Mistral, Cohere, OpenRouter, Ollama,
    LiteLLM, httpx, httpx2, aiohttp, requests and botocore, and imports none of them.
    """
    status, headers = _status(error), _headers(error)
    body = _body(error) or (_plain_text(error) if status is not None and status >= 400 else {})
    codes = tuple(code for code in _all_codes(error, headers, body) if isinstance(code, str))
    return ErrorFields(status, headers, body, codes, tuple(cls.__name__ for cls in type(error).__mro__))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error, and the errors that it was raised from, the last one first."""
    cause: BaseException | None = error
    for _ in range(_CAUSES_FOLLOWED):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def unwrap_single_group(error: BaseException) -> BaseException:
    """The exception inside a group of one, at any depth, or else the exception itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def read_attribute(owner: object, name: str) -> object:
    """An attribute, or `None` if reading it raises, as some do while an answer is not read to its end."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def _status(error: BaseException) -> int | None:
    response = read_attribute(error, "response")
    candidates = (
        read_attribute(error, "status_code"),
        read_attribute(error, "status"),
        read_attribute(response, "status_code"),
        read_attribute(response, "status"),
        _in_metadata(response, "HTTPStatusCode"),
        read_attribute(error, "code"),
    )
    return next((value for value in candidates if _is_status(value)), None)


def _is_status(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600


def _in_metadata(response: object, name: str) -> object:
    """botocore's responses are plain dictionaries."""
    metadata = response.get("ResponseMetadata") if isinstance(response, Mapping) else None
    return metadata.get(name) if isinstance(metadata, Mapping) else None


def _headers(error: BaseException) -> dict[str, str]:
    response = read_attribute(error, "response")
    for headers in (
        read_attribute(response, "headers"),
        read_attribute(error, "headers"),
        read_attribute(read_attribute(error, "raw_response"), "headers"),
        _in_metadata(response, "HTTPHeaders"),
    ):
        if isinstance(headers, Mapping):
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _body(error: BaseException) -> Mapping[str, Any]:
    """The error object of the answer, from the first place that holds one."""
    return next((found for place in _places(error) if (found := error_object(place))), {})


def _plain_text(error: BaseException) -> Mapping[str, Any]:
    """A refusal that is a line of text, as a message; proxies write such, and pages, which state nothing."""
    texts = (place.strip() for place in _places(error) if isinstance(place, str))
    return next(({"message": text} for text in texts if text and not text.startswith("<")), {})


def _places(error: BaseException) -> tuple[object, ...]:
    """Where exceptions hold the body of the answer."""
    response = read_attribute(error, "response")
    return (
        read_attribute(error, "body"),
        read_attribute(error, "details"),
        response if isinstance(response, Mapping) else None,
        read_attribute(response, "text"),
    )


def error_object(source: object) -> Mapping[str, Any]:
    """The object under `error`, or the whole object if there is none; Gemini's streams put it in a list."""
    if isinstance(source, (str, bytes)):
        source = json_value(source)
    if isinstance(source, list) and source:
        source = source[0]
    if not isinstance(source, Mapping):
        return {}
    inner = source.get("error", source.get("Error"))
    return inner if isinstance(inner, Mapping) else source


def _all_codes(error: BaseException, headers: Mapping[str, str], body: Mapping[str, Any]) -> Iterator[object]:
    details = body.get("details")
    if isinstance(details, Mapping):
        yield details.get("error_code")
    elif isinstance(details, list):
        yield from (one.get("reason") for one in details if isinstance(one, Mapping))
    yield from (body.get(name) for name in ("code", "Code", "type", "status"))
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping):
        yield from (metadata.get("error_type"), metadata.get("limit_source"))
    yield headers.get("x-amzn-errortype", "").partition(":")[0] or None
    yield from (read_attribute(error, name) for name in ("code", "type", "status"))
