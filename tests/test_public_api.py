"""The pages of the Python API have every public name, and nothing else."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import wavetank

PAGES = Path(__file__).parents[1] / "docs" / "api"
MODULE = re.compile(r"^\.\. currentmodule:: (\S+)$", re.MULTILINE)
NAME = re.compile(r"^\.\. (?:auto|py:)\w+:: (\w+)$", re.MULTILINE)

# Of these only a part is for users; the rest is what the package itself needs of them.
IN_PART = ("wavetank.checks", "wavetank.clock", "wavetank.scenario")


def documented() -> dict[str, list[str]]:
    """The names on the pages, by their modules."""
    found: dict[str, list[str]] = {}
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text("utf-8")
        for module in dict.fromkeys(MODULE.findall(text)):
            found[module] = NAME.findall(text)
    return found


DOCUMENTED = documented()


@pytest.mark.parametrize("module", DOCUMENTED)
def test_a_page_has_the_public_names_of_its_module(module: str) -> None:
    """Each once, and no other. What another page has, too, may be left out there."""
    names, imported = DOCUMENTED[module], importlib.import_module(module)
    public = getattr(imported, "__all__", vars(imported))
    elsewhere = {name for other, found in DOCUMENTED.items() if other != module for name in found}
    assert sorted(names) == sorted({*names})
    assert {*names} <= {*public}
    if module not in IN_PART:
        assert {*public} - {*names} <= (elsewhere if module != "wavetank" else set())


def test_every_module_on_the_front_page_has_its_names() -> None:
    """And every module that has a page is on the front page."""
    front = (PAGES / "index.md").read_text("utf-8")
    listed = re.findall(r"^\| \[`([\w.]+)`\]\(\w+\.md\) \|", front, re.MULTILINE)
    assert sorted(listed) == sorted(DOCUMENTED)


def test_what_pages_import_is_public() -> None:
    """The examples of the documentation use public names of public modules."""
    docs = PAGES.parent
    used = {
        (module, name)
        for page in [docs.parent / "README.md", *docs.glob("*.md")]
        for module, names in re.findall(
            r"^(?:>>> )?from (wavetank[\w.]*) import ([\w, ]+)$", page.read_text("utf-8"), re.MULTILINE
        )
        for name in names.split(", ")
    }
    assert used
    private = {
        (module, name)
        for module, name in used
        if name not in DOCUMENTED.get(module, ())
        and name not in wavetank.__all__
        and f"{module}.{name}" not in DOCUMENTED
    }
    assert private == set()
