"""What the fake answers: a mark that names the item, and a short sentence after it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

_MARK: Final = re.compile(r"\[wt:((?:[A-Za-z0-9\-._~/:]|%[0-9A-F]{2})*)\]")
_WITH_ITEM: Final = (" is", " the", " item", " this", " answer", " belongs", " to.")
WITHOUT_ITEM: Final = ("This", " answer", " carries", " no", " item.")
"""What is answered where no item is to be named."""
_WORD: Final = re.compile(r"\s+\S+")
# A run of more letters without a space is several tokens: a URL, Chinese, JSON without spaces.
_TOKEN: Final = re.compile(r"\s*\S{1,16}(?:\s+\Z)?")
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


def tokens_of(text: str) -> tuple[str, ...]:
    """A text, to the letter, in pieces of one token each: a word with the space before it, or a part of one.

    >>> tokens_of('{"label": "bug"}\\n')
    ('{"label":', ' "bug"}\\n')
    """
    return _tokens_kept(text) if len(text) <= _SHORT else _tokens(text)


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text)) or ((text,) if text else ())


_tokens_kept: Final = lru_cache(maxsize=_KEPT)(_tokens)


def own_answer(item: str | None, words: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The mark of an item and what follows it, in pieces of one token each.

    Args:
        item: the item of the request; without one the answer carries no mark.
        words: what follows the mark, in place of the usual sentence.

    >>> "".join(own_answer("item-1"))
    '[wt:item-1] is the item this answer belongs to.'
    """
    if item is None:
        return WITHOUT_ITEM if words is None else (words[0].lstrip(), *words[1:])
    return mark(item), *(_WITH_ITEM if words is None else words)


def of_length(words: tuple[str, ...], count: int) -> tuple[str, ...]:
    """A text in pieces, repeated or cut so that it has so many.

    >>> of_length(("One", " two."), 3)
    ('One', ' two.', ' One')
    """
    if count <= len(words):
        return words[:count]
    again = words if words[0][:1].isspace() else (f" {words[0]}", *words[1:])
    rounds = -(-(count - len(words)) // len(again))
    return (*words, *(again * rounds)[: count - len(words)])


def equal_pieces(text: str, count: int) -> tuple[str, ...]:
    """A text cut into so many pieces of about the same size.

    >>> equal_pieces("abcdefgh", 4)
    ('ab', 'cd', 'ef', 'gh')
    """
    size = len(text)
    return tuple(text[n * size // count : (n + 1) * size // count] for n in range(count))


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
