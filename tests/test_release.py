"""What `make release` refuses."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
VERSIONED = ("pyproject.toml", "src/wavetank/__init__.py", "docs/changelog.md")


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """The script."""
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that have the version."""
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def change(file: Path, before: str, after: str) -> None:
    """Replace a text that a file has."""
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), "utf-8")


def test_this_version_lacks_a_date_at_most(release: ModuleType) -> None:
    """All three places have the same version."""
    assert [each for each in release.problems(ROOT) if "write the date" not in each] == []


def test_a_dated_version_is_ready(release: ModuleType, copy: Path) -> None:
    """With the date of the release there is nothing left to do."""
    change(copy / "docs/changelog.md", "(unreleased)", "(2027-01-31)")
    assert release.problems(copy) == []


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        ("docs/changelog.md", "(unreleased)", "(soon)", "write the date of the release in '## 0.1.0 (soon)'"),
        ("docs/changelog.md", "## 0.1.0", "## 0.0.9", "the first section of docs/changelog.md is not"),
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"', "does not have the version 0.2.0"),
    ],
)
def test_what_does_not_agree_is_named(
    file: str, before: str, after: str, says: str, release: ModuleType, copy: Path
) -> None:
    """Each with its file."""
    change(copy / file, before, after)
    assert says in "\n".join(release.problems(copy))
