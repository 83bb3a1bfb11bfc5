"""The copy of the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.rehearsal import sandbox
from wavetank.rehearsal.sandbox import SandboxError, copy_working_directory, make_sandbox, place_in


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files, hidden folders and an environment."""
    for name in ("rows.csv", "data/more.csv", ".env", ".git/config", "env/pyvenv.cfg", "env/lib.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "link.csv").symlink_to("rows.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_copied() -> None:
    """Files and hidden files; no hidden folders, no environments, and not the copy itself."""
    copy_working_directory(Path("box"))
    found = {path.relative_to("box").as_posix() for path in Path("box").rglob("*") if path.is_file()}
    assert found == {"rows.csv", "data/more.csv", ".env", "link.csv"}


def test_what_is_written_in_the_copy_stays_there() -> None:
    """Also through a link."""
    copy_working_directory(Path("box"))
    Path("box", "link.csv").write_text("changed")
    assert Path("rows.csv").read_text() == "rows.csv"


def test_a_folder_with_files_is_left_alone() -> None:
    """The text says what to do."""
    with pytest.raises(SandboxError, match=r"data is not empty: name a folder that does not exist yet"):
        copy_working_directory(Path("data"))
    assert [path.name for path in Path("data").iterdir()] == ["more.csv"]


def test_a_sandbox_is_made_again() -> None:
    """With the files as they are now, and without what the program wrote there."""
    make_sandbox(Path("box"))
    Path("box", "written.txt").write_text("by the program")
    Path("rows.csv").write_text("more rows")
    make_sandbox(Path("box"))
    assert Path("box", "rows.csv").read_text() == "more rows"
    assert not Path("box", "written.txt").exists()


def test_a_sandbox_has_no_other_in_it() -> None:
    """Each would have all those before."""
    make_sandbox(Path("box"))
    make_sandbox(Path("box-2"))
    assert not Path("box-2", "box").exists()


def test_the_folder_in_which_wavetank_runs_is_never_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is a sandbox itself."""
    make_sandbox(Path("box"))
    monkeypatch.chdir("box")
    with pytest.raises(SandboxError, match="is not empty"):
        make_sandbox(Path("."))
    assert Path("rows.csv").exists()


def test_too_much_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied then."""
    monkeypatch.setattr(sandbox, "MOST_FILES", 3)
    with pytest.raises(SandboxError, match=r"has 4 files with 0 MiB, too much to copy \(at most 3 files"):
        copy_working_directory(Path("box"))
    assert not Path("box").exists()


def test_a_path_in_the_copy(folder: Path) -> None:
    """A file of the working directory is found in the copy, and any other where it is."""
    assert place_in(Path("box"), "data/more.csv") == str(folder.resolve() / "box" / "data" / "more.csv")
    assert place_in(Path("box"), "/elsewhere/script.py") == "/elsewhere/script.py"
