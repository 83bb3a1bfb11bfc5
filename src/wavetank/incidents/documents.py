"""Files that are one JSON document: mapped, and decoded without what is not needed."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from .exchange import IncidentError
from .lines import Line

_Whole = TypeVar("_Whole")
_BOM: Final = b"\xef\xbb\xbf"
_AT_BYTE: Final = "(byte "


def document(path: Path, kind: type[_Whole]) -> tuple[_Whole, mmap.mmap]:
    """A file as a Struct, and the file as bytes; parts of the type `msgspec.Raw` stay in the file.

    Raises:
        IncidentError: it is torn or no JSON, or has another shape; names the line.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = len(_BOM) if content[: len(_BOM)] == _BOM else 0
    try:
        return msgspec.json.decode(memoryview(content)[start:], type=kind), content
    except msgspec.ValidationError as error:
        raise IncidentError(f"{path}: {error}; give a file as its tool has written it") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = _line_at(content, start + _byte_in(str(error), len(content)))
        text = f"{path}, line {where}: no JSON from there on ({error}): the file is torn, or was edited"
        raise IncidentError(f"{text}; save it once more") from None


def parts(path: Path, content: mmap.mmap, raws: list[msgspec.Raw]) -> Iterator[Line]:
    """Parts of a document, each with the line at which it begins."""
    at, number = 0, 1
    for raw in raws:
        text = bytes(raw)
        found = content.find(text, at)
        number += content[at:found].count(b"\n") if found >= 0 else 0
        at = max(at, found)
        yield Line(path, number, text)
        number += text.count(b"\n")
        at += len(text)


def _byte_in(text: str, end: int) -> int:
    _, found, rest = text.rpartition(_AT_BYTE)
    digits = rest.rstrip(")")
    return int(digits) if found and digits.isdecimal() else end


def _line_at(content: mmap.mmap, at: int) -> int:
    count, found = 1, content.find(b"\n", 0, at)
    while found >= 0:
        count, found = count + 1, content.find(b"\n", found + 1, at)
    return count
