"""Files of answers and of usage that a scenario names: read once, and known by what they say."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, final

from ..clock import SECOND, Duration
from .answer import Answer, text_of
from .errors import Place, listed, nearest

_ANSWER_KEYS: Final = ("item", "answer", "tool_calls", "reasoning", "usage", "finish")
_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")
_JSON_LINES: Final = (".jsonl", ".ndjson", ".json")


@final
@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one request cost: tokens in (`None`: as counted), tokens out, and how long it took, if known."""

    prompt_tokens: int | None
    completion_tokens: int
    lasts: Duration | None = None


class _File:
    """A file that was read: two are equal if they say the same."""

    __slots__ = ("digest", "path")

    def __init__(self, path: str, content: bytes) -> None:
        self.path = path
        self.digest = hashlib.blake2b(content, digest_size=8).hexdigest()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _File) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"


@final
class AnswerFile(_File):
    """Answers by item, from JSON Lines."""

    __slots__ = ("answers",)

    def __init__(self, path: str, content: bytes, answers: Mapping[str, Answer]) -> None:
        super().__init__(path, content)
        self.answers = answers

    @classmethod
    def read(cls, place: Place, path: str) -> Self:
        """Read `{"item": "row-1", "answer": "…"}` a line; an answer is a text, or JSON answered as text.

        Raises:
            ScenarioError: the file cannot be read, or a line is no answer; names the line.
        """
        file, content = _content_of(place, path)
        answers: dict[str, Answer] = {}
        for line in _json_lines(_place_in(place, file), content):
            item, answer = _answer_in(line)
            if item in answers:
                raise line.place.error(f"item {item!r} has an answer in a line before; leave one of them")
            answers[item] = answer
        if not answers:
            raise _place_in(place, file).error('has no line; write {"item": "row-1", "answer": "…"}')
        return cls(str(file), content, answers)


@final
class UsageFile(_File):
    """What requests cost, one row each, from CSV with a header or JSON Lines."""

    __slots__ = ("rows",)

    def __init__(self, path: str, content: bytes, rows: tuple[UsageRow, ...]) -> None:
        super().__init__(path, content)
        self.rows = rows

    @classmethod
    def read(cls, place: Place, path: str) -> Self:
        """Read the columns `input_tokens`, `output_tokens` and `seconds`; the first and last may be missing.

        `prompt_tokens` and `completion_tokens` are the same; other columns are passed over.

        Raises:
            ScenarioError: the file cannot be read, or a row is wrong; names the line.
        """
        file, content = _content_of(place, path)
        inside = _place_in(place, file)
        lines = _json_lines(inside, content) if file.suffix in _JSON_LINES else _csv_lines(inside, content)
        rows = tuple(map(_usage_in, lines))
        if not rows:
            raise inside.error("has no row; write one for each request that is known")
        return cls(str(file), content, rows)


@final
@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file, and how an error names it."""

    place: Place
    values: Mapping[str, Any]


def _place_in(place: Place, file: Path) -> Place:
    return Place(": ".join(part for part in (place.source, place.keys, str(file)) if part))


def _content_of(place: Place, path: str) -> tuple[Path, bytes]:
    file = Path(place.folder, path).absolute()
    try:
        return file, file.read_bytes()
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        # Without a key the path is not from a scenario, but from the command line.
        hint = "a path is relative to the scenario file" if place.keys else "name another file"
        raise place.error(f"'{file}' cannot be read: {why}; {hint}") from None


def _text_in(place: Place, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.error(f"not UTF-8 text at byte {error.start}; save the file as UTF-8") from None


def _json_lines(place: Place, content: bytes) -> Iterator[_Line]:
    for number, line in enumerate(_text_in(place, content).split("\n"), start=1):
        if not line.strip():
            continue
        inside = Place(f"{place.source}, line {number}")
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise inside.error(f"not JSON: {error}") from None
        if not isinstance(values, dict):
            raise inside.error("expected a JSON object")
        yield _Line(inside, values)


def _csv_lines(place: Place, content: bytes) -> Iterator[_Line]:
    reader = csv.DictReader(io.StringIO(_text_in(place, content), newline=""), skipinitialspace=True)
    try:
        for row in reader:
            values = {str(name).strip(): text for name, text in row.items() if text}
            yield _Line(Place(f"{place.source}, line {reader.line_num}"), values)
    except csv.Error as error:
        raise place.error(f"not CSV: {error}") from None


def _answer_in(line: _Line) -> tuple[str, Answer]:
    place, values = line.place, line.values
    for name in values:
        if name not in _ANSWER_KEYS:
            known = f"{nearest(name, _ANSWER_KEYS)} The keys are: {listed(_ANSWER_KEYS)}"
            raise place.key(name).error(f"unknown key{known}")
    item = values.get("item")
    if not isinstance(item, str) or not item:
        raise place.key("item").error("expected the id of an item, a text")
    if not values.keys() - {"item"}:
        raise place.key("answer").error("is missing; write a text, or JSON that is answered as text")
    fields = {name: value for name, value in values.items() if name not in ("item", "answer")}
    answer = values.get("answer", "")
    try:
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return item, Answer(text_of(text), **fields)
    except (TypeError, ValueError) as error:
        raise place.error(str(error)) from None


def _usage_in(line: _Line) -> UsageRow:
    output = _column(line, _OUTPUT)
    if output is None:
        raise line.place.error(
            f"output_tokens is missing. The columns are: {listed((_INPUT[0], _OUTPUT[0]))}, seconds"
        )
    given = _column(line, _INPUT)
    seconds = _column(line, ("seconds",))
    return UsageRow(
        None if given is None else _whole(line.place, given, _INPUT[0]),
        _whole(line.place, output, _OUTPUT[0]),
        None if seconds is None else Duration(round(seconds * SECOND)),
    )


def _column(line: _Line, names: tuple[str, ...]) -> float | None:
    """The first of these columns that is there, as a number."""
    for name in names:
        value = line.values.get(name)
        if value is None:
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise line.place.key(name).error(f"expected a number of at least 0, not {value!r}")
        return number
    return None


def _whole(place: Place, number: float, name: str) -> int:
    if number != int(number):
        raise place.key(name).error(f"expected a whole number of tokens, not {number:g}")
    return int(number)
