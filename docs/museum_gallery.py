"""Writes the gallery of the museum while the documentation is built: each bug, its fix, its timeline.

The searches take some seconds, so their results are kept in `build/gallery` until the package changes.
"""

from __future__ import annotations

import ast
import inspect
import json
import logging
import re
import shutil
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx

from wavetank.museum import SPECIMENS
from wavetank.museum.specimen import KINDS, Specimen
from wavetank.report.page import timeline_page
from wavetank.report.sentences import explained, passing_of
from wavetank.report.text import drawn

ROOT: Final = Path(__file__).parents[1]
PLACE: Final = "<!-- specimens -->"
FOLDER: Final = "museum-timelines"
COLUMNS: Final = 84
"""Of a drawing in text: as wide as the text of a page."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the gallery with Sphinx."""
    # Its source never changes, but the programs that it shows do.
    app.connect("env-get-outdated", lambda *_: ["gallery"])
    app.connect("source-read", _write_sections)
    app.connect("build-finished", _copy_timelines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_sections(_: Sphinx, name: str, source: list[str]) -> None:
    if name == "gallery":
        rooms = [room(specimen) for specimen in SPECIMENS.values()]
        source[0] = source[0].replace(PLACE, "\n".join(line for each in rooms for line in each["lines"]))


def _copy_timelines(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        shutil.copytree(_kept(), Path(app.outdir) / FOLDER, dirs_exist_ok=True)


def room(specimen: Specimen) -> dict[str, Any]:
    """The section of a specimen, from the search of today or an earlier one of the same package."""
    if specimen.missing is not None:
        lines = [*_label(specimen), f"It was not run for this page: {_literal(specimen.missing)}", ""]
        return {"lines": [*lines, *_source(specimen)]}
    kept = _kept() / f"{specimen.name}.json"
    if not kept.exists():
        made = _searched(specimen)
        (_kept() / f"{specimen.name}.html").write_bytes(made.pop("timeline"))
        kept.write_text(json.dumps(made), "utf-8")
    found: dict[str, Any] = json.loads(kept.read_text("utf-8"))
    return found


@cache
def _kept() -> Path:
    """The folder of the results, which belongs to the source as it is."""
    digest = blake2b(digest_size=8)
    for file in sorted((ROOT / "src" / "wavetank").rglob("*.[pjc][ys]*")):
        if file.suffix in (".py", ".js", ".css"):
            digest.update(file.read_bytes())
    digest.update(Path(__file__).read_bytes())
    folder = ROOT / "build" / "gallery" / digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _searched(specimen: Specimen) -> dict[str, Any]:
    logging.disable(logging.WARNING)  # HTTP clients log each request, and Sphinx prints that
    try:
        result = specimen.search(backend=specimen.backends[0])
    finally:
        logging.disable(logging.NOTSET)
    if result.failure is None:
        raise RuntimeError(f"the search for {specimen.name} found nothing")
    logs = result.failure.logs(specimen.name)
    return {"lines": [*_lines(specimen, result.schedules, logs)], "timeline": timeline_page(logs)}


def _lines(specimen: Specimen, schedules: int, logs: Any) -> Iterator[str]:
    """The section, in Markdown."""
    yield from _label(specimen)
    yield f"Found as `{specimen.found_as}`, in schedule {schedules} of the search:"
    yield ""
    for number, sentence in enumerate(explained(logs[0], passing_of(logs))[:3], start=1):
        yield f"{number}. {_literal(sentence.text)}"
    yield ""
    yield from _source(specimen)
    yield from _folded("The run as text", ["```text", *drawn(logs[0], width=COLUMNS), "```"])
    address = f"{FOLDER}/{specimen.name}.html"
    frame = f'<iframe loading="lazy" src="{address}" title="Timeline of {specimen.name}"'
    yield from _folded("The timeline", [f'{frame} style="width: 100%; height: 40rem; border: 0"></iframe>'])
    yield f'<p><a href="{address}">The timeline on a page of its own</a></p>'
    yield ""


def _label(specimen: Specimen) -> Iterator[str]:
    buggy, twin = variants(specimen)
    yield f"## {specimen.name}"
    yield ""
    yield specimen.story
    yield ""
    yield f"- Kind of bug: {KINDS[specimen.kind]}. Seen in {specimen.seen}."
    yield f"- In the code below, `{buggy}` has the bug, and `{twin}` is the same without it."
    yield ""


def _source(specimen: Specimen) -> Iterator[str]:
    yield from _folded("The bug and its fix", ["```python", *code(specimen).splitlines(), "```"])


def _literal(text: str) -> str:
    """A sentence in which Markdown finds no marks of its own."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>" else sign for sign in text)


def _folded(title: str, lines: list[str]) -> Iterator[str]:
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"
    yield ""


def code(specimen: Specimen) -> str:
    """What the file of a specimen has between its imports and its label."""
    lines, tree = _parsed(specimen)
    # An `if` at the top level holds imports for type checkers.
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.If)]
    label = next(
        node for node in tree.body if isinstance(node, ast.AnnAssign) and "SPECIMEN" in ast.dump(node)
    )
    shown = "\n".join(lines[imports[-1].end_lineno : label.lineno - 1]).strip("\n")
    return re.sub(r"# noqa: \w+ - ", "# ", shown)


def variants(specimen: Specimen) -> tuple[str, str]:
    """What the buggy program and its twin differ in, as the label names them."""
    _, tree = _parsed(specimen)
    pair = next(
        node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "variants"
    )
    assert isinstance(pair, ast.Tuple)
    buggy, twin = map(ast.unparse, pair.elts)
    return buggy, twin


def _parsed(specimen: Specimen) -> tuple[list[str], ast.Module]:
    source = inspect.getsource(import_module(f"wavetank.museum.{specimen.name}"))
    return source.splitlines(), ast.parse(source)
