"""The folder of what wavetank keeps between its runs; version control is not to see it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = ".wavetank"


def make_folder(folder: Path) -> None:
    """Make the folder, with a file that has git ignore all in it.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")
