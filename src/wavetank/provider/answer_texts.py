"""What the fake answers: a mark that names the item, and a short sentence after it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, unquote

_MARK: Final = re.compile(r"\[wt:((?:[A-Za-z0-9\-._~/:]|%[0-9A-F]{2})*)\]")
_WITH_ITEM: Final = (" is", " the", " item", " this", " answer", " belongs", " to.")
_WITHOUT_ITEM: Final = ("This", " answer", " carries", " no", " item.")
_WORD: Final = re.compile(r"\s+\S+")
_BYTES_PER_TOKEN: Final = 4
_KEPT: Final = 1 << 10
"""A search asks for the same texts in every run."""

_SHORT: Final = 1 << 12
"""Texts that are longer are not kept: a server would hold on to its largest bodies."""


@lru_cache(maxsize=_KEPT)
def mark(item: str) -> str:
    """The mark of an item in an answer; it is not found in the mark of any other item.

    >>> mark("item-1"), mark("a b")
    ('[wt:item-1]', '[wt:a%20b]')
    """
    return f"[wt:{quote(item, safe='-._~/:', errors='surrogatepass')}]"


def marks_in(text: str) -> tuple[str, ...]:
    """The items whose marks are in the text, in order, each once.

    >>> marks_in("[wt:item-11] and [wt:a%20b] and [wt:item-11]")
    ('item-11', 'a b')
    """
    return _marks_kept(text) if len(text) <= _SHORT else _marks_in(text)


def _marks_in(text: str) -> tuple[str, ...]:
    found = (_decoded(name) for name in _MARK.findall(text))
    return tuple(dict.fromkeys(item for item in found if item is not None))


_marks_kept: Final = lru_cache(maxsize=_KEPT)(_marks_in)


def _decoded(name: str) -> str | None:
    try:
        return unquote(name, errors="surrogatepass")
    except UnicodeDecodeError:
        return None


def words_of(text: str) -> tuple[str, ...]:
    """A text in pieces of one token each: its words, each with the space before it.

    >>> words_of("Quota is fine.")
    (' Quota', ' is', ' fine.')
    """
    return tuple(_WORD.findall(f" {text}"))


def answer_deltas(
    item: str | None, max_tokens: int | None = None, words: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], Literal["stop", "length"]]:
    """The answer to an item in pieces of one token each, and why it ends.

    Args:
        item: the item of the request; without one the answer carries no mark.
        max_tokens: the most pieces allowed; a longer answer is cut.
        words: what follows the mark, in pieces of one token each, in place of the usual sentence.

    >>> "".join(answer_deltas("item-1")[0])
    '[wt:item-1] is the item this answer belongs to.'
    """
    whole = _whole(item, words)
    if max_tokens is None or max_tokens >= len(whole):
        return whole, "stop"
    return whole[: max(0, max_tokens)], "length"


def _whole(item: str | None, words: tuple[str, ...] | None) -> tuple[str, ...]:
    if item is None:
        return _WITHOUT_ITEM if words is None else (words[0].lstrip(), *words[1:])
    return mark(item), *(_WITH_ITEM if words is None else words)


def longest_answer(item: str | None, max_tokens: int | None, words: tuple[str, ...] | None = None) -> int:
    """The tokens a request reserves for its answer: as many as it allows, or the fake's whole answer."""
    if max_tokens is not None:
        return max_tokens
    if words is not None:
        return len(words) + (item is not None)
    return len(_WITHOUT_ITEM) if item is None else len(_WITH_ITEM) + 1


def request_cost(item: str | None, prompt_tokens: int, max_tokens: int | None, copies: int = 1) -> int:
    """The tokens a request is charged with on arrival: its prompt and the longest answers it allows."""
    return prompt_tokens + longest_answer(item, max_tokens) * copies


def in_pieces(text: str, deltas: tuple[str, ...], finish: Literal["stop", "length"]) -> tuple[str, ...]:
    """Another text in place of an answer's own words, cut into as many pieces, and as early.

    >>> in_pieces("abcdefgh", ("[wt:item-1]", " is"), "length")
    ('a', 'b')
    """
    marked = bool(deltas) and deltas[0].startswith("[wt:")
    whole = len(_WITH_ITEM) + 1 if marked else len(_WITHOUT_ITEM)
    count = whole if finish == "length" else len(deltas)
    size = len(text)
    return tuple(text[n * size // count : (n + 1) * size // count] for n in range(len(deltas)))


def count_tokens(text: str) -> int:
    """The tokens of a text: one for every four bytes of UTF-8, rounded up, and never less than one.

    >>> count_tokens("How long is a wave?")
    5
    """
    return _counted_before(text) if len(text) <= _SHORT else _counted(text)


def _counted(text: str) -> int:
    size = len(text.encode("utf-8", "surrogatepass"))
    return max(1, -(-size // _BYTES_PER_TOKEN))


_counted_before: Final = lru_cache(maxsize=_KEPT)(_counted)
