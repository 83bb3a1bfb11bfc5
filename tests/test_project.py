"""The project as a whole: its metadata, its licence and the hygiene of its files."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from wavetank import checks, events, scenario
from wavetank.pytest_plugin import options
from wavetank.sim.policies import POLICIES

ROOT = Path(__file__).parents[1]
FOLDERS = (".ci", "benchmarks", "docs", "examples", "field", "scenarios", "src", "tests")
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

# Assembled, so that this file does not find itself.
HOMES = re.compile(r"(?<![\w.:/-])/(?:" + "|".join(("home", "root", "tmp", "work", "Users")) + r")/\w")
MARKERS = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")


def project_files() -> Iterator[Path]:
    """Every text file of the project, without pictures and what builds and caches leave behind."""
    yield from (
        file
        for file in sorted(ROOT.iterdir())
        if file.is_file() and not file.name.startswith(".coverage") and file.name != ".git"
    )
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            ignored = file.suffix == ".png" or {"__pycache__", ".pytest_cache"} & {*file.parts}
            if file.is_file() and not ignored:
                yield file


def findings(pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern occurs, as `file:line: text`."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in project_files()
        if pattern.search(text := file.read_text("utf-8"))
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def source_id(file: Path) -> str:
    """A short name for a source file."""
    return file.relative_to(ROOT / "src").as_posix()


@pytest.mark.parametrize("line", ["see /ho" + "me/me/x", "open('/tm" + "p/x')", "cd /Use" + "rs/me"])
def test_the_path_pattern_finds_absolute_paths(line: str) -> None:
    """The pattern that looks for absolute paths does find one."""
    assert HOMES.search(line)


def test_no_file_names_a_path_of_one_machine() -> None:
    """No file of the project holds an absolute path into somebody's home, temporary or work folder."""
    assert findings(HOMES) == []


def test_no_file_holds_a_note_to_finish_later() -> None:
    """What is in the tree is finished."""
    assert findings(MARKERS) == []


def test_every_file_ends_with_one_newline() -> None:
    """Text files end with a newline and have Unix line ends."""
    texts = {file: file.read_bytes() for file in project_files()}
    untidy = [
        file.name for file, data in texts.items() if data and (not data.endswith(b"\n") or b"\r" in data)
    ]
    assert untidy == []


def test_the_licence_is_apache_2() -> None:
    """The licence text is there, whole, and names its holder."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "Copyright 2026 The wavetank authors" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_installed_metadata_is_the_one_in_the_tree() -> None:
    """The tests run against this tree's installation: version and entry point agree with pyproject.toml."""
    assert version("wavetank") == PROJECT["project"]["version"]
    (plugin,) = entry_points(group="pytest11", name="wavetank")
    assert plugin.value == PROJECT["project"]["entry-points"]["pytest11"]["wavetank"]


def test_each_supported_python_is_a_classifier() -> None:
    """The oldest Python in the classifiers is the one required, here and in the tools' targets."""
    classifiers = PROJECT["project"]["classifiers"]
    minors = [
        int(m[1])
        for c in classifiers
        if (m := re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", c))
    ]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert PROJECT["project"]["requires-python"] == f">=3.{minors[0]}"
    assert PROJECT["tool"]["mypy"]["python_version"] == f"3.{minors[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py3{minors[0]}"


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions within a node; no expression holds one, and to look there takes twice as long."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        inside = getattr(node, part, ())
        for statement in inside if isinstance(inside, list) else ():
            yield from functions(statement)


def test_a_module_says_what_it_is_and_its_functions_are_small() -> None:
    """Every module that holds anything has a docstring; how long it is, its subject decides."""
    silent, long = [], []
    for file in SOURCES:
        tree = ast.parse(file.read_text("utf-8"))
        if tree.body and not ast.get_docstring(tree):
            silent.append(source_id(file))
        for node in functions(tree):
            lines = (node.end_lineno or node.lineno) - node.lineno
            long += [f"{source_id(file)}: {node.name}"] if lines >= 60 else []
    assert silent == [], "each needs a docstring: one plain sentence"
    assert long == [], "split each into functions of at most 60 lines"


REFERENCE = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
TABLES: dict[str, type[msgspec.Struct]] = {
    "Top level": scenario.Scenario,
    "`[clock]`": scenario.ProviderClock,
    "`[latency]`": scenario.Latency,
    "`[answers]`": scenario.Answers,
    "`[limits]`": scenario.Limits,
    "`[[wave]]`": scenario.Wave,
    "`[[fault]]`": scenario.Fault,
    "`[batch]`": scenario.Batch,
    "`[[batch.fault]]`": scenario.LineFault,
    "`[[host]]`": scenario.Host,
    "`match`": scenario.Match,
    "`retry_after`": scenario.RetryAfter,
    "`ramp`": scenario.Ramp,
}


def section(title: str) -> str:
    """The part of the scenario reference under a heading, up to the next heading."""
    _, _, rest = REFERENCE.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("title", TABLES)
def test_the_scenario_reference_has_every_key(title: str) -> None:
    """The reference lists the keys of each table as the loader knows them: none missing, none made up."""
    documented = re.findall(r"^\| `(\w+)` ", section(title), flags=re.MULTILINE)
    known = [field.encode_name for field in msgspec.structs.fields(TABLES[title])]
    nested = (
        {"clock", "latency", "answers", "limits", "limit", "wave", "fault", "batch", "host", "name"}
        if title == "Top level"
        else {"fault"}
        if title == "`[batch]`"
        else set()
    )
    assert sorted(documented) == sorted(set(known) - nested)


def test_the_scenario_reference_has_every_fault() -> None:
    """Each kind of fault has its row in the reference."""
    documented = re.findall(r"^\| `([\w-]+)` ", section("Kinds of fault"), flags=re.MULTILINE)
    assert sorted(documented) == sorted(get_args(scenario.FaultKind))


def rows(page: str, title: str) -> list[str]:
    """The names in the first column of the table under a heading of a page."""
    _, _, rest = (ROOT / "docs" / page).read_text("utf-8").partition(f"\n## {title}\n")
    return re.findall(r"^\| `([\w-]+)` ", rest.partition("\n## ")[0], flags=re.MULTILINE)


def names_of(struct: type[msgspec.Struct]) -> list[str]:
    """The fields of a record as they are written."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def test_the_event_reference_has_every_kind_and_field() -> None:
    """The page on the event log lists the kinds and fields that the code has, in the same order."""
    assert rows("events.md", "Kinds") == list(events.EVENT_KINDS)
    assert rows("events.md", "Fields") == names_of(events.Event)
    parts = (events.Header, events.RunEnd, events.Notes)
    in_files = ["format", "version", *(name for part in parts for name in names_of(part))]
    assert rows("events.md", "As a file") == in_files


def test_the_picture_of_the_architecture_has_the_layers() -> None:
    """It has a line for each layer that import-linter holds, in order and in the same notation."""
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    picture = page.partition("```text\n")[2].partition("```")[0]
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    wanted = [re.sub(r"[()]", "", layer) for layer in layers if layer != "(__main__)"]
    assert [re.split(" {2,}", line)[0] for line in picture.splitlines()] == wanted


def test_each_package_has_a_folder_of_tests() -> None:
    """As CONTRIBUTING says; the folders of tests that test several parts are named there."""
    packages = {file.parent.name for file in (ROOT / "src" / "wavetank").glob("*/__init__.py")}
    folders = {file.parent.name for file in (ROOT / "tests").glob("*/*.py")}
    single = {file.stem.removeprefix("test_") for file in (ROOT / "tests").glob("test_*.py")}
    assert packages - folders - single == {"pytest_plugin"}
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert [name for name in sorted(folders - packages) if not re.search(rf"[`/]{name}`", page)] == []


def test_every_list_of_policies_has_them_all() -> None:
    """The page on exploring has a row for each; the page on the plugin and its help name them, in order."""
    page = (ROOT / "docs" / "exploring.md").read_text("utf-8")
    section = page.partition("\n## Policies\n")[2].partition("\n\nAfter ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE) == list(POLICIES)
    names = ", ".join(f"`{name}`" for name in POLICIES)
    assert f"how they are chosen: {names}, or" in (ROOT / "docs" / "pytest.md").read_text("utf-8")
    (words,) = (text for name, _, _, text in options._OPTIONS if name == "policy")
    assert re.findall(r"[\w-]+", words.partition(": ")[2].replace(" (default)", "")) == list(POLICIES)


def test_the_check_reference_has_every_check() -> None:
    """The page on the checks has a section for each, and its table says what the named sets hold."""
    page = (ROOT / "docs" / "checks.md").read_text("utf-8")
    assert re.findall(r"^## `(\w+)`$", page, flags=re.MULTILINE) == list(checks.CHECKS)
    table = re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| (yes|no) \| (yes|no) \|$", page, flags=re.MULTILINE)
    assert table == [
        (name, "yes" if name in checks.DEFAULT else "no", "yes" if name in checks.STRICT else "no")
        for name in checks.CHECKS
    ]
