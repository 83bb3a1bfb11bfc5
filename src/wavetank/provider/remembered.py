"""Whose answer a value is, by its text: for answers that no mark names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import msgspec

from .answer_texts import marks_in

_ITEMS: Final = 1 << 16
"""Items whose answers are remembered: a server must not grow for ever."""
_ANSWERS: Final = 8
"""Different answers to one item that are remembered; an item that is asked more often repeats itself."""
_PARTS: Final = 1000
"""So many parts of a value are looked at."""


@final
class Whose(msgspec.Struct, frozen=True):
    """Whose answer a value is: `marks` name items beyond doubt; the answers of `alike` are in the value."""

    marks: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


@final
class Remembered:
    """The answers given so far, by their texts; JSON is the same however it is written."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, None]] = {}
        self._items: dict[str, dict[str, None]] = {}

    def add(self, item: str, texts: tuple[str, ...]) -> None:
        """An item was given an answer with these texts."""
        own = self._texts.pop(item, {})
        self._texts[item] = own
        for text in filter(None, map(_normal, texts)):
            own[text] = None
            self._items.setdefault(text, {})[item] = None
        while len(own) > _ANSWERS:
            self._forget(item, next(iter(own)))
        if len(self._texts) > _ITEMS:
            oldest = next(iter(self._texts))
            for text in tuple(self._texts[oldest]):
                self._forget(oldest, text)
            del self._texts[oldest]

    def _forget(self, item: str, text: str) -> None:
        del self._texts[item][text]
        owners = self._items[text]
        del owners[item]
        if not owners:
            del self._items[text]

    def whose(self, item: str, value: object, text: str) -> Whose:
        """Whose answer an item was completed with; `text` is the value as a text.

        A value that is part of the item's own answer is taken for its own.
        """
        marks = marks_in(text)
        if marks or not self._texts:
            return Whose(marks)
        found = dict.fromkeys(
            owner for part in _parts(value) for owner in self._items.get(_normal(part) or "", ())
        )
        if item not in found and self._is_part_of_own(item, value):
            found[item] = None
        return Whose((), tuple(found))

    def _is_part_of_own(self, item: str, value: object) -> bool:
        part = (_normal(_plain(value)) or "").casefold()
        return bool(part) and any(part in text.casefold() for text in self._texts.get(item, ()))

    def __repr__(self) -> str:
        return f"<Remembered [{len(self._texts)} items]>"


def _parts(value: object) -> Iterator[object]:
    """The value, and what it holds that could be an answer."""
    waiting: list[object] = [value]
    for _ in range(_PARTS):
        if not waiting:
            return
        part = _plain(waiting.pop())
        yield part
        if isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part


def _plain(value: object) -> object:
    """Models and data classes as the dict they stand for; other values as they are."""
    if isinstance(value, str | Mapping | list | tuple):
        return value
    try:
        return msgspec.to_builtins(value, enc_hook=_dumped)
    except Exception:
        # The object is the program's own, and may do anything.
        return None


def _dumped(value: Any) -> object:
    """A model of pydantic as a dict; what else is unknown says nothing."""
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else None


def _normal(value: object) -> str | None:
    """A text by which equal answers are found; numbers and the like are too common to be one's own."""
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith(("{", "[")):
            return text or None
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return text
    return _canonical(value) if isinstance(value, Mapping | list | tuple) else None


def _canonical(value: Any) -> str | None:
    try:
        return msgspec.json.encode(value, order="deterministic").decode()
    except (TypeError, ValueError, RecursionError):
        return None
