"""From tables of plain values to the Structs of a scenario, with errors that name the place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Final, Literal, TypeVar, cast, get_args, get_origin

import msgspec

from ..clock import Duration, parse_duration, parse_signed_duration
from ..extensions import ExtensionError, Extensions
from ..fault_kinds import ADDED, FaultKind
from .answer_files import AnswerFile, UsageFile
from .errors import Place, listed, nearest
from .model import DurationRange, RetryAfter, Scenario, SignedDuration, TokenRange
from .rules import check

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Plain = TypeVar("_Plain")

_RETRY_AFTER_FORMS: Final = 'write "1s", "none" or { form = "http-date", value = "1s" }'
_LENGTHS: Final[tuple[object, ...]] = (Duration, SignedDuration)
_NAMES: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}


def read_struct(kind: type[_Struct], raw: Mapping[str, object], place: Place) -> _Struct:
    """Build a Struct from a table, part by part, and check what it says.

    Raises:
        ScenarioError: an unknown key or value, a wrong type, or a rule that does not hold.
    """
    fields = {field.name: field for field in _fields(kind) if _is_written(kind, field.name)}
    values: dict[str, object] = {}
    for name, value in raw.items():
        if name not in fields:
            raise place.key(name).error(_unknown_key(name, fields))
        values[name] = _read(fields[name].type, value, place.key(name))
    for field in fields.values():
        if field.required and field.name not in values:
            choices = get_args(field.type)
            hint = _choices(field.type) if choices else "write it"
            raise place.key(field.name).error(f"is missing; {hint}")
    struct = kind(**values)
    check(struct, frozenset(name for name, value in values.items() if value is not None), place)
    return struct


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a Struct; to find out takes longer than to read a scenario."""
    return msgspec.structs.fields(kind)


def _is_written(kind: type[msgspec.Struct], key: str) -> bool:
    """A scenario's name comes from outside, all other fields from the table."""
    return not (kind is Scenario and key == "name")


def given(struct: msgspec.Struct) -> dict[str, object]:
    """The fields of a Struct built in code that say more than the default, as `read_struct` takes them."""
    return {
        field.name: _as_duration(field.type, value)
        for field in _fields(type(struct))
        if (value := getattr(struct, field.name)) != field.default or field.required
    }


def _as_duration(annotation: object, value: object) -> object:
    """In code a plain integer where a duration belongs is nanoseconds; in a file it lacks its unit."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return Duration(cast(int, value)) if is_count and _required(annotation) in _LENGTHS else value


def _read(annotation: object, value: object, place: Place) -> object:
    wanted = _required(annotation)
    if value is None and wanted is not annotation:
        return None
    if wanted in _LENGTHS:
        return _read_duration(value, place, signed=wanted == SignedDuration)
    if wanted is DurationRange:
        return _read_range(value, place)
    if wanted is TokenRange:
        return _read_token_range(value, place)
    if wanted is AnswerFile or wanted is UsageFile:
        return value if isinstance(value, wanted) else wanted.read(place, _read_plain(str, value, place))
    if get_origin(wanted) is Literal:
        return _read_choice(get_args(wanted), value, place, ADDED if wanted == FaultKind else None)
    if get_origin(wanted) is tuple:
        return _read_entries(get_args(wanted)[0], value, place)
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _read_table(wanted, value, place)
    return _read_plain(cast(type, wanted), value, place)


def _required(annotation: object) -> object:
    """The annotation without `None`."""
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return parts[0] if NoneType in get_args(annotation) else annotation


def _read_duration(value: object, place: Place, *, signed: bool = False) -> Duration:
    if isinstance(value, Duration):
        text = str(value)
    elif isinstance(value, str):
        text = value
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        raise place.error(
            f'{value} has no unit; write "{value}s" for seconds or "{value}ms" for milliseconds'
        )
    else:
        raise place.error(f'a length of time is a text such as "5s", not {_name(value)}')
    if text.strip().startswith("-") and not signed:
        raise place.error(f'a length of time cannot be negative: "{text}"; write 0s or more')
    try:
        return parse_signed_duration(text) if signed else parse_duration(text)
    except ValueError as error:
        raise place.error(str(error)) from None


def _read_range(value: object, place: Place) -> DurationRange:
    if isinstance(value, DurationRange):
        ends: list[object] = [_as_duration(Duration, end) for end in (value.low, value.high)]
    elif isinstance(value, str):
        ends = list(value.split("..", 1))
    else:
        ends = [value]
    low, high = (_read_duration(end, place) for end in (ends[0], ends[-1]))
    if low > high:
        raise place.error(f'the range runs backwards; write "{high}..{low}"')
    return DurationRange(low, high)


def _read_token_range(value: object, place: Place) -> TokenRange:
    if isinstance(value, TokenRange):
        ends: list[object] = [value.low, value.high]
    elif isinstance(value, str):
        ends = [int(end) if end.strip().isdecimal() else end for end in value.split("..", 1)]
    else:
        ends = [value]
    for end in ends:
        if not isinstance(end, int) or isinstance(end, bool) or end < 1:
            raise place.error(f'expected a number of tokens or a range such as "200..800", not {value!r}')
    low, high = cast(int, ends[0]), cast(int, ends[-1])
    if low > high:
        raise place.error(f'the range runs backwards; write "{high}..{low}"')
    return TokenRange(low, high)


def _read_choice(options: tuple[str, ...], value: object, place: Place, more: Extensions | None) -> str:
    if value in options:
        return str(value)
    if more is not None:
        try:
            options += more.names()
        except ExtensionError as error:
            raise place.error(str(error)) from None
        if value in options:
            return str(value)
    raise place.error(f"unknown value {value!r}{nearest(str(value), options)} Choose from: {listed(options)}")


def _read_entries(entry: object, value: object, place: Place) -> tuple[object, ...]:
    if isinstance(value, Mapping):
        raise place.error(f"there may be several, so write [[{place.keys}]] with two brackets")
    if not isinstance(value, list | tuple):
        raise place.error(f"expected [[{place.keys}]] tables, not {_name(value)}")
    return tuple(_read(entry, each, place.entry(number)) for number, each in enumerate(value, 1))


def _read_table(kind: type[msgspec.Struct], value: object, place: Place) -> msgspec.Struct:
    if isinstance(value, kind):
        return read_struct(kind, given(value), place)
    if kind is RetryAfter and not isinstance(value, Mapping):
        return _read_short_retry_after(value, place)
    if isinstance(value, list | tuple) and not place.table:
        raise place.error(f"there is only one, so write [{place.keys}] with single brackets")
    if not isinstance(value, Mapping):
        raise place.error(f"expected a table of {listed(kind.__struct_fields__)}, not {_name(value)}")
    return read_struct(kind, {str(key): each for key, each in value.items()}, place)


def _read_short_retry_after(value: object, place: Place) -> RetryAfter:
    if value == "none":
        return RetryAfter(form="none")
    if isinstance(value, str) and not any(character.isdigit() for character in value):
        raise place.error(
            f"unknown value {value!r}{nearest(value, ['none'])} For a Retry-After {_RETRY_AFTER_FORMS}"
        )
    return RetryAfter(value=_read_duration(value, place, signed=True))


def _read_plain(wanted: type[_Plain], value: object, place: Place) -> _Plain:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        raise place.error(f"expected {_NAMES[wanted]}, not {shown}") from None


def _unknown_key(name: str, fields: Mapping[str, object]) -> str:
    return f"unknown key{nearest(name.replace('-', '_'), fields)} The keys here are: {listed(fields)}"


def _choices(annotation: object) -> str:
    return f"choose from: {listed(get_args(annotation))}"


def _name(value: object) -> str:
    return _NAMES.get(type(value), type(value).__name__)
