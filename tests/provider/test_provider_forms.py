"""Answers that are JSON: values for schemas, and the pieces they are sent in."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from wavetank.provider.answer_texts import equal_pieces, marks_in
from wavetank.provider.schema_answers import Form, value_for


class Colour(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Tree(BaseModel):
    """A schema that refers to itself."""

    name: str
    parent: Tree | None
    children: list[Tree] = []


class Order(BaseModel):
    """Most of what schemas of clients have."""

    title: Annotated[str, Field(min_length=3)]
    code: Annotated[str, Field(max_length=4)]
    count: Annotated[int, Field(gt=2, multiple_of=5)]
    price: Annotated[float, Field(ge=0.5, lt=9)]
    low: Annotated[int, Field(lt=-4)]
    colour: Colour
    kind: Literal["order"]
    sure: bool
    nothing: None
    either: int | str
    when: datetime.datetime
    day: datetime.date
    number: UUID
    tags: Annotated[list[str], Field(min_length=2)]
    pair: tuple[int, str]
    more: dict[str, int]
    tree: Tree


@pytest.mark.parametrize("model", [Order, Tree, list[Order], Colour, Literal[7], int | None, dict[str, str]])
def test_a_value_fulfils_its_schema(model: Any) -> None:
    """Types, bounds, formats, references, alternatives and recursion."""
    adapter = TypeAdapter(model)
    value = value_for(adapter.json_schema(), "[wt:item-1]")
    adapter.validate_python(value, strict=False)
    assert value == value_for(adapter.json_schema(), "[wt:item-1]")


def test_free_strings_are_the_word() -> None:
    """What the schema fixes is as it says; all else carries the mark."""
    value = value_for(Order.model_json_schema(), "[wt:item-1]")
    assert (value["title"], value["code"], value["kind"]) == ("[wt:item-1]", "[wt:", "order")
    assert value["pair"] == [0, "[wt:item-1]"]
    assert value["when"] == "2026-01-01T00:00:00Z"


def test_schemas_may_be_written_as_gemini_writes_them() -> None:
    """Types in capitals are the same types."""
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}, "s": {"type": "STRING"}}}
    assert value_for(schema, "x") == {"n": 0, "s": "x"}


def test_parts_of_all_of_count_together() -> None:
    """Properties and requirements are joined."""
    part = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema = {"allOf": [part, {"properties": {"b": {"const": 7}}, "required": ["b"]}], "type": "object"}
    assert value_for(schema, "x") == {"a": "x", "b": 7}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "object", "properties": {str(n): {"$ref": "#"} for n in range(40)}},
    ],
)
def test_recursion_ends(schema: Any) -> None:
    """A schema that never ends has a value all the same, if not one that fulfils it."""
    assert len(Form(schema).text("x")) < 1 << 20


@given(st.text(max_size=40), st.integers(1, 9))
def test_pieces_are_the_text(text: str, count: int) -> None:
    """As many as are asked for, and together the whole text."""
    pieces = equal_pieces(text, count)
    assert len(pieces) == count
    assert "".join(pieces) == text


def test_a_form_carries_the_mark() -> None:
    """The text of a form has the word it is given, as JSON."""
    text = Form({"type": "object", "properties": {"a": {"type": "string"}}}).text("[wt:a%20b]")
    assert text == '{"a":"[wt:a%20b]"}'
    assert marks_in(text) == ("a b",)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"type": "string"}, {"type": "array"}])
def test_a_tool_is_called_with_an_object(schema: dict[str, Any]) -> None:
    """Arguments are an object, also where the schema of a tool is of something else."""
    assert Form(schema, "look").text("word") == "{}"
    assert Form({"properties": {"a": {}}}, "look").text("word").startswith("{")
