"""Reads the rows to be processed, from CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from ..processor import LLMWorkItem
from ..processor.row_file import LONGEST_CELL
from .errors import RunError
from .providers import PROVIDERS
from .targets import Target
from .words import nearest

JSON_LINES: Final = (".jsonl", ".ndjson")

Record = Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """Where a row keeps its id, its prompt, which may be a template over all columns, and its model."""

    prompt_column: str = "prompt"
    id_column: str = "id"
    template: str | None = None
    model_column: str = "model"
    provider_column: str = "provider"


@final
@dataclass(frozen=True, slots=True)
class Table:
    """What was read: an item for each row, its `data` the row itself, and the names of all columns.

    `targets` says by the id of an item where it goes.
    """

    items: tuple[LLMWorkItem[Record], ...]
    columns: tuple[str, ...]
    targets: Mapping[str, Target]


def read_table(path: Path, shape: Shape, default: Target) -> Table:
    """Read a whole input; a row that names no model or no provider has that of `default`.

    A row without an id column is `row-1`, `row-2`, … by its place. A row with an empty
    prompt is an item all the same: it fails alone.

    Raises:
        RunError: the file cannot be read, lacks a column, two rows have the same id, or a row
            names no model or an unknown provider; the text names the place.
    """
    items: dict[str, LLMWorkItem[Record]] = {}
    columns: dict[str, None] = {}
    targets: dict[str, Target] = {}
    for number, (line, record) in enumerate(_records(path), start=1):
        columns.update(dict.fromkeys(record))
        item = _item(f"{path}:{line}", number, record, shape)
        if item.id in items:
            raise RunError(f"{path}:{line}: an earlier row has the id {item.id!r}, too; give each its own")
        items[item.id] = item
        targets[item.id] = _target(f"{path}:{line}: row {number}", record, shape, default)
    if not items:
        raise RunError(f"{path} has no rows; the first line of a CSV file names its columns")
    return Table(tuple(items.values()), tuple(columns), targets)


def _target(row: str, record: Record, shape: Shape, default: Target) -> Target:
    provider = _cell(row, record, shape.provider_column) or default.provider
    if provider not in PROVIDERS:
        raise RunError(
            f"{row} names the provider {provider!r}, and there is none; {nearest(provider, PROVIDERS)}; "
            "if the column means something else, name another one with --provider-column"
        )
    model = _cell(row, record, shape.model_column) or default.model
    if not model:
        raise RunError(
            f"{row} names no model: give it one in a column {shape.model_column!r}, or all rows with --model"
        )
    return Target(provider, model)


def _cell(row: str, record: Record, column: str) -> str:
    cell = record.get(column)
    if cell is not None and not isinstance(cell, str):
        raise RunError(f"{row} has {cell!r} in the column {column!r}, which must be a name")
    return (cell or "").strip()


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
            _refuse_twins(path, reader.fieldnames or ())
            for row in reader:
                yield reader.line_num, _whole(f"{path}:{reader.line_num}", row)
        except csv.Error as error:
            raise RunError(f"{path}:{reader.line_num}: {error}; close the quotes of the cell") from None


def _refuse_twins(path: Path, names: Sequence[str]) -> None:
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise RunError(f"{path}: two columns have the name {twin!r}; give each its own")


def _whole(place: str, row: Mapping[Any, Any]) -> Record:
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
                record = json.loads(line)
            except ValueError as error:
                raise RunError(f"{path}:{number}: {error}; write one JSON object a line") from None
            if not isinstance(record, dict):
                raise RunError(f"{path}:{number}: no JSON object; write one a line")
            yield number, record


def _item(place: str, number: int, record: Record, shape: Shape) -> LLMWorkItem[Record]:
    id = str(record.get(shape.id_column, f"row-{number}"))
    try:
        id.encode()
    except UnicodeEncodeError:
        raise RunError(f"{place}: the id {id!r} has half a character (a lone surrogate); mend it") from None
    return LLMWorkItem(id, _prompt(place, record, shape), record)


def _prompt(place: str, record: Record, shape: Shape) -> str:
    if shape.template is not None:
        return _filled(place, record, shape.template)
    if shape.prompt_column not in record:
        raise RunError(
            f"{place}: there is no column {shape.prompt_column!r}, only {', '.join(map(repr, record))}; "
            "name one with --prompt-column, or give a --template"
        )
    prompt = record[shape.prompt_column]
    return prompt if isinstance(prompt, str) else "" if prompt is None else json.dumps(prompt)


def _filled(place: str, record: Record, template: str) -> str:
    try:
        return string.Formatter().vformat(template, (), record)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{place}: the template does not fit: {error}; the columns are {', '.join(map(repr, record))}, "
            "written as {column}, and a brace itself as {{ or }}"
        ) from None
