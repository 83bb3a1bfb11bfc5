"""Reading the rows of `wavetank run`: CSV, JSON lines, templates, and errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.run.input_table import ColumnNames, read_table
from wavetank.run.run_errors import RunError
from wavetank.run.target import Target


def table(tmp_path: Path, name: str, content: str | bytes, **shape: str) -> list[tuple[str, str]]:
    """The ids and prompts of a file with this content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [
        (item.id, item.prompt) for item in read_table(path, ColumnNames(**shape), Target("openai", "m")).items
    ]


def test_a_csv_has_its_ids_and_prompts(tmp_path: Path) -> None:
    """Quoted commas and line ends, a byte order mark and a long cell are all read."""
    long = "w" * 200_000
    content = f'\ufeffid,prompt\na,"wave, and\ntank"\nb,{long}\nc,\n'
    assert table(tmp_path, "in.csv", content) == [("a", "wave, and\ntank"), ("b", long), ("c", "")]


def test_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    """The place of a row is its id, in both formats."""
    assert table(tmp_path, "in.csv", "prompt\nx\ny\n") == [("row-1", "x"), ("row-2", "y")]
    lines = '{"prompt": "x"}\n\n{"prompt": {"k": 1}}\n{"prompt": null}\n'
    assert table(tmp_path, "in.jsonl", lines) == [("row-1", "x"), ("row-2", '{"k": 1}'), ("row-3", "")]


def test_other_columns_and_templates(tmp_path: Path) -> None:
    """Columns may have other names, and a template may take several."""
    content = "key,text,lang\n7,wave,de\n"
    assert table(tmp_path, "in.csv", content, prompt_column="text", id_column="key") == [("7", "wave")]
    template = "{{{lang}}} {text}"
    assert table(tmp_path, "in.csv", content, template=template) == [("row-1", "{de} wave")]


@pytest.mark.parametrize(
    ("name", "content", "shape", "said"),
    [
        ("in.csv", "id,text\na,b\n", {}, r"in.csv:2: there is no column 'prompt', only 'id', 'text'"),
        ("in.csv", "id,prompt\na,b\na,c\n", {}, r"in.csv:3: an earlier row has the id 'a'"),
        ("in.csv", "id,prompt\na,b,c\n", {}, r"in.csv:2: the row has more cells"),
        ("in.csv", "id,prompt\na,b\nc\n", {}, r"in.csv:3: the row has fewer cells .* is it cut off"),
        ("in.csv", "id,prompt,prompt\na,b,c\n", {}, r"in.csv: two columns have the name 'prompt'"),
        ("in.csv", 'id,prompt\na,"b\n', {}, r"close the quotes"),
        ("in.csv", "", {}, r"has no rows"),
        ("in.csv", b"id,prompt\na,\xff\n", {}, r"is not UTF-8"),
        ("in.jsonl", '{"id": "a\\ud83d", "prompt": "a"}\n', {}, r"in.jsonl:1: the id .* half a character"),
        ("in.jsonl", "[1]\n", {}, r"in.jsonl:1: no JSON object"),
        ("in.jsonl", '{"prompt": "a"}\n{\n', {}, r"in.jsonl:2: .* one JSON object a line"),
        ("in.csv", "id,prompt\na,b\n", {"template": "{txt}"}, r"in.csv:2: the template .*'txt'"),
        ("in.csv", "id,prompt\na,b\n", {"template": "{"}, r"a brace itself"),
        ("in.csv", "id,prompt\n ,b\n", {}, r"in.csv:2: the id is blank; give each row its own"),
        (
            "in.csv",
            "key,prompt\na,b\n",
            {"id_column": "kye"},
            r"in.csv:2: there is no column 'kye', only 'key'",
        ),
        ("in.jsonl", '{"id": "", "prompt": "a"}\n', {}, r"in.jsonl:1: the id is blank"),
        ("in.jsonl", '{"id": null, "prompt": "a"}\n', {}, r"in.jsonl:1: the id is null; .* whole number"),
        ("in.jsonl", '{"id": true, "prompt": "a"}\n', {}, r"in.jsonl:1: the id is true"),
        ("in.jsonl", '{"id": 1.5, "prompt": "a"}\n', {}, r"in.jsonl:1: the id is 1.5"),
        ("in.jsonl", '{"id": {"a": 1}, "prompt": "a"}\n', {}, r'in.jsonl:1: the id is \{"a": 1\}'),
        (
            "in.jsonl",
            '{"id": 7, "prompt": "a"}\n{"id": "7", "prompt": "b"}\n',
            {},
            r"in.jsonl:2: an earlier row",
        ),
        ("in.jsonl", '{"id": 7, "prompt": "a"}\n{"prompt": "b"}\n', {}, r"in.jsonl:2: the row has no id"),
        ("in.jsonl", '{"prompt": "a"}\n{"id": 7, "prompt": "b"}\n', {}, r"in.jsonl:2: the row has an id"),
        (
            "in.jsonl",
            '{"id": "a", "text": "b"}\n',
            {},
            r"in.jsonl:1: there is no column 'prompt', only 'id', 'text'",
        ),
        ("in.jsonl", '{"prompt": "a", "x": NaN}\n', {}, r"in.jsonl:1: JSON has no number NaN; write null"),
        ("in.jsonl", '{"prompt": "a", "x": -Infinity}\n', {}, r"in.jsonl:1: JSON has no number -Infinity"),
        ("in.jsonl", '{"prompt": "a", "x": 1e999}\n', {}, r"in.jsonl:1: JSON has no number 1e999"),
        ("in.jsonl", '{"prompt": "a", "x": ' + "9" * 5000 + "}\n", {}, r"in.jsonl:1: "),
        ("in.jsonl", '{"prompt": ' + "[" * 900 + "]" * 900 + "}\n", {}, r"in.jsonl:1: .* 200 levels deep"),
        ("in.jsonl", "null\n", {}, r"in.jsonl:1: the row is null"),
    ],
)
def test_what_cannot_be_read_names_its_place(
    tmp_path: Path, name: str, content: str | bytes, shape: dict[str, str], said: str
) -> None:
    """File, line and fix are in the text."""
    with pytest.raises(RunError, match=said) as raised:
        table(tmp_path, name, content, **shape)
    assert len(str(raised.value)) < 1000


def test_an_error_repeats_no_more_than_helps(tmp_path: Path) -> None:
    """An id of a hundred kilobytes, and a row of ten thousand columns."""
    for content in (
        f"id,prompt\n{'a' * 100_000},b\n{'a' * 100_000},c\n",
        f"{','.join(f'column-{number}' for number in range(10_000))}\n{',' * 9999}\n",
    ):
        with pytest.raises(RunError) as raised:
            table(tmp_path, "in.csv", content)
        assert len(str(raised.value)) < 2000


def test_an_id_may_be_a_whole_number(tmp_path: Path) -> None:
    """Its digits are the id, also those that no float holds."""
    lines = '{"id": 7, "prompt": "a"}\n{"id": 12345678901234567890123, "prompt": "b"}\n'
    assert table(tmp_path, "in.jsonl", lines) == [("7", "a"), ("12345678901234567890123", "b")]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """What the system says comes with the file's name."""
    with pytest.raises(RunError, match=r"cannot read .*in\.csv: No such file"):
        read_table(tmp_path / "in.csv", ColumnNames(), Target("openai", "m"))
