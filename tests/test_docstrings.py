"""The examples in the docstrings of the package."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import wavetank

PACKAGE = Path(wavetank.__file__).parent


def module_name(file: Path) -> str:
    """The dotted name of a source file of the package."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


WITH_EXAMPLES = [
    module_name(file) for file in sorted(PACKAGE.rglob("*.py")) if ">>> " in file.read_text("utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_hold(name: str) -> None:
    """Every example in a docstring prints what the docstring says."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0, f"{name} has '>>> ' outside a docstring that doctest reads"
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {name} fail; see above"


def test_the_clock_has_examples() -> None:
    """The search for examples finds those of the clock, so that it cannot pass by finding none."""
    assert "wavetank.clock" in WITH_EXAMPLES
