"""Finds the result files of a command that one attempt wrote, by a pattern."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, final

from ..items import LLMWorkItem

FIELD: Final = re.compile(r"\{(prompt|id)\}")

_State = tuple[int, int, int, int]


def filled(part: str, item: LLMWorkItem[object], change: Callable[[str], str] = str) -> str:
    """A text in which `{prompt}` and `{id}` are replaced with those of an item."""
    return FIELD.sub(lambda found: change(item.prompt if found[1] == "prompt" else item.id), part)


@final
class ResultFiles:
    """The files that match a pattern, before an attempt and after it.

    A file counts if the attempt created or changed it, since an earlier attempt may have left
    others. A change shows in inode, size and times. The clock is not compared, because that of
    the file system may differ.

    Args:
        pattern: a path with `*`, `?`, `[…]` and `**`, which also match names that begin with a
            dot; `{id}` and `{prompt}` are replaced with those of the item, without wildcards.
        folder: the start of a relative pattern.
        item: the item of the attempt.
    """

    def __init__(self, pattern: str, folder: str | Path | None, item: LLMWorkItem[object]) -> None:
        self._folder = Path(folder or ".")
        self._pattern = filled(pattern, item, glob.escape)
        self._path = filled(pattern, item)
        self._before = self._states()

    def written(self) -> list[Path]:
        """The files that were written since the start of the attempt, the newest first."""
        now = self._states()
        written = [path for path, state in now.items() if state != self._before.get(path)]
        return sorted(written, key=lambda path: (-now[path][0], path))

    def _states(self) -> Mapping[Path, _State]:
        # Also the path itself, since its brackets may be part of a name.
        matches = glob.glob(self._pattern, root_dir=self._folder, recursive=True, include_hidden=True)
        found = {self._path, *matches}
        states = ((path, _state(path)) for path in (self._folder / name for name in found))
        return {path: state for path, state in states if state is not None}


def _state(path: Path) -> _State | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
