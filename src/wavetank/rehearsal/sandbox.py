"""A copy of the working directory, in which a program may write what it likes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..text import counted

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 1 << 30
"""More than a program and its input have; to copy a whole project with its data would take minutes."""

_NOT_COPIED: Final = ("__pycache__", "node_modules")
_OF_AN_ENVIRONMENT: Final = "pyvenv.cfg"
OF_A_SANDBOX: Final = ".wavetank-sandbox"
"""The file that is in each sandbox: such a folder may be made again, and is in no other copy. pytest leaves
it out, as the tests in it have the names of those that were copied."""


class SandboxError(Exception):
    """The copy cannot be made; the text says why, and what to do."""


def make_sandbox(to: Path) -> None:
    """Copy the working directory to a folder that stays; one that an earlier rehearsal made is made again.

    Raises:
        SandboxError: the folder has files of another kind, or there is too much to copy.
    """
    made_before = (to / OF_A_SANDBOX).is_file() and not Path.cwd().is_relative_to(to.resolve())
    if made_before:
        try:
            shutil.rmtree(to)
        except OSError as error:
            raise SandboxError(f"{to}: what an earlier rehearsal left cannot be removed: {error}") from None
    copy_working_directory(to)
    note = "Made by wavetank rehearse --sandbox, which may remove this folder.\n"
    (to / OF_A_SANDBOX).write_text(note, "ascii")


def copy_working_directory(to: Path) -> None:
    """Copy the files of the working directory to a folder that is empty, or not there yet.

    Hidden folders, virtual environments, caches and sandboxes are left out. Links are followed, so that
    nothing that is written in the copy reaches the files themselves.

    Raises:
        SandboxError: the folder has files, or there is too much to copy.
    """
    here = Path.cwd()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise SandboxError(f"{to} is not empty: name a folder that does not exist yet, or remove it")
    wanted = list(_files(here, to.resolve()))
    size = sum(file.stat().st_size for file in wanted)
    if len(wanted) > MOST_FILES or size > MOST_BYTES:
        raise SandboxError(
            f"the working directory has {counted(len(wanted), 'file')} with {size >> 20} MiB, too much to "
            f"copy (at most {MOST_FILES} files and {MOST_BYTES >> 20} MiB): run wavetank in a folder with "
            "no more than the program and its input"
        )
    try:
        to.mkdir(parents=True, exist_ok=True)
        for file in wanted:
            copy = to / file.relative_to(here)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
    except OSError as error:
        raise SandboxError(f"{to}: the working directory cannot be copied there: {error}") from None


def _files(folder: Path, leave_out: Path) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):
        here = Path(path)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NOT_COPIED
            and not (here / name / _OF_AN_ENVIRONMENT).exists()
            and not (here / name / OF_A_SANDBOX).exists()
            and (here / name).resolve() != leave_out
        )
        yield from (here / name for name in sorted(names) if (here / name).is_file())


def place_in(sandbox: Path, path: str) -> str:
    """Where the copy has a file of the working directory; any other path as it is."""
    try:
        return str(sandbox.resolve() / Path(path).resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return path
