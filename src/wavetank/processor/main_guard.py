"""Stops a script without `if __name__ == "__main__":` from starting its work again in each worker."""

from __future__ import annotations

import sys
from typing import Any, Final

__all__ = ["MissingMainGuard", "refuse_in_import_of_main"]

_GUARD: Final = 'if __name__ == "__main__":'

_refused: Final[list[str]] = []
"""The errors that were raised in this process: the script may have caught them."""


class MissingMainGuard(RuntimeError):
    """A worker process imports the main module of a script, and that starts its work again there."""


def refuse_in_import_of_main(what: str) -> None:
    """Refuse to start work while a worker process imports the main module.

    Args:
        what: what was started, for the text of the error.

    Raises:
        MissingMainGuard: this process is a worker that imports the main module now.
    """
    if _imports_main():
        _refused.append(
            f"{main_file()} starts {what} whenever it is imported, and each worker process imports it: put "
            f"what starts the work under `{_GUARD}`, as in\n\n    {_GUARD}\n        anyio.run(main)"
        )
        raise MissingMainGuard(_refused[-1])


def refusal() -> MissingMainGuard | None:
    """The first such error that was raised in this process, or `None`."""
    return MissingMainGuard(_refused[0]) if _refused else None


def main_file() -> str:
    """The file of the script, as far as it is known."""
    for name in ("__mp_main__", "__main__"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file:
            return str(file)
    return "the main module"


def _imports_main() -> bool:
    """Whether this is a child of multiprocessing, or a worker of a `ProcessPool`, during its preparation.

    Both set the flag by which multiprocessing itself refuses to start processes at that time:
    the children of `spawn`, and the server of `forkserver`.
    """
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and getattr(process.current_process(), "_inheriting", False)
