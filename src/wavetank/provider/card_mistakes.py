"""What can be wrong in a vendor's card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any, Final, get_args

from ..scenario import REFUSAL_STATUSES, RefusalError
from ..text import did_you_mean
from .model import LimitReason

_IN_TEXTS: Final = ("model", "limit", "used", "unit", "wait", "method", "path")
_IN_HEADERS: Final = {
    "response_headers": ("number", "took"),
    "refusal_headers": ("number", "code", "wait"),
    "limit_headers": ("field",),
}
_IN_BODIES: Final = {
    "error_body": (
        "message",
        "type",
        "param",
        "code",
        "code-number",
        "status",
        "status-text",
        "title",
        "number",
    ),
    "stream_error": ("error", "status"),
}
_TUPLES: Final = (
    "hosts",
    "paths",
    "headers",
    "key_variables",
    "key_aliases",
    "base_paths",
    "limit_fields",
    "models",
    "reasoners",
    "serves",
    "pings",
)
_NAME: Final = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
# What RFC 9110, section 5.6.2, calls a token.
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLACE: Final = re.compile(r"\{\w*\}")
_CHOICES: Final = {
    "reset": ("duration", "seconds", "decimal-seconds", "unix", "rfc3339"),
    "limits_on": ("all", "answers", "refusals"),
    "rerank_list": ("results", "data"),
}
_ENDPOINTS: Final = (
    *("chat", "completions", "embeddings", "responses", "rerank", "models", "moderations"),
    *("images", "image-edits", "image-variations", "transcriptions", "translations", "speech"),
)
_ERRORS: Final = get_args(RefusalError)
_NAMES: Final = {
    "statuses": _ERRORS,
    "over_limit": _ERRORS,
    "errors": tuple(dict.fromkeys((*_ERRORS, *get_args(LimitReason)))),
    "serves": _ENDPOINTS,
    "endpoint_paths": _ENDPOINTS,
    "limit_headers": (
        "requests",
        "tokens",
        "input_tokens",
        "output_tokens",
        "requests_per_day",
        "tokens_per_day",
    ),
    "limit_fields": ("limit", "remaining", "reset"),
    "answer_fields": ("body", "plain", "delta"),
}


def mistakes_in(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a card that have what they can't have, and what is wrong; `card` has all by name."""
    yield from _wrong_values(card)
    yield from _wrong_names(card)
    yield from _wrong_headers(card)
    yield from _wrong_texts(card)
    yield from _wrong_templates(card)


def _wrong_values(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in _TUPLES:
        if isinstance(card[field], str):
            yield field, f"write a tuple, such as ({card[field]!r},)"
    if not _NAME.fullmatch(str(card["name"])):
        yield "name", f"{card['name']!r}: write small letters, digits and hyphens, such as 'acme'"
    for host in card["hosts"]:
        if "/" in host or not host.strip():
            yield "hosts", f"{host!r} is no host: write one such as 'api.acme.example', without 'https://'"
    for field in ("statuses", "over_limit"):
        for error, status in card[field].items():
            if not isinstance(status, int) or status not in REFUSAL_STATUSES:
                yield field, f"{error!r} has the status {status!r}; one of a refusal is from 400 to 599"
    for field in ("base_paths", "behind", "pings"):
        for path in card[field]:
            if path and not path.startswith("/"):
                yield field, f"{path!r} does not begin with a slash"


def _wrong_names(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, known in _CHOICES.items():
        if card[field] not in known:
            yield field, f"there is no {card[field]!r}; choose of {known}"
    for field, known in _NAMES.items():
        for name in card[field]:
            if name not in known:
                yield field, f"there is no {name!r}; {did_you_mean(str(name), known) or f'choose of {known}'}"
    for status in card["status_texts"]:
        if not isinstance(status, int):
            yield "status_texts", f"{status!r} is no status: write a number, such as 401"


def _wrong_headers(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    limits = card["limit_headers"]
    names = {
        "headers": card["headers"],
        "key_header": [card["key_header"]] if card["key_header"] else [],
        "response_headers": card["response_headers"],
        "refusal_headers": card["refusal_headers"],
        "limit_headers": limits.values(),
    }
    for field, given in names.items():
        for name in given:
            if not _HEADER.fullmatch(_PLACE.sub("x", name) if field == "limit_headers" else name):
                yield field, f"{name!r} is no name of a header: write one such as 'x-acme-quota'"
    stated = card["limit_fields"]
    for kind, name in limits.items():
        if len(stated) > 1 and "{field}" not in name:
            yield (
                f"limit_headers[{kind!r}]",
                f"{name!r} would be the name of {len(stated)} headers, for {', '.join(stated)}: put "
                "{field} into it, or say which one is stated, such as limit_fields=('remaining',)",
            )


def _wrong_texts(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    texts = {"unknown_path": card["unknown_path"]}
    for field in ("errors", "status_texts"):
        texts |= {f"{field}[{key!r}]": text for key, text in card[field].items()}
    for field, text in texts.items():
        if isinstance(text, str) or not 1 <= len(text) <= 4:
            yield field, f"write a tuple of message, type, code and parameter instead of {text!r}"
        else:
            yield from _unknown_places(field, text[0], _IN_TEXTS)


def _wrong_templates(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, known in _IN_HEADERS.items():
        for name, value in card[field].items():
            yield from _unknown_places(f"{field}[{name!r}]", value, known)
    for field, known in _IN_BODIES.items():
        for shape in _strings(card[field]):
            if shape.startswith("{"):
                yield from _unknown_places(field, shape, known)


def _unknown_places(field: str, text: str, known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        yield field, f"{text!r}: {error}; write braces that are meant as {{{{ and }}}}"
        return
    for name in names:
        if name not in known:
            places = ", ".join(f"{{{each}}}" for each in known)
            yield field, f"{text!r} has a place {{{name}}} that is not known; there are {places}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)
