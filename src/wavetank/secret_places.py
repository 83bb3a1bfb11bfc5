"""Where a text has a secret by its place: the value of a header, of a field, of a query, a password.

The length of the secret does not matter. What is no secret stays as it is: "Bearer of good news", "the
api_key is missing", `api_key=None`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterator
from typing import Final

SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-amz-security-token",
        "cookie",
    }
)
"""The headers, in lower case, whose values are never shown."""

_NO_SECRETS: Final = frozenset(
    {
        *("none", "null", "true", "false", "undefined", "[secure]", "absent", "empty", "invalid", "missing"),
        *("required", "unset", "auth", "authentication", "authorization", "basic", "bearer", "credentials"),
        *("error", "format", "header", "headers", "key", "keys", "prefix", "realm", "scheme", "scope"),
        *("string", "token", "tokens", "type", "value", "\N{HORIZONTAL ELLIPSIS}", ""),
        *SECRET_HEADERS,
    }
)
"""What may stand in the place of a secret and is none: a value that is not set, a word about secrets."""

# A label is no secret any more.
_NEW: Final = r"(?!key-\d|\*\*\*)"
_CHARACTER: Final = r"(?:(?!\\+[\"'nrt])[^\s\"',;<>])"
_PART: Final = rf"[\w.-]{{1,64}}=(?:\"[^\"\n]*\"|{_CHARACTER}+)"
_HEADER: Final = "|".join(sorted(SECRET_HEADERS))
_SCHEME: Final = (
    r"(?:(?:bearer|basic|token|api-?key|key|digest|negotiate|ntlm|hawk|oauth|aws4-hmac-sha256)[\s+]{1,9})?+"
)
_QUOTED: Final = (
    rf"b?(?P<quote>[\"']){_SCHEME}{_NEW}(?P<quoted>(?:\\.|(?!(?P=quote))[^\n\\]){{1,2000}})(?P=quote)"
)
_NO_CODE: Final = r"(?![$<{%])(?![\w.]{1,200}[(\[{])"
_FIELD: Final = (
    r"(?:api[-_]?key|(?:access|auth|bearer|refresh|security|session)[-_]?token|client[-_]?secret|"
    r"(?:access|private|secret|subscription)[-_]?key|password|passwd)"
)
"""Names of fields that hold secrets, whatever stands before them, as in `OPENAI_API_KEY`."""

_FIELD_HINTS: Final = ("key", "token", "secret", "pass")
_HEADER_HINTS: Final = ("author", "key", "amz", "cook")

# To look for a part that every match has, without regard to case, is many times as fast. No part has
# an "i": a dotless one matches it, too, and stays as it is when case is folded.
_PLACES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = tuple(
    (hints, re.compile(pattern))
    for hints, pattern in (
        # Authorization: Bearer abc; Cookie: a=b; c=d; {'x-api-key': 'abc'}
        (
            _HEADER_HINTS,
            rf"(?i)\b(?:{_HEADER})\b[\"']?\s{{0,9}}[:=][\s+]{{0,9}}(?:{_QUOTED}|"
            rf"(?:b?[\"'])?{_SCHEME}{_NEW}(?P<word>{_PART}(?:[,;][ ]?{_PART})+|{_CHARACTER}+))",
        ),
        # (b'authorization', b'Bearer abc')
        (_HEADER_HINTS, rf"(?i)[(\[]b?[\"'](?:{_HEADER})[\"'],\s{{0,9}}{_QUOTED}[)\]]"),
        # "Bearer abc", and at the end of a line; elsewhere if it has a digit
        (
            ("bearer",),
            rf"(?:\bB(?:earer|EARER)|(?<=[\"'])bearer)[\s+]{{1,9}}{_NEW}(?!\w{{1,32}}=\")(?P<word>[\w.~+/=-]+)"
            r"(?=[\"'`)\]},;]|[ \t]*(?:\n|\Z))",
        ),
        (("bearer",), rf"(?i)\bbearer[\s+]{{1,9}}{_NEW}(?P<mixed>[\w.~+/=-]+)"),
        # Basic dTpw
        (("bas",), rf"(?i)\bbasic[\s+]{{1,9}}{_NEW}(?P<basic>[\w+/-]{{4,}}={{0,2}})"),
        # https://user:password@host
        (("://",), rf"(?i)\b[a-z][a-z0-9+.-]{{1,20}}://{_NEW}(?P<word>[^\s/?#@\"'<>]{{1,2000}})(?=@)"),
        # ?key=abc
        (
            ("=",),
            rf"(?i)[?&;](?:key|token|secret|sig|signature|x-amz-(?:signature|credential)|[\w-]{{0,32}}{_FIELD})="
            rf"{_NEW}(?P<word>[^\s&#\"'<>]+)",
        ),
        # "api_key": "abc", api_key='abc', api_key=abc, but not api_key=os.environ["KEY"]
        (
            _FIELD_HINTS,
            rf"(?i){_FIELD}(?:[\"']?[ \t]{{0,9}}(?::|={{1,3}})\s{{0,9}}{_QUOTED}|"
            rf"[ \t]{{0,9}}={{1,3}}[ \t]{{0,9}}[\"']?{_NEW}{_NO_CODE}"
            rf"(?P<word>(?:(?![&(){{}}\[\]]){_CHARACTER})+))",
        ),
        # --api-key abc1 and api_key: abc1, if it has a digit
        (
            _FIELD_HINTS,
            rf"(?i)(?:{_FIELD}:|--[\w-]{{0,32}}{_FIELD}(?=[ \t]))[ \t]{{0,9}}{_NEW}(?P<mixed>{_CHARACTER}+)",
        ),
    )
)


_SECRET_NAME: Final = re.compile(rf"(?i)(?:\A(?:{_HEADER})|{_FIELD})\Z")


def is_secret_name(name: str) -> bool:
    """Whether a field or header of this name holds a secret.

    >>> is_secret_name("OPENAI_API_KEY"), is_secret_name("max_tokens")
    (True, False)
    """
    return _SECRET_NAME.search(name) is not None


def secret_places(text: str, known: Container[str]) -> Iterator[tuple[int, int]]:
    """Where the secrets are in a text; the `known` ones also where they look like ordinary words."""
    folded = text.casefold()
    for hints, place in _PLACES:
        if any(hint in folded for hint in hints):
            for match in place.finditer(text):
                kind = str(match.lastgroup)
                if match[kind] in known or _is_secret(match[kind], kind):
                    yield match.span(kind)


def _is_secret(value: str, kind: str) -> bool:
    if value.rstrip(".").casefold() in _NO_SECRETS:
        return False
    if kind == "mixed":
        # "Bearer 401" is a status.
        return any(map(str.isdigit, value)) and (len(value) > 8 or any(map(str.isalpha, value)))
    return kind != "basic" or (len(value) > 15 and any(map(str.isdigit, value))) or _is_a_pair(value)


def _is_a_pair(value: str) -> bool:
    """Whether it is the base64 of `user:password`; "Basic plan" is not."""
    try:
        return b":" in base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), b"-_", True)
    except ValueError:
        return False
