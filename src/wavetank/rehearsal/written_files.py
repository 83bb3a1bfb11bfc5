"""Which files a program writes, as Python's audit events tell; noted from the first call on, to the end."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, final

_WRITES: Final = os.O_WRONLY | os.O_RDWR


@final
class WrittenFiles:
    """The files that this process opens to write from here on, and that are still there in the end."""

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}
        self._here = os.getcwd() + os.sep
        self._over = False
        sys.addaudithook(self._noted)

    def stop(self) -> tuple[str, ...]:
        """Note no more; the files, those below the first working directory relative to it."""
        self._over = True
        there = (path for path in self._paths if os.path.isfile(path))
        return tuple(path.removeprefix(self._here) for path in there if not _is_of_a_tool(path))

    def _noted(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._over:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(mode, str) and not set(mode) & set("wax+"):
                return
            if mode is not None or (isinstance(flags, int) and flags & _WRITES):
                self._note(path)
        elif event == "os.rename":
            self._note(arguments[1])
        elif event == "sqlite3.connect":
            self._note(arguments[0])

    def _note(self, path: object) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            self._paths[os.path.abspath(os.fsdecode(path))] = None


def _is_of_a_tool(path: str) -> bool:
    """Whether Python or coverage has written it, and not the program."""
    return f"{os.sep}__pycache__{os.sep}" in path or os.path.basename(path).startswith(".coverage")
