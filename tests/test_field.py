"""The table of `make field`, and the page that it writes; the packages themselves are not installed here."""

from __future__ import annotations

import ast
import importlib.util
import re
import runpy
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

FIELD = Path(__file__).parents[1] / "field"
PATIENTS = FIELD.parent / "examples" / "patients"
TABLE: dict[str, Any] = tomllib.loads((FIELD / "packages.toml").read_text(encoding="utf-8"))
PROGRAMS = [program for group in TABLE["group"].values() for program in group["programs"]]
NOTES = sorted((FIELD.parent / "docs" / "field").glob("*-*.md"))
NO_PROGRAMS = {"__init__", "each", "run", "test_field"}


@pytest.fixture(scope="module")
def field() -> Any:
    """The module that runs it all."""
    spec = importlib.util.spec_from_file_location("field_run", FIELD / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("field_run", None)


def test_every_program_is_run_once() -> None:
    """Each file is in one group, and each name in a group is a file."""
    files = {path.stem for path in FIELD.glob("*.py")} - NO_PROGRAMS
    assert sorted(PROGRAMS) == sorted(files)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_names_its_packages(program: str, field: Any) -> None:
    """The page shows their releases; no program has the name of a package, which it would hide."""
    assert field.packages_of(program)


def test_the_page_shows_what_was_run(field: Any) -> None:
    """Releases, rows, errors in one line without this machine's folders, and why a run failed."""
    run = {
        "doc": "`f`",
        "done": 18,
        "failed": {"RateLimitError": 2},
        "first": "RateLimitError: a | b\nin /usr/lib/site-packages/x/y.py, see https://a.example/v1/chat",
        "requests": 40,
        "refused": 22,
        "seconds": 3.5,
        "says": {"no_storm": "27 of them"},
    }
    found = {
        "versions": ["one 1.2", "two 3"],
        "scenarios": {
            "cascade": {"status": "ended", "runs": [run]},
            "simultaneous": {"status": "hangs: <no> end", "runs": []},
        },
    }
    lines = list(field.section("openai_sdk", found, date(2026, 11, 30)))
    assert lines[:2] == ["## one\n", "one 1.2, two 3; `field/openai_sdk.py`, 2026-11-30.\n"]
    assert "| `f` | cascade | 18 (2 RateLimitError) | 40 | 22 | 3.5 s | no_storm |" in lines
    assert lines[-4:] == [
        "- no_storm: 27 of them",
        "- an error that it raised: RateLimitError: a / b in y.py, see https://a.example/v1/chat",
        "- under simultaneous the run failed: hangs: \\<no\\> end",
        "",
    ]


def test_a_release_that_is_not_the_newest_has_that_beside_it(field: Any) -> None:
    """Of what the index does not know nothing is said."""
    assert field.release("openai", "3.57.0", "3.57.0") == "openai 3.57.0"
    assert field.release("openai", "2.54.0", "3.57.0") == "openai 2.54.0 (the newest is 3.57.0)"
    assert field.release("openai", "2.54.0", None) == "openai 2.54.0"


def test_the_page_begins_as_the_program_writes_it(field: Any) -> None:
    """What is changed on the page by hand is lost when the program is run again."""
    assert field.PAGE.read_text(encoding="utf-8").startswith(field.HEAD)


def test_the_page_of_patients_begins_as_their_program_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of the page that `make patients` writes, whose program needs none of the packages itself."""
    monkeypatch.syspath_prepend(PATIENTS)
    head = runpy.run_path(str(PATIENTS / "run.py"))["HEAD"]
    for name in ("batch", "ideal"):
        sys.modules.pop(name, None)
    assert (FIELD.parent / "docs" / "patients.md").read_text(encoding="utf-8").startswith(head)


def test_a_group_without_results_is_on_the_page(field: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """With the reason."""
    monkeypatch.setattr(field, "BUILD", tmp_path)
    monkeypatch.setattr(field, "PAGE", tmp_path / "works-with.md")
    (tmp_path / "crew.json").write_text('{"problem": "pip found no releases that agree"}')
    text = "\n".join(field.page(TABLE))
    assert "`field/crew.py` has no results: pip found no releases that agree." in text
    programs = [program for group in TABLE["group"].values() for program in group["programs"]]
    assert text.count("Not run yet") == len(programs) - 1


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_a_field_note_can_be_reported(note: Path) -> None:
    """It has one program of at most 30 lines without wavetank, what that prints, and where the defect is."""
    text = note.read_text(encoding="utf-8")
    (program,) = re.findall(r"^```py\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert program.count("\n") <= 30
    imported = {
        name
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert not any(str(name).startswith("wavetank") for name in imported)
    assert re.search(r"^It prints:\n\n```text\n.+?^```$", text, re.DOTALL | re.MULTILINE)
    assert [*re.findall(r"^## (.+)$", text, re.MULTILINE)] == [
        "What happens",
        "What would be expected",
        "Reproduction",
        "Where",
    ]


def test_each_field_note_is_in_the_index() -> None:
    """In the table and among the pages."""
    text = NOTES[0].with_name("index.md").read_text(encoding="utf-8")
    for note in NOTES:
        assert f"]({note.name})" in text
        assert f"\n{note.stem}\n" in text
