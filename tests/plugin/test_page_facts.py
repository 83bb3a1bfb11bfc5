"""What the pages say of messages, options and files of other programs is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

import wavetank

from .page_blocks import PAGES, ROOT, texts

SOURCE = Path(wavetank.__file__).parent
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")


def test_troubleshooting_has_messages_of_the_package() -> None:
    """Each heading in code font is a part of a text in the source."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    headings: list[str] = re.findall(r"^## `(.+)`$", page, flags=re.MULTILINE)
    words = {each: re.findall(r"[A-Za-z]+", each) for each in headings}
    left = dict.fromkeys(headings)
    for source in (file.read_text("utf-8") for file in SOURCE.rglob("*.py")):
        # To parse every file takes a second.
        wanted = [each for each in left if all(word in source for word in words[each])]
        texts_of_it = texts_in(source) if wanted else []
        for each in wanted:
            if any(each in text for text in texts_of_it):
                del left[each]
    assert len(headings) >= 10
    assert [*left] == []


def texts_in(source: str) -> list[str]:
    """The string constants of a module."""
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


@EVERY_PAGE
def test_options_on_the_pages_are_options(page: Path, pytestconfig: pytest.Config) -> None:
    """Each `--llm-…` of a page is an option of the plugin, which runs here as well."""
    for option in re.findall(r"--llm-[a-z]+(?:-[a-z]+)*", page.read_text("utf-8")):
        pytestconfig.getoption(option)  # raises if there is none


@EVERY_PAGE
def test_yaml_on_the_pages_is_yaml(page: Path) -> None:
    """Each block of YAML can be read, and has jobs with steps."""
    for block in texts(page, "yaml"):
        jobs = yaml.safe_load(block)
        jobs = jobs.get("jobs", jobs)
        assert all("steps" in job or "script" in job for job in jobs.values())
