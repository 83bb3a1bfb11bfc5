"""Answers that are JSON: the arguments of a tool call, or a value that fulfils a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec

_DEEPEST: Final = 6
"""Optional parts of a schema are filled down to this depth, so that recursive ones end."""
_BOTTOM: Final = 32
"""Below it nothing is filled, not even what a schema requires."""
_MOST: Final = 1000
"""So many parts are filled before optional ones are left out, and so many items of a list at most."""
_LONGEST: Final = 1 << 16

# One valid string for each format of JSON Schema that a free text would not fulfil.
_FORMATS: Final = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "PT1S",
    "email": "item@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

JSON_OBJECT: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
"""What is answered where any JSON object will do."""


@final
@dataclass(frozen=True, slots=True)
class Form:
    """An answer that is JSON: the schema it fulfils, and the tool that is called with it, if any."""

    schema: Mapping[str, Any]
    tool: str | None = None

    def text(self, word: str) -> str:
        """The JSON, with `word` wherever the schema leaves a string free; what a tool gets is an object."""
        value = value_for(self.schema, word)
        if self.tool is not None and not isinstance(value, dict):
            value = {}
        return msgspec.json.encode(value).decode()


def value_for(schema: object, word: str) -> Any:
    """A small value that fulfils a JSON Schema, as far as its keywords can be followed.

    References, alternatives, constants, bounds and formats are followed; `pattern` and
    conditions are not. The same schema and word give the same value.

    >>> value_for({"type": "object", "properties": {"city": {"type": "string"}}}, "here")
    {'city': 'here'}
    """
    return _Filling(schema, word).value(schema, 0)


@final
class _Filling:
    """One walk through a schema."""

    def __init__(self, root: object, word: str) -> None:
        self._root = root
        self._word = word
        self._left = _MOST

    def value(self, schema: object, depth: int) -> Any:
        """A value at that depth."""
        schema = self._resolved(schema)
        self._left -= 1
        if depth > _BOTTOM:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.value(self._simplest(schema[key], depth), depth + 1)
        return self._of_type(_type_of(schema), schema, depth)

    def _open(self, depth: int) -> bool:
        """Whether there is room for what a schema does not require."""
        return depth < _DEEPEST and self._left > 0

    def _resolved(self, schema: object, within: int = 0) -> Mapping[str, Any]:
        """The schema behind references, with what `allOf` adds; `within` counts those around it."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping):
                return {}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            schema = self._at(reference)
        if not isinstance(schema, Mapping):
            return {}
        parts = schema.get("allOf")
        if not isinstance(parts, list) or not self._open(within):
            return schema
        return self._merged(schema, parts, within + 1)

    def _at(self, reference: str) -> object:
        place: object = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            place = place.get(name) if isinstance(place, Mapping) else None
        return place

    def _merged(self, schema: Mapping[str, Any], parts: list[Any], within: int) -> Mapping[str, Any]:
        self._left -= 1
        whole: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
        for part in parts:
            for name, value in self._resolved(part, within).items():
                mine = whole.get(name)
                if isinstance(mine, dict) and isinstance(value, dict):
                    whole[name] = mine | value
                elif isinstance(mine, list) and isinstance(value, list):
                    whole[name] = [*mine, *value]
                else:
                    whole[name] = value
        return whole

    def _simplest(self, choices: list[Any], depth: int) -> object:
        """The first choice, or deep down one that ends there."""
        if self._open(depth):
            return choices[0]
        plain = (c for c in choices if _type_of(self._resolved(c)) not in ("object", "array"))
        return next(plain, choices[0])

    def _of_type(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required")
        names = required if isinstance(required, list) else []
        if not isinstance(properties, Mapping):
            return {name: self._word for name in names if isinstance(name, str)}
        return {
            name: self.value(part, depth + 1)
            for name, part in properties.items()
            if name in names or self._open(depth)
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems")
        wanted = int(self._open(depth) and schema.get("maxItems") != 0)
        count = min(least, _MOST) if isinstance(least, int) else wanted
        fixed = schema.get("prefixItems")
        first = [self.value(part, depth + 1) for part in fixed] if isinstance(fixed, list) else []
        items = schema.get("items")
        if not isinstance(items, Mapping):
            return first
        return first + [self.value(items, depth + 1) for _ in range(count - len(first))]

    def _string(self, schema: Mapping[str, Any]) -> str:
        word = _FORMATS.get(str(schema.get("format")), self._word)
        least, most = schema.get("minLength"), schema.get("maxLength")
        if isinstance(least, int):
            word = word.ljust(min(least, _LONGEST), ".")
        return word[:most] if isinstance(most, int) else word


def _type_of(schema: Mapping[str, Any]) -> str:
    """The type a value will have; Gemini writes types in capitals."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    low, step = schema.get("minimum"), schema.get("multipleOf")
    above = schema.get("exclusiveMinimum")
    if isinstance(above, int | float) and not isinstance(above, bool):
        low = above + (1 if whole else 0.5)
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if not isinstance(low, int | float):
        low = min(0, most - 1) if isinstance(most, int | float) else 0
    if isinstance(step, int | float) and step > 0:
        low = -(-low // step) * step
    return int(-(-low // 1)) if whole else low
