"""What may be shown of what somebody else wrote: no secret, and no more of it than helps.

An API key is shown as its label: `key-1` for the first one of the run, then `key-2`, … Other values
that are secret by their place, such as the password of a URL, are shown as `***`.
"""

from __future__ import annotations

import _thread
import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, final

from .secret_places import SECRET_HEADERS, is_secret_name, secret_places

HIDDEN: Final = "***"
"""What is shown for a secret that has no label."""

SHORTEST: Final = 9
"""Shorter keys are not looked for in texts: they are words such as `wavetank`, and stand there by chance."""

PART: Final = 8
"""So many characters of a key are a part that is hidden, too; providers show the last four on purpose."""

SHORTEST_IN_PARTS: Final = 16
"""Of keys this long, a part is hidden too, if it has `PART` characters and is an end of the key."""

_SHORT_KEY: Final = 8
"""Keys of so many characters or fewer are hidden by their place alone: they may be in any word."""

_OF_A_QUERY: Final = re.compile(r"(?i)key|token|secret|auth|pass|sig|credential")

# Each is undone in one pass over a text, and the passes repeat: one encoding may be inside another.
_ESCAPES: Final = re.compile(
    r"[ \t]*(?:=?\r?\n|\r)[ \t]*"  # a line break, also that of quoted-printable
    r"|\\{1,8}(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrt]|[^\w\s])"
    r"|%[0-9a-fA-F]{2}"
    r"|&(?:\#[0-9]{1,9}|\#[xX][0-9a-fA-F]{1,8}|[a-zA-Z]{2,31});"
)
_MAY_BE_ESCAPED: Final = re.compile(r"[\\%&\r\n]")
_PASSES: Final = 4


@final
class Secrets:
    """The secrets of one run and their labels; safe to use from several threads."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self._forms: dict[str, tuple[str, ...]] = {}
        self._guard = _thread.allocate_lock()

    def label(self, secret: str) -> str:
        """What is shown for a key: the same each time, numbered in the order of their first appearance."""
        label = self._labels.get(secret)
        if label is None:
            with self._guard:
                label = self._labels.setdefault(secret, f"key-{len(self._labels) + 1}")
                self._behind[label] = secret
        return label

    def label_url(self, url: str | None) -> None:
        """Know the secrets of a URL: the password in front of its host, and keys in its query."""
        from urllib.parse import parse_qsl, unquote, urlsplit

        try:
            parts = urlsplit(url or "")
        except ValueError:
            return  # it is no URL; the caller refuses it
        user = unquote(parts.password or parts.username or "")
        query = (value for name, value in parse_qsl(parts.query) if _OF_A_QUERY.search(name))
        for secret in (user, *query):
            if secret:
                self.label(secret)

    def behind(self, label: str) -> str:
        """The secret that has this label, for the code that has to match it; it is shown nowhere."""
        return self._behind[label]

    def headers(self, headers: Mapping[str, str], key: str) -> dict[str, str]:
        """Headers as they may be shown: `key` as its label, wherever it is, and other secrets not at all."""
        label = self.label(key)
        shown = {}
        for name, value in headers.items():
            if name in SECRET_HEADERS:
                value = f"{value.removesuffix(key)}{label}" if key and value.endswith(key) else HIDDEN
            elif len(key) > _SHORT_KEY:
                value = value.replace(key, label)
            shown[name] = value
        return shown

    def hide(self, text: str) -> str:
        """A text about what happened, such as that of an error, without any secret.

        Known keys are found in any encoding that a provider may echo them in (JSON, percent, HTML,
        base64, hexadecimal, one in another, across line breaks), and parts of them that are long
        enough to be of use. Other secrets, and keys that are short, are known by their place.
        """
        text = self._without_places(self._without_keys(text, parts=True), escapes=False)
        return self._without_places(text, escapes=True) if _MAY_BE_ESCAPED.search(text) else text

    def hide_keys(self, text: str) -> str:
        """An answer or a page without the known keys, in any encoding; nothing else of it is changed."""
        return self._without_keys(text, parts=False)

    def hide_in(self, error: BaseException) -> None:
        """Take the secrets out of the texts of an error, and of those that led to it."""
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting:
            each = waiting.pop()
            if each is None or id(each) in seen:
                continue
            seen.add(id(each))
            each.args = tuple(map(self.hidden, each.args))
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()

    def hidden(self, value: object) -> object:
        """A value of JSON, or one that an error holds, in which the secrets are hidden."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, bytes):
            return self.hide(value.decode("latin-1")).encode("latin-1", "replace")
        if type(value) is list:
            return list(map(self.hidden, value))
        if type(value) is tuple:
            return tuple(map(self.hidden, value))
        if type(value) is dict:
            return {self.hidden(name): self._of_field(name, each) for name, each in value.items()}
        return value

    def _of_field(self, name: object, value: object) -> object:
        if isinstance(name, str) and isinstance(value, str) and value and is_secret_name(name):
            return self._labels.get(value, HIDDEN)
        return self.hidden(value)

    def _without_places(self, text: str, *, escapes: bool) -> str:
        """The text without the secrets that are known by their place, in it or in what its `escapes` mean."""
        plain = _undone(text, line_break="\n") if escapes else text
        found = tuple(secret_places(plain, self._labels))
        if not found:
            return text
        places = _undone_with_places(text, line_break="\n")[1] if escapes else None
        spans = []
        for start, end in found:
            label = self._labels.get(plain[start:end], HIDDEN)
            if places is not None:
                start, end = places[start][0], places[end - 1][1]
            spans.append((start, end, label))
        return _replaced(text, sorted(spans))

    def _without_keys(self, text: str, *, parts: bool) -> str:
        if not text or not any(len(secret) >= SHORTEST for secret in self._labels):
            return text
        plain = _undone(text) if _MAY_BE_ESCAPED.search(text) else text
        if not any(True for _ in self._found(plain, parts)):
            return text
        plain, places = _undone_with_places(text)
        spans = sorted(
            (places[start][0], places[end - 1][1], label) for start, end, label in self._found(plain, parts)
        )
        return _replaced(text, spans)

    def _found(self, plain: str, parts: bool) -> Iterator[tuple[int, int, str]]:
        """Where a secret is in a text without escapes: start, end, label."""
        # The two alphabets of base64 differ in two characters.
        standard, lower = plain.translate(_STANDARD), plain.lower()
        for secret, label in tuple(self._labels.items()):
            if len(secret) < SHORTEST:
                continue
            *coded, hexadecimal = self._coded(secret)
            for form, where in (secret, plain), *((form, standard) for form in coded), (hexadecimal, lower):
                if form in where:
                    yield from ((*span, label) for span in _all_of(form, where))
            ends = secret[:PART] in plain or secret[-PART:] in plain
            if ends and parts and len(secret) >= SHORTEST_IN_PARTS:
                yield from ((*span, label) for span in _ends_of(secret, plain))

    def _coded(self, secret: str) -> tuple[str, ...]:
        forms = self._forms.get(secret)
        if forms is None:
            forms = self._forms[secret] = tuple(_encoded(secret.encode("utf-8", "surrogatepass")))
        return forms

    def __repr__(self) -> str:
        return f"<Secrets [{len(self._labels)} keys]>"


_STANDARD: Final = str.maketrans("-_", "+/")


def _encoded(secret: bytes) -> Iterator[str]:
    """Base64 of the secret behind 0, 1 and 2 other bytes, what is its own of it; and hexadecimal."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + secret).decode().rstrip("=")
        # Characters that hold bits of a neighbour differ with it.
        first = -(-before * 8 // 6)
        last = (before + len(secret)) * 8 // 6
        yield coded[first:last]
    yield secret.hex()


def _all_of(form: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + len(form))


def _ends_of(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the text has the beginning or the end of a secret, as much of it as there is."""
    for start, end in _all_of(secret[:PART], text):
        length = PART
        while secret[length : length + 1] == text[end : end + 1] != "":
            length, end = length + 1, end + 1
        yield start, end
    for start, end in _all_of(secret[-PART:], text):
        length = PART
        while start and length < len(secret) and secret[-length - 1] == text[start - 1]:
            length, start = length + 1, start - 1
        yield start, end


def _replaced(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    shown: list[str] = []
    done = 0
    for start, end, label in spans:
        if start >= done:
            shown += text[done:start], label
        done = max(done, end)
    return "".join((*shown, text[done:]))


# -- escapes ----------------------------------------------------------------------------------------


def _character(match: re.Match[str], line_break: str) -> str:
    """What an escape stands for."""
    escape = match[0]
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    if escape[0] == "&":
        import html  # its table of names takes time to load, and the command line needs none of it

        return html.unescape(escape)
    body = escape.lstrip("\\")
    if escape[0] != "\\" or body in ("n", "r", "t"):
        return line_break
    if not body:
        return "\\"
    return chr(int(body[1:], 16)) if body[0] in "ux" and len(body) > 1 else body


def _undone(text: str, *, line_break: str = "") -> str:
    character = partial(_character, line_break=line_break)
    for _ in range(_PASSES):
        before, text = text, _ESCAPES.sub(character, text)
        if text == before:
            break
    return text


def _undone_with_places(text: str, *, line_break: str = "") -> tuple[str, list[tuple[int, int]]]:
    """The same, and where in the text each character came from."""
    places = [(at, at + 1) for at in range(len(text))]
    for _ in range(_PASSES):
        parts: list[str] = []
        new: list[tuple[int, int]] = []
        done = 0
        for match in _ESCAPES.finditer(text):
            start, end = match.span()
            character = _character(match, line_break)
            parts += text[done:start], character
            new += places[done:start]
            new += [(places[start][0], places[end - 1][1])] * len(character)
            done = end
        after = "".join((*parts, text[done:]))
        if after == text:
            break
        text, places = after, [*new, *places[done:]]
    return text, places


def shortened(text: str, length: int = 200) -> str:
    """A text that somebody else wrote, short enough to be repeated in an error message.

    >>> shortened("a" * 500, 10)
    'aaaaaaaaaa… (500 characters)'
    """
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"
