"""Reads the input: rows of CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import math
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from ..nesting import DEEPEST, too_deep
from ..processor import LLMWorkItem
from ..shown import shortened
from .providers import PROVIDERS
from .run_arguments import suggestion
from .run_errors import RunError
from .target import Target

LONGEST_CELL: Final = 1 << 30
"""In characters; many prompts are longer than the csv module's own bound of 128 KiB."""
JSON_LINES: Final = (".jsonl", ".ndjson")
ID_COLUMN: Final = "id"
"""The default column of the ids; it may be missing."""

Record = Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns of id, prompt, model and provider; a `template` over all columns replaces the prompt."""

    prompt_column: str = "prompt"
    id_column: str = ID_COLUMN
    template: str | None = None
    model_column: str = "model"
    provider_column: str = "provider"


@final
@dataclass(frozen=True, slots=True)
class Table:
    """The rows as items, whose `data` is the row itself, and the names of all columns.

    `targets` has the target of each item, by its id.
    """

    items: tuple[LLMWorkItem[Record], ...]
    columns: tuple[str, ...]
    targets: Mapping[str, Target]


def read_table(path: Path, names: ColumnNames, default: Target) -> Table:
    """Read a whole input; a row that names no model or no provider has that of `default`.

    An id is a text that is not blank, or a whole number. If no row has one, the ids are
    `row-1`, `row-2`, …. A row with an empty prompt becomes an item, too, which fails later.

    Raises:
        RunError: the file cannot be read, lacks a column, two rows have the same id, or a row
            names no model or an unknown provider; the text names the line.
    """
    items: dict[str, LLMWorkItem[Record]] = {}
    columns: dict[str, None] = {}
    targets: dict[str, Target] = {}
    have_ids = False
    for number, (line, record) in enumerate(_records(path), start=1):
        place = f"{path}:{line}"
        columns.update(dict.fromkeys(record))
        if number == 1:
            have_ids = _has_ids(place, record, names)
        elif have_ids != (names.id_column in record):
            has, first = ("no", "one") if have_ids else ("an", "none")
            raise RunError(
                f"{place}: the row has {has} id, and the first has {first}; give each its own, or none"
            )
        id = _id(place, record[names.id_column]) if have_ids else f"row-{number}"
        item = LLMWorkItem(id, _prompt(place, record, names), record)
        if item.id in items:
            shown = shortened(repr(item.id))
            raise RunError(f"{place}: an earlier row has the id {shown}, too; give each its own")
        items[item.id] = item
        targets[item.id] = _target(f"{path}:{line}: row {number}", record, names, default)
    if not items:
        raise RunError(f"{path} has no rows; the first line of a CSV file names its columns")
    return Table(tuple(items.values()), tuple(columns), targets)


def _target(row: str, record: Record, names: ColumnNames, default: Target) -> Target:
    provider = _cell(row, record, names.provider_column) or default.provider
    if provider not in PROVIDERS:
        raise RunError(
            f"{row} names the provider {provider!r}, and there is none; {suggestion(provider, PROVIDERS)}; "
            "if the column means something else, name another one with --provider-column"
        )
    model = _cell(row, record, names.model_column) or default.model
    if not model:
        raise RunError(
            f"{row} names no model: give it one in a column {names.model_column!r}, or all rows with --model"
        )
    return Target(provider, model)


def _cell(row: str, record: Record, column: str) -> str:
    cell = record.get(column)
    if cell is not None and not isinstance(cell, str):
        raise RunError(f"{row} has {cell!r} in the column {column!r}, which must be a name")
    return (cell or "").strip()


def _has_ids(place: str, record: Record, names: ColumnNames) -> bool:
    """Whether the first row has an id; it must, if the column was named."""
    if names.id_column in record:
        return True
    if names.id_column != ID_COLUMN:
        raise RunError(
            f"{place}: there is no column {names.id_column!r}, only {_listed(record)}; "
            "name the one with the ids with --id-column"
        )
    return False


def _listed(record: Record) -> str:
    return shortened(", ".join(map(repr, record)), 1000) or "none"


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    try:
        yield from _json_lines(path) if path.suffix.lower() in JSON_LINES else _csv(path)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it") from None


def _csv(path: Path) -> Iterator[tuple[int, Record]]:
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True, restkey=None)
        try:
            _refuse_repeated_names(path, reader.fieldnames or ())
            for row in reader:
                yield reader.line_num, _complete_row(f"{path}:{reader.line_num}", row)
        except csv.Error as error:
            raise RunError(f"{path}:{reader.line_num}: {error}; close the quotes of the cell") from None


def _refuse_repeated_names(path: Path, names: Sequence[str]) -> None:
    twin = next((name for name, count in Counter(names).items() if count > 1), None)
    if twin is not None:
        raise RunError(f"{path}: two columns have the name {twin!r}; give each its own")


def _complete_row(place: str, row: Mapping[Any, Any]) -> Record:
    if None in row:
        raise RunError(f"{place}: the row has more cells than the first line has names; quote its commas")
    if None in row.values():
        raise RunError(f"{place}: the row has fewer cells than the first line has names; is it cut off?")
    return row


def _json_lines(path: Path) -> Iterator[tuple[int, Record]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = None if too_deep(line.encode()) else _JSON.decode(line.strip())
            except _NotFinite as error:
                raise RunError(f"{path}:{number}: JSON has no number {error}; write null or a text") from None
            except ValueError as error:
                raise RunError(f"{path}:{number}: {error}; write one JSON object a line") from None
            if record is None:
                raise RunError(f"{path}:{number}: the row is null, or nested more than {DEEPEST} levels deep")
            if not isinstance(record, dict):
                raise RunError(f"{path}:{number}: no JSON object; write one a line")
            yield number, record


class _NotFinite(ValueError):
    """A number that Python's parser accepts, but JSON does not have (RFC 8259, 6)."""


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotFinite(shortened(text, 40))
    return number


_JSON: Final = json.JSONDecoder(parse_float=_number, parse_constant=_number)


def _id(place: str, value: object) -> str:
    """The id of a row.

    Raises:
        RunError: it is no text or whole number, is blank, or has half a character.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        shown = shortened(json.dumps(value))
        raise RunError(f"{place}: the id is {shown}; give each row a text or a whole number for its id")
    id = str(value)
    if not id.strip():
        raise RunError(f"{place}: the id is blank; give each row its own, or leave the column out")
    try:
        id.encode()
    except UnicodeEncodeError:
        shown = shortened(repr(id))
        raise RunError(f"{place}: the id {shown} has half a character (a lone surrogate); fix it") from None
    return id


def _prompt(place: str, record: Record, names: ColumnNames) -> str:
    if names.template is not None:
        return _filled(place, record, names.template)
    if names.prompt_column not in record:
        raise RunError(
            f"{place}: there is no column {names.prompt_column!r}, only {_listed(record)}; "
            "name one with --prompt-column, or give a --template"
        )
    prompt = record[names.prompt_column]
    return prompt if isinstance(prompt, str) else "" if prompt is None else json.dumps(prompt)


def _filled(place: str, record: Record, template: str) -> str:
    try:
        return string.Formatter().vformat(template, (), record)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{place}: the template does not fit: {error}; the columns are {_listed(record)}, "
            "written as {column}, and a brace itself as {{ or }}"
        ) from None
