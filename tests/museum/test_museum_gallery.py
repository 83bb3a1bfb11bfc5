"""The gallery in the documentation shows a specimen as it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from wavetank.museum import SPECIMENS

FILE = Path(__file__).parents[2] / "docs" / "museum_gallery.py"


@pytest.fixture
def gallery() -> ModuleType:
    """The extension of Sphinx that writes the gallery."""
    spec = importlib.util.spec_from_file_location("museum_gallery", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_section_has_the_bug_the_run_and_the_timeline(
    gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A specimen is searched once; its section and its timeline are then read from the folder of results."""
    monkeypatch.setattr(gallery, "_kept", lambda: tmp_path)
    specimen = SPECIMENS["full_queue"]
    lines = gallery.room(specimen)["lines"]
    assert specimen.story in lines
    assert "Found as `deadlock`, in schedule 1 of the search:" in lines
    assert "async def _queue_again(tank: Tank, queue: Queue[str], item: str) -> None:" in lines
    assert any(line.startswith("wave 1") for line in lines)
    assert b"deadlock" in (tmp_path / "full_queue.html").read_bytes()
    monkeypatch.setattr(gallery, "_searched", None)
    assert gallery.room(specimen)["lines"] == lines


@pytest.mark.parametrize("name", SPECIMENS)
def test_the_code_is_without_imports_and_label(gallery: ModuleType, name: str) -> None:
    """What is shown of a file holds both variants, and neither the imports nor the label."""
    code = gallery.code(SPECIMENS[name])
    assert code
    assert not code.startswith(("import ", "from ", "if TYPE_CHECKING"))
    assert "SPECIMEN" not in code
    assert all(gallery.variants(SPECIMENS[name]))


def test_a_specimen_that_cannot_run_here_is_shown_without_its_run(
    gallery: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a library is missing, the section says which, and has the code all the same."""
    monkeypatch.setattr("wavetank.museum.specimen.find_spec", lambda _: None)
    text = "\n".join(gallery.room(SPECIMENS["clock_skew"])["lines"])
    assert "It was not run for this page: clock\\_skew needs fakeredis and lupa" in text
    assert "class _Instant(SharedPause):" in text
    assert "# the clock is the bug" in text
    assert "noqa" not in text
